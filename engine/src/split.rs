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
//!
//! The rule is meant to be the last one: the node is in the way of rules that move expressions
//! down to the scan.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use shoal_images::probe::Limits;
use shoal_lake::{split_input, split_node};
use shoal_udfs::AnswerBytes;

/// What is made of one batch at most, or of one row that makes more: three photos of a common camera, and
/// enough small ones that a batch costs little beside its pixels.
const MAX_BYTES: u64 = 32 << 20;

/// The rule. See the module.
#[derive(Debug)]
pub(crate) struct SplitBatches {
    answers: AnswerBytes,
}

impl SplitBatches {
    /// The rule for functions that were registered with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            answers: AnswerBytes::new(limits),
        }
    }

    /// What `exprs` make of a row of `input`: expressions, none of them twice.
    fn bytes_of(&self, exprs: &[Expr], input: &LogicalPlan) -> Result<Vec<Expr>> {
        let mut bytes: Vec<Expr> = Vec::new();
        for expr in exprs {
            for made in self.answers.of(expr, input.schema())? {
                if !bytes.contains(&made) {
                    bytes.push(made);
                }
            }
        }
        Ok(bytes)
    }

    /// `filter` with the node below the conditions that make pictures. The others are decided before, so
    /// that they still reach the scan.
    fn split_filter(&self, filter: Filter) -> Result<Transformed<LogicalPlan>> {
        let (mut making, mut others) = (Vec::new(), Vec::new());
        let mut bytes = Vec::new();
        for condition in split_conjunction(&filter.predicate) {
            let made = self.bytes_of(std::slice::from_ref(condition), &filter.input)?;
            let side = if made.is_empty() {
                &mut others
            } else {
                &mut making
            };
            side.push(condition.clone());
            bytes.extend(made);
        }
        let Some(making) = conjunction(making) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let mut input = Arc::unwrap_or_clone(filter.input);
        if let Some(others) = conjunction(others) {
            input = LogicalPlan::Filter(Filter::try_new(others, Arc::new(input))?);
        }
        let input = split_node(input, bytes, MAX_BYTES);
        let filter = Filter::try_new(making, Arc::new(input))?;
        Ok(Transformed::yes(LogicalPlan::Filter(filter)))
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
        let inputs = plan.inputs();
        let input = match (&plan, inputs.as_slice()) {
            (
                LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Sort(_),
                [input],
            ) if split_input(input).is_none() => (*input).clone(),
            _ => return Ok(Transformed::no(plan)),
        };
        if let LogicalPlan::Filter(filter) = plan {
            return self.split_filter(filter);
        }
        let exprs = plan.expressions();
        let bytes = self.bytes_of(&exprs, &input)?;
        if bytes.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let input = split_node(input, bytes, MAX_BYTES);
        Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![input])?))
    }
}
