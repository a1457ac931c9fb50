//! Stages as Ballista runs them, with errors that a user can read.
//!
//! Ballista sends a failed task's error to the scheduler in its debugging form. Errors of the lake
//! (a violated constraint, an unreadable file) say all there is to say in their message, so they
//! are reduced to it here, where their type is still known.

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
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use shoal_lake::LakeError;

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
        let stage = self.ballista.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Stage(stage)))
    }
}

#[derive(Debug)]
struct Stage(Arc<dyn QueryStageExecutor>);

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let executed = self.0.execute_query_stage(task_id, context).await;
        executed.map_err(readable)
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.0.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.0.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.0.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.0.collect_column_stats()
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
