//! Where tables lie, and the commands that touch both lake and catalog when one is made.

use std::time::Duration;

use shoal_catalog::{CreateMode, DEFAULT_CATALOG, TableEntry, TableKind};
use shoal_lake::{DataFile, Format, TableRef};
use url::Url;

use crate::create::{already_exists, new_table};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::parser::{CreateTable, PartitionItem, sql_type};
use crate::scope::{Current, FullName};
use crate::session::Session;
use crate::write::NewTable;

/// Looks, and pauses between them, for a table that somebody else is making.
const LOOKS_FOR_TABLE: u32 = 50;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Where a table goes.
pub(crate) struct Place {
    pub table: TableRef,
    pub kind: TableKind,
    /// Whether what lies there gives way.
    pub replace: bool,
}

impl Engine {
    /// The place of a new table: the one it replaces, the location given, or a folder of its name
    /// below its schema's. A folder left behind by a table that was dropped without PURGE is not
    /// touched: the new one then gets a suffix.
    pub(crate) async fn place(
        &self,
        name: &FullName,
        table: &CreateTable,
        format: Format,
    ) -> Result<Place> {
        let schema = self
            .schema_entry(&Current {
                catalog: name.catalog.clone(),
                schema: name.schema.clone(),
            })
            .await?;
        if self.is_attached(&name.catalog) {
            return self.attached_place(name, table, format).await;
        }
        let existing = match table.or_replace {
            true => self.entry(name).await?,
            false => None,
        };
        if let Some(location) = &table.location {
            let location = location_url(location)?;
            let replace =
                existing.is_some_and(|e| e.location.as_deref() == Some(location.as_str()));
            return Ok(Place {
                table: TableRef::new(name.to_string(), format, location),
                kind: TableKind::External,
                replace,
            });
        }
        if let Some(existing) = existing.filter(|entry| entry.kind != TableKind::View) {
            let old = self.table_ref(&existing)?;
            if old.format == format {
                return Ok(Place {
                    table: old,
                    kind: existing.kind,
                    replace: true,
                });
            }
        }
        let root = match (&schema.location, self.zone(name)) {
            (Some(location), _) => location.clone(),
            (None, zone) => zone,
        };
        let folder = |suffix: &str| -> Result<TableRef> {
            let folder = folder_name(&name.table);
            let location = format!("{}/{folder}{suffix}/", root.trim_end_matches('/'));
            let location = Url::parse(&location).map_err(|e| {
                EngineError::invalid(format!("{location}, the place of {name}, is no URL: {e}"))
            })?;
            Ok(TableRef::new(name.to_string(), format, location))
        };
        let mut place = folder("")?;
        if self.lake().exists(&place).await? {
            let suffix = uuid::Uuid::new_v4().simple().to_string();
            place = folder(&format!("-{}", &suffix[..8]))?;
        }
        Ok(Place {
            table: place,
            kind: TableKind::Managed,
            replace: false,
        })
    }

    /// The folder of a schema that was made without a location.
    fn zone(&self, name: &FullName) -> String {
        let storage = &self.settings().storage;
        let zone = match name.catalog.as_str() {
            DEFAULT_CATALOG => storage.zone(&name.schema),
            _ => None,
        };
        let default = storage.default_path.trim_end_matches('/');
        zone.map_or_else(
            || match name.catalog.as_str() {
                DEFAULT_CATALOG => format!("{default}/{}/", folder_name(&name.schema)),
                catalog => format!(
                    "{default}/{}/{}/",
                    folder_name(catalog),
                    folder_name(&name.schema)
                ),
            },
            str::to_string,
        )
    }

    /// Makes a table that holds `files`, in one commit, and enters it in the catalog.
    pub(crate) async fn make_table(&self, new: &NewTable, files: &[DataFile]) -> Result<()> {
        let created = self.lake().create(&new.request, files, new.replace).await;
        if let Err(error) = created {
            self.lake().discard(&new.request.table, files).await;
            return Err(error.into());
        }
        if self.is_attached(&new.entry.catalog) {
            return Ok(());
        }
        let entered = self.catalog().create_table(&new.entry, new.mode).await;
        if let Err(error) = entered {
            // Nobody has seen the table yet, and its folder is its own.
            if !new.replace && new.entry.kind == TableKind::Managed {
                self.lake().forget(&new.request.table).await?;
                self.lake().purge(&new.request.table).await?;
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// `CREATE TABLE` without a query.
    pub(crate) async fn create_table(&self, session: &Session, table: &CreateTable) -> Result<()> {
        let current = session.current();
        let name = current.table(&table.name);
        let exists = self.entry(&name).await?.is_some();
        if exists && table.if_not_exists {
            return Ok(());
        }
        if exists && !table.or_replace {
            return Err(already_exists(&name));
        }
        if let Some(location) = &table.location {
            let format = self.format_of(table, &name)?;
            let there = TableRef::new(name.to_string(), format, location_url(location)?);
            if !table.or_replace && self.lake().exists(&there).await? {
                return self.register(&name, table, there).await;
            }
        }
        if table.columns.is_empty() && table.partitioned_by.is_empty() {
            return Err(EngineError::invalid(format!(
                "there is no table at the location of {name}, so its columns must be declared"
            )));
        }
        let state = session.scope().state(&current)?;
        let new = new_table(session, &state, table, &name).await?;
        match self.make_table(&new, &[]).await {
            Err(error) if table.if_not_exists && error.is_already_exists() => {
                self.made_by_others(&name, error).await
            }
            made => made,
        }
    }

    /// Waits for a table that others are making at this moment: its log is there before its name is.
    async fn made_by_others(&self, name: &FullName, lost: EngineError) -> Result<()> {
        for _ in 0..LOOKS_FOR_TABLE {
            if self.entry(name).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(lost)
    }

    /// Tells the lake that tables are dropped, so that other engines no longer find them either.
    pub(crate) async fn forget_all(&self, dropped: Option<&[TableEntry]>) -> Result<()> {
        let tables = dropped.unwrap_or_default().iter();
        for entry in tables.filter(|entry| entry.kind != TableKind::View) {
            self.lake().forget(&self.table_ref(entry)?).await?;
        }
        Ok(())
    }

    /// Enters a table that exists into the catalog.
    async fn register(&self, name: &FullName, table: &CreateTable, there: TableRef) -> Result<()> {
        self.lake().adopt(&there).await?;
        let snapshot = self.lake().snapshot(&there).await?;
        let mut declared = table.columns.clone();
        declared.extend(table.partitioned_by.iter().filter_map(|item| match item {
            PartitionItem::NewColumn(column) => Some(column.clone()),
            _ => None,
        }));
        let has = snapshot.schema();
        let differs = declared.iter().find(|column| {
            let found = has
                .fields()
                .iter()
                .find(|f| f.name().eq_ignore_ascii_case(&column.name));
            !found.is_some_and(|field| field.data_type().equals_datatype(&column.data_type))
        });
        if let Some(column) = differs {
            return Err(EngineError::invalid(format!(
                "the table at {} has no column {} of type {}; leave the columns out to take those \
                 it has",
                there.location,
                column.name,
                sql_type(&column.data_type)
            )));
        }
        let mut entry = TableEntry::new(
            &name.catalog,
            &name.schema,
            &name.table,
            TableKind::External,
        );
        entry.format = Some(there.format.name().to_lowercase());
        entry.location = Some(there.location.to_string());
        entry.comment = table
            .comment
            .clone()
            .or_else(|| snapshot.comment().map(str::to_string));
        entry.properties = table.properties.clone();
        if self.is_attached(&name.catalog) {
            return Ok(());
        }
        self.catalog()
            .create_table(&entry, CreateMode::Fail)
            .await?;
        Ok(())
    }
}

/// The folder of a table or schema of that name: never a path that leads out of its parent.
fn folder_name(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    name.chars()
        .map(|c| if kept(c) { c } else { '_' })
        .collect()
}

/// A location as the statement gives it, as a URL.
pub fn location_url(location: &str) -> Result<Url> {
    let wrong = |reason: String| {
        let shown = shoal_config::shown_url(location);
        EngineError::invalid(format!("location '{shown}' {reason}"))
    };
    if !location.contains("://") && !location.starts_with('/') {
        return Err(wrong(
            "is relative; write an absolute path or a URL such as s3://bucket/folder/".into(),
        ));
    }
    let url = shoal_config::store_url(location, std::path::Path::new("/")).map_err(wrong)?;
    Url::parse(&url).map_err(|e| wrong(format!("is no URL: {e}")))
}
