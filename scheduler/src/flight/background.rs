//! A statement that runs without anyone fetching it yet: what `PollFlightInfo` starts and watches,
//! and what has effects besides its rows.
//!
//! It runs until its first rows are there (or, for an update, until it has committed), then waits
//! for someone to fetch them. Dropping it cancels it; so does the end of the connection it was
//! asked for over, unless someone has begun to fetch.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status};

use super::encode::Rows;
use super::statements::execution_rows;
use super::status::{error_status, status};
use crate::error::StatementError;
use crate::statement::{Execution, Progress, QueryId};

/// Where the statement stands, as far as fetching goes.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// No rows yet.
    Running,
    /// Rows can be fetched.
    Rows,
    /// An update has committed, affecting so many rows; `-1` if the number is not known.
    Affected(i64),
    /// It failed.
    Failed(Status),
}

/// The statement.
pub(super) struct Background {
    /// The schema its rows are sent with.
    pub schema: SchemaRef,
    /// Whether it is an update.
    pub is_update: bool,
    phase: watch::Receiver<Phase>,
    started: Arc<Started>,
    rows: Arc<Receiver>,
    _cancel: DropGuard,
}

/// The rows, until someone fetches them.
type Receiver = Mutex<Option<mpsc::Receiver<Result<RecordBatch, Status>>>>;

/// Name and progress of the statement, once it has been planned.
type Started = OnceLock<(QueryId, Arc<Progress>)>;

impl Background {
    /// Starts `execution` on a task of its own. `schema` is the one its rows are sent with; `ended`
    /// tells that whoever asked for it is gone.
    pub fn start<E>(
        schema: SchemaRef,
        is_update: bool,
        ended: CancellationToken,
        execution: E,
    ) -> Self
    where
        E: Future<Output = Result<Execution, StatementError>> + Send + 'static,
    {
        let (phase_sender, phase) = watch::channel(Phase::Running);
        // One batch is ready while the next is produced; more would only be memory.
        let (row_sender, rows) = mpsc::channel(1);
        let rows = Arc::new(Mutex::new(Some(rows)));
        let started = Arc::new(Started::new());
        let cancel = CancellationToken::new();
        let cancelled = cancel.clone();
        let running = Arc::clone(&started);
        let unfetched = Arc::clone(&rows);
        let run = async move {
            let ready = tokio::select! {
                () = ended.cancelled() => Err(abandoned()),
                ready = until_ready(execution, &running) => ready,
            };
            match ready {
                Err(error) => {
                    phase_sender.send_replace(Phase::Failed(error));
                }
                Ok(Ready::Affected(rows)) => {
                    phase_sender.send_replace(Phase::Affected(rows));
                }
                Ok(Ready::Rows(first, rest)) => {
                    phase_sender.send_replace(Phase::Rows);
                    tokio::select! {
                        () = deliver(first, rest, row_sender) => {}
                        () = never_fetched(&ended, &unfetched) => {
                            phase_sender.send_replace(Phase::Failed(abandoned()));
                        }
                    }
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = run => {}
            }
        });
        Self {
            schema,
            is_update,
            phase,
            started,
            rows,
            _cancel: cancel.drop_guard(),
        }
    }

    /// Where it stands now.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Returns when it is no longer [`Phase::Running`].
    pub async fn ready(&self) {
        let mut phase = self.phase.clone();
        // An error means that the task is gone, which `phase` then shows.
        let _ = phase
            .wait_for(|phase| !matches!(phase, Phase::Running))
            .await;
    }

    /// Its name and how far it is, once it has been planned.
    pub fn started(&self) -> Option<&(QueryId, Arc<Progress>)> {
        self.started.get()
    }

    /// Its rows; none the second time, or when the client that asked for them is gone.
    pub fn take_rows(&self) -> Option<Rows> {
        let rows = self.rows.lock().take()?;
        Some(ReceiverStream::new(rows).boxed())
    }
}

/// What there is once a statement is ready.
enum Ready {
    /// The first batch of a query, if it has any rows, and the rest.
    Rows(Option<RecordBatch>, Rows),
    /// The rows that an update affected.
    Affected(i64),
}

async fn until_ready<E>(execution: E, started: &Started) -> Result<Ready, Status>
where
    E: Future<Output = Result<Execution, StatementError>> + Send + 'static,
{
    let execution = execution.await.map_err(|error| error_status(&error))?;
    // Set once: nothing else writes it.
    let _ = started.set((execution.id.clone(), Arc::clone(&execution.progress)));
    if execution.is_update {
        let affected = execution.affected().await;
        return affected
            .map(Ready::Affected)
            .map_err(|error| error_status(&error));
    }
    let mut rows = execution_rows(execution);
    let first = rows.next().await.transpose()?;
    Ok(Ready::Rows(first, rows))
}

/// Returns when the connection has ended before anyone began to fetch; from then on nobody can.
async fn never_fetched(ended: &CancellationToken, rows: &Receiver) {
    ended.cancelled().await;
    if rows.lock().take().is_none() {
        std::future::pending::<()>().await;
    }
}

fn abandoned() -> Status {
    status(
        Code::Cancelled,
        "the statement was cancelled because the client that sent it went away",
    )
}

/// Hands the rows to whoever fetches them, and stops as soon as that one is gone.
async fn deliver(
    first: Option<RecordBatch>,
    mut rest: Rows,
    fetcher: mpsc::Sender<Result<RecordBatch, Status>>,
) {
    let mut next = first.map(Ok);
    while let Some(batch) = next {
        if fetcher.send(batch).await.is_err() {
            return;
        }
        next = tokio::select! {
            () = fetcher.closed() => return,
            batch = rest.next() => batch,
        };
    }
}
