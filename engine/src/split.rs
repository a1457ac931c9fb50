//! An optimizer rule: where a plan makes pictures of files, a node below looks at the headers and lets
//! through no more rows at a time than memory has room for.
//!
//! ```text
//! Projection: image_decode(content)
//!   Filter: taken > '2025-01-01'
//! ```
//! becomes
//! ```text
//! Projection: image_decode(content)
//!   Split: max_bytes=33554432
//!     Filter: taken > '2025-01-01'
//! ```
//! Files that are computed, as by `url_download`, are computed in a projection below the node, so that it has
//! headers to look at. Where one may not be computed for every row, as in a branch of CASE, rows pass one by one.
//!
//! The rule is meant to be the last one: the node is in the way of rules that move expressions
//! down to the scan.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use shoal_images::probe::Limits;
use shoal_lake::{split_input, split_node};
use shoal_udfs::{AnswerBytes, computed_pictures};

/// What is made of one batch at most, or of one row that makes more: three photos of a common camera, and
/// enough small ones that a batch costs little beside its pixels.
const MAX_BYTES: u32 = 32 << 20;

/// The rule. See the module.
#[derive(Debug)]
pub(crate) struct SplitBatches {
    answers: AnswerBytes,
}

impl SplitBatches {
    /// The rule for functions that were registered with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            answers: AnswerBytes::new(limits, MAX_BYTES.into()),
        }
    }

    /// What `exprs` make of a row of `input`: expressions, none of them twice.
    fn bytes_of(&self, exprs: &[Expr], input: &LogicalPlan) -> Result<Vec<Expr>> {
        distinct(exprs, |expr| self.answers.of(expr, input.schema()))
    }

    /// `plan`, which has one input, with the node below it if it makes pictures.
    fn split(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(plan.schema());
        let (exprs, input) = with_pictures_below(&plan)?;
        let bytes = self.bytes_of(&exprs, &input)?;
        if bytes.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let input = split_node(input, bytes, MAX_BYTES.into());
        let mut plan = plan.with_new_exprs(exprs, vec![input])?;
        if plan.schema().fields().len() > schema.fields().len() {
            let columns = schema.columns().into_iter().map(Expr::Column);
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        }
        Ok(Transformed::yes(plan))
    }

    /// `filter` with the node below the conditions that make pictures. The others are decided before, so
    /// that they still reach the scan; those that compute the files of their pictures come last, one by one, so
    /// that none is computed for a row that another condition leaves out.
    fn split_filter(&self, filter: Filter) -> Result<Transformed<LogicalPlan>> {
        let (mut others, mut making, mut computing) = (Vec::new(), Vec::new(), Vec::new());
        for condition in split_conjunction(&filter.predicate) {
            let made = self.bytes_of(std::slice::from_ref(condition), &filter.input)?;
            let side = if made.is_empty() {
                &mut others
            } else if computed_pictures(condition, filter.input.schema())?.is_empty() {
                &mut making
            } else {
                &mut computing
            };
            side.push(condition.clone());
        }
        if making.is_empty() && computing.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let mut plan = Arc::unwrap_or_clone(filter.input);
        let together = [conjunction(others), conjunction(making)];
        for condition in together.into_iter().flatten().chain(computing) {
            let filter = Filter::try_new(condition, Arc::new(plan))?;
            plan = self.split(LogicalPlan::Filter(filter))?.data;
        }
        Ok(Transformed::yes(plan))
    }
}

/// What `of` gives for all of `exprs`, nothing twice.
fn distinct(exprs: &[Expr], of: impl Fn(&Expr) -> Result<Vec<Expr>>) -> Result<Vec<Expr>> {
    let mut all: Vec<Expr> = Vec::new();
    for expr in exprs {
        for found in of(expr)? {
            if !all.contains(&found) {
                all.push(found);
            }
        }
    }
    Ok(all)
}

/// The expressions of `plan` and its input, where files of pictures that the expressions compute are
/// columns of a projection.
fn with_pictures_below(plan: &LogicalPlan) -> Result<(Vec<Expr>, LogicalPlan)> {
    let (exprs, input) = (plan.expressions(), only_input(plan)?);
    // Sorts and windows keep their input, and would keep the files with it.
    let passes_rows_on = !matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Window(_));
    let pictures = match passes_rows_on {
        true => distinct(&exprs, |expr| computed_pictures(expr, input.schema()))?,
        false => Vec::new(),
    };
    if pictures.is_empty() {
        return Ok((exprs, input.clone()));
    }
    let name = |index: usize| format!("__image_file_{index}");
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let files = pictures.iter().enumerate();
    let files = files.map(|(index, picture)| picture.clone().alias(name(index)));
    let below = LogicalPlanBuilder::from(input.clone())
        .project(columns.chain(files).collect::<Vec<_>>())?
        .build()?;
    let names = NamePreserver::new(plan);
    let replaced = exprs.into_iter().map(|expr| {
        let saved = names.save(&expr);
        let replaced = expr.transform_down(|expr| {
            let index = pictures.iter().position(|picture| *picture == expr);
            Ok(match index {
                Some(index) => {
                    let column = Expr::Column(Column::new_unqualified(name(index)));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        })?;
        Ok(saved.restore(replaced.data))
    });
    Ok((replaced.collect::<Result<_>>()?, below))
}

fn only_input(plan: &LogicalPlan) -> Result<&LogicalPlan> {
    match plan.inputs().as_slice() {
        [input] => Ok(input),
        inputs => internal_err!("a plan with {} inputs cannot be split", inputs.len()),
    }
}

impl OptimizerRule for SplitBatches {
    fn name(&self) -> &str {
        "split_batches"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let evaluates = matches!(
            plan,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Sort(_)
        );
        if !evaluates || split_input(only_input(&plan)?).is_some() {
            return Ok(Transformed::no(plan));
        }
        match plan {
            LogicalPlan::Filter(filter) => self.split_filter(filter),
            plan => self.split(plan),
        }
    }
}
