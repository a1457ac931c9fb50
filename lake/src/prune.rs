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
    common::{DFSchema, ScalarValue, ToDFSchema, tree_node::TreeNode},
    logical_expr::{
        BinaryExpr, Expr, Operator,
        utils::{conjunction, disjunction},
    },
    physical_optimizer::pruning::PruningPredicateBuilder,
    prelude::Column,
};

use crate::{
    error::Result,
    snapshot::Snapshot,
    table::{PartitionField, Transform},
};

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
    depends_on(filter, &snapshot.columns_outside_files())
}

/// Whether `filter` can be computed from these columns alone, before the scan.
pub(crate) fn depends_on(filter: &Expr, known: &[&str]) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty()
        && !filter.is_volatile()
        && columns.iter().all(|c| known.contains(&c.name.as_str()))
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
/// `expr` with plain names for columns.
pub(crate) fn unqualified(expr: Expr) -> Result<Expr> {
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

/// Conditions on partition values that follow from a condition on the columns they are computed from.
fn on_computed_partitions(snapshot: &Snapshot, filter: &Expr) -> Vec<Expr> {
    let partitions = snapshot.partition_by().iter();
    partitions
        .filter_map(|partition| implied(snapshot, partition, filter))
        .collect()
}

/// The condition on one partition field that holds wherever `filter` does, if there is one.
///
/// Both Delta's generated `CAST(ts AS DATE)` columns and Iceberg's transforms, but for buckets, never
/// decrease as the source grows, so `ts < x` implies `part <= part(x)`, and `ts = x` implies
/// `part = part(x)`.
fn implied(snapshot: &Snapshot, partition: &PartitionField, filter: &Expr) -> Option<Expr> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let of = |side: &Expr| implied(snapshot, partition, side);
            match op {
                Operator::And => match (of(left), of(right)) {
                    (Some(left), Some(right)) => Some(left.and(right)),
                    (one, other) => one.or(other),
                },
                Operator::Or => Some(of(left)?.or(of(right)?)),
                _ => implied_by_comparison(snapshot, partition, left, *op, right),
            }
        }
        Expr::InList(list) if !list.negated => {
            let equals = list.list.iter().map(|value| {
                implied_by_comparison(snapshot, partition, &list.expr, Operator::Eq, value)
            });
            equals.collect::<Option<Vec<Expr>>>().and_then(disjunction)
        }
        _ => None,
    }
}

fn implied_by_comparison(
    snapshot: &Snapshot,
    partition: &PartitionField,
    left: &Expr,
    op: Operator,
    right: &Expr,
) -> Option<Expr> {
    let (column, op, literal) = match (left, right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let keeps_order = !matches!(partition.transform, Transform::Bucket(_));
    let op = match op {
        Operator::Lt | Operator::LtEq if keeps_order => Operator::LtEq,
        Operator::Gt | Operator::GtEq if keeps_order => Operator::GtEq,
        Operator::Eq => Operator::Eq,
        _ => return None,
    };
    let value = partition_value(snapshot, partition, column, literal)?;
    Some(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(Expr::Column(Column::new_unqualified(&partition.name))),
        op,
        Box::new(Expr::Literal(value, None)),
    )))
}

/// The partition value of rows in which the column has that value; `None` if the partition is not
/// computed from the column, or the value is NULL or not one of the column's type.
fn partition_value(
    snapshot: &Snapshot,
    partition: &PartitionField,
    column: &Column,
    value: &ScalarValue,
) -> Option<ScalarValue> {
    let field = snapshot.field(&column.name)?;
    let transform = match partition.transform {
        Transform::Identity if is_generated_date(snapshot, partition, column) => Transform::Day,
        Transform::Identity => return None,
        transform if partition.source == column.name => transform,
        _ => return None,
    };
    let value = value.cast_to(field.data_type()).ok()?;
    let transformed = crate::transform::apply(transform, &value.to_array().ok()?).ok()?;
    let transformed = ScalarValue::try_from_array(&transformed, 0).ok()?;
    (!transformed.is_null()).then_some(transformed)
}

/// Whether the partition column holds the date of the column.
fn is_generated_date(snapshot: &Snapshot, partition: &PartitionField, column: &Column) -> bool {
    let generated = snapshot.generated().iter();
    snapshot.partition_type(partition) == DataType::Date32
        && generated
            .filter(|g| g.name == partition.name)
            .any(|g| is_date_of(&g.expression, &column.name))
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
