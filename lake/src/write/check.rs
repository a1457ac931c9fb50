//! NOT NULL and CHECK: what a table demands of every row before it is written.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::physical_expr::PhysicalExpr;

use crate::{
    error::{LakeError, Result},
    write::spec::WriteSpec,
};

/// Columns and characters of a row that a message shows.
const SHOWN_COLUMNS: usize = 8;
const SHOWN_CHARS: usize = 60;

/// Refuses the batch if a row of it violates a demand, naming the demand and the row.
///
/// A CHECK that is NULL for a row is satisfied (SQL standard, and Delta's rule).
pub(crate) fn check(
    spec: &WriteSpec,
    checks: &[(String, Arc<dyn PhysicalExpr>)],
    batch: &RecordBatch,
) -> Result<()> {
    for (field, column) in spec.schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable()
            && let Some(row) = (0..column.len()).find(|&row| column.is_null(row))
        {
            return Err(violation(
                spec,
                format!("NOT NULL {}", field.name()),
                batch,
                row,
            ));
        }
    }
    for (name, condition) in checks {
        let verdict = condition.evaluate(batch)?.into_array(batch.num_rows())?;
        let verdict = verdict.as_boolean_opt().ok_or_else(|| {
            LakeError::Invalid(format!(
                "table {}: CHECK {name} is not a condition but a {}",
                spec.table,
                verdict.data_type()
            ))
        })?;
        if let Some(row) = verdict.iter().position(|v| v == Some(false)) {
            return Err(violation(spec, format!("CHECK {name}"), batch, row));
        }
    }
    Ok(())
}

fn violation(spec: &WriteSpec, constraint: String, batch: &RecordBatch, row: usize) -> LakeError {
    LakeError::Constraint {
        table: spec.table.clone(),
        constraint,
        row: row_text(spec, batch, row),
    }
}

/// A row in words, for messages.
pub(crate) fn row_text(spec: &WriteSpec, batch: &RecordBatch, row: usize) -> String {
    let fields = spec.schema.fields().iter().zip(batch.columns());
    let mut shown: Vec<String> = fields
        .take(SHOWN_COLUMNS)
        .map(|(field, column)| format!("{}: {}", field.name(), value(column.as_ref(), row)))
        .collect();
    if batch.num_columns() > SHOWN_COLUMNS {
        shown.push("…".into());
    }
    format!("({})", shown.join(", "))
}

fn value(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    if matches!(column.data_type(), DataType::Binary) {
        return format!("<{} bytes>", column.as_binary::<i32>().value(row).len());
    }
    let options = FormatOptions::default();
    let text = match ArrayFormatter::try_new(column, &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => return "?".into(),
    };
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
