//! One plan, run wherever it was placed, until its rows are delivered or its end is known.

use std::time::Duration;

use futures::StreamExt;
use shoal_engine::QueryPlan;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::error::{Result, StatementError};
use crate::job::{Job, JobError};
use crate::local::Local;
use crate::queries::Query;
use crate::results::ResultClients;
use crate::sink::RowSink;
use crate::statement::QueryState;

/// How long a statement waits for the first executor to register.
const WAIT_FOR_EXECUTORS: Duration = Duration::from_secs(30);
/// Pause between looks for one.
const EXECUTORS_PAUSE: Duration = Duration::from_millis(100);

/// What plans run on: the executors, and the scheduler itself.
pub(crate) struct Places {
    /// The executors.
    pub cluster: Cluster,
    /// Connections to their results.
    pub results: ResultClients,
    /// The scheduler itself.
    pub local: Local,
    /// The most seconds a statement may take.
    pub timeout_seconds: u64,
    /// How often a plan that lost an executor is started over.
    pub retries: u32,
}

impl Places {
    /// Runs `plan` until `sink` has all its rows. Ends early when the query is cancelled or takes
    /// too long.
    pub(crate) async fn run(
        &self,
        query: &Query,
        plan: &QueryPlan,
        sink: &mut RowSink,
    ) -> Result<()> {
        let work = async {
            if query.distributed {
                self.run_on_executors(query, plan, sink).await
            } else {
                self.run_here(query, plan, sink).await
            }
        };
        tokio::select! {
            done = work => done,
            () = query.cancel.cancelled() => Err(StatementError::Cancelled { id: query.id.clone() }),
            () = tokio::time::sleep(Duration::from_secs(self.timeout_seconds)) => {
                Err(StatementError::TimedOut { id: query.id.clone(), seconds: self.timeout_seconds })
            }
        }
    }

    async fn run_here(&self, query: &Query, plan: &QueryPlan, sink: &mut RowSink) -> Result<()> {
        let failed = |error: datafusion::error::DataFusionError| failed(query, error);
        let mut local = self
            .local
            .start(&plan.local_state(), &plan.plan)
            .await
            .map_err(failed)?;
        query.progress.set_state(QueryState::Running);
        while let Some(batch) = local.rows.next().await {
            let taken = sink.take(batch.map_err(failed)?).await;
            taken.map_err(|error| StatementError::Failed {
                id: query.id.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(())
    }

    async fn run_on_executors(
        &self,
        query: &Query,
        plan: &QueryPlan,
        sink: &mut RowSink,
    ) -> Result<()> {
        let mut lost = 0;
        loop {
            self.wait_for_executors(query).await?;
            query.progress.begin_attempt();
            query.progress.set_state(QueryState::Running);
            let (executor, reason) = match self.attempt(query, plan, sink).await {
                Ok(()) => return Ok(()),
                Err(JobError::Lost { executor, reason }) => (executor, reason),
                Err(error) => {
                    return Err(StatementError::Failed {
                        id: query.id.clone(),
                        reason: error.to_string(),
                    });
                }
            };
            lost += 1;
            let consequence = if !sink.start_over() {
                "rows were already delivered, so it cannot be run again without doubling them; \
                 send it again"
                    .to_string()
            } else if lost > self.retries {
                format!("it was run {lost} times (cluster.job_retries), and each lost an executor")
            } else {
                warn!("query {} starts over: {reason}", query.id);
                continue;
            };
            return Err(StatementError::ExecutorLost {
                id: query.id.clone(),
                executor,
                consequence: format!("{reason}; {consequence}"),
            });
        }
    }

    async fn attempt(
        &self,
        query: &Query,
        plan: &QueryPlan,
        sink: &mut RowSink,
    ) -> Result<(), JobError> {
        let context = self.cluster.job_context(&plan.ctx).await;
        let mut job = Job::submit(&self.cluster, query.id.as_str(), context, &plan.plan).await?;
        let done = job.run(&query.progress, &self.results, sink).await;
        match sink {
            RowSink::Measure { stages, .. } => *stages = job.measured().await,
            RowSink::Memory { abandoned, .. } if done.is_err() => {
                abandoned.append(&mut job.salvage(&self.results).await);
            }
            RowSink::Memory { .. } | RowSink::Fingerprints { .. } | RowSink::Client { .. } => {}
        }
        done
    }

    async fn wait_for_executors(&self, query: &Query) -> Result<()> {
        if self.cluster.has_executors() {
            return Ok(());
        }
        info!("query {} waits for an executor to register", query.id);
        let registered = async {
            while !self.cluster.has_executors() {
                tokio::time::sleep(EXECUTORS_PAUSE).await;
            }
        };
        tokio::time::timeout(WAIT_FOR_EXECUTORS, registered)
            .await
            .map_err(|_| StatementError::NoExecutors {
                id: query.id.clone(),
                seconds: WAIT_FOR_EXECUTORS.as_secs(),
            })
    }
}

fn failed(query: &Query, error: datafusion::error::DataFusionError) -> StatementError {
    StatementError::Failed {
        id: query.id.clone(),
        reason: error.strip_backtrace(),
    }
}
