//! One submission of a plan to the executors, from the first stage to the last result row.
//!
//! Ballista's adaptive execution does not recover the output of a finished stage that is lost with
//! its executor: the job waits for ever. So a job here watches the executors it depends on, and
//! ends in [`JobError::Lost`] as soon as one of them is gone or a task misses another's output.
//! The caller then starts the plan over.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, job_status};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::cluster::Cluster;
use crate::results::ResultClients;
use crate::statement::Progress;

/// Pause between two looks at a job's stages and executors.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Status updates that may wait to be read; more are dropped, and found at the next look.
const UPDATES: usize = 64;

/// Why a job did not deliver all its rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// An executor, or output that lay on one, is gone. Running the plan again may succeed.
    #[error("{reason}")]
    Lost {
        /// Which executor, as far as it is known.
        executor: String,
        /// What was noticed.
        reason: String,
    },
    /// The plan itself failed.
    #[error("{0}")]
    Failed(String),
    /// Ballista's scheduler does not work.
    #[error(transparent)]
    Scheduler(#[from] BallistaError),
}

/// A job on the executors. Dropping it cancels it if it still runs, and removes its
/// files from the executors.
pub(crate) struct Job {
    id: JobId,
    cluster: Cluster,
    updates: mpsc::Receiver<JobStatus>,
    executors: HashSet<String>,
}

impl Job {
    /// Submits a plan.
    pub(crate) async fn submit(
        cluster: &Cluster,
        name: &str,
        context: Arc<SessionContext>,
        plan: &LogicalPlan,
    ) -> Result<Self, JobError> {
        let (sender, updates) = mpsc::channel(UPDATES);
        let id = cluster.submit(name, context, plan, sender).await?;
        Ok(Self {
            id,
            cluster: cluster.clone(),
            updates,
            executors: HashSet::new(),
        })
    }

    /// Waits until all stages are done; returns where the result lies.
    pub(crate) async fn finished(
        &mut self,
        progress: &Progress,
    ) -> Result<Vec<PartitionLocation>, JobError> {
        let mut look = look_interval();
        loop {
            let status = tokio::select! {
                Some(update) = self.updates.recv() => update.status,
                _ = look.tick() => {
                    self.look(progress).await?;
                    self.cluster.status(&self.id).await
                }
            };
            match status {
                Some(job_status::Status::Successful(job)) => {
                    // From here on only the executors that hold the result matter.
                    self.executors = job
                        .partition_location
                        .iter()
                        .filter_map(|partition| partition.executor_meta.as_ref())
                        .map(|executor| executor.id.clone())
                        .collect();
                    if let Some(stages) = self.cluster.stages(&self.id).await {
                        progress.set_stages(stages.progress);
                    }
                    return Ok(job.partition_location);
                }
                Some(job_status::Status::Failed(failed)) => {
                    return Err(self.cause(&failed.error).await);
                }
                Some(job_status::Status::Queued(_) | job_status::Status::Running(_)) | None => {}
            }
        }
    }

    /// Hands the result to `sink`, in no order, no faster than it takes it. Ends in
    /// [`JobError::Lost`] if an executor that holds a part of it is lost meanwhile.
    pub(crate) async fn deliver(
        &mut self,
        partitions: Vec<PartitionLocation>,
        clients: &ResultClients,
        sink: &mut RowSink,
    ) -> Result<(), JobError> {
        let mut rows = pin!(clients.rows(partitions));
        let mut look = look_interval();
        loop {
            let batch = tokio::select! {
                batch = rows.next() => batch,
                _ = look.tick() => {
                    self.check_executors().await?;
                    continue;
                }
            };
            match batch {
                Some(Ok(batch)) => sink.take(batch).await?,
                Some(Err(error)) => {
                    return Err(JobError::Lost {
                        executor: format!("{} ({})", error.executor, error.address),
                        reason: error.to_string(),
                    });
                }
                None => return Ok(()),
            }
        }
    }

    /// The finished job's stages, each with its title and its measured plan.
    pub(crate) async fn measured(&self) -> Vec<(String, String)> {
        self.cluster.measured_stages(&self.id).await
    }

    /// Updates the progress, and ends the job if something it needs is lost.
    async fn look(&mut self, progress: &Progress) -> Result<(), JobError> {
        if let Some(stages) = self.cluster.stages(&self.id).await {
            self.executors.extend(stages.executors);
            progress.set_stages(stages.progress);
            if let Some(reason) = stages.lost_output {
                return Err(JobError::Lost {
                    executor: "that held a stage's output".to_string(),
                    reason,
                });
            }
        }
        self.check_executors().await
    }

    async fn check_executors(&self) -> Result<(), JobError> {
        for executor in &self.executors {
            if !self.cluster.has_executor(executor).await {
                return Err(JobError::Lost {
                    executor: executor.clone(),
                    reason: format!("executor {executor} is gone"),
                });
            }
        }
        Ok(())
    }

    /// Whether a failure is the plan's own, or the consequence of a lost executor.
    async fn cause(&mut self, error: &str) -> JobError {
        if let Some(stages) = self.cluster.stages(&self.id).await {
            self.executors.extend(stages.executors);
        }
        self.cluster.expel_dead_executors().await;
        match self.check_executors().await {
            Err(lost) => lost,
            Ok(()) => JobError::Failed(readable(error)),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let (cluster, id) = (self.cluster.clone(), self.id.clone());
        // Without a runtime the process is ending, and its executors notice that.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { cluster.end(id).await });
        }
    }
}

/// Where the rows of a job go.
pub(crate) enum RowSink {
    /// To the client, as they come. They cannot be taken back.
    Client {
        /// The client's end.
        rows: mpsc::Sender<datafusion::error::Result<RecordBatch>>,
        /// The columns it was promised.
        schema: SchemaRef,
        /// Where its rows are counted.
        progress: Arc<Progress>,
        /// Whether the client has got some.
        sent: bool,
    },
    /// Into memory: the rows of a write, one per data file.
    Memory(Vec<RecordBatch>),
    /// Nowhere: they are counted, and what was measured on their way is kept.
    Measure {
        /// How many there were.
        rows: usize,
        /// A title and the measured plan of every stage that ran on executors.
        stages: Vec<(String, String)>,
    },
}

impl RowSink {
    /// Takes rows, as fast as they are wanted.
    pub(crate) async fn take(&mut self, batch: RecordBatch) -> Result<(), JobError> {
        match self {
            Self::Client {
                rows,
                schema,
                progress,
                sent,
            } => {
                *sent = true;
                progress.add_rows(batch.num_rows());
                let gone = |_| JobError::Failed("the client went away".to_string());
                rows.send(conform(batch, schema)).await.map_err(gone)
            }
            Self::Memory(batches) => {
                batches.push(batch);
                Ok(())
            }
            Self::Measure { rows, .. } => {
                *rows += batch.num_rows();
                Ok(())
            }
        }
    }

    /// Forgets the rows it has taken; `false` if they cannot be taken back.
    pub(crate) fn start_over(&mut self) -> bool {
        match self {
            Self::Client { sent, .. } => !*sent,
            Self::Memory(batches) => {
                batches.clear();
                true
            }
            Self::Measure { rows, .. } => {
                *rows = 0;
                true
            }
        }
    }
}

/// The batch with exactly the promised columns: stages may differ in nullability and metadata.
fn conform(batch: RecordBatch, schema: &SchemaRef) -> datafusion::error::Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

fn look_interval() -> Interval {
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    look.reset();
    look
}

/// The message inside the layers that Ballista wraps around a task's error: the text of the
/// innermost quoted error, if there is one.
fn readable(error: &str) -> String {
    let start = [
        "Execution(\"",
        "Plan(\"",
        "ResourcesExhausted(\"",
        "Internal(\"",
    ]
    .iter()
    .filter_map(|mark| error.rfind(mark).map(|at| at + mark.len()))
    .max();
    let Some(start) = start else {
        return error.trim().to_string();
    };
    let mut message = String::new();
    let mut characters = error[start..].chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('n') => message.push('\n'),
                Some('t') => message.push('\t'),
                Some(escaped) => message.push(escaped),
                None => break,
            },
            other => message.push(other),
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_error_is_shown_without_its_wrapping() {
        let error = "Job failed due to stage 1 failed: Task failed due to runtime execution error: \
                     DataFusionError(Execution(\"constraint \\\"price\\\" is violated\"))\n";
        assert_eq!(readable(error), "constraint \"price\" is violated");
        assert_eq!(readable("plain\n"), "plain");
    }
}
