//! Actions: prepared statements, cancelling, session options; transactions are refused.

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, Command, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    Result as ActionResult,
};
use prost::Message;
use tonic::{Code, Status};

use super::FrontDoor;
use super::sessions::Caller;
use super::status::{malformed, status, unsupported};
use super::tickets::Handle;
use super::{decode_command, put, session_options};

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";
const CANCEL: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";

/// Said to whoever asks for a transaction.
pub(super) const NO_TRANSACTIONS: &str =
    "transactions are not supported: every statement commits by itself (autocommit)";

/// What `ListActions` lists.
pub(super) fn list() -> impl Iterator<Item = ActionType> {
    [
        (CREATE_PREPARED, "Plans a statement and returns a handle and its schemas. Request: ActionCreatePreparedStatementRequest; response: ActionCreatePreparedStatementResult"),
        (CLOSE_PREPARED, "Forgets a prepared statement. Request: ActionClosePreparedStatementRequest; no response"),
        (CANCEL, "Stops a statement. Request: CancelFlightInfoRequest; response: CancelFlightInfoResult"),
        (CANCEL_QUERY, "Stops a statement; older form of CancelFlightInfo. Request: ActionCancelQueryRequest; response: ActionCancelQueryResult"),
        (session_options::SET, "Sets session options. Request: SetSessionOptionsRequest; response: SetSessionOptionsResult"),
        (session_options::GET, "Returns all session options. Request: GetSessionOptionsRequest; response: GetSessionOptionsResult"),
        (session_options::CLOSE, "Ends the session. Request: CloseSessionRequest; response: CloseSessionResult"),
    ]
    .into_iter()
    .map(|(name, description)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    })
}

impl FrontDoor {
    /// Answers `DoAction`; None where the protocol has no response.
    pub(super) async fn action(
        &self,
        caller: &Caller,
        action: Action,
    ) -> Result<Option<ActionResult>, Status> {
        let body = action.body;
        match action.r#type.as_str() {
            CREATE_PREPARED => {
                let request: ActionCreatePreparedStatementRequest = unpack(&body)?;
                put::no_transaction(request.transaction_id.as_ref())?;
                let result = self.create_prepared(caller, &request.query).await?;
                Ok(Some(packed(&result)))
            }
            CLOSE_PREPARED => {
                let request: ActionClosePreparedStatementRequest = unpack(&body)?;
                self.prepared
                    .close(caller, request.prepared_statement_handle);
                Ok(None)
            }
            CANCEL => {
                let request = CancelFlightInfoRequest::decode(body)
                    .map_err(|error| malformed("CancelFlightInfo request", error))?;
                let cancelled = self.cancel(caller, &request.info.unwrap_or_default())?;
                let result = CancelFlightInfoResult::new(cancelled);
                Ok(Some(ActionResult::new(result.encode_to_vec())))
            }
            CANCEL_QUERY => {
                let request: ActionCancelQueryRequest = unpack(&body)?;
                let info = FlightInfo::decode(request.info)
                    .map_err(|error| malformed("CancelQuery request", error))?;
                // The two enumerations have the same numbers.
                let result = self.cancel(caller, &info)?.into();
                Ok(Some(packed(&ActionCancelQueryResult { result })))
            }
            session_options::SET => Ok(Some(self.set_session_options(caller, &body).await?)),
            session_options::GET => Ok(Some(self.session_options(caller))),
            session_options::CLOSE => Ok(Some(self.close_session(caller))),
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                Err(unsupported(NO_TRANSACTIONS))
            }
            "CreatePreparedSubstraitPlan" => {
                Err(unsupported("Substrait plans are not supported; send SQL"))
            }
            other => Err(status(
                Code::Unimplemented,
                format!("there is no action \"{other}\"; ListActions lists those there are"),
            )),
        }
    }

    /// Stops whatever the tickets and the descriptor of `info` stand for.
    fn cancel(&self, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus, Status> {
        let tickets = info
            .endpoint
            .iter()
            .filter_map(|endpoint| endpoint.ticket.as_ref())
            .map(|ticket| &ticket.ticket);
        let descriptor = info
            .flight_descriptor
            .iter()
            .map(|descriptor| &descriptor.cmd);
        let mut cancelled = CancelStatus::NotCancellable;
        for bytes in tickets.chain(descriptor) {
            if let Ok(Command::TicketStatementQuery(ticket)) = decode_command(bytes) {
                let handle = Handle::from_client(ticket.statement_handle);
                if self.tickets.cancel(&handle, caller.client.principal())? {
                    cancelled = CancelStatus::Cancelled;
                }
            }
        }
        Ok(cancelled)
    }
}

fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    Any::decode(body)
        .map_err(|error| malformed("action", error))?
        .unpack()
        .map_err(|error| malformed("action", error))?
        .ok_or_else(|| malformed("action", format!("expected {}", M::type_url())))
}

fn packed<M: ProstMessageExt>(message: &M) -> ActionResult {
    ActionResult::new(message.as_any().encode_to_vec())
}
