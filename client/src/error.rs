//! What can go wrong between a program and a Shoal server.

use arrow_flight::error::FlightError;
use tonic::{Code, Status};

/// Why a call did not succeed. Messages name the server or repeat what the server said about the
/// statement; they hold no credentials.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL does not name a Flight SQL server.
    #[error("\"{url}\" is not a server address ({reason}); write it as http://host:32010")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made.
    #[error(
        "cannot reach a Shoal server at {url}: {reason}; start one with `shoal serve`, or name another with --url"
    )]
    Connect {
        /// Address of the server.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server does not know the user, password or token, or the session has ended.
    #[error("not signed in: {0}")]
    Unauthenticated(String),
    /// The server refused or failed the statement; its own words.
    #[error("{message}")]
    Statement {
        /// Class of the error.
        code: Code,
        /// What the server said.
        message: String,
    },
    /// Rows were asked for, but the statement was an update. It has taken effect.
    #[error("the statement was run, but it is an update and has no rows; use `execute` for it")]
    NoRows,
    /// The statement was cancelled, by this client or another.
    #[error("the statement was cancelled")]
    Cancelled,
    /// The connection broke while a statement ran. Whether an update took effect is unknown.
    #[error("lost the connection to the server: {0}; an update may or may not have taken effect")]
    Lost(String),
    /// The server's answer does not follow Flight SQL.
    #[error("cannot read the server's answer: {0}; is this a Flight SQL server?")]
    Protocol(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        // A status that this side made up because the transport failed has a source.
        if let Some(source) = std::error::Error::source(&status)
            && source.is::<tonic::transport::Error>()
        {
            return Self::Lost(innermost(source));
        }
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated(message),
            Code::Cancelled => Self::Cancelled,
            Code::Unavailable => Self::Lost(message),
            code if message.is_empty() => Self::Statement {
                code,
                message: code.description().to_owned(),
            },
            code => Self::Statement { code, message },
        }
    }
}

impl From<FlightError> for ClientError {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => (*status).into(),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// The text of the first cause: "Connection refused" rather than "transport error".
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_side_error_is_told_in_the_servers_words() {
        let error = ClientError::from(Status::invalid_argument("table lake.raw.x does not exist"));
        assert_eq!(error.to_string(), "table lake.raw.x does not exist");
        assert!(matches!(
            error,
            ClientError::Statement {
                code: Code::InvalidArgument,
                ..
            }
        ));
        assert!(matches!(
            ClientError::from(Status::cancelled("gone")),
            ClientError::Cancelled
        ));
    }

    #[test]
    fn an_error_without_a_message_still_says_something() {
        let error = ClientError::from(Status::new(Code::ResourceExhausted, ""));
        assert!(!error.to_string().is_empty());
    }
}
