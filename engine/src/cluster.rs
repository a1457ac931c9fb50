//! What the scheduler tells the engine: the engine knows names and plans, never executors.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::estimate::Estimate;
use crate::planned::QueryPlan;

/// An answer, or a message for the client.
pub type ClusterResult<T> = std::result::Result<T, String>;

/// The running cluster, as `SHOW EXECUTORS`, `SHOW JOBS` and `EXPLAIN` see it.
#[async_trait]
pub trait Cluster: fmt::Debug + Send + Sync {
    /// One row per executor.
    async fn executors(&self) -> ClusterResult<RecordBatch>;

    /// One row per running or recent statement.
    async fn jobs(&self) -> ClusterResult<RecordBatch>;

    /// The stages `query` would run in on the executors, one text each, in order.
    async fn stages(&self, query: &QueryPlan, estimate: &Estimate) -> ClusterResult<Vec<String>>;
}
