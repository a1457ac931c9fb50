//! Tickets: what a client holds between planning a statement and fetching its rows.
//!
//! A ticket is a random number that says nothing; what it stands for is kept here. It belongs to
//! the principal it was given to, who may present it over any connection (ADBC hands partitions to
//! other processes), is good for one fetch, and expires. No endpoint of ours carries a location:
//! rows always come through the front door.
//!
//! While rows are being fetched the ticket stays known, so that the fetch can be cancelled and its
//! progress asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, Ticket};
use bytes::Bytes;
use dashmap::DashMap;
use futures::{StreamExt, stream};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::background::Background;
use super::encode::Rows;
use super::sessions::ClientSession;
use super::status::status;

/// Names a ticket. Two random 128-bit handles never meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handle(Bytes);

impl Handle {
    /// A handle that nobody can guess.
    pub fn random() -> Self {
        Self(Bytes::copy_from_slice(&rand::random::<[u8; 16]>()))
    }

    /// The handle a client sent back.
    pub fn from_client(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// What is given to the client.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The ticket that names it.
    pub fn ticket(&self) -> Ticket {
        let command = TicketStatementQuery {
            statement_handle: self.0.clone(),
        };
        Ticket::new(command.as_any().encode_to_vec())
    }

    /// The descriptor that names it, for `PollFlightInfo` and `CancelFlightInfo`.
    pub fn descriptor(&self) -> FlightDescriptor {
        FlightDescriptor::new_cmd(self.ticket().ticket)
    }
}

/// A query that has been planned and runs when it is fetched.
pub(super) struct PlannedQuery {
    /// The session it runs in.
    pub client: Arc<ClientSession>,
    /// Its text.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Option<RecordBatch>,
    /// The schema announced to the client.
    pub schema: SchemaRef,
}

/// What a ticket stands for.
pub(super) enum Work {
    /// Runs when fetched.
    Planned(PlannedQuery),
    /// Was started by `PollFlightInfo`.
    Background(Arc<Background>),
    /// An update that has committed: an empty result with this schema.
    Done(SchemaRef),
}

struct Entry {
    principal: String,
    expires: Instant,
    /// None while a planned query is being fetched.
    work: Option<Work>,
    /// Stops the fetch.
    fetching: Option<CancellationToken>,
}

/// All tickets that have not been fetched to their end.
#[derive(Clone)]
pub(super) struct Tickets {
    entries: Arc<DashMap<Handle, Entry>>,
    lifetime: Duration,
}

/// A fetch under way; dropping it forgets the ticket.
pub(super) struct Fetch {
    handle: Handle,
    tickets: Tickets,
    cancel: CancellationToken,
}

impl Tickets {
    /// No tickets yet. Each is good for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            entries: Arc::default(),
            lifetime,
        }
    }

    /// Gives `principal` a ticket for `work`.
    pub fn issue(&self, principal: &str, work: Work) -> Handle {
        let handle = Handle::random();
        let entry = Entry {
            principal: principal.to_owned(),
            expires: Instant::now() + self.lifetime,
            work: Some(work),
            fetching: None,
        };
        self.entries.insert(handle.clone(), entry);
        handle
    }

    /// Begins the one fetch of a ticket.
    pub fn fetch(&self, handle: &Handle, principal: &str) -> Result<(Work, Fetch), Status> {
        let mut entry = self.entries.get_mut(handle).ok_or_else(gone)?;
        check(&entry, principal)?;
        if entry.fetching.is_some() {
            return Err(gone());
        }
        let work = match &entry.work {
            // Stays, for polls that ask for its progress.
            Some(Work::Background(background)) => Work::Background(Arc::clone(background)),
            _ => entry.work.take().ok_or_else(gone)?,
        };
        let cancel = CancellationToken::new();
        entry.fetching = Some(cancel.clone());
        let fetch = Fetch {
            handle: handle.clone(),
            tickets: self.clone(),
            cancel,
        };
        Ok((work, fetch))
    }

    /// The background work behind a ticket, which then is good for `keep` from now on.
    pub fn background(
        &self,
        handle: &Handle,
        principal: &str,
        keep: Duration,
    ) -> Result<Arc<Background>, Status> {
        let mut entry = self.entries.get_mut(handle).ok_or_else(gone)?;
        check(&entry, principal)?;
        entry.expires = Instant::now() + keep;
        match &entry.work {
            Some(Work::Background(background)) => Ok(Arc::clone(background)),
            _ => Err(gone()),
        }
    }

    /// Stops the work behind a ticket and forgets it. Returns whether there was any.
    pub fn cancel(&self, handle: &Handle, principal: &str) -> Result<bool, Status> {
        if let Some(entry) = self.entries.get(handle)
            && entry.principal != principal
        {
            return Err(not_yours());
        }
        let Some((_, entry)) = self.entries.remove(handle) else {
            return Ok(false);
        };
        if let Some(fetching) = entry.fetching {
            fetching.cancel();
        }
        Ok(!matches!(entry.work, Some(Work::Done(_))))
    }

    /// How long a ticket is good for.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Forgets expired tickets; those being fetched do not expire.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.entries
            .retain(|_, entry| entry.fetching.is_some() || entry.expires > now);
    }
}

impl Fetch {
    /// What `work` yields, unless the fetch is cancelled first.
    pub async fn unless_cancelled<W: Future>(&self, work: W) -> Result<W::Output, Status> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(cancelled()),
            output = work => Ok(output),
        }
    }

    /// `rows` until the fetch is cancelled; the ticket is forgotten when the stream is dropped.
    pub fn guard(self, rows: Rows) -> Rows {
        let cancel = self.cancel.clone();
        let end = stream::once(async move {
            let fetch = self;
            fetch.cancel.is_cancelled().then(|| Err(cancelled()))
        });
        rows.take_until(cancel.cancelled_owned())
            .chain(end.filter_map(std::future::ready))
            .boxed()
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.tickets.entries.remove(&self.handle);
    }
}

fn check(entry: &Entry, principal: &str) -> Result<(), Status> {
    if entry.principal != principal {
        return Err(not_yours());
    }
    if entry.fetching.is_none() && entry.expires <= Instant::now() {
        return Err(gone());
    }
    Ok(())
}

fn cancelled() -> Status {
    status(Code::Cancelled, "the query was cancelled by its client")
}

/// The refusal of a ticket that stands for nothing.
pub(super) fn gone() -> Status {
    status(
        Code::NotFound,
        "the ticket is not known: it was fetched already, has expired, or was cancelled; run the statement again",
    )
}

fn not_yours() -> Status {
    status(
        Code::PermissionDenied,
        "the ticket was given to another user",
    )
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;

    use super::*;

    fn done() -> Work {
        Work::Done(Arc::new(Schema::empty()))
    }

    #[test]
    fn a_ticket_is_good_for_one_fetch_by_its_principal() {
        let tickets = Tickets::new(Duration::from_secs(60));
        let handle = tickets.issue("alice", done());
        let refused = tickets.fetch(&handle, "bob").err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let (_, fetch) = tickets.fetch(&handle, "alice").unwrap();
        assert_eq!(
            tickets.fetch(&handle, "alice").err().unwrap().code(),
            Code::NotFound
        );
        drop(fetch);
        assert!(tickets.entries.is_empty());
    }

    #[test]
    fn a_ticket_expires() {
        let tickets = Tickets::new(Duration::ZERO);
        let handle = tickets.issue("alice", done());
        assert_eq!(
            tickets.fetch(&handle, "alice").err().unwrap().code(),
            Code::NotFound
        );
        tickets.sweep();
        assert!(tickets.entries.is_empty());
    }

    #[tokio::test]
    async fn cancelling_ends_the_rows_with_an_error() {
        let tickets = Tickets::new(Duration::from_secs(60));
        let handle = tickets.issue("alice", done());
        let (_, fetch) = tickets.fetch(&handle, "alice").unwrap();
        let mut rows = fetch.guard(stream::pending().boxed());
        assert!(
            tickets.cancel(&handle, "bob").is_err() && tickets.cancel(&handle, "alice").unwrap()
        );
        let error = rows.next().await.unwrap().err().unwrap();
        assert_eq!(error.code(), Code::Cancelled);
        assert!(rows.next().await.is_none());
        assert!(!tickets.cancel(&handle, "alice").unwrap());
    }
}
