//! A statement that runs on the server: its progress, its rows, its cancellation.
//!
//! It is started and awaited with `PollFlightInfo`, which answers before the statement is done and
//! says how far it is. The answer that names no further descriptor names the endpoints, whose rows
//! are then fetched with `DoGet`. While they are fetched, Shoal goes on telling the progress to
//! whoever polls for the ticket. Servers without `PollFlightInfo` are asked with `GetFlightInfo`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo, Ticket};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tonic::{Code, Status};

use crate::connection::Client;
use crate::error::ClientError;
use crate::progress::{Metadata, Progress};

/// Pause between two polls while rows are fetched. While they are awaited there is none: Shoal
/// itself holds such a poll for as long.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// Least time between two polls, should a server answer them at once.
const POLL_AT_LEAST: Duration = Duration::from_millis(20);

/// What a statement came to.
pub enum Outcome {
    /// The rows of a query.
    Rows(RowStream),
    /// An update has taken effect; how many rows it changed, if the server knows.
    Affected(Option<u64>),
}

/// A statement under way. Dropping it cancels it.
pub struct Statement {
    follower: Follower,
}

impl Statement {
    pub(crate) async fn start(client: Client, sql: &str) -> Result<Self, ClientError> {
        let command = CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        };
        let query = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let (info, next) = match client.poll(query.clone()).await {
            Ok(answer) => (answer.info.unwrap_or_default(), answer.flight_descriptor),
            Err(status) if status.code() == Code::Unimplemented => {
                (client.info(query).await?, None)
            }
            Err(status) => return Err(status.into()),
        };
        Ok(Self {
            follower: Follower::new(client, info, next),
        })
    }

    /// A view of the progress that changes as the statement runs.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.follower.progress.clone()
    }

    /// A handle that cancels the statement from elsewhere.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            client: self.follower.client.clone(),
            known: self.follower.known.clone(),
        }
    }

    /// Waits until there are rows to read, or until an update has taken effect.
    ///
    /// # Errors
    /// [`ClientError::Statement`] if it failed, [`ClientError::Cancelled`] if it was cancelled.
    pub async fn outcome(self) -> Result<Outcome, ClientError> {
        let mut follower = self.follower;
        let info = follower.ready().await?;
        let metadata = Metadata::read(&info.app_metadata);
        let schema = match info.schema.is_empty() {
            true => Schema::empty(),
            false => info
                .clone()
                .try_decode_schema()
                .map_err(|error| ClientError::Protocol(error.to_string()))?,
        };
        if metadata.update || schema.fields().is_empty() {
            follower.end();
            // Flight SQL says -1 for an unknown count.
            let affected = metadata.affected.unwrap_or(info.total_records);
            return Ok(Outcome::Affected(u64::try_from(affected).ok()));
        }
        Ok(Outcome::Rows(RowStream {
            schema: Arc::new(schema),
            batches: follower.batches(info),
        }))
    }
}

/// Rows of a query, in batches, fetched as they are asked for. Dropping it cancels the query.
pub struct RowStream {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, ClientError>>,
}

impl RowStream {
    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Stream for RowStream {
    type Item = Result<RecordBatch, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(context)
    }
}

/// Cancels one statement.
#[derive(Clone)]
pub struct Canceller {
    client: Client,
    known: watch::Receiver<Known>,
}

impl Canceller {
    /// Asks the server to stop the statement and to free what it holds.
    ///
    /// # Errors
    /// [`ClientError::Statement`] if the server does not know the statement any more.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        let info = self.known.borrow().info.clone();
        Ok(self.client.cancel(info).await?)
    }
}

/// What the last poll said.
#[derive(Clone)]
struct Known {
    info: FlightInfo,
    /// The rows can be fetched, or the update has taken effect.
    ready: bool,
    failed: Option<Status>,
}

/// Polls a statement in the background, as long as it is not dropped.
struct Follower {
    client: Client,
    known: watch::Receiver<Known>,
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
    /// Whether the server has nothing left to cancel.
    ended: bool,
}

impl Follower {
    fn new(client: Client, info: FlightInfo, next: Option<FlightDescriptor>) -> Self {
        let (report, progress) = watch::channel(Metadata::read(&info.app_metadata).progress);
        let (publish, known) = watch::channel(Known {
            ready: next.is_none(),
            info,
            failed: None,
        });
        let polling = poll(client.clone(), next, publish, report);
        Self {
            client,
            known,
            progress,
            task: tokio::spawn(polling).abort_handle(),
            ended: false,
        }
    }

    /// Waits until the statement is ready, or has failed.
    async fn ready(&mut self) -> Result<FlightInfo, ClientError> {
        let known = self
            .known
            .wait_for(|known| known.ready || known.failed.is_some())
            .await
            .map(|known| known.clone())
            .map_err(|_| ClientError::Protocol("polling ended without a result".into()))?;
        match known.failed {
            None => Ok(known.info),
            Some(status) => {
                self.end();
                Err(status.into())
            }
        }
    }

    /// There is nothing left to cancel.
    fn end(&mut self) {
        self.ended = true;
    }

    /// The rows of all endpoints, one after the other.
    fn batches(self, info: FlightInfo) -> BoxStream<'static, Result<RecordBatch, ClientError>> {
        let tickets = info.endpoint.into_iter().filter_map(|e| e.ticket);
        let start = (self, tickets, None::<FlightRecordBatchStream>);
        futures::stream::try_unfold(start, |(mut this, mut tickets, mut current)| async move {
            loop {
                let batches = match &mut current {
                    Some(batches) => batches,
                    None => match tickets.next() {
                        Some(ticket) => current.insert(this.fetch(ticket).await?),
                        None => {
                            this.end();
                            return Ok(None);
                        }
                    },
                };
                match batches.try_next().await {
                    Ok(Some(batch)) => return Ok(Some((batch, (this, tickets, current)))),
                    Ok(None) => current = None,
                    Err(error) => {
                        this.end();
                        return Err(error.into());
                    }
                }
            }
        })
        .boxed()
    }

    async fn fetch(&mut self, ticket: Ticket) -> Result<FlightRecordBatchStream, ClientError> {
        self.client.fetch(ticket).await.map_err(|status| {
            self.end();
            status.into()
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
        if self.ended {
            return;
        }
        let info = self.known.borrow().info.clone();
        let client = self.client.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(status) = client.cancel(info).await {
                    tracing::debug!(%status, "could not cancel an abandoned statement");
                }
            });
        }
    }
}

/// Polls until the statement is ready and, for the sake of progress, until its rows are fetched.
async fn poll(
    client: Client,
    mut next: Option<FlightDescriptor>,
    publish: watch::Sender<Known>,
    report: watch::Sender<Progress>,
) {
    while let Some(query) = next.take() {
        let not_before = tokio::time::Instant::now() + POLL_AT_LEAST;
        match client.poll(query).await {
            Ok(answer) => {
                let info = answer.info.unwrap_or_default();
                report.send_replace(Metadata::read(&info.app_metadata).progress);
                next = answer.flight_descriptor;
                publish.send_replace(Known {
                    ready: next.is_none(),
                    info,
                    failed: None,
                });
            }
            Err(status) => {
                publish.send_modify(|known| known.failed = Some(status));
                return;
            }
        }
        if next.is_some() {
            tokio::time::sleep_until(not_before).await;
        }
    }
    let Some(ticket) = first_ticket(&publish.borrow().info) else {
        return;
    };
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        let query = FlightDescriptor::new_cmd(ticket.ticket.clone());
        let Ok(answer) = client.poll(query).await else {
            return;
        };
        let info = answer.info.unwrap_or_default();
        report.send_replace(Metadata::read(&info.app_metadata).progress);
    }
}

fn first_ticket(info: &FlightInfo) -> Option<Ticket> {
    info.endpoint.first()?.ticket.clone()
}

#[cfg(test)]
mod tests;
