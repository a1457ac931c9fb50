//! Catalogs and schemas: listing, creating, dropping.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::entry::{full_name, stored_name};
use crate::error::{CatalogError, ObjectKind};
use crate::tables::{TABLE_COLUMNS, table_from_row};
use crate::{Catalog, Listing, Result, SchemaEntry, TableEntry, TableKind};

impl Catalog {
    /// The names of all catalogs, in order.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn catalogs(&self) -> Result<Vec<String>> {
        sqlx::query_scalar("SELECT name FROM shoal_catalogs ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| query_error("list catalogs", e))
    }

    /// Creates a catalog with an empty schema `default`. Returns whether it is new.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] unless `if_not_exists`.
    pub async fn create_catalog(&self, name: &str, if_not_exists: bool) -> Result<bool> {
        let name = stored_name(ObjectKind::Catalog, name)?;
        let failed = |e| query_error(&format!("create catalog {name}"), e);

        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let inserted =
            sqlx::query("INSERT INTO shoal_catalogs (name) VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(&name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?
                .rows_affected();
        if inserted == 1 {
            sqlx::query("INSERT INTO shoal_schemas (catalog_name, name) VALUES ($1, $2)")
                .bind(&name)
                .bind(crate::DEFAULT_SCHEMA)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;

        if inserted == 0 && !if_not_exists {
            return Err(CatalogError::AlreadyExists {
                kind: ObjectKind::Catalog,
                name,
            });
        }
        Ok(inserted == 1)
    }

    /// Drops a catalog. With `cascade` its schemas, tables and models go too; without, it may hold nothing
    /// but an empty schema `default`. Returns the entries of the tables and views that went, or
    /// `None` if there is no such catalog. Files are not touched.
    ///
    /// # Errors
    /// [`CatalogError::NotEmpty`] if it holds something and `cascade` is not set.
    pub async fn drop_catalog(
        &self,
        catalog: &str,
        cascade: bool,
    ) -> Result<Option<Vec<TableEntry>>> {
        let name = full_name(&[catalog]);
        let failed = |e| match is_foreign_key_violation(&e) {
            true => CatalogError::NotEmpty {
                kind: ObjectKind::Catalog,
                name: name.clone(),
            },
            false => query_error(&format!("drop catalog {name}"), e),
        };

        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let mut dropped = Vec::new();
        if cascade {
            let sql = format!(
                "DELETE FROM shoal_tables WHERE catalog_name = $1 RETURNING {TABLE_COLUMNS}"
            );
            dropped = sqlx::query(&sql)
                .bind(&name)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
            sqlx::query("DELETE FROM shoal_models WHERE catalog_name = $1")
                .bind(&name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        let schemas = match cascade {
            true => "DELETE FROM shoal_schemas WHERE catalog_name = $1",
            false => "DELETE FROM shoal_schemas WHERE catalog_name = $1 AND name = 'default'",
        };
        sqlx::query(schemas)
            .bind(&name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let deleted = sqlx::query("DELETE FROM shoal_catalogs WHERE name = $1")
            .bind(&name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?
            .rows_affected();
        transaction.commit().await.map_err(failed)?;

        if_any(deleted, &dropped)
    }

    /// The schemas of `catalog`, in order of name. None if there is no such catalog.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn schemas(&self, catalog: &str) -> Result<Vec<SchemaEntry>> {
        let failed = |e| query_error(&format!("list the schemas of catalog {catalog}"), e);
        sqlx::query(
            "SELECT catalog_name, name, comment, location FROM shoal_schemas \
             WHERE catalog_name = $1 ORDER BY name",
        )
        .bind(full_name(&[catalog]))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?
        .iter()
        .map(|row| schema_from_row(row).map_err(failed))
        .collect()
    }

    /// One schema, if it exists.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn schema(&self, catalog: &str, schema: &str) -> Result<Option<SchemaEntry>> {
        let failed = |e| query_error(&format!("look up schema {catalog}.{schema}"), e);
        sqlx::query(
            "SELECT catalog_name, name, comment, location FROM shoal_schemas \
             WHERE catalog_name = $1 AND name = $2",
        )
        .bind(full_name(&[catalog]))
        .bind(full_name(&[schema]))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?
        .map(|row| schema_from_row(&row).map_err(failed))
        .transpose()
    }

    /// Creates a schema. Returns whether it is new.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] if its catalog does not exist;
    /// [`CatalogError::AlreadyExists`] if the name is taken, unless `if_not_exists`.
    pub async fn create_schema(&self, entry: &SchemaEntry, if_not_exists: bool) -> Result<bool> {
        let catalog = stored_name(ObjectKind::Catalog, &entry.catalog)?;
        let schema = stored_name(ObjectKind::Schema, &entry.name)?;
        let inserted = sqlx::query(
            "INSERT INTO shoal_schemas (catalog_name, name, comment, location) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&catalog)
        .bind(&schema)
        .bind(&entry.comment)
        .bind(&entry.location)
        .execute(&self.pool)
        .await
        .map_err(|e| match is_foreign_key_violation(&e) {
            true => CatalogError::NotFound {
                kind: ObjectKind::Catalog,
                name: catalog.clone(),
            },
            false => query_error(&format!("create schema {}", entry.full_name()), e),
        })?
        .rows_affected();

        if inserted == 0 && !if_not_exists {
            return Err(CatalogError::AlreadyExists {
                kind: ObjectKind::Schema,
                name: entry.full_name(),
            });
        }
        Ok(inserted == 1)
    }

    /// Drops a schema; with `cascade` its tables, views and models too. Returns the entries of those that
    /// went, or `None` if there is no such schema. Files are not touched.
    ///
    /// # Errors
    /// [`CatalogError::NotEmpty`] if it holds something and `cascade` is not set.
    pub async fn drop_schema(
        &self,
        catalog: &str,
        schema: &str,
        cascade: bool,
    ) -> Result<Option<Vec<TableEntry>>> {
        let name = full_name(&[catalog, schema]);
        let (catalog, schema) = (full_name(&[catalog]), full_name(&[schema]));
        let failed = |e| match is_foreign_key_violation(&e) {
            true => CatalogError::NotEmpty {
                kind: ObjectKind::Schema,
                name: name.clone(),
            },
            false => query_error(&format!("drop schema {name}"), e),
        };

        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let mut dropped = Vec::new();
        if cascade {
            let sql = format!(
                "DELETE FROM shoal_tables WHERE catalog_name = $1 AND schema_name = $2 \
                 RETURNING {TABLE_COLUMNS}"
            );
            dropped = sqlx::query(&sql)
                .bind(&catalog)
                .bind(&schema)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
            sqlx::query("DELETE FROM shoal_models WHERE catalog_name = $1 AND schema_name = $2")
                .bind(&catalog)
                .bind(&schema)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        let deleted =
            sqlx::query("DELETE FROM shoal_schemas WHERE catalog_name = $1 AND name = $2")
                .bind(&catalog)
                .bind(&schema)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?
                .rows_affected();
        transaction.commit().await.map_err(failed)?;

        if_any(deleted, &dropped)
    }

    /// Every name there is, read by one query.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn listing(&self) -> Result<Listing> {
        let failed = |e| query_error("list all names", e);
        let rows = sqlx::query(
            "SELECT c.name AS catalog_name, s.name AS schema_name, t.name AS name, t.kind AS kind \
             FROM shoal_catalogs c \
             LEFT JOIN shoal_schemas s ON s.catalog_name = c.name \
             LEFT JOIN shoal_tables t ON t.catalog_name = c.name AND t.schema_name = s.name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;

        let mut listing = Listing::new();
        for row in rows {
            let catalog: String = row.try_get("catalog_name").map_err(failed)?;
            let schemas = listing.entry(catalog).or_default();
            let Some(schema) = row.try_get("schema_name").map_err(failed)? else {
                continue;
            };
            let tables = schemas.entry(schema).or_default();
            let name: Option<String> = row.try_get("name").map_err(failed)?;
            let kind: Option<String> = row.try_get("kind").map_err(failed)?;
            if let (Some(name), Some(kind)) = (name, kind) {
                let kind = TableKind::parse(&kind, &name)?;
                tables.insert(name, kind);
            }
        }
        Ok(listing)
    }
}

fn schema_from_row(row: &AnyRow) -> Result<SchemaEntry, sqlx::Error> {
    Ok(SchemaEntry {
        catalog: row.try_get("catalog_name")?,
        name: row.try_get("name")?,
        comment: row.try_get("comment")?,
        location: row.try_get("location")?,
    })
}

/// What was dropped along with a catalog or schema; None if there was no such thing.
fn if_any(deleted: u64, dropped: &[AnyRow]) -> Result<Option<Vec<TableEntry>>> {
    if deleted == 0 {
        return Ok(None);
    }
    dropped
        .iter()
        .map(table_from_row)
        .collect::<Result<_>>()
        .map(Some)
}

pub(crate) fn query_error(action: &str, source: sqlx::Error) -> CatalogError {
    CatalogError::Query {
        action: action.to_owned(),
        source,
    }
}

pub(crate) fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|e| e.is_foreign_key_violation())
}
