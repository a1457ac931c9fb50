//! Sessions of clients: who calls, and which session the call belongs to.
//!
//! A call belongs, in this order, to
//!
//! 1. the session that the handshake opened, if it carries the bearer token of that handshake;
//! 2. the session whose cookie it sends, if the cookie was given to the same principal;
//! 3. the session of its TCP connection and principal. A session opened this way is also offered
//!    as a cookie, which clients that keep cookies send from then on.
//!
//! Promises: a token or cookie of a session that has ended is refused, never answered from a fresh
//! session, because there unqualified table names could mean other tables. A session belongs to one
//! principal. A session ends when closed; one that a handshake opened, when unused for
//! `flight.session_seconds`; one that a connection opened, with that connection, or, where the client
//! keeps cookies, when unused for that long after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use shoal_engine::{Engine, Session};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Response, Status};

use super::connection::Connection;
use super::status::status;
use crate::auth::Identity;

const COOKIE: &str = "shoal_session";

/// A session as the front door sees it.
pub(super) struct ClientSession {
    /// The session statements run in.
    pub session: Arc<Session>,
    identity: Identity,
    key: Key,
    /// Whether a client has answered with the cookie, so that the session outlives its connection.
    cookie_kept: AtomicBool,
    connection: Connection,
    used: Mutex<Instant>,
    keep_views: AtomicBool,
}

/// How calls find their session.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// Hash of the bearer token a handshake gave out.
    Token([u8; 32]),
    /// Hash of the cookie.
    Cookie([u8; 32]),
    /// Connection and principal.
    Connection(u64, String),
}

impl ClientSession {
    /// Who opened the session, and by which credential.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Name of the principal.
    pub fn principal(&self) -> &str {
        &self.identity.principal.name
    }

    fn has_expired(&self, idle: Duration) -> bool {
        let unused = self.used.lock().elapsed() >= idle;
        match self.key {
            Key::Token(_) => unused,
            Key::Cookie(_) | Key::Connection(..) => {
                let kept = self.cookie_kept.load(Ordering::Relaxed);
                self.connection.ended.is_cancelled() && (unused || !kept)
            }
        }
    }

    /// Whether results keep Arrow's view types, which older clients cannot read.
    pub fn keeps_views(&self) -> bool {
        self.keep_views.load(Ordering::Relaxed)
    }

    /// Sets whether results keep Arrow's view types.
    pub fn set_keeps_views(&self, keep: bool) {
        self.keep_views.store(keep, Ordering::Relaxed);
    }
}

/// Whoever makes a call.
pub(super) struct Caller {
    /// The session of the call.
    pub client: Arc<ClientSession>,
    /// The connection it came over.
    pub connection: Connection,
    cookie: Option<String>,
}

impl Caller {
    /// Wraps an answer, with the cookie of a session that was just opened.
    pub fn reply<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        let cookie = self.cookie.as_ref().and_then(|id| {
            MetadataValue::try_from(format!("{COOKIE}={id}; Path=/; HttpOnly")).ok()
        });
        if let Some(cookie) = cookie {
            response.metadata_mut().insert("set-cookie", cookie);
        }
        response
    }
}

/// All open sessions.
pub(super) struct Sessions {
    engine: Arc<Engine>,
    open: DashMap<Key, Arc<ClientSession>>,
    idle: Duration,
}

impl Sessions {
    /// No sessions yet. Those unused for `idle` are forgotten.
    pub fn new(engine: Arc<Engine>, idle: Duration) -> Self {
        Self {
            engine,
            open: DashMap::new(),
            idle,
        }
    }

    /// Opens a session after a handshake and returns the bearer token that leads to it.
    pub fn open_for_handshake(&self, identity: Identity, connection: Connection) -> String {
        let token = random_secret();
        self.open(Key::Token(hash(&token)), identity, connection);
        token
    }

    /// The session opened by the handshake that gave out `token`.
    pub fn by_token(&self, token: &str) -> Option<Arc<ClientSession>> {
        self.find(&Key::Token(hash(token)))
    }

    /// The caller for a session found by its token.
    pub fn caller(&self, client: Arc<ClientSession>, connection: Connection) -> Caller {
        Caller {
            client,
            connection,
            cookie: None,
        }
    }

    /// The caller for a client that proved its identity without a handshake.
    pub fn caller_without_handshake(
        &self,
        identity: Identity,
        metadata: &MetadataMap,
        connection: Connection,
    ) -> Result<Caller, Status> {
        let name = identity.principal.name.clone();
        if let Some(cookie) = session_cookie(metadata) {
            let client = self
                .find(&Key::Cookie(hash(cookie)))
                .filter(|client| client.principal() == name)
                .ok_or_else(ended)?;
            client.cookie_kept.store(true, Ordering::Relaxed);
            return Ok(self.caller(client, connection));
        }
        let by_connection = Key::Connection(connection.id, name);
        if let Some(client) = self.find(&by_connection) {
            return Ok(self.caller(client, connection));
        }
        let cookie = random_secret();
        let client = self.open(Key::Cookie(hash(&cookie)), identity, connection.clone());
        // Another call over this connection may have been faster.
        let first = match self.open.entry(by_connection) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&client));
                return Ok(Caller {
                    client,
                    connection,
                    cookie: Some(cookie),
                });
            }
            Entry::Occupied(entry) => Arc::clone(entry.get()),
        };
        self.open.remove(&client.key);
        Ok(self.caller(first, connection))
    }

    /// Ends a session; its token and cookie are refused from now on.
    pub fn close(&self, client: &ClientSession) {
        self.open.remove(&client.key);
        self.open
            .retain(|_, other| !std::ptr::eq(Arc::as_ptr(other), client));
    }

    /// Forgets sessions that have expired.
    pub fn sweep(&self) {
        self.open.retain(|_, client| !client.has_expired(self.idle));
    }

    fn find(&self, key: &Key) -> Option<Arc<ClientSession>> {
        let client = Arc::clone(&*self.open.get(key)?);
        if client.has_expired(self.idle) {
            return None;
        }
        *client.used.lock() = Instant::now();
        Some(client)
    }

    fn open(&self, key: Key, identity: Identity, connection: Connection) -> Arc<ClientSession> {
        let client = Arc::new(ClientSession {
            session: self.engine.session(identity.principal.clone()),
            identity,
            key: key.clone(),
            cookie_kept: AtomicBool::new(false),
            connection,
            used: Mutex::new(Instant::now()),
            keep_views: AtomicBool::new(false),
        });
        self.open.insert(key, Arc::clone(&client));
        client
    }
}

/// The refusal of a token or cookie that leads to no session.
pub(super) fn ended() -> Status {
    status(
        Code::Unauthenticated,
        "the bearer token or session cookie is not known: it is wrong, or its session has ended \
         (closed, unused for too long, or the server was restarted); connect again",
    )
}

/// 256 random bits as text.
fn random_secret() -> String {
    blake3::Hash::from_bytes(rand::random())
        .to_hex()
        .to_string()
}

fn hash(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

fn session_cookie(metadata: &MetadataMap) -> Option<&str> {
    metadata
        .get_all("cookie")
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.trim_matches('"'))
}
