//! Which files of a snapshot a query has to read.
//!
//! Three steps, each of which only ever removes files that cannot hold a matching row:
//! conditions over partition columns alone are computed exactly, one row per file; conditions over
//! a column that a partition value is computed from are translated to the partition value; all others
//! are checked against the files' minima, maxima and null counts.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    catalog::Session,
    common::{DFSchema, ToDFSchema, tree_node::TreeNode},
    logical_expr::{BinaryExpr, Expr, Operator, cast, utils::conjunction},
    physical_optimizer::pruning::PruningPredicateBuilder,
    prelude::Column,
};

use crate::{error::Result, snapshot::Snapshot, table::Transform};

/// The outcome of pruning.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// Indices into [`Snapshot::files`] of the files to read, ascending.
    pub files: Vec<usize>,
    /// Files in the snapshot.
    pub total: usize,
    /// Bytes in the files to read.
    pub bytes: u64,
}

/// Whether the condition is decided by a file's partition values alone, so that pruning answers it exactly.
pub(crate) fn is_partition_condition(snapshot: &Snapshot, filter: &Expr) -> bool {
    let outside = snapshot.columns_outside_files();
    let columns = filter.column_refs();
    !columns.is_empty()
        && !filter.is_volatile()
        && columns.iter().all(|c| outside.contains(&c.name.as_str()))
        && !filter
            .exists(|e| {
                Ok(matches!(
                    e,
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)
                ))
            })
            .unwrap_or(true)
}

/// Finds the files that may hold rows for which all `filters` are true.
pub fn prune(snapshot: &Snapshot, filters: &[Expr], session: &dyn Session) -> Result<Pruned> {
    let total = snapshot.files().len();
    let mut keep = vec![true; total];
    if !filters.is_empty() && total > 0 {
        let (on_partitions, on_rows): (Vec<&Expr>, Vec<&Expr>) = filters
            .iter()
            .partition(|f| is_partition_condition(snapshot, f));
        prune_by_partition(snapshot, &on_partitions, session, &mut keep)?;
        let derived: Vec<Expr> = on_rows
            .iter()
            .flat_map(|f| on_computed_partitions(snapshot, f))
            .collect();
        let checked: Vec<&Expr> = derived.iter().chain(on_rows).collect();
        prune_by_statistics(snapshot, &checked, session, &mut keep)?;
    }
    let files: Vec<usize> = (0..total).filter(|&i| keep[i]).collect();
    let bytes = files.iter().map(|&i| snapshot.files()[i].size).sum();
    Ok(Pruned {
        files,
        total,
        bytes,
    })
}

fn prune_by_partition(
    snapshot: &Snapshot,
    filters: &[&Expr],
    session: &dyn Session,
    keep: &mut [bool],
) -> Result<()> {
    let Some(condition) = conjunction(filters.iter().map(|e| (*e).clone())) else {
        return Ok(());
    };
    let stats = snapshot.file_stats();
    let outside = snapshot.columns_outside_files();
    let (fields, values): (Vec<Field>, Vec<_>) = snapshot
        .partition_by()
        .iter()
        .filter(|p| outside.contains(&p.name.as_str()))
        .filter_map(|p| {
            let field = Field::new(&p.name, snapshot.partition_type(p), true);
            Some((field, stats.partition_values(&p.name)?.clone()))
        })
        .unzip();
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(keep.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), values, &options)?;
    let physical = session.create_physical_expr(
        unqualified(condition)?,
        &DFSchema::try_from(schema.as_ref().clone())?,
    )?;
    let verdict = physical.evaluate(&batch)?.into_array(keep.len())?;
    let Some(verdict) = verdict.as_boolean_opt() else {
        return Ok(());
    };
    for (kept, matches) in keep.iter_mut().zip(verdict.iter()) {
        *kept &= matches == Some(true);
    }
    Ok(())
}

fn prune_by_statistics(
    snapshot: &Snapshot,
    filters: &[&Expr],
    session: &dyn Session,
    keep: &mut [bool],
) -> Result<()> {
    let mut fields: Vec<Arc<Field>> = snapshot.schema().fields().iter().cloned().collect();
    for partition in snapshot.partition_by() {
        if snapshot.field(&partition.name).is_none() {
            fields.push(Arc::new(Field::new(
                &partition.name,
                snapshot.partition_type(partition),
                true,
            )));
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let df_schema = schema.clone().to_dfschema()?;
    let stats = snapshot.file_stats();
    for filter in filters {
        // A condition that statistics cannot decide keeps all files; that is never an error.
        let Ok(physical) = unqualified((*filter).clone())
            .map_err(Into::into)
            .and_then(|f| session.create_physical_expr(f, &df_schema))
        else {
            continue;
        };
        let Ok(predicate) = PruningPredicateBuilder::new()
            .with_file_schema(schema.clone())
            .try_build(physical)
        else {
            continue;
        };
        if predicate.always_true() {
            continue;
        }
        for (kept, may_match) in keep.iter_mut().zip(predicate.prune(stats.as_ref())?) {
            *kept &= may_match;
        }
    }
    Ok(())
}

/// The same expression with columns named without their table.
fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::Transformed;
    Ok(expr
        .transform(|e| match e {
            Expr::Column(c) if c.relation.is_some() => Ok(Transformed::yes(Expr::Column(
                Column::new_unqualified(c.name),
            ))),
            other => Ok(Transformed::no(other)),
        })?
        .data)
}

/// Conditions on partition values that follow from a condition on the column they are computed from.
///
/// Both Delta's generated `CAST(ts AS DATE)` columns and Iceberg's `day(ts)` never decrease as the
/// source grows, so `ts < x` implies `part <= part(x)`, and `ts = x` implies `part = part(x)`.
fn on_computed_partitions(snapshot: &Snapshot, filter: &Expr) -> Vec<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return vec![];
    };
    let (column, op, literal) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), literal @ Expr::Literal(..)) => (c, *op, literal),
        (literal @ Expr::Literal(..), Expr::Column(c)) => match op.swap() {
            Some(swapped) => (c, swapped, literal),
            None => return vec![],
        },
        _ => return vec![],
    };
    let op = match op {
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::GtEq,
        Operator::Eq => Operator::Eq,
        _ => return vec![],
    };
    date_partitions_of(snapshot, &column.name)
        .map(|partition| {
            Expr::BinaryExpr(BinaryExpr::new(
                Box::new(Expr::Column(Column::new_unqualified(partition))),
                op,
                Box::new(cast(literal.clone(), DataType::Date32)),
            ))
        })
        .collect()
}

/// Partition fields that hold the date of the column.
fn date_partitions_of<'a>(
    snapshot: &'a Snapshot,
    column: &'a str,
) -> impl Iterator<Item = String> + 'a {
    snapshot.partition_by().iter().filter_map(move |p| {
        let is_day = p.transform == Transform::Day && p.source == column;
        let is_generated_date = p.transform == Transform::Identity
            && snapshot.partition_type(p) == DataType::Date32
            && snapshot
                .generated()
                .iter()
                .any(|g| g.name == p.name && is_date_of(&g.expression, column));
        (is_day || is_generated_date).then(|| p.name.clone())
    })
}

/// Whether the SQL is `CAST(column AS DATE)` or `date(column)`, in any case and spacing.
fn is_date_of(expression: &str, column: &str) -> bool {
    let compact: String = expression
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '`' && *c != '"')
        .collect::<String>()
        .to_lowercase();
    let column = column.to_lowercase();
    compact == format!("cast({column}asdate)")
        || compact == format!("date({column})")
        || compact == format!("to_date({column})")
}
