//! Statements and prepared statements: GetFlightInfo, GetSchema, PollFlightInfo and DoGet.
//!
//! - `GetFlightInfo` plans a query and gives out a ticket; the query runs when the ticket is
//!   fetched, so nothing runs for a client that does not fetch. What changes something runs before
//!   `GetFlightInfo` answers, because clients take the answer for its completion; of an update,
//!   `total_records` is the number of rows affected.
//! - `PollFlightInfo` starts a statement at once. Its first answer without a descriptor says that
//!   rows can be fetched, or that the update has committed. `app_metadata` is the progress as JSON.
//! - Rows flow straight from the execution to the client; a client that goes away drops the stream,
//!   and with it the job.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, PollInfo, SchemaAsIpc,
};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;
use tonic::{Code, Status};

use super::FrontDoor;
use super::background::{Background, Phase};
use super::encode::{Rows, wire_schema};
use super::sessions::{Caller, ClientSession};
use super::status::{error_status, internal, status};
use super::tickets::{Handle, PlannedQuery, Work, gone};
use crate::error::StatementError;
use crate::statement::{Execution, PreparedStatement};

/// How long a poll waits for something to report.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// How long a statement that nobody polls may go on without having rows to fetch.
const POLL_KEEP: Duration = Duration::from_secs(60);

/// A statement about to run, with what was bound to it.
pub(super) struct Bound {
    /// The session it runs in.
    pub client: Arc<ClientSession>,
    /// The statement.
    pub statement: PreparedStatement,
    /// Values of its parameters.
    pub parameters: Option<RecordBatch>,
}

impl Bound {
    /// The schema its rows are sent with; empty for an update.
    pub fn schema(&self) -> SchemaRef {
        wire_schema(&self.statement.schema, self.client.keeps_views())
    }

    fn check(&self) -> Result<(), Status> {
        let expected = self.statement.parameters.fields().len();
        if expected > 0 && self.parameters.is_none() {
            return Err(status(
                Code::InvalidArgument,
                format!(
                    "the statement has {expected} parameters and none is bound; prepare it and bind them"
                ),
            ));
        }
        Ok(())
    }
}

impl FrontDoor {
    /// Plans a statement that comes as text.
    pub(super) async fn plan(&self, caller: &Caller, sql: &str) -> Result<Bound, Status> {
        let statement = self
            .statements
            .prepare(&caller.client.session, sql)
            .await
            .map_err(|error| error_status(&error))?;
        Ok(Bound {
            client: Arc::clone(&caller.client),
            statement,
            parameters: None,
        })
    }

    /// Answers `GetFlightInfo`: plans a query, runs what changes something.
    pub(super) async fn statement_info(
        &self,
        caller: &Caller,
        bound: Bound,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        bound.check()?;
        let schema = bound.schema();
        let principal = bound.client.principal().to_owned();
        let (work, records) = if bound.statement.is_update {
            let affected = self.update(&bound).await?;
            (Work::Done(Arc::clone(&schema)), affected)
        } else if bound.statement.has_effects {
            let background = self.in_background(caller, bound);
            background.ready().await;
            if let Phase::Failed(error) = background.phase() {
                return Err(error);
            }
            (Work::Background(Arc::new(background)), -1)
        } else {
            let query = PlannedQuery {
                client: bound.client,
                sql: bound.statement.sql,
                parameters: bound.parameters,
                schema: Arc::clone(&schema),
            };
            (Work::Planned(query), -1)
        };
        let handle = self.tickets.issue(&principal, work);
        info(&schema, descriptor, Some(&handle)).map(|info| info.with_total_records(records))
    }

    /// Runs an update to its end and returns the rows affected; `-1` if the number is not known.
    pub(super) async fn update(&self, bound: &Bound) -> Result<i64, Status> {
        bound.check()?;
        let execution = self
            .statements
            .execute(
                &bound.client.session,
                &bound.statement.sql,
                bound.parameters.clone(),
            )
            .await
            .map_err(|error| error_status(&error))?;
        execution
            .affected()
            .await
            .map_err(|error| error_status(&error))
    }

    /// Starts a statement in the background and answers its first poll.
    pub(super) async fn start(&self, caller: &Caller, bound: Bound) -> Result<PollInfo, Status> {
        bound.check()?;
        let principal = bound.client.principal().to_owned();
        let background = Arc::new(self.in_background(caller, bound));
        let work = Work::Background(Arc::clone(&background));
        let handle = self.tickets.issue(&principal, work);
        self.answer_poll(&principal, &handle, &background).await
    }

    fn in_background(&self, caller: &Caller, bound: Bound) -> Background {
        let (schema, is_update) = (bound.schema(), bound.statement.is_update);
        let ended = caller.connection.ended.clone();
        let statements = self.statements.clone();
        Background::start(schema, is_update, ended, async move {
            let session = &bound.client.session;
            statements
                .execute(session, &bound.statement.sql, bound.parameters)
                .await
        })
    }

    /// Answers a further poll.
    pub(super) async fn poll(&self, caller: &Caller, handle: &Handle) -> Result<PollInfo, Status> {
        let principal = caller.client.principal();
        let background = self.tickets.background(handle, principal, POLL_KEEP)?;
        self.answer_poll(principal, handle, &background).await
    }

    async fn answer_poll(
        &self,
        principal: &str,
        handle: &Handle,
        background: &Background,
    ) -> Result<PollInfo, Status> {
        // Running out of time is the answer "still running".
        let _ = tokio::time::timeout(POLL_WAIT, background.ready()).await;
        let phase = background.phase();
        let (keep, ready) = match &phase {
            Phase::Running => (POLL_KEEP, false),
            Phase::Rows | Phase::Affected(_) => (self.tickets.lifetime(), true),
            Phase::Failed(error) => {
                self.tickets.cancel(handle, principal)?;
                return Err(error.clone());
            }
        };
        self.tickets.background(handle, principal, keep)?;
        let endpoint = ready.then_some(handle);
        let mut info = info(&background.schema, handle.descriptor(), endpoint)?
            .with_app_metadata(progress_json(background, &phase));
        if let Phase::Affected(rows) = phase {
            info = info.with_total_records(rows);
        }
        let progress = match background.started() {
            Some((_, progress)) => progress.snapshot().fraction(),
            None => 0.0,
        };
        let mut answer = PollInfo {
            info: Some(info),
            flight_descriptor: (!ready).then(|| handle.descriptor()),
            progress: Some(progress),
            expiration_time: Some(Default::default()),
        };
        let expires = (SystemTime::now() + keep).duration_since(UNIX_EPOCH);
        if let (Some(at), Ok(expires)) = (&mut answer.expiration_time, expires) {
            at.seconds = i64::try_from(expires.as_secs()).unwrap_or(i64::MAX);
        }
        Ok(answer)
    }

    /// Answers `DoGet` of a ticket: the rows and the schema they are sent with.
    pub(super) async fn fetch(
        &self,
        caller: &Caller,
        handle: &Handle,
    ) -> Result<(Rows, SchemaRef), Status> {
        let (work, fetch) = self.tickets.fetch(handle, caller.client.principal())?;
        let (rows, schema) = match work {
            Work::Done(schema) => (futures::stream::empty().boxed(), schema),
            Work::Planned(query) => {
                let execution =
                    self.statements
                        .execute(&query.client.session, &query.sql, query.parameters);
                let execution = fetch
                    .unless_cancelled(execution)
                    .await?
                    .map_err(|error| error_status(&error))?;
                (execution_rows(execution), query.schema)
            }
            Work::Background(background) => {
                fetch.unless_cancelled(background.ready()).await?;
                if let Phase::Failed(error) = background.phase() {
                    return Err(error);
                }
                let rows = background.take_rows().ok_or_else(gone)?;
                (rows, Arc::clone(&background.schema))
            }
        };
        Ok((fetch.guard(rows), schema))
    }
}

/// The rows of a query, with errors fit for the client.
pub(super) fn execution_rows(execution: Execution) -> Rows {
    execution
        .rows
        .map(|batch| batch.map_err(|error| error_status(&StatementError::from_stream(error))))
        .boxed()
}

/// A `FlightInfo` with at most one endpoint, without a location: rows come from this service.
pub(super) fn info(
    schema: &Schema,
    descriptor: FlightDescriptor,
    handle: Option<&Handle>,
) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| internal("cannot encode a schema", error))?
        .with_descriptor(descriptor)
        .with_ordered(true);
    Ok(match handle {
        Some(handle) => info.with_endpoint(FlightEndpoint::new().with_ticket(handle.ticket())),
        None => info,
    })
}

/// `schema` as an IPC message.
pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error: arrow::error::ArrowError| internal("cannot encode a schema", error))?;
    Ok(bytes)
}

fn progress_json(background: &Background, phase: &Phase) -> Bytes {
    let mut report = json!({"state": "queued"});
    if let Some((query, progress)) = background.started() {
        report = json!(progress.snapshot());
        report["query"] = json!(query.as_str());
    }
    report["update"] = json!(background.is_update);
    if let Phase::Affected(rows) = phase {
        report["affected"] = json!(rows);
    }
    report.to_string().into()
}
