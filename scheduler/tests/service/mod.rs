//! A scheduler of a test's own on a free port, with its data in a temporary folder. It has no
//! executors: statements run inside it.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use shoal_config::{Placement, Settings};
use shoal_scheduler::Scheduler;
use shoal_scheduler::auth::{hash_password, hash_token};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// The bearer token of the user `robot`.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The scheduler; it stops when this is dropped.
pub struct Service {
    address: std::net::SocketAddr,
    folder: TempDir,
    _stop: DropGuard,
}

impl Service {
    /// One that lets in anonymous clients.
    pub async fn open() -> Self {
        Self::start(|settings, _| settings.flight.anonymous = true).await
    }

    /// One that lets in alice (password `open sesame`) and robot ([`TOKEN`]).
    pub async fn guarded() -> Self {
        Self::start(|settings, folder| {
            let alice = hash_password("open sesame").unwrap();
            let robot = hash_token(TOKEN).unwrap();
            let users = folder.path().join("users");
            std::fs::write(&users, format!("alice:{alice}\nrobot:{robot}\n")).unwrap();
            settings.flight.users_file = Some(users);
        })
        .await
    }

    async fn start(change: impl FnOnce(&mut Settings, &TempDir)) -> Self {
        let folder = TempDir::new().unwrap();
        let below = |name: &str| format!("file://{}/{name}/", folder.path().display());
        let mut settings = Settings::default();
        settings.storage.raw_path = below("raw");
        settings.storage.processed_path = below("processed");
        settings.storage.curated_path = below("curated");
        settings.storage.default_path = below("default");
        settings.catalog.url = format!("sqlite://{}/catalog.db", folder.path().display());
        settings.cluster.executor.work_dir = folder.path().join("work");
        settings.cluster.executor.spill_dir = folder.path().join("spill");
        settings.flight.port = 0;
        settings.cluster.scheduler.port = 0;
        settings.cluster.shutdown_grace_seconds = 0;
        settings.query.placement = Placement::Local;
        change(&mut settings, &folder);
        let scheduler = Scheduler::start(&settings).await.unwrap();
        let address = scheduler.listening().front_door;
        let stop = CancellationToken::new();
        tokio::spawn(scheduler.until(stop.clone()));
        Self {
            address,
            folder,
            _stop: stop.drop_guard(),
        }
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client on a connection of its own.
    pub async fn client(&self) -> FlightSqlServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// Waits until no statement runs.
    pub async fn is_idle(&self) {
        self.runs(0).await;
    }

    /// Waits until so many statements run.
    pub async fn is_busy(&self, statements: usize) {
        self.runs(statements).await;
    }

    /// How many statements run, besides the one that asks.
    async fn running(&self) -> usize {
        let mut client = self.client().await;
        let info = client.execute("SHOW JOBS".into(), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let rows = client.do_get(ticket).await.unwrap();
        let jobs: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let text = |batch: &RecordBatch, column: &str, row: usize| {
            let column = batch.column_by_name(column).unwrap();
            column.as_string::<i32>().value(row).to_owned()
        };
        let runs = |batch: &RecordBatch| {
            (0..batch.num_rows())
                .filter(|row| text(batch, "statement", *row) != "SHOW JOBS")
                .filter(|row| ["queued", "running"].contains(&text(batch, "state", *row).as_str()))
                .count()
        };
        jobs.iter().map(runs).sum()
    }

    async fn runs(&self, expected: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let running = self.running().await;
            if running == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{running} statements run, not {expected}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The gRPC code behind an error of the client.
pub fn code(error: &FlightError) -> Code {
    match error {
        FlightError::Tonic(status) => status.code(),
        other => panic!("not a gRPC error: {other}"),
    }
}
