//! Makes unions safe to cut into tasks.
//!
//! A task gets some partitions of its stage. Of a union, Ballista gives each input the partitions that
//! are its own, and an input without any shall answer nothing. But what is below an operator that
//! gathers all partitions into one is never cut, so such an input answers in every task, and its rows
//! come several times. Two such operators stand below unions that are sorted or limited:
//!
//! - a sort of a single partition, which says that it gathers: it is made one that keeps partitions,
//!   which is the same thing for one partition;
//! - a merge of sorted partitions: a gathering on top makes it a stage of its own, whose answer is read
//!   like any other; the order it had is made again.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary,
};

/// The rule. See the module.
#[derive(Debug)]
pub(crate) struct UnionsInTasks;

impl PhysicalOptimizerRule for UnionsInTasks {
    fn name(&self) -> &str {
        "unions_in_tasks"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !node.is::<UnionExec>() {
                return Ok(Transformed::no(node));
            }
            let inputs = node.children().into_iter().map(cuttable);
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            Ok(Transformed::yes(replace_children_if_necessary(
                node, inputs,
            )?))
        })
        .data()
    }
}

/// `input` of a union, without an operator that gathers partitions in the stage of the union.
fn cuttable(input: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(sort) = input.downcast_ref::<SortExec>() {
        let below = cuttable(sort.input())?;
        let one = below.output_partitioning().partition_count() == 1;
        let sort = SortExec::new(sort.expr().clone(), below)
            .with_fetch(sort.fetch())
            .with_preserve_partitioning(one || sort.preserve_partitioning());
        return Ok(Arc::new(sort));
    }
    if input.is::<SortPreservingMergeExec>() {
        let gathered: Arc<dyn ExecutionPlan> =
            Arc::new(CoalescePartitionsExec::new(Arc::clone(input)));
        return Ok(match input.output_ordering() {
            Some(order) => {
                Arc::new(SortExec::new(order.clone(), gathered).with_preserve_partitioning(true))
            }
            None => gathered,
        });
    }
    let [below] = input.children()[..] else {
        return Ok(Arc::clone(input));
    };
    replace_children_if_necessary(Arc::clone(input), vec![cuttable(below)?])
}
