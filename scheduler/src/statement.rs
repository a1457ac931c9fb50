//! The contract between the front doors and the part that runs statements.
//!
//! A front door turns a request into SQL text (or a stream of batches) plus a session, hands both
//! to [`Statements`](crate::Statements), and gets back an [`Execution`]: a schema, a stream of
//! rows and a view of its progress. It never sees an executor, a plan or a job.
//!
//! Promises:
//! - dropping [`Execution::rows`] before its end cancels the query and frees what it held;
//! - the stream always ends: in its last batch, or in an error that names the cause;
//! - an update has committed exactly once when its stream yields its row, and not at all when it
//!   yields an error, unless that error says that the outcome is unknown.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parking_lot::Mutex;
use serde::Serialize;

use shoal_engine::Session;
use shoal_engine::parser::Name;

use crate::error::StatementError;

pub use shoal_engine::IngestMode;

/// Names one running or finished statement: a random UUID, unique across schedulers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryId(Arc<str>);

impl QueryId {
    /// A new name that nothing else carries.
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A statement that parses and plans in its session. It holds text only: every execution plans
/// again, so it sees the tables as they are then.
#[derive(Clone, Debug)]
pub struct PreparedStatement {
    /// The SQL text, one statement.
    pub sql: String,
    /// Columns of the result; empty for an update.
    pub schema: SchemaRef,
    /// One field per parameter in order, named `$1`, `$2`, …; its type where it can be inferred,
    /// otherwise `Utf8`.
    pub parameters: SchemaRef,
    /// Whether the statement changes data or names and answers with a row count.
    pub is_update: bool,
    /// Whether it changes something: an update, or one that answers with rows, as `COPY INTO` does.
    pub has_effects: bool,
}

/// Where bulk ingest puts its batches.
#[derive(Clone, Debug)]
pub struct IngestTarget {
    /// Catalog, or the session's current one.
    pub catalog: Option<String>,
    /// Schema, or the session's current one.
    pub schema: Option<String>,
    /// Table name, not yet folded to lower case.
    pub table: String,
    /// What to do about a table that exists or does not.
    pub mode: IngestMode,
}

impl IngestTarget {
    /// The table's name as the engine takes it.
    pub(crate) fn name(&self, session: &Session) -> Name {
        let schema = self.schema.clone().unwrap_or_else(|| session.schema());
        let mut parts = vec![schema, self.table.clone()];
        if let Some(catalog) = &self.catalog {
            parts.insert(0, catalog.clone());
        }
        Name(parts)
    }
}

/// A statement under way.
pub struct Execution {
    /// Its name, in logs and in `SHOW JOBS`.
    pub id: QueryId,
    /// Columns of [`Self::rows`]. For an update, [`affected_schema`].
    pub schema: SchemaRef,
    /// The rows. An update yields a single row, once it has committed. Errors are
    /// [`StatementError`]s inside `DataFusionError::External`; see [`StatementError::from_stream`].
    pub rows: SendableRecordBatchStream,
    /// Whether the rows are the row count of an update.
    pub is_update: bool,
    /// How far it is; keeps answering after the stream has ended.
    pub progress: Arc<Progress>,
}

impl Execution {
    /// Runs an update to its end and returns how many rows it affected; `-1` where the number is
    /// not known (Flight SQL's convention). For a query, reads all rows and returns their number.
    pub async fn affected(mut self) -> Result<i64, StatementError> {
        let mut counted: i64 = 0;
        let mut reported = None;
        while let Some(batch) = self.rows.next().await {
            let batch = batch.map_err(StatementError::from_stream)?;
            counted += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            if self.is_update && batch.num_rows() == 1 {
                reported = batch
                    .column(0)
                    .as_any()
                    .downcast_ref::<Int64Array>()
                    .filter(|column| column.is_valid(0))
                    .map(|column| column.value(0));
            }
        }
        if self.is_update {
            Ok(reported.unwrap_or(-1))
        } else {
            Ok(counted)
        }
    }
}

/// The one column an update answers with: how many rows it affected.
pub fn affected_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(
        "affected_rows",
        DataType::Int64,
        true,
    )]))
}

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryState {
    /// Waiting for a free place or being planned.
    Queued,
    /// Producing rows, or writing.
    Running,
    /// All rows were delivered; an update has committed.
    Finished,
    /// Ended in an error.
    Failed,
    /// Cancelled by its client.
    Cancelled,
}

impl QueryState {
    /// The state as `SHOW JOBS` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing further will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// Progress of one stage of a distributed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageProgress {
    /// Stage number, in the order of planning.
    pub id: usize,
    /// Partitions the stage works through.
    pub tasks: usize,
    /// Partitions it is done with.
    pub done: usize,
}

/// A picture of a statement's progress at one moment. Its JSON is the `app_metadata` of
/// `PollFlightInfo`.
#[derive(Clone, Debug, Serialize)]
pub struct ProgressSnapshot {
    /// Where it stands.
    pub state: QueryState,
    /// Stages known so far; empty while queued and for statements run in the scheduler.
    pub stages: Vec<StageProgress>,
    /// Rows handed to the client so far.
    pub rows: u64,
    /// How often it was submitted to the executors; more than 1 after executors were lost.
    pub attempts: u32,
    /// What a `COPY INTO` or a procedure has done so far.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyProgress>,
}

/// How far a `COPY INTO` is, or a procedure, whose objects are images and whose bytes are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CopyProgress {
    /// Objects below the source.
    #[serde(rename = "total_files")]
    pub files: u64,
    /// Objects that are done with: taken in, rejected, or left out as unchanged.
    #[serde(rename = "files")]
    pub done: u64,
    /// Rows added to the table.
    pub ingested: u64,
    /// Rows added to the table of rejected objects.
    #[serde(rename = "rejects")]
    pub rejected: u64,
    /// Objects that an earlier run had taken in or rejected.
    pub unchanged: u64,
    /// Bytes in the objects that were read.
    pub bytes: u64,
    /// Bytes in the objects that are to be read.
    pub total_bytes: u64,
}

impl ProgressSnapshot {
    /// Share of the known work that is done, between 0 and 1.
    pub fn fraction(&self) -> f64 {
        if self.state == QueryState::Finished {
            return 1.0;
        }
        if let Some(copy) = &self.copy {
            return copy.done as f64 / copy.files.max(1) as f64;
        }
        let tasks: usize = self.stages.iter().map(|stage| stage.tasks).sum();
        let done: usize = self.stages.iter().map(|stage| stage.done).sum();
        if tasks == 0 {
            0.0
        } else {
            (done as f64 / tasks as f64).min(1.0)
        }
    }
}

/// Progress of one statement, written by its runner and read by front doors.
#[derive(Debug)]
pub struct Progress {
    /// When the statement arrived, by the wall clock.
    pub submitted: SystemTime,
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    snapshot: ProgressSnapshot,
    elapsed_at_end: Option<std::time::Duration>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            submitted: SystemTime::now(),
            started: Instant::now(),
            inner: Mutex::new(Inner {
                snapshot: ProgressSnapshot {
                    state: QueryState::Queued,
                    stages: Vec::new(),
                    rows: 0,
                    attempts: 0,
                    copy: None,
                },
                elapsed_at_end: None,
            }),
        }
    }
}

impl Progress {
    /// How far the statement is.
    pub fn snapshot(&self) -> ProgressSnapshot {
        self.inner.lock().snapshot.clone()
    }

    /// Time from arrival to now, or to its end.
    pub fn elapsed(&self) -> std::time::Duration {
        self.inner
            .lock()
            .elapsed_at_end
            .unwrap_or_else(|| self.started.elapsed())
    }

    /// Moves to `state`. A final state stays.
    pub(crate) fn set_state(&self, state: QueryState) {
        let mut inner = self.inner.lock();
        if inner.snapshot.state.is_final() {
            return;
        }
        inner.snapshot.state = state;
        if state.is_final() {
            inner.elapsed_at_end = Some(self.started.elapsed());
        }
    }

    /// Counts one more submission to the executors, which starts over its stages.
    pub(crate) fn begin_attempt(&self) {
        let mut inner = self.inner.lock();
        inner.snapshot.attempts += 1;
        inner.snapshot.stages.clear();
    }

    /// Replaces the stages.
    pub(crate) fn set_stages(&self, stages: Vec<StageProgress>) {
        self.inner.lock().snapshot.stages = stages;
    }

    /// Replaces what a `COPY INTO` has done.
    pub(crate) fn set_copy(&self, copy: CopyProgress) {
        self.inner.lock().snapshot.copy = Some(copy);
    }

    /// Counts rows handed to the client.
    pub(crate) fn add_rows(&self, rows: usize) {
        self.inner.lock().snapshot.rows += rows as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_state_stays() {
        let progress = Progress::default();
        progress.set_state(QueryState::Cancelled);
        progress.set_state(QueryState::Finished);
        assert_eq!(progress.snapshot().state, QueryState::Cancelled);
    }

    #[test]
    fn a_new_attempt_starts_its_stages_over() {
        let progress = Progress::default();
        progress.begin_attempt();
        progress.set_stages(vec![StageProgress {
            id: 1,
            tasks: 4,
            done: 2,
        }]);
        assert_eq!(progress.snapshot().fraction(), 0.5);
        progress.begin_attempt();
        let snapshot = progress.snapshot();
        assert_eq!((snapshot.attempts, snapshot.fraction()), (2, 0.0));
    }
}
