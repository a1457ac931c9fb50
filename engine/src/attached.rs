//! The Iceberg catalogs that the settings attach, beside Shoal's own. They keep their names
//! themselves: a table in one is found there each time, and nothing about it stands in Shoal's
//! catalog. They hold schemas and Iceberg tables, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_catalog::{DEFAULT_SCHEMA, Listing, SchemaEntry, TableEntry, TableKind};
use shoal_lake::{Format, TableRef};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::parser::CreateTable;
use crate::place::{Place, location_url};
use crate::scope::{Current, FullName};

/// How long a list of all names waits for one attached catalog.
const LISTING_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Whether the catalog of that name is attached.
    pub(crate) fn is_attached(&self, catalog: &str) -> bool {
        self.lake().attached().names().any(|name| name == catalog)
    }

    /// Refuses to put `what` into an attached catalog.
    pub(crate) fn refuse_in_attached(&self, catalog: &str, what: &str) -> Result<()> {
        match self.is_attached(catalog) {
            true => Err(EngineError::unsupported(
                format!("{what} in {catalog}, an attached Iceberg catalog"),
                "a catalog of Shoal's own, such as lake",
            )),
            false => Ok(()),
        }
    }

    /// A table of an attached catalog.
    pub(crate) async fn attached_entry(&self, name: &FullName) -> Result<Option<TableEntry>> {
        let found = self
            .lake()
            .attached()
            .find(&name.catalog, &name.schema, &name.table)
            .await?;
        Ok(found.map(|table| {
            let mut entry =
                TableEntry::new(&name.catalog, &name.schema, &name.table, TableKind::Managed);
            entry.format = Some(table.format.name().to_lowercase());
            entry.location = Some(table.location.to_string());
            entry
        }))
    }

    /// A schema of an attached catalog. A session that uses the catalog starts in `default`, which
    /// need not be there.
    pub(crate) async fn attached_schema(&self, schema: &Current) -> Result<Option<SchemaEntry>> {
        let attached = self.lake().attached();
        let exists = schema.schema == DEFAULT_SCHEMA
            || attached.has_schema(&schema.catalog, &schema.schema).await?;
        Ok(exists.then(|| SchemaEntry {
            catalog: schema.catalog.clone(),
            name: schema.schema.clone(),
            comment: None,
            location: None,
        }))
    }

    /// Adds the names in attached catalogs. One that does not answer is there without its names: it
    /// must not hide the others.
    pub(crate) async fn add_attached(&self, listing: &mut Listing) {
        for catalog in self.lake().attached().names() {
            let names = tokio::time::timeout(LISTING_TIMEOUT, self.attached_names(catalog));
            let names = match names.await {
                Ok(Ok(names)) => names,
                Ok(Err(error)) => {
                    tracing::warn!(catalog, "an attached catalog is not listed: {error}");
                    BTreeMap::new()
                }
                Err(_) => {
                    tracing::warn!(catalog, "an attached catalog is not listed: no answer");
                    BTreeMap::new()
                }
            };
            listing.insert(catalog.to_owned(), names);
        }
    }

    /// Schema → table → kind.
    async fn attached_names(
        &self,
        catalog: &str,
    ) -> Result<BTreeMap<String, BTreeMap<String, TableKind>>> {
        let attached = self.lake().attached();
        let mut names = BTreeMap::new();
        for schema in attached.schemas(catalog).await? {
            let tables = attached.tables(catalog, &schema).await?.into_iter();
            let tables = tables.map(|table| (table, TableKind::Managed)).collect();
            names.insert(schema, tables);
        }
        Ok(names)
    }

    /// The place of a new table of an attached catalog.
    pub(crate) async fn attached_place(
        &self,
        name: &FullName,
        table: &CreateTable,
        format: Format,
    ) -> Result<Place> {
        if format != Format::Iceberg {
            return Err(EngineError::unsupported(
                format!("{name} USING {}", format.name().to_uppercase()),
                "USING ICEBERG: the catalog holds Iceberg tables",
            ));
        }
        let location = match &table.location {
            Some(location) => location_url(location)?,
            None => {
                let attached = self.lake().attached();
                attached
                    .new_location(&name.catalog, &name.schema, &name.table)
                    .await?
            }
        };
        Ok(Place {
            table: TableRef::new(name.to_string(), format, location),
            kind: TableKind::Managed,
            replace: table.or_replace,
        })
    }

    /// Makes a schema in an attached catalog.
    pub(crate) async fn create_attached_schema(
        &self,
        entry: &SchemaEntry,
        if_not_exists: bool,
    ) -> Result<()> {
        if entry.comment.is_some() || entry.location.is_some() {
            self.refuse_in_attached(&entry.catalog, "a schema with COMMENT or LOCATION")?;
        }
        let attached = self.lake().attached();
        let is_new = attached.create_schema(&entry.catalog, &entry.name).await?;
        match is_new || if_not_exists {
            true => Ok(()),
            false => Err(EngineError::AlreadyExists {
                kind: "schema",
                name: entry.full_name(),
                hint: "write IF NOT EXISTS to leave it as it is",
            }),
        }
    }

    /// Drops a schema of an attached catalog, with `cascade` its tables too. Returns whether there
    /// was one.
    pub(crate) async fn drop_attached_schema(
        &self,
        schema: &Current,
        cascade: bool,
    ) -> Result<bool> {
        let attached = self.lake().attached();
        if cascade {
            for table in attached.tables(&schema.catalog, &schema.schema).await? {
                let found = attached
                    .find(&schema.catalog, &schema.schema, &table)
                    .await?;
                if let Some(table) = found {
                    self.lake().forget(&table).await?;
                }
            }
        }
        Ok(attached
            .drop_schema(&schema.catalog, &schema.schema)
            .await?)
    }
}
