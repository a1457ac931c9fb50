//! How errors look to a client: a gRPC code it can act on and our own message.
//!
//! Promises: no message names the address of an executor, and none is longer than a client takes.

use std::sync::LazyLock;

use datafusion::error::DataFusionError;
use regex::Regex;
use shoal_catalog::CatalogError;
use shoal_engine::EngineError;
use shoal_lake::LakeError;
use tonic::{Code, Status};

use crate::error::StatementError;

/// Longest message sent, in bytes. gRPC carries it in a header, percent-encoded, and clients
/// refuse headers of more than 8 KiB.
const LONGEST_MESSAGE: usize = 2_000;

/// A status with `message`, shortened if a client could not take it.
pub(super) fn status(code: Code, message: impl Into<String>) -> Status {
    let mut message = message.into();
    if message.len() > LONGEST_MESSAGE {
        let mut end = LONGEST_MESSAGE;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    Status::new(code, message)
}

/// The client sent something that cannot be understood.
pub(super) fn malformed(what: &str, problem: impl std::fmt::Display) -> Status {
    status(
        Code::InvalidArgument,
        format!("cannot read the {what} sent by the client: {problem}"),
    )
}

/// The client asked for something this service does not do.
pub(super) fn unsupported(message: &str) -> Status {
    status(Code::Unimplemented, message)
}

/// Something that should not happen went wrong while answering.
pub(super) fn internal(doing: &str, error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, doing, "front door failed");
    status(Code::Internal, format!("{doing}: {error}"))
}

/// A statement failed.
pub(super) fn error_status(error: &StatementError) -> Status {
    let message = match error {
        StatementError::ExecutorLost {
            id, consequence, ..
        } => format!("query {id} lost an executor: {consequence}"),
        other => other.to_string(),
    };
    status(statement_code(error), without_addresses(&message))
}

fn statement_code(error: &StatementError) -> Code {
    match error {
        StatementError::Empty
        | StatementError::Several(_)
        | StatementError::Parameters(_)
        | StatementError::Invalid(_) => Code::InvalidArgument,
        StatementError::Engine(error) => engine_code(error),
        StatementError::Data(error) => data_code(error),
        StatementError::Failed { .. } => Code::Internal,
        StatementError::Cancelled { .. } => Code::Cancelled,
        StatementError::TimedOut { .. } => Code::DeadlineExceeded,
        StatementError::ExecutorLost { .. }
        | StatementError::NoExecutors { .. }
        | StatementError::ShuttingDown => Code::Unavailable,
    }
}

fn engine_code(error: &EngineError) -> Code {
    match error {
        EngineError::Syntax { .. } | EngineError::Invalid(_) => Code::InvalidArgument,
        EngineError::Unsupported { .. } => Code::Unimplemented,
        EngineError::NotFound { .. } => Code::NotFound,
        EngineError::AlreadyExists { .. } => Code::AlreadyExists,
        EngineError::Plan(error) => data_code(error),
        EngineError::Lake(error) => lake_code(error),
        EngineError::Model(_) => Code::InvalidArgument,
        EngineError::Catalog(error) => catalog_code(error),
    }
}

fn lake_code(error: &LakeError) -> Code {
    match error {
        LakeError::NotATable { .. } => Code::NotFound,
        LakeError::AlreadyExists { .. } => Code::AlreadyExists,
        LakeError::Unsupported { .. } => Code::Unimplemented,
        LakeError::Conflict { .. } => Code::Aborted,
        LakeError::Constraint { .. } | LakeError::Invalid(_) => Code::InvalidArgument,
        LakeError::Store { .. } => Code::Unavailable,
        LakeError::DataFusion(error) => data_code(error),
        _ => Code::Internal,
    }
}

fn catalog_code(error: &CatalogError) -> Code {
    match error {
        CatalogError::InvalidName { .. } => Code::InvalidArgument,
        CatalogError::NotFound { .. } => Code::NotFound,
        CatalogError::AlreadyExists { .. } => Code::AlreadyExists,
        CatalogError::WrongKind { .. } | CatalogError::NotEmpty { .. } => Code::FailedPrecondition,
        CatalogError::Connect { .. } | CatalogError::Query { .. } => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The code of an error of planning or of reading and computing rows, in which ours may be wrapped.
fn data_code(error: &DataFusionError) -> Code {
    match error.find_root() {
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::SQL(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::ArrowError(..) => Code::InvalidArgument,
        DataFusionError::NotImplemented(_) => Code::Unimplemented,
        DataFusionError::ResourcesExhausted(_) => Code::ResourceExhausted,
        DataFusionError::ObjectStore(_) => Code::Unavailable,
        DataFusionError::External(inner) => {
            if let Some(error) = inner.downcast_ref() {
                statement_code(error)
            } else if let Some(error) = inner.downcast_ref() {
                engine_code(error)
            } else if let Some(error) = inner.downcast_ref() {
                lake_code(error)
            } else if let Some(error) = inner.downcast_ref() {
                catalog_code(error)
            } else {
                Code::Internal
            }
        }
        _ => Code::Internal,
    }
}

/// `message` without addresses of processes: those with a scheme and a port, and IP addresses with
/// a port.
fn without_addresses(message: &str) -> String {
    static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b(?:https?|grpc(?:\+tcp|\+tls)?)://[^\s/:]+:\d+|\b\d{1,3}(?:\.\d{1,3}){3}:\d+\b|\[[0-9a-fA-F:]+\]:\d+").ok()
    });
    match &*ADDRESS {
        Some(address) => address.replace_all(message, "<address>").into_owned(),
        None => "the statement failed; the scheduler's log has the reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::QueryId;

    #[test]
    fn addresses_of_executors_do_not_leave_and_the_rest_of_the_message_does() {
        let error = StatementError::Failed {
            id: QueryId::random(),
            reason: "cannot fetch 10.1.2.3:50051 and http://executor-2:50051/x, [::1]:7: \
                     at 2026-11-21T10:30:00 'a:1'"
                .into(),
        };
        let message = error_status(&error).message().to_owned();
        assert!(
            message.ends_with(
                "cannot fetch <address> and <address>/x, <address>: at 2026-11-21T10:30:00 'a:1'"
            ),
            "{message}"
        );
    }

    #[test]
    fn a_lost_executor_is_not_named() {
        let error = StatementError::ExecutorLost {
            id: QueryId::random(),
            executor: "e7 at worker-7:50051".into(),
            consequence: "its rows were being sent already".into(),
        };
        let status = error_status(&error);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("worker-7"), "{status}");
    }

    #[test]
    fn a_wrapped_error_keeps_its_code() {
        let error = StatementError::Data(
            DataFusionError::from(EngineError::not_found("table", "lake.raw.x"))
                .context("planning"),
        );
        assert_eq!(error_status(&error).code(), Code::NotFound);
    }

    #[test]
    fn a_message_fits_into_a_header() {
        let status = status(Code::Internal, "ä".repeat(5_000));
        assert!(status.message().len() <= LONGEST_MESSAGE + 3);
    }
}
