//! One submission of a plan to the executors, from the first stage to the last result row.
//!
//! Ballista's adaptive execution does not recover the output of a finished stage that is lost with
//! its executor: the job waits for ever. So a job here watches the executors it depends on, and
//! ends in [`JobError::Lost`] as soon as one of them is gone or a task misses another's output.
//! The caller then starts the plan over.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, job_status};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tracing::warn;

use crate::cluster::Cluster;
use crate::results::{Extent, FetchError, ResultClients, ResultFile};
use crate::sink::RowSink;
use crate::statement::Progress;

/// Pause between two looks at a job's stages and executors.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Status updates that may wait to be read; more are dropped, and found at the next look.
const UPDATES: usize = 64;
/// Files of a result that are read at a time.
const FILES_AT_A_TIME: usize = 8;
/// The most time for reading what a failed job has left behind.
const SALVAGE_TIME: Duration = Duration::from_secs(5);

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

impl From<FetchError> for JobError {
    fn from(error: FetchError) -> Self {
        Self::Lost {
            executor: format!("{} ({})", error.executor, error.address),
            reason: error.to_string(),
        }
    }
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

    /// Runs the job to its end and hands its rows to `sink` as they come, in no order across tasks
    /// and no faster than it takes them. Ends in [`JobError::Lost`] if an executor is lost that
    /// is still needed.
    pub(crate) async fn run(
        &mut self,
        progress: &Progress,
        clients: &ResultClients,
        sink: &mut RowSink,
    ) -> Result<(), JobError> {
        let (found, files) = mpsc::unbounded_channel();
        let job = self.id.clone();
        let rows = UnboundedReceiverStream::new(files)
            .map(|(file, address, extent)| clients.rows(job.clone(), file, address, extent).boxed())
            .flatten_unordered(FILES_AT_A_TIME);
        let deliver = async {
            let mut rows = pin!(rows);
            while let Some(batch) = rows.next().await {
                sink.take(batch?).await?;
            }
            Ok(())
        };
        let watch = async {
            let files = Files::new(found);
            match self.watch(progress, files).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        };
        let done = tokio::select! {
            delivered = deliver => delivered,
            error = watch => Err(error),
        };
        if let Err(JobError::Lost { .. }) = done {
            // So that the next attempt is not sent there.
            self.cluster.expel_dead_executors().await;
        }
        done
    }

    /// What tasks of a job that failed have answered, as far as it can still be read.
    pub(crate) async fn salvage(&self, clients: &ResultClients) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let Some(stages) = self.cluster.stages(&self.id).await else {
            return batches;
        };
        let read = async {
            for (file, _) in stages.results {
                let Some(address) = self.cluster.address(&file.executor).await else {
                    continue;
                };
                let (_, extent) = watch::channel(Extent::Abandoned);
                let mut rows = pin!(clients.rows(self.id.clone(), file, address, extent));
                while let Some(Ok(batch)) = rows.next().await {
                    batches.push(batch);
                }
            }
        };
        if tokio::time::timeout(SALVAGE_TIME, read).await.is_err() {
            warn!(
                "not all answers of the failed job {} could be read",
                self.id
            );
        }
        batches
    }

    /// Watches the job and the executors it needs, and passes on the files of its last stage as
    /// they come into being. Ends only in an error.
    async fn watch(
        &mut self,
        progress: &Progress,
        mut files: Files,
    ) -> Result<Infallible, JobError> {
        let mut look = look_interval();
        loop {
            let status = tokio::select! {
                Some(update) = self.updates.recv() => update.status,
                _ = look.tick() => {
                    self.look(progress, &mut files).await?;
                    self.cluster.status(&self.id).await
                }
            };
            match status {
                Some(job_status::Status::Successful(job)) => {
                    if let Some(stages) = self.cluster.stages(&self.id).await {
                        progress.set_stages(stages.progress);
                    }
                    return self.finish(job.partition_location, files).await;
                }
                Some(job_status::Status::Failed(failed)) => {
                    return Err(self.cause(&failed.error).await);
                }
                Some(job_status::Status::Queued(_) | job_status::Status::Running(_)) | None => {}
            }
        }
    }

    /// Passes on the last files. From here on only the executors that hold the result matter.
    async fn finish(
        &mut self,
        result: Vec<PartitionLocation>,
        mut files: Files,
    ) -> Result<Infallible, JobError> {
        self.executors.clear();
        for location in result {
            let (file, extent) = result_file(location);
            self.executors.insert(file.executor.clone());
            files.found(&self.cluster, file, extent).await?;
        }
        // The senders say how far their files are, as long as these are read; nothing follows them.
        let _extents = files.no_more();
        let mut look = look_interval();
        loop {
            look.tick().await;
            self.check_executors().await?;
        }
    }

    /// The finished job's stages, each with its title and its measured plan.
    pub(crate) async fn measured(&self) -> Vec<(String, String)> {
        self.cluster.measured_stages(&self.id).await
    }

    /// Updates the progress and the files, and ends the job if something it needs is lost.
    async fn look(&mut self, progress: &Progress, files: &mut Files) -> Result<(), JobError> {
        if let Some(stages) = self.cluster.stages(&self.id).await {
            self.executors.extend(stages.executors);
            progress.set_stages(stages.progress);
            if let Some(reason) = stages.lost_output {
                return Err(JobError::Lost {
                    executor: "that held a stage's output".to_string(),
                    reason,
                });
            }
            files.check_repeated(&stages.repeated)?;
            for (file, extent) in stages.results {
                files.found(&self.cluster, file, extent).await?;
            }
        }
        self.check_executors().await
    }

    async fn check_executors(&self) -> Result<(), JobError> {
        for executor in &self.executors {
            if self.cluster.address(executor).await.is_none() {
                return Err(gone(executor));
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

/// A file, the address of its executor, and how far it is.
type Found = (ResultFile, (String, u16), watch::Receiver<Extent>);

/// The files of a job's last stage that its rows are read from.
struct Files {
    reader: mpsc::UnboundedSender<Found>,
    extents: HashMap<ResultFile, watch::Sender<Extent>>,
}

impl Files {
    fn new(reader: mpsc::UnboundedSender<Found>) -> Self {
        Self {
            reader,
            extents: HashMap::new(),
        }
    }

    /// Has a file read, or those who read it know how far it is.
    async fn found(
        &mut self,
        cluster: &Cluster,
        file: ResultFile,
        extent: Extent,
    ) -> Result<(), JobError> {
        if let Some(known) = self.extents.get(&file) {
            known.send_if_modified(|known| std::mem::replace(known, extent) != extent);
            return Ok(());
        }
        if let Extent::Complete { rows: 0, .. } = extent {
            return Ok(());
        }
        let Some(address) = cluster.address(&file.executor).await else {
            return Err(gone(&file.executor));
        };
        let (sender, receiver) = watch::channel(extent);
        self.extents.insert(file.clone(), sender);
        // It fails when nobody reads any more: the job is about to be dropped.
        let _ = self.reader.send((file, address, receiver));
        Ok(())
    }

    /// Ends the job if a task whose rows were read runs again, and would double them.
    fn check_repeated(&self, tasks: &HashSet<u64>) -> Result<(), JobError> {
        let read = self.extents.keys().find(|file| tasks.contains(&file.task));
        read.map_or(Ok(()), |file| {
            Err(JobError::Lost {
                executor: file.executor.clone(),
                reason: format!("a task on executor {} failed and runs again", file.executor),
            })
        })
    }

    /// Says that no file is to come.
    fn no_more(self) -> HashMap<ResultFile, watch::Sender<Extent>> {
        self.extents
    }
}

/// The file that a part of a finished job's result lies in.
fn result_file(location: PartitionLocation) -> (ResultFile, Extent) {
    let partition = location.partition_id.unwrap_or_default();
    let file = ResultFile {
        stage: partition.stage_id as usize,
        partition: partition.partition_id as usize,
        task: location.file_id.unwrap_or_default(),
        executor: location.executor_meta.unwrap_or_default().id,
    };
    let stats = location.partition_stats.unwrap_or_default();
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let (bytes, rows) = (number(stats.num_bytes), number(stats.num_rows));
    (file, Extent::Complete { bytes, rows })
}

fn gone(executor: &str) -> JobError {
    JobError::Lost {
        executor: executor.to_string(),
        reason: format!("executor {executor} is gone"),
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
