//! What ends a command, and with which exit code.

use std::process::ExitCode;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use shoal_client::ClientError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// One of several statements failed; those before it have taken effect.
    #[error("line {line}: {source}")]
    Statement {
        /// Line of the input on which the statement begins, from 1.
        line: usize,
        /// Why.
        source: ClientError,
    },
    /// A step of a pipeline failed; what it and those before it did stays.
    #[error("{step}: {source}")]
    Step {
        /// Which step.
        step: String,
        /// Why.
        source: ClientError,
    },
    /// The settings.
    #[error(transparent)]
    Config(#[from] shoal_config::ConfigError),
    /// The rows cannot be written in the chosen format.
    #[error("cannot write the result: {0}")]
    Arrow(#[from] ArrowError),
    /// The rows cannot be written as Parquet.
    #[error("cannot write the result: {0}")]
    Parquet(#[from] ParquetError),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] std::io::Error),
    /// A file or the terminal cannot be used.
    #[error("{what}: {source}")]
    File {
        /// What was being done to which file.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server process inside this one failed.
    #[error("{0}")]
    Serve(String),
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C; the statement was cancelled.
    #[error("cancelled")]
    Interrupted,
}

impl CliError {
    /// 2 for a usage error, 130 after Ctrl-C, otherwise 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
            _ => ExitCode::FAILURE,
        }
    }
}
