//! Models: looking up, listing, adding versions, dropping. The newest version is the one a plain name
//! means; older ones stay until the model is dropped.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::entry::{full_name, stored_name};
use crate::error::{CatalogError, ObjectKind};
use crate::schemas::{is_foreign_key_violation, query_error};
use crate::{Catalog, CreateMode, Result};

/// The columns [`model_from_row`] reads.
const MODEL_COLUMNS: &str = "catalog_name, schema_name, name, version, location, hash, bytes, definition, \
                             comment, created_at_ms";

/// How often a version is numbered anew when others add versions to the same model.
const NUMBERING_ATTEMPTS: u32 = 20;

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The catalog it belongs to.
    pub catalog: String,
    /// The schema it belongs to.
    pub schema: String,
    /// Its name; models and tables do not share names.
    pub name: String,
    /// Counted from 1; given by [`Catalog::create_model`].
    pub version: u64,
    /// URL of its file.
    pub location: String,
    /// BLAKE3 hash of its file, in hexadecimal digits.
    pub hash: String,
    /// Size of its file.
    pub bytes: u64,
    /// How it is run, in words of the engine's.
    pub definition: String,
    /// What a user wrote about it.
    pub comment: Option<String>,
    /// When it was created, in milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
}

impl ModelEntry {
    /// `catalog.schema.model`, lower-cased.
    pub fn full_name(&self) -> String {
        full_name(&[&self.catalog, &self.schema, &self.name])
    }
}

impl Catalog {
    /// A version of a model, the newest if none is given; `None` if there is no such thing.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn model(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<ModelEntry>> {
        let versions = self.model_versions(catalog, schema, name).await?;
        Ok(versions
            .into_iter()
            .rev()
            .find(|entry| version.is_none_or(|version| version == entry.version)))
    }

    /// All versions of a model, oldest first; none if there is no such model.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn model_versions(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
    ) -> Result<Vec<ModelEntry>> {
        let sql = format!(
            "SELECT {MODEL_COLUMNS} FROM shoal_models \
             WHERE catalog_name = $1 AND schema_name = $2 AND name = $3 ORDER BY version"
        );
        sqlx::query(&sql)
            .bind(full_name(&[catalog]))
            .bind(full_name(&[schema]))
            .bind(full_name(&[name]))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| query_error(&format!("look up model {catalog}.{schema}.{name}"), e))?
            .iter()
            .map(model_from_row)
            .collect()
    }

    /// The newest version of every model of a schema, in order of name. None if there is no such schema.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn models(&self, catalog: &str, schema: &str) -> Result<Vec<ModelEntry>> {
        let sql = format!(
            "SELECT {MODEL_COLUMNS} FROM shoal_models m \
             WHERE catalog_name = $1 AND schema_name = $2 AND version = \
               (SELECT max(version) FROM shoal_models n WHERE n.catalog_name = m.catalog_name \
                AND n.schema_name = m.schema_name AND n.name = m.name) \
             ORDER BY name"
        );
        sqlx::query(&sql)
            .bind(full_name(&[catalog]))
            .bind(full_name(&[schema]))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| query_error(&format!("list the models of {catalog}.{schema}"), e))?
            .iter()
            .map(model_from_row)
            .collect()
    }

    /// Enters a model, under [`CreateMode::Replace`] as the next version of the one there is. Returns the
    /// version it got, or `None` under [`CreateMode::IfNotExists`] when the name is taken. The version of
    /// `entry` is not looked at.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] if its schema does not exist; [`CatalogError::AlreadyExists`] as `mode`
    /// says.
    pub async fn create_model(&self, entry: &ModelEntry, mode: CreateMode) -> Result<Option<u64>> {
        let catalog = stored_name(ObjectKind::Catalog, &entry.catalog)?;
        let schema = stored_name(ObjectKind::Schema, &entry.schema)?;
        let name = stored_name(ObjectKind::Model, &entry.name)?;
        let failed = |e| query_error(&format!("create model {}", entry.full_name()), e);
        let sql = format!(
            "INSERT INTO shoal_models ({MODEL_COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
        );
        for _ in 0..NUMBERING_ATTEMPTS {
            let newest = self.model(&catalog, &schema, &name, None).await?;
            let version = match (newest, mode) {
                (None, _) => 1,
                (Some(newest), CreateMode::Replace) => newest.version + 1,
                (Some(_), CreateMode::IfNotExists) => return Ok(None),
                (Some(_), CreateMode::Fail) => {
                    return Err(CatalogError::AlreadyExists {
                        kind: ObjectKind::Model,
                        name: entry.full_name(),
                    });
                }
            };
            let written = sqlx::query(&sql)
                .bind(&catalog)
                .bind(&schema)
                .bind(&name)
                .bind(stored_number(version))
                .bind(&entry.location)
                .bind(&entry.hash)
                .bind(stored_number(entry.bytes))
                .bind(&entry.definition)
                .bind(&entry.comment)
                .bind(entry.created_at_ms)
                .execute(&self.pool)
                .await
                .map_err(|e| match is_foreign_key_violation(&e) {
                    true => CatalogError::NotFound {
                        kind: ObjectKind::Schema,
                        name: full_name(&[&catalog, &schema]),
                    },
                    false => failed(e),
                })?
                .rows_affected();
            // Otherwise somebody else has just taken that number.
            if written == 1 {
                return Ok(Some(version));
            }
        }
        Err(CatalogError::AlreadyExists {
            kind: ObjectKind::Model,
            name: entry.full_name(),
        })
    }

    /// Removes all versions of a model. Returns whether there were any. Files are not touched.
    ///
    /// # Errors
    /// [`CatalogError::Query`] if the database fails.
    pub async fn drop_model(&self, catalog: &str, schema: &str, name: &str) -> Result<bool> {
        let dropped = sqlx::query(
            "DELETE FROM shoal_models WHERE catalog_name = $1 AND schema_name = $2 AND name = $3",
        )
        .bind(full_name(&[catalog]))
        .bind(full_name(&[schema]))
        .bind(full_name(&[name]))
        .execute(&self.pool)
        .await
        .map_err(|e| query_error(&format!("drop model {catalog}.{schema}.{name}"), e))?
        .rows_affected();
        Ok(dropped > 0)
    }
}

/// A number as the database keeps it. Versions and sizes of files stay far below the limit.
fn stored_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn model_from_row(row: &AnyRow) -> Result<ModelEntry> {
    let failed = |e| query_error("read a model's entry", e);
    let number = |column: &str| -> Result<u64> {
        let stored: i64 = row.try_get(column).map_err(failed)?;
        u64::try_from(stored).map_err(|_| CatalogError::InvalidRow {
            name: "a model".to_owned(),
            reason: format!("its {column} is {stored}"),
        })
    };
    Ok(ModelEntry {
        catalog: row.try_get("catalog_name").map_err(failed)?,
        schema: row.try_get("schema_name").map_err(failed)?,
        name: row.try_get("name").map_err(failed)?,
        version: number("version")?,
        location: row.try_get("location").map_err(failed)?,
        hash: row.try_get("hash").map_err(failed)?,
        bytes: number("bytes")?,
        definition: row.try_get("definition").map_err(failed)?,
        comment: row.try_get("comment").map_err(failed)?,
        created_at_ms: row.try_get("created_at_ms").map_err(failed)?,
    })
}
