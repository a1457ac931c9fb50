//! What an optimized plan takes from one table, in terms of that table's columns.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use shoal_lake::split_input;

/// The scan below a plan that only projects and filters, and what was asked for above.
pub(crate) struct Below<'a> {
    /// The expressions over the plan's columns, in the same order, over the scan's columns.
    pub exprs: Vec<Expr>,
    /// What the plan filters by, over the scan's columns.
    pub conditions: Vec<Expr>,
    /// The scan.
    pub scan: &'a TableScan,
}

/// `exprs` over the columns of `plan` in terms of the one scan below it.
pub(crate) fn down_to_scan(exprs: Vec<Expr>, plan: &LogicalPlan) -> Option<Below<'_>> {
    down(exprs, Vec::new(), plan)
}

fn down(exprs: Vec<Expr>, mut conditions: Vec<Expr>, plan: &LogicalPlan) -> Option<Below<'_>> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(Below {
            exprs,
            conditions,
            scan,
        }),
        LogicalPlan::Filter(filter) => {
            conditions.push(filter.predicate.clone());
            down(exprs, conditions, &filter.input)
        }
        LogicalPlan::Projection(projection) => {
            let below = |index: usize| Some(projection.expr.get(index)?.clone().unalias());
            let (exprs, conditions) = replaced(exprs, conditions, plan, below)?;
            down(exprs, conditions, &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = |index: usize| {
                let (qualifier, field) = alias.input.schema().qualified_field(index);
                Some(Expr::Column(Column::new(qualifier.cloned(), field.name())))
            };
            let (exprs, conditions) = replaced(exprs, conditions, plan, below)?;
            down(exprs, conditions, &alias.input)
        }
        other => down(exprs, conditions, split_input(other)?),
    }
}

/// Both with each column of `plan` replaced by what stands for it below.
fn replaced(
    exprs: Vec<Expr>,
    conditions: Vec<Expr>,
    plan: &LogicalPlan,
    below: impl Fn(usize) -> Option<Expr>,
) -> Option<(Vec<Expr>, Vec<Expr>)> {
    let all = |exprs: Vec<Expr>| -> Option<Vec<Expr>> {
        let exprs = exprs.into_iter();
        exprs.map(|expr| replaced_in(expr, plan, &below)).collect()
    };
    Some((all(exprs)?, all(conditions)?))
}

fn replaced_in(
    expr: Expr,
    plan: &LogicalPlan,
    below: &impl Fn(usize) -> Option<Expr>,
) -> Option<Expr> {
    let mut all_found = true;
    let replaced = expr.transform_up(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let found = plan.schema().maybe_index_of_column(column).and_then(below);
        match found {
            Some(found) => Ok(Transformed::yes(found)),
            None => {
                all_found = false;
                Ok(Transformed::no(expr))
            }
        }
    });
    replaced.ok().filter(|_| all_found).map(|expr| expr.data)
}
