//! Tables in words: `DESCRIBE`, and the statement that makes a table again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, SecondsFormat};
use datafusion::catalog::TableProvider;
use shoal_catalog::{TableEntry, TableKind};
use shoal_config::ByteSize;
use shoal_lake::{COLUMN_TYPE_PREFIX, PartitionField, Snapshot, Transform};

use crate::create::COMMENT_KEY;
use crate::error::Result;
use crate::parser::{quoted, sql_type, sql_type_of};
use crate::scope::{Current, FullName, Relation};
use crate::session::Session;
use crate::show::{TextRow, row};

/// Properties that a table keeps and other parts of `CREATE TABLE` set: constraints, types of columns.
const SET_BY_OTHERS: [&str; 2] = ["delta.constraints.", COLUMN_TYPE_PREFIX];

/// The columns of a table or view.
pub(crate) fn schema_of(relation: &Relation) -> SchemaRef {
    match relation {
        Relation::Table(_, snapshot) => snapshot.schema().clone(),
        Relation::View(_, view) => view.schema(),
    }
}

/// The properties of a table or view: those of its log and those of the catalog.
pub(crate) fn properties_of(relation: &Relation) -> BTreeMap<String, String> {
    match relation {
        Relation::Table(entry, snapshot) => {
            let mut all = snapshot.properties().clone();
            all.extend(entry.properties.clone());
            all.retain(|key, _| !SET_BY_OTHERS.iter().any(|prefix| key.starts_with(prefix)));
            all
        }
        Relation::View(entry, _) => entry.properties.clone(),
    }
}

/// One row per column.
pub(crate) fn columns(schema: &Schema) -> Vec<TextRow> {
    schema
        .fields()
        .iter()
        .map(|field| {
            vec![
                Some(field.name().clone()),
                Some(sql_type_of(field)),
                field.metadata().get(COMMENT_KEY).cloned(),
            ]
        })
        .collect()
}

/// `DESCRIBE TABLE`.
pub(crate) async fn table(
    session: &Session,
    name: &FullName,
    extended: bool,
) -> Result<Vec<TextRow>> {
    let relation = session.scope().relation(name).await?;
    let mut rows = columns(&schema_of(&relation));
    let entry = match &relation {
        Relation::Table(entry, snapshot) => {
            rows.extend(partitioning(snapshot));
            entry
        }
        Relation::View(entry, _) => entry,
    };
    if extended {
        rows.push(row(&["", "", ""]));
        rows.push(row(&["# Detailed Table Information", "", ""]));
        for (key, value) in details(&relation, entry) {
            rows.push(row(&[key, &value, ""]));
        }
        if let Relation::Table(_, snapshot) = &relation {
            rows.extend(constraints(snapshot));
        }
    }
    Ok(rows)
}

fn partitioning(snapshot: &Snapshot) -> Vec<TextRow> {
    if snapshot.partition_by().is_empty() {
        return Vec::new();
    }
    let mut rows = vec![
        row(&["# Partition Information", "", ""]),
        row(&["# col_name", "data_type", "comment"]),
    ];
    for field in snapshot.partition_by() {
        let source = snapshot.schema().field_with_name(&field.source);
        let data_type = source.map_or_else(|_| String::new(), |f| sql_type(f.data_type()));
        rows.push(row(&[&partition_text(field), &data_type, ""]));
    }
    rows
}

fn constraints(snapshot: &Snapshot) -> Vec<TextRow> {
    let mut rows = Vec::new();
    if !snapshot.checks().is_empty() || !snapshot.generated().is_empty() {
        rows.push(row(&["", "", ""]));
        rows.push(row(&["# Constraints", "", ""]));
    }
    for check in snapshot.checks() {
        rows.push(row(&[
            &check.name,
            &format!("CHECK ({})", check.expression),
            "",
        ]));
    }
    for column in snapshot.generated() {
        let text = format!("GENERATED ALWAYS AS ({})", column.expression);
        rows.push(row(&[&column.name, &text, ""]));
    }
    rows
}

fn details(relation: &Relation, entry: &TableEntry) -> Vec<(&'static str, String)> {
    let created = DateTime::from_timestamp_millis(entry.created_at_ms)
        .map_or_else(String::new, |time| {
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        });
    let kind = match entry.kind {
        TableKind::Managed => "MANAGED",
        TableKind::External => "EXTERNAL",
        TableKind::View => "VIEW",
    };
    let mut details = vec![
        ("Catalog", entry.catalog.clone()),
        ("Database", entry.schema.clone()),
        ("Table", entry.name.clone()),
        ("Created Time", created),
        ("Type", kind.to_string()),
    ];
    let mut optional = |key, value: Option<String>| {
        if let Some(value) = value {
            details.push((key, value));
        }
    };
    optional("Comment", entry.comment.clone());
    optional("Provider", entry.format.clone());
    optional("Location", entry.location.clone());
    optional("View Text", entry.definition.clone());
    if let Relation::Table(_, snapshot) = relation {
        let rows: Option<u64> = snapshot.files().iter().map(|file| file.rows).sum();
        optional("Version", Some(snapshot.version().to_string()));
        optional("Files", Some(snapshot.files().len().to_string()));
        optional("Size", Some(ByteSize(snapshot.total_bytes()).to_string()));
        optional("Rows", rows.map(|rows| rows.to_string()));
    }
    let properties: Vec<String> = properties_of(relation)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    optional(
        "Table Properties",
        Some(format!("[{}]", properties.join(","))),
    );
    details
}

/// `DESCRIBE SCHEMA`.
pub(crate) async fn schema(session: &Session, schema: &Current) -> Result<Vec<TextRow>> {
    let entry = session.engine().schema_entry(schema).await?;
    Ok(vec![
        row(&["Catalog Name", &entry.catalog]),
        row(&["Namespace Name", &entry.name]),
        vec![Some("Comment".into()), entry.comment],
        vec![Some("Location".into()), entry.location],
    ])
}

/// A partition field as `PARTITIONED BY` takes it.
fn partition_text(field: &PartitionField) -> String {
    let source = quoted(&field.source);
    match field.transform {
        Transform::Identity => source,
        Transform::Year => format!("years({source})"),
        Transform::Month => format!("months({source})"),
        Transform::Day => format!("days({source})"),
        Transform::Hour => format!("hours({source})"),
        Transform::Bucket(n) => format!("bucket({n}, {source})"),
        Transform::Truncate(n) => format!("truncate({n}, {source})"),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statement that makes the table or view, without its rows, again.
pub(crate) fn create_statement(name: &FullName, relation: &Relation) -> String {
    let full = format!(
        "{}.{}.{}",
        quoted(&name.catalog),
        quoted(&name.schema),
        quoted(&name.table)
    );
    match relation {
        Relation::Table(entry, snapshot) => create_table(&full, entry, snapshot, relation),
        Relation::View(entry, _) => {
            let definition = entry.definition.as_deref().unwrap_or_default();
            let comment = entry.comment.as_ref();
            let comment = comment.map_or_else(String::new, |c| format!("\nCOMMENT {}", literal(c)));
            format!("CREATE VIEW {full}{comment}\nAS {definition}")
        }
    }
}

fn create_table(
    full: &str,
    entry: &TableEntry,
    snapshot: &Snapshot,
    relation: &Relation,
) -> String {
    let mut lines: Vec<String> = Vec::new();
    for field in snapshot.schema().fields() {
        let mut line = format!("  {} {}", quoted(field.name()), sql_type_of(field));
        if !field.is_nullable() {
            line.push_str(" NOT NULL");
        }
        let generated = snapshot
            .generated()
            .iter()
            .find(|g| g.name == *field.name());
        if let Some(generated) = generated {
            // Writing to a String cannot fail.
            let _ = write!(line, " GENERATED ALWAYS AS ({})", generated.expression);
        }
        if let Some(comment) = field.metadata().get(COMMENT_KEY) {
            let _ = write!(line, " COMMENT {}", literal(comment));
        }
        lines.push(line);
    }
    for check in snapshot.checks() {
        let name = quoted(&check.name);
        lines.push(format!("  CONSTRAINT {name} CHECK ({})", check.expression));
    }
    let mut text = format!("CREATE TABLE {full} (\n{})", lines.join(",\n"));
    let mut clause = |clause: String| {
        let _ = write!(text, "\n{clause}");
    };
    if let Some(format) = &entry.format {
        clause(format!("USING {}", format.to_uppercase()));
    }
    if !snapshot.partition_by().is_empty() {
        let fields: Vec<String> = snapshot.partition_by().iter().map(partition_text).collect();
        clause(format!("PARTITIONED BY ({})", fields.join(", ")));
    }
    if let (TableKind::External, Some(location)) = (entry.kind, &entry.location) {
        clause(format!("LOCATION {}", literal(location)));
    }
    if let Some(comment) = &entry.comment {
        clause(format!("COMMENT {}", literal(comment)));
    }
    let properties: Vec<String> = properties_of(relation)
        .iter()
        .map(|(key, value)| format!("{} = {}", literal(key), literal(value)))
        .collect();
    if !properties.is_empty() {
        clause(format!("TBLPROPERTIES ({})", properties.join(", ")));
    }
    text
}
