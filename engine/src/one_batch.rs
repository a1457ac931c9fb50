//! A physical optimizer rule: the first rows of an order are one batch where no more are asked for than a batch
//! holds, and one batch is not dealt out to several tasks.
//!
//! DataFusion deals out what has an unknown number of rows to the operators above, as the filter and the projection
//! of a vector search are, which then wait for tasks that have nothing to do.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

/// The rule. See the module.
#[derive(Debug)]
pub(crate) struct KeepOneBatch;

impl PhysicalOptimizerRule for KeepOneBatch {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = config.execution.batch_size.get();
        let kept = plan.transform_up(|node| match dealt_out(&node) {
            Some(input) if is_one_batch(input.as_ref(), rows) => {
                Ok(Transformed::yes(Arc::clone(input)))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(kept.data)
    }

    fn name(&self) -> &str {
        "keep_one_batch"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What `node` deals out batch by batch.
fn dealt_out(node: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let repartition = node.downcast_ref::<RepartitionExec>()?;
    match repartition.partitioning() {
        Partitioning::RoundRobinBatch(_) => Some(repartition.input()),
        _ => None,
    }
}

fn is_one_batch(plan: &dyn ExecutionPlan, rows: usize) -> bool {
    let is_sorted = plan.downcast_ref::<SortExec>().is_some()
        || plan.downcast_ref::<SortPreservingMergeExec>().is_some();
    let is_one = plan.properties().output_partitioning().partition_count() == 1;
    is_sorted && is_one && plan.fetch().is_some_and(|fetch| fetch <= rows)
}
