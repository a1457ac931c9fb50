//! Prepared statements: the actions that create and close them, and what is bound to them.
//!
//! A prepared statement belongs to the session that created it and ends with it, when closed, or
//! when unused for as long as a session may be. Bound values stay until others are bound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_flight::sql::ActionCreatePreparedStatementResult;
use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use tonic::{Code, Status};

use super::FrontDoor;
use super::encode::wire_schema;
use super::sessions::{Caller, ClientSession};
use super::statements::{Bound, schema_bytes};
use super::status::status;
use super::tickets::Handle;
use crate::statement::PreparedStatement;

struct Prepared {
    client: Arc<ClientSession>,
    statement: PreparedStatement,
    state: Mutex<State>,
}

struct State {
    parameters: Option<RecordBatch>,
    used: Instant,
}

/// All prepared statements.
pub(super) struct PreparedStatements {
    open: DashMap<Handle, Prepared>,
    idle: Duration,
}

impl PreparedStatements {
    /// None yet. Those unused for `idle` are forgotten.
    pub fn new(idle: Duration) -> Self {
        Self {
            open: DashMap::new(),
            idle,
        }
    }

    /// The statement behind a handle with what is bound to it.
    pub fn bound(&self, caller: &Caller, handle: Bytes) -> Result<Bound, Status> {
        self.with(caller, handle, |prepared, state| Bound {
            client: Arc::clone(&prepared.client),
            statement: prepared.statement.clone(),
            parameters: state.parameters.clone(),
        })
    }

    /// Binds `parameters`, one row per execution.
    pub fn bind(
        &self,
        caller: &Caller,
        handle: Bytes,
        parameters: Option<RecordBatch>,
    ) -> Result<(), Status> {
        self.with(caller, handle, |_, state| state.parameters = parameters)
    }

    /// Forgets a statement; one that is not known is closed already.
    pub fn close(&self, caller: &Caller, handle: Bytes) {
        self.open
            .remove_if(&Handle::from_client(handle), |_, prepared| {
                Arc::ptr_eq(&prepared.client, &caller.client)
            });
    }

    /// Forgets the statements of a session that was closed.
    pub fn close_session(&self, client: &Arc<ClientSession>) {
        self.open
            .retain(|_, prepared| !Arc::ptr_eq(&prepared.client, client));
    }

    /// Forgets statements that are unused.
    pub fn sweep(&self) {
        self.open
            .retain(|_, prepared| prepared.state.lock().used.elapsed() < self.idle);
    }

    fn insert(&self, bound: Bound) -> Handle {
        let handle = Handle::random();
        let prepared = Prepared {
            client: bound.client,
            statement: bound.statement,
            state: Mutex::new(State {
                parameters: bound.parameters,
                used: Instant::now(),
            }),
        };
        self.open.insert(handle.clone(), prepared);
        handle
    }

    fn with<T>(
        &self,
        caller: &Caller,
        handle: Bytes,
        read: impl FnOnce(&Prepared, &mut State) -> T,
    ) -> Result<T, Status> {
        let prepared = self
            .open
            .get(&Handle::from_client(handle))
            .filter(|prepared| Arc::ptr_eq(&prepared.client, &caller.client))
            .ok_or_else(|| {
                status(
                    Code::NotFound,
                    "the prepared statement is not known in this session: it was closed or unused for too long; prepare it again",
                )
            })?;
        let mut state = prepared.state.lock();
        state.used = Instant::now();
        Ok(read(&prepared, &mut state))
    }
}

impl FrontDoor {
    /// Plans a statement and keeps it. An update has an empty dataset schema.
    pub(super) async fn create_prepared(
        &self,
        caller: &Caller,
        sql: &str,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let bound = self.plan(caller, sql).await?;
        let statement = &bound.statement;
        let dataset = wire_schema(&statement.schema, caller.client.keeps_views());
        let parameters = wire_schema(&statement.parameters, false);
        Ok(ActionCreatePreparedStatementResult {
            dataset_schema: schema_bytes(&dataset)?,
            parameter_schema: schema_bytes(&parameters)?,
            prepared_statement_handle: self.prepared.insert(bound).to_bytes(),
        })
    }
}
