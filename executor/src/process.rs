//! The life of an executor: register, run tasks, drain, stop.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::executor_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorStatus, ExecutorStoppedParams, HeartBeatParams};
use ballista_core::utils::{
    GrpcClientConfig, GrpcServerConfig, create_grpc_client_endpoint, create_grpc_server,
    create_grpc_server_incoming,
};
use ballista_executor::executor::Executor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server::{self, TERMINATING};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use ballista_executor::shutdown::ShutdownNotifier;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use shoal_config::Settings;
use shoal_images::probe::Limits;
use shoal_lake::{Downloads, image_limits};
use shoal_models::Models;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::error::{ExecutorError, Result};
use crate::functions;
use crate::memory::TaskRuntimes;
use crate::process_dir::ProcessDir;
use crate::stage::StageEngine;

/// Largest message between scheduler and executors. A plan or a batch that does not fit costs the
/// executor its place in the cluster, so the limit is far above both.
const MAX_MESSAGE_BYTES: usize = 256 << 20;
/// Pause before another try to reach the scheduler.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Pause between looks at what still runs while draining.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);

type Scheduler = SchedulerGrpcClient<Channel>;

/// Runs an executor until `shutdown`. Then takes no more tasks, lets running tasks finish and
/// their files be fetched for up to `cluster.shutdown_grace_seconds`, and removes its files.
///
/// Waits for the scheduler where it is not there yet, and registers anew where it went away.
///
/// # Errors
/// Folders or ports cannot be used, settings contradict each other, or the scheduler refuses
/// the executor, for example because it is of another version.
pub async fn run(settings: &Settings, shutdown: CancellationToken) -> Result<()> {
    let node = Node::new(settings)?;
    while let Some(scheduler) = node.connect(&shutdown).await? {
        match node.serve(scheduler, &shutdown).await? {
            Ended::ByShutdown => break,
            Ended::ByScheduler(reason) => warn!("{reason}; registering again"),
        }
    }
    info!("executor stopped");
    Ok(())
}

/// Why an executor stopped serving.
enum Ended {
    ByShutdown,
    ByScheduler(&'static str),
}

/// What stays the same between two registrations.
struct Node {
    scheduler: String,
    host: String,
    bind: IpAddr,
    flight_port: u16,
    grpc_port: u16,
    vcores: usize,
    heartbeat_seconds: u64,
    grace: Duration,
    limits: Limits,
    models: Models,
    downloads: Arc<Downloads>,
    runtimes: Arc<TaskRuntimes>,
    work: ProcessDir,
    _spill: ProcessDir,
}

impl Node {
    fn new(settings: &Settings) -> Result<Self> {
        let cluster = &settings.cluster;
        let executor = &cluster.executor;
        let stores = shoal_lake::Stores::new(&settings.storage, settings.processing.max_retries);
        let models = Models::new(stores.clone(), &settings.models)?;
        let name = uuid::Uuid::now_v7().to_string();
        let work = ProcessDir::create(&executor.work_dir, &name, "cluster.executor.work_dir")?;
        let spill = ProcessDir::create(&executor.spill_dir, &name, "cluster.executor.spill_dir")?;
        let vcores = match executor.vcores {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            vcores => vcores,
        };
        let downloads = Downloads::new(&settings.images, stores.clone())
            .map_err(datafusion::error::DataFusionError::from)?;
        let runtimes = TaskRuntimes::new(
            stores,
            executor.memory.0,
            vcores,
            spill.path(),
            executor.max_spill.0,
        )?;
        Ok(Self {
            scheduler: format!("{}:{}", cluster.scheduler.host, cluster.scheduler.port),
            host: executor.host.clone(),
            bind: resolve(&executor.bind_host, "cluster.executor.bind_host")?,
            flight_port: executor.port,
            grpc_port: executor.grpc_port,
            vcores,
            heartbeat_seconds: cluster.heartbeat_seconds.max(1),
            grace: Duration::from_secs(cluster.shutdown_grace_seconds),
            limits: image_limits(&settings.images),
            models,
            downloads: Arc::new(downloads),
            runtimes: Arc::new(runtimes),
            work,
            _spill: spill,
        })
    }

    /// A connection to the scheduler, as soon as it answers; `None` if `shutdown` came first.
    async fn connect(&self, shutdown: &CancellationToken) -> Result<Option<Scheduler>> {
        let client = GrpcClientConfig::from(&session_config().ballista_config());
        let url = format!("http://{}", self.scheduler);
        let endpoint = create_grpc_client_endpoint(url, Some(&client))
            .map_err(|error| self.scheduler_error(error.into()))?;
        let mut waiting = false;
        loop {
            let connected = tokio::select! {
                () = shutdown.cancelled() => return Ok(None),
                connected = endpoint.connect() => connected,
            };
            match connected {
                Ok(channel) => {
                    let scheduler = SchedulerGrpcClient::new(channel)
                        .max_encoding_message_size(MAX_MESSAGE_BYTES)
                        .max_decoding_message_size(MAX_MESSAGE_BYTES);
                    return Ok(Some(scheduler));
                }
                Err(error) if !waiting => {
                    waiting = true;
                    warn!("waiting for the scheduler at {}: {error}", self.scheduler);
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            }
        }
    }

    /// Registers, and runs tasks until `shutdown` or until the scheduler is gone.
    async fn serve(&self, mut scheduler: Scheduler, shutdown: &CancellationToken) -> Result<Ended> {
        let config = Arc::new(self.process_config());
        let executor = Arc::new(self.executor(&config)?);
        let notifier = ShutdownNotifier::new();
        let mut heartbeat_gave_up = notifier.subscribe_for_shutdown();
        let (stop_sender, mut stop_requested) = mpsc::channel(1);

        let mut flight = self.serve_shuffle_files(&notifier)?;
        let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> = BallistaCodec::new(
            Arc::new(ballista_core::serde::BallistaLogicalExtensionCodec::default()),
            shoal_lake::codec(),
        );
        let mut tasks = executor_server::startup(
            scheduler.clone(),
            Arc::clone(&config),
            Arc::clone(&executor),
            codec,
            stop_sender,
            &notifier,
            config.health.clone(),
        )
        .await
        .map_err(|error| self.registration_error(error))?;
        info!(
            "executor {} takes tasks on {}:{} ({} vcores) from scheduler {}",
            config.executor_id, self.bind, self.grpc_port, self.vcores, self.scheduler
        );

        let ended = tokio::select! {
            () = shutdown.cancelled() => {
                self.drain(&mut scheduler, &executor).await;
                Ended::ByShutdown
            }
            _ = stop_requested.recv() => Ended::ByScheduler("the scheduler has given this executor up"),
            () = heartbeat_gave_up.recv() => Ended::ByScheduler("the scheduler no longer answers"),
            _ = &mut tasks => Ended::ByScheduler("the task service ended"),
            _ = &mut flight => Ended::ByScheduler("the shuffle service ended"),
        };
        stop_services(notifier, [tasks, flight]).await;
        Ok(ended)
    }

    /// Lets running tasks finish, and the files of jobs that still run be fetched.
    async fn drain(&self, scheduler: &mut Scheduler, executor: &Executor) {
        info!(
            "draining: {} tasks are running",
            executor.active_task_count()
        );
        // Read by the heartbeat, which tells the scheduler to send no more tasks.
        TERMINATING.store(true, Ordering::Release);
        let drained = async {
            let mut scheduler_answers = true;
            while executor.active_task_count() > 0 || (scheduler_answers && !self.work.is_empty()) {
                scheduler_answers = scheduler
                    .heart_beat_from_executor(terminating(executor))
                    .await
                    .is_ok();
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        };
        if tokio::time::timeout(self.grace, drained).await.is_err() {
            warn!(
                "stopping with {} tasks running: the grace period of {} s is over",
                executor.active_task_count(),
                self.grace.as_secs()
            );
        }
        let stopped = scheduler
            .executor_stopped(ExecutorStoppedParams {
                executor_id: executor.metadata.id.clone(),
                reason: "executor received a signal to stop".into(),
            })
            .await;
        if let Err(status) = stopped {
            info!("scheduler was not told of the stop: {}", status.message());
        }
        TERMINATING.store(false, Ordering::Release);
    }

    /// Serves the files that tasks leave in the work folder.
    fn serve_shuffle_files(
        &self,
        notifier: &ShutdownNotifier,
    ) -> Result<JoinHandle<Result<(), BallistaError>>> {
        let server = GrpcServerConfig::default();
        let address = SocketAddr::new(self.bind, self.flight_port);
        let incoming = create_grpc_server_incoming(address, &server).map_err(|error| {
            ExecutorError::Listen {
                address: address.to_string(),
                key: "cluster.executor.port",
                reason: error.to_string(),
            }
        })?;
        let service = FlightServiceServer::new(BallistaFlightService::new(self.work_path()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let mut stop = notifier.subscribe_for_shutdown();
        Ok(tokio::spawn(async move {
            create_grpc_server(&server)
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, stop.recv())
                .await
                .map_err(BallistaError::TonicError)
        }))
    }

    fn executor(&self, config: &Arc<ExecutorProcessConfig>) -> Result<Executor> {
        let runtimes = Arc::clone(&self.runtimes);
        let runtime_producer = Arc::new(move |_: &SessionConfig| runtimes.for_task(1));
        Ok(Executor::new(
            structure_executor_metadata(config, self.vcores as u32),
            &self.work_path(),
            runtime_producer,
            Arc::new(session_config),
            Arc::new(functions::registry(
                &self.models,
                self.downloads.clone(),
                self.limits,
            )?),
            Arc::new(LoggingMetricsCollector::default()),
            self.vcores,
            Arc::new(StageEngine::new()),
        )
        .with_session_runtime_cache(Some(Arc::clone(&self.runtimes) as _)))
    }

    fn process_config(&self) -> ExecutorProcessConfig {
        let bind_host = match self.bind {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        ExecutorProcessConfig {
            executor_id: uuid::Uuid::now_v7().to_string(),
            bind_host,
            external_host: Some(self.host.clone()),
            port: self.flight_port,
            grpc_port: self.grpc_port,
            vcores: self.vcores,
            task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
            grpc_max_decoding_message_size: MAX_MESSAGE_BYTES as u32,
            grpc_max_encoding_message_size: MAX_MESSAGE_BYTES as u32,
            executor_heartbeat_interval_seconds: self.heartbeat_seconds,
            health: ExecutorHealth::new(),
            ..ExecutorProcessConfig::default()
        }
    }

    fn work_path(&self) -> String {
        self.work.path().to_string_lossy().into_owned()
    }

    fn scheduler_error(&self, error: BallistaError) -> ExecutorError {
        ExecutorError::Scheduler {
            scheduler: self.scheduler.clone(),
            source: Box::new(error),
        }
    }

    /// Registering starts the task port, so it fails for either reason.
    fn registration_error(&self, error: BallistaError) -> ExecutorError {
        match std::net::TcpListener::bind((self.bind, self.grpc_port)) {
            Ok(_) => self.scheduler_error(error),
            Err(reason) => ExecutorError::Listen {
                address: SocketAddr::new(self.bind, self.grpc_port).to_string(),
                key: "cluster.executor.grpc_port",
                reason: reason.to_string(),
            },
        }
    }
}

/// The session settings tasks start from; the job's own settings are laid over them.
fn session_config() -> SessionConfig {
    SessionConfig::new_with_ballista().with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES)
}

fn terminating(executor: &Executor) -> HeartBeatParams {
    HeartBeatParams {
        executor_id: executor.metadata.id.clone(),
        metrics: Vec::new(),
        status: Some(ExecutorStatus {
            status: Some(Status::Terminating(String::new())),
        }),
        metadata: Some(executor.metadata.clone()),
    }
}

/// Tells all services to stop, and gives them a moment to do so.
async fn stop_services(
    notifier: ShutdownNotifier,
    services: [JoinHandle<Result<(), BallistaError>>; 2],
) {
    let ShutdownNotifier {
        notify_shutdown,
        mut shutdown_complete_rx,
        shutdown_complete_tx,
    } = notifier;
    // Nobody listening means that everybody has stopped.
    let _ = notify_shutdown.send(());
    drop((notify_shutdown, shutdown_complete_tx));
    let stopped = async {
        let _ = shutdown_complete_rx.recv().await;
    };
    if tokio::time::timeout(Duration::from_secs(1), stopped)
        .await
        .is_err()
    {
        warn!("some services did not stop in time");
    }
    // A server waits for its open connections, which nobody needs any more.
    for service in services {
        if !service.is_finished() {
            service.abort();
            let _ = service.await;
        }
    }
}

fn resolve(host: &str, key: &'static str) -> Result<IpAddr> {
    let failed = |reason: String| ExecutorError::Host {
        host: host.to_string(),
        key,
        reason,
    };
    (host, 0)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?
        .next()
        .map(|address| address.ip())
        .ok_or_else(|| failed("it has no address".to_string()))
}
