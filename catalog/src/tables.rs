//! Tables and views: looking up, listing, creating, changing, dropping.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::entry::{full_name, stored_name};
use crate::error::{CatalogError, ObjectKind};
use crate::schemas::{is_foreign_key_violation, query_error};
use crate::{Catalog, CreateMode, Result, TableEntry, TableKind};

/// The columns [`table_from_row`] reads.
pub(crate) const TABLE_COLUMNS: &str = "catalog_name, schema_name, name, kind, format, location, \
                                        definition, comment, properties, created_at_ms";

impl Catalog {
    /// One table or view, if it exists.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn table(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
    ) -> Result<Option<TableEntry>> {
        let sql = format!(
            "SELECT {TABLE_COLUMNS} FROM shoal_tables \
             WHERE catalog_name = $1 AND schema_name = $2 AND name = $3"
        );
        sqlx::query(&sql)
            .bind(full_name(&[catalog]))
            .bind(full_name(&[schema]))
            .bind(full_name(&[name]))
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| query_error(&format!("look up {catalog}.{schema}.{name}"), e))?
            .map(|row| table_from_row(&row))
            .transpose()
    }

    /// The tables and views of a schema, in order of name. None if there is no such schema.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn tables(&self, catalog: &str, schema: &str) -> Result<Vec<TableEntry>> {
        let sql = format!(
            "SELECT {TABLE_COLUMNS} FROM shoal_tables \
             WHERE catalog_name = $1 AND schema_name = $2 ORDER BY name"
        );
        sqlx::query(&sql)
            .bind(full_name(&[catalog]))
            .bind(full_name(&[schema]))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| query_error(&format!("list the tables of {catalog}.{schema}"), e))?
            .iter()
            .map(table_from_row)
            .collect()
    }

    /// Enters a table or view. Returns whether the entry was written: `false` only under
    /// [`CreateMode::IfNotExists`] when the name is taken.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] if its schema does not exist; [`CatalogError::AlreadyExists`] or
    /// [`CatalogError::WrongKind`] as `mode` says.
    pub async fn create_table(&self, entry: &TableEntry, mode: CreateMode) -> Result<bool> {
        let catalog = stored_name(ObjectKind::Catalog, &entry.catalog)?;
        let schema = stored_name(ObjectKind::Schema, &entry.schema)?;
        let name = stored_name(ObjectKind::Table, &entry.name)?;
        let on_conflict = match mode {
            CreateMode::Fail | CreateMode::IfNotExists => "DO NOTHING",
            CreateMode::Replace => {
                "(catalog_name, schema_name, name) DO UPDATE SET \
                 kind = excluded.kind, format = excluded.format, location = excluded.location, \
                 definition = excluded.definition, comment = excluded.comment, \
                 properties = excluded.properties, created_at_ms = excluded.created_at_ms \
                 WHERE (shoal_tables.kind = 'view') = (excluded.kind = 'view')"
            }
        };
        let sql = format!(
            "INSERT INTO shoal_tables ({TABLE_COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT {on_conflict}"
        );
        let written = sqlx::query(&sql)
            .bind(&catalog)
            .bind(&schema)
            .bind(&name)
            .bind(entry.kind.as_str())
            .bind(&entry.format)
            .bind(&entry.location)
            .bind(&entry.definition)
            .bind(&entry.comment)
            .bind(properties_to_text(&entry.properties))
            .bind(entry.created_at_ms)
            .execute(&self.pool)
            .await
            .map_err(|e| match is_foreign_key_violation(&e) {
                true => CatalogError::NotFound {
                    kind: ObjectKind::Schema,
                    name: full_name(&[&catalog, &schema]),
                },
                false => query_error(&format!("create {}", entry.full_name()), e),
            })?
            .rows_affected()
            == 1;

        match (written, mode) {
            (true, _) => Ok(true),
            (false, CreateMode::IfNotExists) => Ok(false),
            (false, CreateMode::Fail) => Err(CatalogError::AlreadyExists {
                kind: ObjectKind::Table,
                name: entry.full_name(),
            }),
            (false, CreateMode::Replace) => Err(CatalogError::WrongKind {
                name: entry.full_name(),
                found: match entry.kind {
                    TableKind::View => TableKind::Managed.noun(),
                    TableKind::Managed | TableKind::External => TableKind::View.noun(),
                },
                wanted: entry.kind.noun(),
            }),
        }
    }

    /// Removes a table or view from the catalog and returns its entry, or `None` if there was
    /// none. Files are not touched.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn drop_table(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
    ) -> Result<Option<TableEntry>> {
        let sql = format!(
            "DELETE FROM shoal_tables WHERE catalog_name = $1 AND schema_name = $2 AND name = $3 \
             RETURNING {TABLE_COLUMNS}"
        );
        sqlx::query(&sql)
            .bind(full_name(&[catalog]))
            .bind(full_name(&[schema]))
            .bind(full_name(&[name]))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| query_error(&format!("drop {catalog}.{schema}.{name}"), e))?
            .first()
            .map(table_from_row)
            .transpose()
    }

    /// Sets or, with `None`, removes the comment of a table or view.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] if there is no such table or view.
    pub async fn set_comment(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        comment: Option<&str>,
    ) -> Result<()> {
        let changed = sqlx::query(
            "UPDATE shoal_tables SET comment = $1 \
             WHERE catalog_name = $2 AND schema_name = $3 AND name = $4",
        )
        .bind(comment)
        .bind(full_name(&[catalog]))
        .bind(full_name(&[schema]))
        .bind(full_name(&[name]))
        .execute(&self.pool)
        .await
        .map_err(|e| query_error(&format!("comment on {catalog}.{schema}.{name}"), e))?
        .rows_affected();
        match changed {
            0 => Err(no_such_table(catalog, schema, name)),
            _ => Ok(()),
        }
    }

    /// Changes properties of a table or view: a value sets, `None` removes; the others stay. Two
    /// callers that change different properties at once both take effect.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] if there is no such table or view.
    pub async fn set_properties(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let failed = |e| query_error(&format!("set properties of {catalog}.{schema}.{name}"), e);
        let key = [catalog, schema, name].map(|part| full_name(&[part]));

        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // Writing first takes the lock on the row (SQLite: on the file) before it is read.
        let locked = sqlx::query(
            "UPDATE shoal_tables SET name = name \
             WHERE catalog_name = $1 AND schema_name = $2 AND name = $3 RETURNING properties",
        )
        .bind(&key[0])
        .bind(&key[1])
        .bind(&key[2])
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let Some(row) = locked.first() else {
            return Err(no_such_table(catalog, schema, name));
        };
        let stored: String = row.try_get("properties").map_err(failed)?;
        let mut properties = properties_from_text(&stored, &key.join("."))?;
        for (property, value) in changes {
            match value {
                Some(value) => properties.insert(property.clone(), value.clone()),
                None => properties.remove(property),
            };
        }
        sqlx::query(
            "UPDATE shoal_tables SET properties = $1 \
             WHERE catalog_name = $2 AND schema_name = $3 AND name = $4",
        )
        .bind(properties_to_text(&properties))
        .bind(&key[0])
        .bind(&key[1])
        .bind(&key[2])
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

/// The entry held by a row of [`TABLE_COLUMNS`].
pub(crate) fn table_from_row(row: &AnyRow) -> Result<TableEntry> {
    let failed = |e| query_error("read a table's entry", e);
    let mut entry = TableEntry {
        catalog: row.try_get("catalog_name").map_err(failed)?,
        schema: row.try_get("schema_name").map_err(failed)?,
        name: row.try_get("name").map_err(failed)?,
        kind: TableKind::Managed,
        format: row.try_get("format").map_err(failed)?,
        location: row.try_get("location").map_err(failed)?,
        definition: row.try_get("definition").map_err(failed)?,
        comment: row.try_get("comment").map_err(failed)?,
        properties: BTreeMap::new(),
        created_at_ms: row.try_get("created_at_ms").map_err(failed)?,
    };
    let kind: String = row.try_get("kind").map_err(failed)?;
    let properties: String = row.try_get("properties").map_err(failed)?;
    let full_name = entry.full_name();
    entry.kind = TableKind::parse(&kind, &full_name)?;
    entry.properties = properties_from_text(&properties, &full_name)?;
    Ok(entry)
}

fn properties_to_text(properties: &BTreeMap<String, String>) -> String {
    let object = properties
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

fn properties_from_text(text: &str, name: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|e| CatalogError::InvalidRow {
        name: name.to_owned(),
        reason: format!("its properties are not a JSON object of strings: {e}"),
    })
}

fn no_such_table(catalog: &str, schema: &str, name: &str) -> CatalogError {
    CatalogError::NotFound {
        kind: ObjectKind::Table,
        name: full_name(&[catalog, schema, name]),
    }
}
