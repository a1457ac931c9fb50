//! The front door: Arrow Flight SQL over gRPC, the one port meant for clients.
//!
//! [`serve`] answers ADBC, JDBC, ODBC and `shoal` itself. What clients demand beyond the protocol
//! is described where it is done: [`statements`] (when things run), [`sessions`] (which call
//! belongs to whom), [`login`] (who it is), [`tickets`] (who may fetch what), [`encode`] (types and message sizes).
//!
//! Promises: every call is made by a known [`Principal`](shoal_engine::Principal); no address of an
//! executor and no secret leaves; a client that goes away, at any point, cancels what runs for it.

mod actions;
mod background;
mod connection;
mod encode;
mod login;
mod metadata;
mod prepared;
mod put;
mod session_options;
mod sessions;
mod sql_info;
mod statements;
mod status;
mod tickets;
mod xdbc_types;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, future, stream};
use prost::Message;
use shoal_config::Settings;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use self::login::connection_of;
use self::metadata::Fixed;
use self::prepared::PreparedStatements;
use self::sessions::{Caller, Sessions};
use self::statements::info;
use self::status::{internal, malformed, unsupported};
use self::tickets::{Handle, Tickets};
use crate::Statements;
use crate::auth::{AuthError, Authenticator};

/// Largest message a client may send: a batch of images during bulk ingest.
const LARGEST_MESSAGE: usize = 1 << 30;

/// How often expired tickets, sessions and prepared statements are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How long a silent connection is left alone before it is asked for a sign of life, and how long
/// that may take. Tells apart a client that waits from one whose machine is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Why the front door cannot be opened, or closed by itself.
#[derive(Debug, thiserror::Error)]
pub enum FrontDoorError {
    /// Nobody may come in, or the users file is not usable.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The listener has no address.
    #[error("the Flight SQL listener is not usable: {0}")]
    Listener(io::Error),
    /// The answers that never change could not be built.
    #[error("cannot describe the Flight SQL service: {0}")]
    Describe(FlightError),
    /// The transport failed.
    #[error("the Flight SQL service failed: {0}")]
    Transport(tonic::transport::Error),
}

/// Answers clients on `listener` until `shutdown`; then takes no new calls and returns when those
/// under way have ended. Dropping the future ends them at once.
///
/// # Errors
/// [`FrontDoorError::Auth`], before any client is let in, if the settings admit nobody or admit
/// anonymous clients on an address that others can reach.
pub async fn serve(
    statements: Statements,
    settings: Arc<Settings>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), FrontDoorError> {
    let address = listener.local_addr().map_err(FrontDoorError::Listener)?;
    let flight = &settings.flight;
    let idle = Duration::from_secs(flight.session_seconds);
    let door = Arc::new(FrontDoor {
        authenticator: Authenticator::new(flight, address.ip())?,
        sessions: Sessions::new(Arc::clone(statements.engine()), idle),
        prepared: PreparedStatements::new(idle),
        tickets: Tickets::new(Duration::from_secs(flight.ticket_seconds)),
        fixed: Fixed::new().map_err(FrontDoorError::Describe)?,
        statements,
    });
    let service = FlightServiceServer::new(FlightSql(Arc::clone(&door)))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(usize::MAX);
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .add_service(service)
        .serve_with_incoming_shutdown(connection::incoming(listener), shutdown.cancelled_owned());
    tracing::info!(%address, "Flight SQL is being served");
    tokio::select! {
        served = server => served.map_err(FrontDoorError::Transport),
        () = door.sweep() => Ok(()),
    }
}

/// Everything a call may need.
struct FrontDoor {
    statements: Statements,
    authenticator: Authenticator,
    sessions: Sessions,
    prepared: PreparedStatements,
    tickets: Tickets,
    fixed: Fixed,
}

/// What is asked for: a statement or metadata.
fn decode_command(bytes: &[u8]) -> Result<Command, Status> {
    Any::decode(bytes)
        .map_err(|error| malformed("command", error))
        .and_then(|any| Command::try_from(any).map_err(|error| malformed("command", error)))
}

impl FrontDoor {
    /// Forgets what has expired, for ever.
    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.tickets.sweep();
            self.prepared.sweep();
            self.sessions.sweep();
        }
    }

    async fn flight_info(
        &self,
        caller: &Caller,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        match decode_command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                put::no_transaction(query.transaction_id.as_ref())?;
                let bound = self.plan(caller, &query.query).await?;
                self.statement_info(caller, bound, descriptor).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = self
                    .prepared
                    .bound(caller, query.prepared_statement_handle)?;
                self.statement_info(caller, bound, descriptor).await
            }
            metadata => {
                let schema = self.metadata_schema(&metadata)?;
                let ticket = Ticket::new(descriptor.cmd.clone());
                let endpoint = FlightEndpoint::new().with_ticket(ticket);
                Ok(info(&schema, descriptor, None)?.with_endpoint(endpoint))
            }
        }
    }

    async fn poll_info(
        &self,
        caller: &Caller,
        descriptor: FlightDescriptor,
    ) -> Result<PollInfo, Status> {
        match decode_command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                put::no_transaction(query.transaction_id.as_ref())?;
                let bound = self.plan(caller, &query.query).await?;
                self.start(caller, bound).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = self
                    .prepared
                    .bound(caller, query.prepared_statement_handle)?;
                self.start(caller, bound).await
            }
            Command::TicketStatementQuery(ticket) => {
                let handle = Handle::from_client(ticket.statement_handle);
                self.poll(caller, &handle).await
            }
            _ => {
                let info = self.flight_info(caller, descriptor).await?;
                Ok(PollInfo {
                    info: Some(info),
                    progress: Some(1.0),
                    ..PollInfo::default()
                })
            }
        }
    }

    async fn schema(
        &self,
        caller: &Caller,
        descriptor: &FlightDescriptor,
    ) -> Result<SchemaResult, Status> {
        let schema = match decode_command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                self.plan(caller, &query.query).await?.schema()
            }
            Command::CommandPreparedStatementQuery(query) => self
                .prepared
                .bound(caller, query.prepared_statement_handle)?
                .schema(),
            metadata => self.metadata_schema(&metadata)?,
        };
        Ok(SchemaResult {
            schema: statements::schema_bytes(&schema)?,
        })
    }

    async fn get(
        &self,
        caller: &Caller,
        ticket: &Ticket,
    ) -> Result<BoxStream<'static, Result<FlightData, Status>>, Status> {
        let (rows, schema) = match decode_command(&ticket.ticket)? {
            Command::TicketStatementQuery(ticket) => {
                let handle = Handle::from_client(ticket.statement_handle);
                self.fetch(caller, &handle).await?
            }
            metadata => {
                let batch = self.metadata(caller, metadata).await?;
                let schema = batch.schema();
                (stream::iter([Ok(batch)]).boxed(), schema)
            }
        };
        Ok(encode::encode(rows, schema))
    }
}

/// The service tonic runs.
struct FlightSql(Arc<FrontDoor>);

#[tonic::async_trait]
impl FlightService for FlightSql {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let connection = connection_of(&request)?;
        let identity = self.0.identify(request).await?;
        let token = self.0.sessions.open_for_handshake(identity, connection);
        let header = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|error| internal("cannot send the token", error))?;
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.into(),
        };
        let mut response = Response::new(stream::once(future::ready(Ok(answer))).boxed());
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = self.0.caller(&request)?;
        let info = self.0.flight_info(&caller, request.into_inner()).await?;
        Ok(caller.reply(info))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let caller = self.0.caller(&request)?;
        let info = self.0.poll_info(&caller, request.into_inner()).await?;
        Ok(caller.reply(info))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let caller = self.0.caller(&request)?;
        let schema = self.0.schema(&caller, request.get_ref()).await?;
        Ok(caller.reply(schema))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = self.0.caller(&request)?;
        let rows = self.0.get(&caller, request.get_ref()).await?;
        Ok(caller.reply(rows))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.0.caller(&request)?;
        let result = self.0.put(&caller, request.into_inner()).await?;
        Ok(caller.reply(stream::once(future::ready(Ok(result))).boxed()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.0.caller(&request)?;
        let result = self.0.action(&caller, request.into_inner()).await?;
        Ok(caller.reply(stream::iter(result.map(Ok)).boxed()))
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let caller = self.0.caller(&request)?;
        Ok(caller.reply(stream::iter(actions::list().map(Ok)).boxed()))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(unsupported(
            "flights are not listed; list tables with CommandGetTables",
        ))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(unsupported(
            "DoExchange is not supported; use DoGet and DoPut",
        ))
    }
}
