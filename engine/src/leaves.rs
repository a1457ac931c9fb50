//! An optimizer rule: fields of a table's structs are taken where the table is read, so that Parquet leaves the
//! others unread, and fields of what a function returns are taken where it is called.
//!
//! DataFusion's rule moves both down alike. For `image_stats(content).brightness … WHERE id = 'x'` it would take
//! the function below the filter, to every picture there is, and would call it anew for each field.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::extract_leaf_expressions::PushDownLeafProjections;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, where it moves no function. See the module.
#[derive(Debug)]
pub(crate) struct PushFieldsOfColumns {
    rule: PushDownLeafProjections,
}

impl PushFieldsOfColumns {
    pub(crate) fn new() -> Self {
        Self {
            rule: PushDownLeafProjections::new(),
        }
    }
}

impl OptimizerRule for PushFieldsOfColumns {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // It moves fields of nothing else.
        if !matches!(plan, LogicalPlan::Projection(_)) {
            return Ok(Transformed::no(plan));
        }
        let pushed = self.rule.rewrite(plan.clone(), config)?;
        match pushed.transformed && fields_of_calls(&pushed.data)? > fields_of_calls(&plan)? {
            true => Ok(Transformed::no(plan)),
            false => Ok(pushed),
        }
    }
}

/// How often `plan` takes a field of anything but a column.
fn fields_of_calls(plan: &LogicalPlan) -> Result<usize> {
    let mut found = 0;
    plan.apply(|node| {
        for expr in node.expressions() {
            expr.apply(|expr| {
                found += usize::from(is_field_of_call(expr));
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_field_of_call(expr: &Expr) -> bool {
    let Expr::ScalarFunction(call) = expr else {
        return false;
    };
    let of = call.args.first().map(|of| of.clone().unalias_nested().data);
    call.name() == "get_field" && !matches!(of, Some(Expr::Column(_)))
}
