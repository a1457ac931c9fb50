//! Which executors have room for how many tasks.
//!
//! Ballista books vcores: it takes them off an executor's account when a task is bound and puts
//! them back when the task reports. Tasks of a stage that was rolled back, or of a job that ended
//! meanwhile, never put theirs back, and after the loss of an executor the others may be left with
//! an account of nothing: every later job waits for ever. So here vcores are counted instead: an
//! executor's room is what it has, less what the running tasks of running jobs take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorHeartbeat;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;

use crate::stages::Stages;

/// Executors in memory, with vcores counted at the moment tasks are bound.
#[derive(Default)]
pub(crate) struct CountedVcores {
    executors: InMemoryClusterState,
}

#[async_trait]
impl ClusterState for CountedVcores {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let mut used = HashMap::new();
        for job in active_jobs.values() {
            let graph = job.execution_graph.read().await;
            Stages::of(graph.as_ref()).count_vcores(&mut used);
        }
        // Accounts for this one round, which then binds as Ballista does.
        let round = InMemoryClusterState::default();
        for executor in self.executors.registered_executor_metadata().await {
            let total = executor.specification.vcores;
            let used = used.get(&executor.id).copied().unwrap_or(0);
            let account = ExecutorData {
                executor_id: executor.id.clone(),
                total_vcores: total,
                available_vcores: total.saturating_sub(used),
            };
            round.register_executor(executor, account).await?;
        }
        round
            .bind_schedulable_tasks(distribution, active_jobs, executors)
            .await
    }

    async fn unbind_tasks(&self, _: Vec<ExecutorSlot>) -> Result<()> {
        Ok(())
    }

    async fn register_executor(
        &self,
        metadata: ExecutorMetadata,
        spec: ExecutorData,
    ) -> Result<()> {
        self.executors.register_executor(metadata, spec).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.executors.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, executor_id: &str) -> Result<ExecutorMetadata> {
        self.executors.get_executor_metadata(executor_id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.executors.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.executors.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, executor_id: &str) -> Result<()> {
        self.executors.remove_executor(executor_id).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.executors.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, executor_id: &str) -> Option<ExecutorHeartbeat> {
        self.executors.get_executor_heartbeat(executor_id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.executors.cluster_state_events().await
    }
}
