//! What `SHOW` and `DESCRIBE` answer. Columns are called as in Spark:
//!
//! | Statement | Columns |
//! |---|---|
//! | SHOW CATALOGS | catalog |
//! | SHOW SCHEMAS | namespace |
//! | SHOW TABLES | namespace, tableName, isTemporary |
//! | SHOW VIEWS | namespace, viewName, isTemporary |
//! | SHOW MODELS | namespace, modelName, version, input, output, comment |
//! | SHOW COLUMNS | col_name |
//! | SHOW CREATE TABLE | createtab_stmt |
//! | SHOW TBLPROPERTIES, SHOW ALL, SHOW key | key, value |
//! | SHOW PARTITIONS | partition |
//! | SHOW INDEXES | table, index, column, kind, metric, vectors, covered_files, table_version |
//! | SHOW FUNCTIONS | function, description |
//! | DESCRIBE of a table or query | col_name, data_type, comment |
//! | DESCRIBE SCHEMA, DESCRIBE MODEL | info_name, info_value |
//! | DESCRIBE FUNCTION | function_desc |
//! | EXPLAIN | plan_type, plan |

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use shoal_catalog::TableKind;

use crate::describe;
use crate::error::{EngineError, Result};
use crate::explain;
use crate::functions;
use crate::index;
use crate::models;
use crate::parser::{Describe, Name, Show, Statement};
use crate::scope::{Current, FullName, Relation, VIEW_CATALOG, VIEW_SCHEMA};
use crate::session::Session;

/// One row of text.
pub(crate) type TextRow = Vec<Option<String>>;

/// The row of `texts`.
pub(crate) fn row(texts: &[&str]) -> TextRow {
    texts.iter().map(|text| Some((*text).to_string())).collect()
}

/// The columns that `statement` answers with; nothing for one that shows nothing, or whose columns
/// the cluster knows.
pub(crate) fn schema(statement: &Statement) -> Option<SchemaRef> {
    let columns: &[&str] = match statement {
        Statement::Show(show) => match show {
            Show::Catalogs { .. } => &["catalog"],
            Show::Schemas { .. } => &["namespace"],
            Show::Tables { .. } => &["namespace", "tableName", "isTemporary"],
            Show::Views { .. } => &["namespace", "viewName", "isTemporary"],
            Show::Models { .. } => &[
                "namespace",
                "modelName",
                "version",
                "input",
                "output",
                "comment",
            ],
            Show::Columns(_) => &["col_name"],
            Show::CreateTable(_) => &["createtab_stmt"],
            Show::Properties { .. } | Show::Settings | Show::Setting(_) => &["key", "value"],
            Show::Partitions(_) => &["partition"],
            Show::Indexes(_) => &[
                "table",
                "index",
                "column",
                "kind",
                "metric",
                "vectors",
                "covered_files",
                "table_version",
            ],
            Show::Functions { .. } => &["function", "description"],
            Show::Executors | Show::Jobs => return None,
        },
        Statement::Describe(describe) => match describe {
            Describe::Table { .. } | Describe::Query(_) => &["col_name", "data_type", "comment"],
            Describe::Schema { .. } | Describe::Model(_) => &["info_name", "info_value"],
            Describe::Function { .. } => &["function_desc"],
        },
        Statement::Explain(_) => return Some(explain_schema()),
        _ => return None,
    };
    let fields = columns.iter().map(|name| match *name {
        "isTemporary" => Field::new(*name, DataType::Boolean, false),
        name => Field::new(name, DataType::Utf8, true),
    });
    Some(Arc::new(Schema::new(fields.collect::<Vec<Field>>())))
}

/// The columns of `EXPLAIN`.
pub(crate) fn explain_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![text("plan_type"), text("plan")]))
}

/// The rows that `statement`, for which [`schema`] has columns, answers with.
pub(crate) async fn rows(session: &Arc<Session>, statement: &Statement) -> Result<RecordBatch> {
    let rows = match statement {
        Statement::Show(show) => show_rows(session, show).await?,
        Statement::Describe(Describe::Table { name, extended }) => {
            let name = session.current().table(name);
            describe::table(session, &name, *extended).await?
        }
        Statement::Describe(Describe::Query(query)) => {
            let (_, plan) = session
                .scope()
                .plan_query(&session.current(), query.clone())
                .await?;
            describe::columns(plan.schema().as_arrow())
        }
        Statement::Describe(Describe::Schema { name }) => {
            describe::schema(session, &session.current().schema(Some(name))).await?
        }
        Statement::Describe(Describe::Model(model)) => models::describe(session, model).await?,
        Statement::Describe(Describe::Function { name, extended }) => {
            functions::describe(session.engine().base_state(), name, *extended)?
        }
        Statement::Explain(explain) => explain::rows(session, explain).await?,
        _ => return Err(EngineError::invalid("the statement shows nothing")),
    };
    let Some(schema) = schema(statement) else {
        return Err(EngineError::invalid("the statement shows nothing"));
    };
    batch(schema, rows)
}

/// The rows as a batch.
pub(crate) fn batch(schema: SchemaRef, rows: Vec<TextRow>) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(n, field)| -> ArrayRef {
            let texts = rows.iter().map(|row| row.get(n).cloned().flatten());
            match field.data_type() {
                DataType::Boolean => Arc::new(
                    texts
                        .map(|text| Some(text.as_deref() == Some("true")))
                        .collect::<BooleanArray>(),
                ),
                _ => Arc::new(texts.collect::<StringArray>()),
            }
        })
        .collect();
    RecordBatch::try_new(schema, columns)
        .map_err(|e| datafusion::error::DataFusionError::from(e).into())
}

async fn show_rows(session: &Arc<Session>, show: &Show) -> Result<Vec<TextRow>> {
    let engine = session.engine();
    Ok(match show {
        Show::Catalogs { pattern } => {
            let listing = engine.listing().await?;
            matching(listing.keys(), pattern)
        }
        Show::Schemas { catalog, pattern } => {
            let catalog = catalog
                .as_ref()
                .map_or_else(|| session.catalog(), |name| name.to_lowercase());
            let listing = engine.listing().await?;
            let Some(schemas) = listing.get(&catalog) else {
                return Err(EngineError::not_found("catalog", catalog));
            };
            matching(schemas.keys(), pattern)
        }
        Show::Tables { schema, pattern } => {
            tables(session, schema.as_ref(), pattern, false).await?
        }
        Show::Views { schema, pattern } => tables(session, schema.as_ref(), pattern, true).await?,
        Show::Models { schema, pattern } => {
            models::show(session, schema.as_ref(), pattern.as_deref()).await?
        }
        Show::Columns(name) => {
            let name = session.current().table(name);
            let relation = session.scope().relation(&name).await?;
            let schema = describe::schema_of(&relation);
            schema.fields().iter().map(|f| row(&[f.name()])).collect()
        }
        Show::CreateTable(name) => {
            let name = session.current().table(name);
            let relation = session.scope().relation(&name).await?;
            vec![row(&[&describe::create_statement(&name, &relation)])]
        }
        Show::Properties { name, key } => {
            let name = session.current().table(name);
            properties(session, &name, key.as_deref()).await?
        }
        Show::Partitions(name) => {
            let name = session.current().table(name);
            partitions(session, &name).await?
        }
        Show::Indexes(table) => index::show(session, table.as_ref()).await?,
        Show::Functions { pattern } => functions::all(engine.base_state())
            .into_iter()
            .filter(|(name, _)| matches(name, pattern.as_deref()))
            .map(|(name, description)| row(&[&name, &description]))
            .collect(),
        Show::Settings => session
            .settings()
            .iter()
            .map(|(key, value)| row(&[key, value]))
            .collect(),
        Show::Setting(key) => {
            let (key, value) = session.setting(key)?;
            vec![row(&[&key, &value])]
        }
        Show::Executors | Show::Jobs => {
            return Err(EngineError::invalid(
                "the statement is the cluster's to answer",
            ));
        }
    })
}

fn matching<'a>(names: impl Iterator<Item = &'a String>, pattern: &Option<String>) -> Vec<TextRow> {
    names
        .filter(|name| matches(name, pattern.as_deref()))
        .map(|name| row(&[name]))
        .collect()
}

/// Tables and views of a schema, or its views only; Spark, too, lists views among the tables.
async fn tables(
    session: &Session,
    schema: Option<&Name>,
    pattern: &Option<String>,
    views_only: bool,
) -> Result<Vec<TextRow>> {
    let schema: Current = session.current().schema(schema);
    let engine = session.engine();
    engine.schema_entry(&schema).await?;
    let listing = engine.listing().await?;
    let tables = listing
        .get(&schema.catalog)
        .and_then(|schemas| schemas.get(&schema.schema));
    Ok(tables
        .into_iter()
        .flatten()
        .filter(|(_, kind)| !views_only || **kind == TableKind::View)
        .filter(|(name, _)| matches(name, pattern.as_deref()))
        .map(|(name, _)| row(&[&schema.schema, name, "false"]))
        .collect())
}

async fn properties(session: &Session, name: &FullName, key: Option<&str>) -> Result<Vec<TextRow>> {
    let relation = session.scope().relation(name).await?;
    let properties = describe::properties_of(&relation);
    let Some(key) = key else {
        return Ok(properties
            .iter()
            .filter(|(key, _)| ![VIEW_CATALOG, VIEW_SCHEMA].contains(&key.as_str()))
            .map(|(key, value)| row(&[key, value]))
            .collect());
    };
    match properties.get(key) {
        Some(value) => Ok(vec![row(&[key, value])]),
        None => Err(EngineError::not_found(
            "property",
            format!("{key} of {name}"),
        )),
    }
}

async fn partitions(session: &Session, name: &FullName) -> Result<Vec<TextRow>> {
    let Relation::Table(_, snapshot) = session.scope().relation(name).await? else {
        return Err(EngineError::invalid(format!(
            "{name} is a view, which has no partitions"
        )));
    };
    if snapshot.partition_by().is_empty() {
        return Err(EngineError::invalid(format!(
            "table {name} is not partitioned"
        )));
    }
    let partitions: BTreeSet<String> = snapshot
        .files()
        .iter()
        .map(|file| {
            let values = snapshot.partition_by().iter().map(|field| {
                let value = file.partition.get(&field.name).cloned().flatten();
                format!("{}={}", field.name, value.as_deref().unwrap_or("null"))
            });
            values.collect::<Vec<String>>().join("/")
        })
        .collect();
    Ok(partitions
        .iter()
        .map(|partition| row(&[partition]))
        .collect())
}

/// Whether `name` matches a pattern of `SHOW … LIKE`: `*` and `%` stand for any characters, `|`
/// separates alternatives, and case does not matter.
pub(crate) fn matches(name: &str, pattern: Option<&str>) -> bool {
    let Some(pattern) = pattern else {
        return true;
    };
    let name = name.to_lowercase();
    pattern
        .to_lowercase()
        .split('|')
        .any(|alternative| wildcard(&name, alternative.trim()))
}

fn wildcard(name: &str, pattern: &str) -> bool {
    let pieces: Vec<&str> = pattern.split(['*', '%']).collect();
    let [first, middle @ .., last] = pieces.as_slice() else {
        return name == pattern;
    };
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_sparks() {
        for (name, pattern, matched) in [
            ("images", "im*", true),
            ("images", "IM%S", true),
            ("images", "*ag*", true),
            ("images", "image", false),
            ("images", "features|images", true),
            ("images", "im*x", false),
            ("xyx", "xy*yx", false),
            ("a_b", "a_b", true),
            ("axb", "a_b", false),
        ] {
            assert_eq!(matches(name, Some(pattern)), matched, "{name} {pattern}");
        }
    }
}
