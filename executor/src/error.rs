//! What can keep an executor from starting or running.

use std::path::PathBuf;

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;

/// Why an executor did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A folder or lock file could not be used.
    #[error("cannot {doing} {path}: {source}; check {key} in the settings")]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// The settings key it came from.
        key: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A host name could not be resolved.
    #[error("cannot resolve the host {host:?} of {key}: {reason}")]
    Host {
        /// The host as configured.
        host: String,
        /// The settings key it came from.
        key: &'static str,
        /// What the resolver said.
        reason: String,
    },
    /// A port could not be listened on.
    #[error("cannot listen on {address} ({key}): {reason}; is another executor running there?")]
    Listen {
        /// Address and port.
        address: String,
        /// The settings key of the port.
        key: &'static str,
        /// What the operating system said.
        reason: String,
    },
    /// A setting contradicts another.
    #[error("{0}")]
    Settings(String),
    /// The execution runtime could not be set up.
    #[error("cannot set up the execution runtime: {0}")]
    Runtime(#[from] DataFusionError),
    /// Models could not be made ready.
    #[error(transparent)]
    Models(#[from] shoal_models::ModelError),
    /// The scheduler refused the executor, or the connection to it failed.
    #[error("scheduler {scheduler}: {source}")]
    Scheduler {
        /// Host and port of the scheduler.
        scheduler: String,
        /// What went wrong.
        source: Box<BallistaError>,
    },
}

/// Result of running an executor.
pub type Result<T, E = ExecutorError> = std::result::Result<T, E>;
