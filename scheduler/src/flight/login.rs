//! Logging in: which principal makes a call, and the handshake.
//!
//! A handshake takes a user and password (an `authorization: Basic` header, or the older
//! `BasicAuth` message), a bearer token of the users file, or nothing where anonymous clients are
//! let in, and answers with a bearer token of its own that leads to a new session. Other calls
//! carry that token, a token of the users file, or nothing.

use arrow_flight::{BasicAuth, HandshakeRequest};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status, Streaming};

use super::FrontDoor;
use super::connection::Connection;
use super::sessions::{self, Caller};
use super::status::{internal, malformed, status};
use crate::auth::Identity;

/// Go clients (ADBC) leave out the padding, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl FrontDoor {
    /// Who makes a call, and in which session.
    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let connection = connection_of(request)?;
        let metadata = request.metadata();
        let Some(token) = bearer(metadata)? else {
            let identity = self.authenticator.anonymous().ok_or_else(login_needed)?;
            return self
                .sessions
                .caller_without_handshake(identity, metadata, connection);
        };
        if let Some(client) = self.sessions.by_token(token) {
            if !self.authenticator.still_admits(client.identity()) {
                self.sessions.close(&client);
                return Err(login_needed());
            }
            return Ok(self.sessions.caller(client, connection));
        }
        let identity = self
            .authenticator
            .token(token)
            .ok_or_else(sessions::ended)?;
        self.sessions
            .caller_without_handshake(identity, metadata, connection)
    }

    /// Who shakes hands: by the `authorization` header, or by the older `BasicAuth` message.
    pub(super) async fn identify(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Identity, Status> {
        let (metadata, _, mut messages) = request.into_parts();
        if let Some(header) = authorization(&metadata)? {
            if let Some(token) = strip_scheme(header, "bearer") {
                return self.authenticator.token(token).ok_or_else(login_failed);
            }
            let (name, password) = basic(header)?;
            return self
                .authenticator
                .password(&name, &password)
                .await
                .ok_or_else(login_failed);
        }
        let payload = messages.message().await?.map(|message| message.payload);
        match payload.filter(|payload| !payload.is_empty()) {
            Some(payload) => {
                let login =
                    BasicAuth::decode(payload).map_err(|error| malformed("handshake", error))?;
                self.authenticator
                    .password(&login.username, &login.password)
                    .await
                    .ok_or_else(login_failed)
            }
            None => self.authenticator.anonymous().ok_or_else(login_needed),
        }
    }
}

/// The connection a call came over.
pub(super) fn connection_of<T>(request: &Request<T>) -> Result<Connection, Status> {
    request
        .extensions()
        .get::<Connection>()
        .cloned()
        .ok_or_else(|| internal("cannot tell which connection a call came over", "bug"))
}

fn authorization(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    metadata
        .get("authorization")
        .map(|header| {
            header
                .to_str()
                .map_err(|_| malformed("authorization header", "it is not ASCII"))
        })
        .transpose()
}

fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    let Some(header) = authorization(metadata)? else {
        return Ok(None);
    };
    strip_scheme(header, "bearer").map(Some).ok_or_else(|| {
        status(
            Code::Unauthenticated,
            "this call takes a bearer token; exchange user and password for one with a handshake \
             (ADBC: the options username and password; JDBC: user and password)",
        )
    })
}

fn basic(header: &str) -> Result<(String, String), Status> {
    strip_scheme(header, "basic")
        .and_then(|encoded| BASE64.decode(encoded).ok())
        .and_then(|login| String::from_utf8(login).ok())
        .and_then(|login| {
            let (name, password) = login.split_once(':')?;
            Some((name.to_owned(), password.to_owned()))
        })
        .ok_or_else(|| {
            malformed(
                "authorization header",
                "expected Basic or Bearer credentials",
            )
        })
}

/// What follows an authentication scheme, whose case does not matter.
fn strip_scheme<'header>(header: &'header str, scheme: &str) -> Option<&'header str> {
    let (given, rest) = header.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn login_needed() -> Status {
    status(
        Code::Unauthenticated,
        "this server does not let in anonymous clients; connect with a user and password, or with a bearer token",
    )
}

fn login_failed() -> Status {
    status(Code::Unauthenticated, "wrong user name, password or token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read_with_and_without_padding_and_with_colons_in_the_password() {
        let login = ("ann".to_owned(), "b:cd".to_owned());
        assert_eq!(basic("Basic YW5uOmI6Y2Q=").ok(), Some(login.clone()));
        assert_eq!(basic("basic YW5uOmI6Y2Q").ok(), Some(login));
        assert!(basic("Basic ???").is_err() && basic("Basic YW5u").is_err());
    }
}
