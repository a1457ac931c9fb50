//! Parameters of an `INSERT`: which type each has, and many rows of them at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use crate::error::{EngineError, Result};

/// Name of the rows of parameters within a plan.
const ROWS: &str = "parameters";

/// Gives parameters that stand alone in `VALUES` or `SELECT` the type of their column in `fields`.
pub(crate) fn typed_parameters(source: LogicalPlan, fields: &[Arc<Field>]) -> Result<LogicalPlan> {
    match source {
        LogicalPlan::Values(mut values) if values.values.iter().flatten().any(is_untyped) => {
            for row in &mut values.values {
                give_types(row, fields);
            }
            Ok(LogicalPlanBuilder::values(values.values)?.build()?)
        }
        LogicalPlan::Projection(mut projection) if projection.expr.iter().any(is_untyped) => {
            give_types(&mut projection.expr, fields);
            let input = LogicalPlanBuilder::from(projection.input.as_ref().clone());
            Ok(input.project(projection.expr)?.build()?)
        }
        other => Ok(other),
    }
}

/// `VALUES` of a single row, as a row for each row of `parameters`; None for any other plan.
///
/// # Errors
/// When the row has a parameter that `parameters` has no column for.
pub(crate) fn values_per_row(
    source: &LogicalPlan,
    parameters: RecordBatch,
) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Values(values) = source else {
        return Ok(None);
    };
    let [row] = values.values.as_slice() else {
        return Ok(None);
    };
    let columns = parameters.num_columns();
    let projected = row
        .iter()
        .zip(values.schema.fields())
        .map(|(expr, field)| {
            let expr = expr.clone().transform(|expr| match expr {
                Expr::Placeholder(parameter) => column(parameter, columns).map(Transformed::yes),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(expr.data.alias(field.name()))
        })
        .collect::<Result<Vec<Expr>>>()?;
    let schema = parameters.schema();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(n, field)| field.as_ref().clone().with_name(format!("${}", n + 1)))
        .collect();
    let named = RecordBatch::try_new(Arc::new(Schema::new(fields)), parameters.columns().to_vec())
        .map_err(DataFusionError::from)?;
    let table = MemTable::try_new(named.schema(), vec![vec![named]])?;
    let rows = LogicalPlanBuilder::scan(ROWS, provider_as_source(Arc::new(table)), None)?;
    Ok(Some(rows.project(projected)?.build()?))
}

/// The column that holds a parameter, one of `columns`.
fn column(parameter: Placeholder, columns: usize) -> Result<Expr, DataFusionError> {
    let number: Option<usize> = parameter.id.trim_start_matches('$').parse().ok();
    if !number.is_some_and(|number| (1..=columns).contains(&number)) {
        let unbound = format!(
            "the parameter {} is not bound: the rows have {columns} columns",
            parameter.id
        );
        return Err(EngineError::invalid(unbound).into());
    }
    let value = Expr::Column(Column::new(Some(ROWS), parameter.id));
    Ok(match parameter.field {
        Some(field) => cast(value, field.data_type().clone()),
        None => value,
    })
}

fn is_untyped(expr: &Expr) -> bool {
    matches!(expr.clone().unalias(), Expr::Placeholder(parameter) if parameter.field.is_none())
}

fn give_types(exprs: &mut [Expr], fields: &[Arc<Field>]) {
    for (expr, field) in exprs.iter_mut().zip(fields) {
        let target = match expr {
            Expr::Alias(alias) => alias.expr.as_mut(),
            expr => expr,
        };
        if let Expr::Placeholder(parameter) = target
            && parameter.field.is_none()
        {
            let nullable = field.as_ref().clone().with_nullable(true);
            parameter.field = Some(Arc::new(nullable));
        }
    }
}
