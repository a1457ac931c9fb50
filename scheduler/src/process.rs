//! The life of a scheduler: listen, serve, drain, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shoal_config::Settings;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::error::StartError;
use crate::flight;
use crate::statements::Statements;

/// How long servers get to close their connections.
const CLOSE: Duration = Duration::from_secs(2);
/// How long cancelled statements get to clean up.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Where a scheduler listens: the real ports, also where the settings say 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The front door.
    pub front_door: SocketAddr,
    /// The internal port, where executors register.
    pub internal: SocketAddr,
}

/// Runs a scheduler and its front door until `shutdown`. Then takes no more statements, lets
/// running ones finish for up to `cluster.shutdown_grace_seconds`, and cancels the rest. Executors
/// are needed until this returns.
///
/// `ready` is called once, when the front door accepts connections.
///
/// # Errors
/// A port cannot be listened on, or the catalog, the object stores or the users' file cannot be
/// used.
pub async fn run(
    settings: &Settings,
    shutdown: CancellationToken,
    ready: impl FnOnce(Listening),
) -> Result<(), StartError> {
    let scheduler = Scheduler::start(settings).await?;
    ready(scheduler.listening());
    scheduler.until(shutdown).await
}

/// A scheduler that listens, and serves nobody before [`Scheduler::until`].
pub struct Scheduler {
    settings: Arc<Settings>,
    cluster: Cluster,
    statements: Statements,
    listening: Listening,
    executors: TcpListener,
    clients: TcpListener,
}

impl Scheduler {
    /// Opens the catalog and listens.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let mut settings = settings.clone();
        let internal = &settings.cluster.scheduler;
        let (executors, internal) =
            listen(&internal.bind_host, internal.port, "cluster.scheduler.port").await?;
        let front = &settings.flight;
        let (clients, front_door) = listen(&front.bind_host, front.port, "flight.port").await?;
        // Executors answer to the port they were given.
        settings.cluster.scheduler.port = internal.port();
        let settings = Arc::new(settings);
        let cluster = Cluster::start(&settings).await?;
        let statements = Statements::new(&settings, cluster.clone()).await?;
        Ok(Self {
            settings,
            cluster,
            statements,
            listening: Listening {
                front_door,
                internal,
            },
            executors,
            clients,
        })
    }

    /// Where it listens.
    pub fn listening(&self) -> Listening {
        self.listening
    }

    /// Runs statements without a front door.
    pub fn statements(&self) -> Statements {
        self.statements.clone()
    }

    /// Serves until `shutdown`, then drains.
    ///
    /// # Errors
    /// When a server cannot go on.
    pub async fn until(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let (close_front, close_cluster) = (CancellationToken::new(), CancellationToken::new());
        let front = flight::serve(
            self.statements.clone(),
            Arc::clone(&self.settings),
            self.clients,
            close_front.clone(),
        );
        let mut front = tokio::spawn(async move { front.await.map_err(StartError::from) });
        let mut cluster = tokio::spawn(self.cluster.serve(self.executors, close_cluster.clone()));
        info!("scheduler of {} is ready", self.settings.cluster.app_name);

        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = &mut front => flatten(ended),
            ended = &mut cluster => flatten(ended),
        };
        let grace = Duration::from_secs(self.settings.cluster.shutdown_grace_seconds);
        if tokio::time::timeout(grace, self.statements.close())
            .await
            .is_err()
        {
            warn!(
                "cancelling statements: the grace period of {} s is over",
                grace.as_secs()
            );
        }
        if tokio::time::timeout(CLEAN_UP, self.statements.abort())
            .await
            .is_err()
        {
            warn!("stopping while a cancelled update still cleans up");
        }
        close_front.cancel();
        close_cluster.cancel();
        for server in [front, cluster] {
            if server.is_finished() {
                continue;
            }
            let stop = server.abort_handle();
            if tokio::time::timeout(CLOSE, server).await.is_err() {
                stop.abort();
            }
        }
        info!("scheduler stopped");
        ended
    }
}

async fn listen(
    host: &str,
    port: u16,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        address: format!("{host}:{port}"),
        key,
        source,
    };
    let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn flatten(
    ended: Result<Result<(), StartError>, tokio::task::JoinError>,
) -> Result<(), StartError> {
    ended.unwrap_or_else(|panic| Err(StartError::Panic(panic)))
}
