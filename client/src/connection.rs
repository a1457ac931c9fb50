//! The connection: address, credentials and session of a client, and the Flight calls it makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    Ticket,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use parking_lot::Mutex;
use prost::Message;
use shoal_config::Secret;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoRequest, Request, Status};

use crate::error::{ClientError, innermost};
use crate::statement::{Outcome, RowStream, Statement};

/// Who a client says it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nobody; a server takes this only on loopback and only if its settings say so.
    Anonymous,
    /// A user of the server's users file.
    Password {
        /// Name of the user.
        user: String,
        /// Password of the user.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
}

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is checked, so that a server that vanished is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes the server may send ahead of the reader: what back-pressure leaves in flight.
const WINDOW_BYTES: u32 = 8 << 20;

/// A session with a server.
#[derive(Clone)]
pub struct Client {
    flight: FlightServiceClient<Channel>,
    session: Arc<Session>,
}

/// What the server gave this client to be recognised by.
#[derive(Default)]
struct Session {
    authorization: Mutex<Option<AsciiMetadataValue>>,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Client {
    /// Connects to the server at `url` (`http://host:port` or `grpc://host:port`) and signs in.
    ///
    /// # Errors
    /// [`ClientError::Url`] for an address that is none, [`ClientError::Connect`] if nothing
    /// answers there within 10 seconds, [`ClientError::Unauthenticated`] for wrong credentials.
    pub async fn connect(url: &str, credentials: Credentials) -> Result<Self, ClientError> {
        let channel = endpoint(url)?
            .connect()
            .await
            .map_err(|error| ClientError::Connect {
                url: url.to_owned(),
                reason: innermost(&error),
            })?;
        // Batches that hold images are large; the server bounds them by its own settings.
        let client = Self {
            flight: FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX),
            session: Arc::default(),
        };
        match credentials {
            Credentials::Anonymous => {}
            Credentials::Password { user, password } => client.sign_in(&user, &password).await?,
            Credentials::Token(token) => {
                let value = secret_header(format!("Bearer {}", token.expose()))?;
                *client.session.authorization.lock() = Some(value);
            }
        }
        Ok(client)
    }

    /// Starts a statement, query or update alike. The server works on it from here on; its
    /// progress can be watched while its [`outcome`](Statement::outcome) is awaited.
    ///
    /// # Errors
    /// [`ClientError::Statement`] if the server refuses it, for example for a syntax error.
    pub async fn start(&self, sql: &str) -> Result<Statement, ClientError> {
        Statement::start(self.clone(), sql).await
    }

    /// Runs a query and returns its rows as a stream.
    ///
    /// # Errors
    /// [`ClientError::Statement`] if the server refuses or fails it, and [`ClientError::NoRows`]
    /// if it was an update, which has then taken effect.
    pub async fn query(&self, sql: &str) -> Result<RowStream, ClientError> {
        match self.start(sql).await?.outcome().await? {
            Outcome::Rows(rows) => Ok(rows),
            Outcome::Affected(_) => Err(ClientError::NoRows),
        }
    }

    /// Runs a statement to its end and returns how many rows it changed, if the server knows.
    /// The rows of a query are read and dropped, and nothing is returned.
    ///
    /// # Errors
    /// [`ClientError::Statement`] if the server refuses or fails it; [`ClientError::Lost`] if the
    /// connection broke, so that its effect is unknown.
    pub async fn execute(&self, sql: &str) -> Result<Option<u64>, ClientError> {
        match self.start(sql).await?.outcome().await? {
            Outcome::Affected(rows) => Ok(rows),
            Outcome::Rows(mut rows) => {
                while rows.try_next().await?.is_some() {}
                Ok(None)
            }
        }
    }

    /// Ends the session on the server. Sessions that are not closed end after a time of their own.
    pub async fn close(self) {
        let action = Action::new("CloseSession", "");
        let call = async {
            let results = self.flight.clone().do_action(self.request(action)).await?;
            results.into_inner().try_collect::<Vec<_>>().await
        };
        if let Err(status) = call.await {
            tracing::debug!(%status, "the server did not close the session");
        }
    }

    async fn sign_in(&self, user: &str, password: &Secret) -> Result<(), ClientError> {
        let basic = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
        let hello = futures::stream::iter([HandshakeRequest::default()]);
        let mut request = Request::new(hello);
        let header = secret_header(format!("Basic {basic}"))?;
        request.metadata_mut().insert("authorization", header);
        let answer = self.flight.clone().handshake(request).await?;
        self.remember(answer.metadata());
        let token = answer.metadata().get("authorization").cloned();
        answer.into_inner().try_collect::<Vec<_>>().await?;
        match token {
            Some(token) => *self.session.authorization.lock() = Some(token),
            None => {
                return Err(ClientError::Protocol(
                    "the handshake brought no authorization header".into(),
                ));
            }
        }
        Ok(())
    }

    pub(crate) async fn poll(&self, query: FlightDescriptor) -> Result<PollInfo, Status> {
        let answer = self
            .flight
            .clone()
            .poll_flight_info(self.request(query))
            .await?;
        self.remember(answer.metadata());
        Ok(answer.into_inner())
    }

    pub(crate) async fn info(&self, query: FlightDescriptor) -> Result<FlightInfo, Status> {
        let answer = self
            .flight
            .clone()
            .get_flight_info(self.request(query))
            .await?;
        self.remember(answer.metadata());
        Ok(answer.into_inner())
    }

    pub(crate) async fn fetch(&self, ticket: Ticket) -> Result<FlightRecordBatchStream, Status> {
        let answer = self.flight.clone().do_get(self.request(ticket)).await?;
        self.remember(answer.metadata());
        Ok(FlightRecordBatchStream::new_from_flight_data(
            answer.into_inner().map_err(FlightError::from),
        ))
    }

    pub(crate) async fn cancel(&self, info: FlightInfo) -> Result<(), Status> {
        let request = CancelFlightInfoRequest { info: Some(info) };
        let action = Action::new("CancelFlightInfo", request.encode_to_vec());
        let results = self.flight.clone().do_action(self.request(action)).await?;
        results.into_inner().try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// `message` with the headers of this session.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = message.into_request();
        let headers = request.metadata_mut();
        if let Some(authorization) = self.session.authorization.lock().clone() {
            headers.insert("authorization", authorization);
        }
        let cookies = self.session.cookies.lock();
        let pairs: Vec<String> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        if let Ok(cookie) = pairs.join("; ").parse()
            && !pairs.is_empty()
        {
            headers.insert("cookie", cookie);
        }
        request
    }

    /// Keeps the cookies the server set: they carry the session where no token does.
    fn remember(&self, headers: &MetadataMap) {
        for header in headers.get_all("set-cookie") {
            let Some((name, value)) = header.to_str().ok().and_then(cookie) else {
                continue;
            };
            let mut cookies = self.session.cookies.lock();
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Name and value of a `set-cookie` header, without its attributes.
fn cookie(header: &str) -> Option<(&str, &str)> {
    let pair = header.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// A header value that logs do not show.
fn secret_header(value: String) -> Result<AsciiMetadataValue, ClientError> {
    let mut header = AsciiMetadataValue::try_from(value).map_err(|_| {
        ClientError::Unauthenticated("the token holds characters that no header can carry".into())
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn endpoint(url: &str) -> Result<Endpoint, ClientError> {
    let invalid = |reason: String| ClientError::Url {
        url: url.to_owned(),
        reason,
    };
    let parsed = url::Url::parse(url).map_err(|error| invalid(error.to_string()))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(ClientError::Url {
            url: parsed.host_str().unwrap_or_default().to_owned(),
            reason: "user and password belong into --user and SHOAL_PASSWORD".into(),
        });
    }
    let Some(host) = parsed.host_str() else {
        return Err(invalid("it names no host".into()));
    };
    let port = match parsed.scheme() {
        "http" => parsed.port_or_known_default().unwrap_or(80),
        "grpc" | "grpc+tcp" => parsed.port().unwrap_or(32010),
        scheme => return Err(invalid(format!("its scheme is {scheme}"))),
    };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))
        .map_err(|error| invalid(error.to_string()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for url in [
            "http://127.0.0.1:32010",
            "grpc://localhost:1",
            "grpc+tcp://[::1]:32010",
        ] {
            assert!(endpoint(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:32010",
            "localhost:32010",
            "ftp://host:1",
            "http://",
        ] {
            assert!(
                matches!(endpoint(url), Err(ClientError::Url { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let error = endpoint("http://anna:hunter2@host:1").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn cookies_are_read_without_their_attributes() {
        assert_eq!(
            cookie("session=a=b; Path=/; HttpOnly"),
            Some(("session", "a=b"))
        );
        assert_eq!(cookie("nonsense"), None);
    }

    #[test]
    fn credentials_do_not_print_their_secret() {
        let credentials = Credentials::Password {
            user: "anna".into(),
            password: Secret::new("hunter2"),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
