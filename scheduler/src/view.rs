//! The cluster as statements see it: `SHOW EXECUTORS`, `SHOW JOBS` and the stages in `EXPLAIN`.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use async_trait::async_trait;
use ballista_core::JobId;
use ballista_scheduler::planner::{DefaultDistributedPlanner, DistributedPlanner};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use shoal_engine::{ClusterResult, Estimate, QueryPlan};

use crate::cluster::{Cluster, ExecutorInfo};
use crate::queries::{Queries, Query};
use crate::statement::ProgressSnapshot;

/// Answers the engine's questions about the cluster.
pub(crate) struct View {
    /// The executors.
    pub cluster: Cluster,
    /// The statements.
    pub queries: Arc<Queries>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

#[async_trait]
impl shoal_engine::Cluster for View {
    async fn executors(&self) -> ClusterResult<RecordBatch> {
        let executors = self.cluster.executors().await;
        let text = |of: fn(&ExecutorInfo) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(executors.iter().map(of)))
        };
        let number = |of: fn(&ExecutorInfo) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(executors.iter().map(of)))
        };
        let memory: UInt64Array = executors.iter().map(|e| e.memory_bytes).collect();
        let last_seen = executors.iter().map(|e| e.last_seen.as_secs_f64());
        let state = |e: &ExecutorInfo| {
            let state = if e.stopping { "stopping" } else { "active" };
            state.to_string()
        };
        batch(vec![
            ("executor_id", text(|e| e.id.clone())),
            ("host", text(|e| e.host.clone())),
            ("port", number(|e| u32::from(e.port))),
            ("state", text(state)),
            ("vcores", number(|e| e.vcores)),
            ("used_vcores", number(|e| e.used_vcores)),
            ("memory_bytes", Arc::new(memory)),
            (
                "last_seen_seconds",
                Arc::new(Float64Array::from_iter_values(last_seen)),
            ),
        ])
    }

    async fn jobs(&self) -> ClusterResult<RecordBatch> {
        let queries = self.queries.list();
        let progress: Vec<ProgressSnapshot> =
            queries.iter().map(|q| q.progress.snapshot()).collect();
        let text = |of: fn(&Query) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(queries.iter().map(of)))
        };
        let state = progress.iter().map(|p| p.state.as_str());
        let submitted = queries.iter().map(|q| micros(q.progress.submitted));
        let seconds = queries.iter().map(|q| q.progress.elapsed().as_secs_f64());
        let stages = progress.iter().map(|p| p.stages.len() as u32);
        let done = progress.iter().map(ProgressSnapshot::fraction);
        let rows = progress.iter().map(|p| p.rows);
        let attempts = progress.iter().map(|p| p.attempts);
        batch(vec![
            ("query_id", text(|q| q.id.as_str())),
            ("user", text(|q| &q.user)),
            ("state", Arc::new(StringArray::from_iter_values(state))),
            (
                "submitted",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(submitted).with_timezone("UTC"),
                ),
            ),
            ("seconds", Arc::new(Float64Array::from_iter_values(seconds))),
            ("stages", Arc::new(UInt32Array::from_iter_values(stages))),
            ("done", Arc::new(Float64Array::from_iter_values(done))),
            ("rows", Arc::new(UInt64Array::from_iter_values(rows))),
            (
                "attempts",
                Arc::new(UInt32Array::from_iter_values(attempts)),
            ),
            (
                "distributed",
                Arc::new(BooleanArray::from_iter(
                    queries.iter().map(|q| Some(q.distributed)),
                )),
            ),
            ("statement", text(|q| &q.text)),
        ])
    }

    async fn stages(&self, query: &QueryPlan, _estimate: &Estimate) -> ClusterResult<Vec<String>> {
        let context = self.cluster.job_context(&query.ctx).await;
        let state = context.state();
        let plan = state
            .create_physical_plan(&query.plan)
            .await
            .map_err(|error| error.strip_backtrace())?;
        let stages = DefaultDistributedPlanner::new()
            .plan_query_stages(&JobId::from("explain"), plan, state.config_options())
            .map_err(|error| error.to_string())?;
        Ok(stages
            .into_iter()
            .map(|stage| {
                let plan: &dyn ExecutionPlan = stage.as_ref();
                displayable(plan).indent(false).to_string()
            })
            .collect())
    }
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> ClusterResult<RecordBatch> {
    // All columns may hold NULL, so that the schema does not depend on what is there.
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| error.to_string())
}
