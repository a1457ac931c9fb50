//! Stages as Ballista runs them, with errors that a user can read.
//!
//! Ballista sends a failed task's error to the scheduler in its debugging form. Errors of the lake
//! (a violated constraint, an unreadable file) say all there is to say in their message, so they
//! are reduced to it here, where their type is still known.
//!
//! A task reports the metrics of those operators that have any, and the scheduler takes it for an error,
//! after which the job waits for ever, if two tasks of a stage report different numbers. That happens
//! below a union: what a task does not read of it is cut off, and an operator without rows, which
//! has no metrics, becomes an empty scan, which has. Such tasks report no metrics at all.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::{
    DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor,
};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::SessionConfig;
use shoal_lake::{LakeError, with_indexed_footers};

use crate::shuffle_clients::ShuffleClients;

/// Ballista's engine, with connections that are kept and errors that are readable.
pub(crate) struct StageEngine {
    ballista: DefaultExecutionEngine,
}

impl StageEngine {
    pub(crate) fn new() -> Self {
        let clients = Arc::new(ShuffleClients::default());
        Self {
            ballista: DefaultExecutionEngine::with_client_pool(clients),
        }
    }
}

impl ExecutionEngine for StageEngine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let plan = with_indexed_footers(plan)?;
        let has_metrics = !is_cut_unevenly(&plan);
        let stage = self.ballista.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Stage { stage, has_metrics }))
    }
}

/// Whether tasks of the same stage may have plans of different operators.
fn is_cut_unevenly(plan: &Arc<dyn ExecutionPlan>) -> bool {
    contains(plan, &|node| node.is::<UnionExec>()) && contains(plan, &is_without_files)
}

fn contains(plan: &Arc<dyn ExecutionPlan>, wanted: &dyn Fn(&dyn ExecutionPlan) -> bool) -> bool {
    wanted(plan.as_ref())
        || plan
            .children()
            .into_iter()
            .any(|child| contains(child, wanted))
}

/// Whether it is an operator without rows, or the scan that takes its place.
fn is_without_files(node: &dyn ExecutionPlan) -> bool {
    let is_scan_of_memory = |scan: &DataSourceExec| scan.data_source().is::<MemorySourceConfig>();
    node.is::<EmptyExec>()
        || node.is::<PlaceholderRowExec>()
        || node
            .downcast_ref::<DataSourceExec>()
            .is_some_and(is_scan_of_memory)
}

#[derive(Debug)]
struct Stage {
    stage: Arc<dyn QueryStageExecutor>,
    has_metrics: bool,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let executed = self.stage.execute_query_stage(task_id, context).await;
        executed.map_err(readable)
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        match self.has_metrics {
            true => self.stage.collect_plan_metrics(),
            false => Vec::new(),
        }
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.stage.collect_column_stats()
    }
}

/// The message of a lake error; any other error as it is, because its type decides on a retry.
fn readable(error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::External(root) if root.is::<LakeError>() => {
            DataFusionError::Execution(root.to_string())
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_error_is_reduced_to_its_message_and_others_stay() {
        let lake = LakeError::Constraint {
            table: "lake.raw.t".into(),
            constraint: "NOT NULL id".into(),
            row: "id: NULL".into(),
        };
        let message = lake.to_string();
        let wrapped = DataFusionError::from(lake).context("writing");
        assert!(matches!(readable(wrapped), DataFusionError::Execution(text) if text == message));

        let io = DataFusionError::IoError(std::io::Error::other("disk"));
        assert!(matches!(readable(io), DataFusionError::IoError(_)));
    }
}
