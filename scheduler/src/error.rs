//! What can go wrong between a statement's arrival and its last row.

use datafusion::error::DataFusionError;

use crate::statement::QueryId;

/// Why a statement did not succeed. Messages name the statement or object and the remedy, and
/// carry no secret.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The text holds no statement.
    #[error("the text holds no SQL statement")]
    Empty,
    /// The text holds more than one statement.
    #[error("the text holds {0} SQL statements; send them one at a time (nothing was executed)")]
    Several(usize),
    /// Parsing, naming, planning or a metadata command failed.
    #[error(transparent)]
    Engine(#[from] shoal_engine::EngineError),
    /// The values bound to the parameters do not fit.
    #[error("cannot bind the parameters of the statement: {0}")]
    Parameters(String),
    /// A stage of the query, or its local execution, failed.
    #[error("query {id} failed: {reason}")]
    Failed {
        /// The query.
        id: QueryId,
        /// Its first error.
        reason: String,
    },
    /// Reading or computing rows failed, outside any one query.
    #[error(transparent)]
    Data(DataFusionError),
    /// Cancelled by its client, by `CANCEL` or by shutdown.
    #[error("query {id} was cancelled")]
    Cancelled {
        /// The query.
        id: QueryId,
    },
    /// Ran longer than allowed.
    #[error("query {id} was stopped after {seconds} s, the limit of cluster.job_timeout_seconds")]
    TimedOut {
        /// The query.
        id: QueryId,
        /// The limit.
        seconds: u64,
    },
    /// Executors died and the query could not be started over.
    #[error("query {id} lost executor {executor}: {consequence}")]
    ExecutorLost {
        /// The query.
        id: QueryId,
        /// Id and address of the executor.
        executor: String,
        /// Why it was not started over.
        consequence: String,
    },
    /// No executor is there to run on.
    #[error(
        "query {id} has to run on executors, and none has registered within {seconds} s; \
         start one with `shoal-executor --config …`, or SET shoal.placement = 'local'"
    )]
    NoExecutors {
        /// The query.
        id: QueryId,
        /// How long it waited.
        seconds: u64,
    },
    /// What the statement asks for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The service is stopping.
    #[error("the scheduler is shutting down and takes no new statements")]
    ShuttingDown,
}

/// What keeps a scheduler from starting or running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be listened on.
    #[error("cannot listen on {address} ({key}): {source}; is another scheduler running there?")]
    Listen {
        /// Address and port.
        address: String,
        /// The settings key of the port.
        key: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The threads of statements that run in the scheduler could not be started.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The catalog, the object stores or the session defaults could not be set up.
    #[error(transparent)]
    Engine(#[from] shoal_engine::EngineError),
    /// Ballista's scheduler could not be set up.
    #[error("cannot set up the cluster: {0}")]
    Cluster(#[from] ballista_core::error::BallistaError),
    /// The front door could not be opened, or closed by itself.
    #[error(transparent)]
    FrontDoor(#[from] crate::flight::FrontDoorError),
    /// A server ended in a way that is a defect of Shoal.
    #[error("a server ended unexpectedly: {0}")]
    Panic(tokio::task::JoinError),
    /// A gRPC server stopped.
    #[error("cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Result of running statements.
pub type Result<T, E = StatementError> = std::result::Result<T, E>;

impl StatementError {
    /// Takes a [`StatementError`] back out of an error that came through
    /// [`Execution::rows`](crate::Execution::rows); any other error is [`Self::Data`].
    pub fn from_stream(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<StatementError>() {
                Ok(error) => *error,
                Err(other) => Self::Data(DataFusionError::External(other)),
            },
            DataFusionError::Context(_, inner) => Self::from_stream(*inner),
            other => Self::Data(other),
        }
    }
}

impl From<StatementError> for DataFusionError {
    fn from(error: StatementError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
