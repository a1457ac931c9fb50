//! The Ballista scheduler inside this process, and what is known of its executors.
//!
//! Ballista's own server function is not used: its listener delays small packets (no
//! `TCP_NODELAY`), which costs 40 ms per call, and it serves a REST API and a Flight proxy that
//! authenticate nobody. Here only the gRPC service that executors need is mounted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ballista_core::JobId;
use ballista_core::config::BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::executor_metric::Metric;
use ballista_core::serde::protobuf::executor_status::Status as ExecutorState;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::serde::protobuf::{JobStatus, job_status};
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_core::utils::default_session_builder;
use ballista_scheduler::cluster::memory::InMemoryJobState;
use ballista_scheduler::cluster::{BallistaCluster, JobState};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::future::join_all;
use shoal_config::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::{info, warn};

use crate::error::StartError;
use crate::executor_service::ExecutorService;
use crate::stages::{Stages, measured};
use crate::vcores::CountedVcores;

/// Largest message to and from executors. A launch message that does not fit costs the executor
/// its place in the cluster, so the limit is far above any plan.
pub(crate) const MAX_MESSAGE_BYTES: u32 = 256 << 20;
/// How long a finished job's stages and metrics can still be looked at.
const KEEP_FINISHED_SECONDS: u64 = 60;
/// Pause before a task tries again to read from an executor: a lost one does not come back, and
/// the job is started over.
const READ_RETRY_MILLIS: u64 = 200;
/// Pause between two looks at whether executors still listen.
const LIVENESS_INTERVAL: Duration = Duration::from_secs(1);
/// An executor that takes longer to accept a connection is left to the heartbeat timeout.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between attempts to cancel a job that is still being planned.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);
/// Time that cancelled tasks take to end, after which the files they left are removed once more.
const TASKS_END: Duration = Duration::from_secs(3);

pub(crate) type Ballista = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// The executors and the jobs on them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    ballista: Ballista,
    jobs: Arc<dyn JobState>,
}

/// An executor as `SHOW EXECUTORS` prints it.
#[derive(Debug, Clone)]
pub(crate) struct ExecutorInfo {
    /// Its id, new on every registration.
    pub id: String,
    /// Host it is reached by.
    pub host: String,
    /// Port of its shuffle files.
    pub port: u16,
    /// Whether it takes no more tasks because it is stopping.
    pub stopping: bool,
    /// Tasks it can run at a time.
    pub vcores: u32,
    /// vcores taken by running tasks.
    pub used_vcores: u32,
    /// Memory of its process in bytes, from its last heartbeat.
    pub memory_bytes: Option<u64>,
    /// Time since its last heartbeat.
    pub last_seen: Duration,
}

impl Cluster {
    /// Starts Ballista's scheduler, without a listener.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, StartError> {
        let cluster = &settings.cluster;
        let timeout = cluster.executor_timeout_seconds.max(2);
        let config = SchedulerConfig {
            external_host: cluster.scheduler.host.clone(),
            bind_host: cluster.scheduler.bind_host.clone(),
            bind_port: cluster.scheduler.port,
            task_distribution: TaskDistributionPolicy::RoundRobin,
            // Results are removed by whoever fetched them.
            finished_job_data_clean_up_interval_seconds: 0,
            finished_job_state_clean_up_interval_seconds: KEEP_FINISHED_SECONDS,
            executor_timeout_seconds: timeout,
            executor_termination_grace_period: timeout,
            no_executors_grace_period_seconds: timeout,
            expire_dead_executor_interval_seconds: 1,
            grpc_server_max_decoding_message_size: MAX_MESSAGE_BYTES,
            grpc_server_max_encoding_message_size: MAX_MESSAGE_BYTES,
            grpc_client_max_message_size: MAX_MESSAGE_BYTES,
            override_config_producer: Some(Arc::new(job_config)),
            override_physical_codec: Some(shoal_lake::codec()),
            ..SchedulerConfig::default()
        };
        let jobs: Arc<dyn JobState> = Arc::new(InMemoryJobState::new(
            config.scheduler_id.clone(),
            Arc::new(default_session_builder),
            Arc::new(job_config),
        ));
        let state = BallistaCluster::new(Arc::new(CountedVcores::default()), Arc::clone(&jobs));
        let ballista = create_scheduler(state, Arc::new(config)).await?;
        Ok(Self { ballista, jobs })
    }

    /// Serves executors on `listener` and watches over them until `shutdown`.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), StartError> {
        let watch = tokio::spawn(self.clone().watch_executors(shutdown.clone()));
        let service = SchedulerGrpcServer::new(ExecutorService(self.ballista))
            .max_decoding_message_size(MAX_MESSAGE_BYTES as usize)
            .max_encoding_message_size(MAX_MESSAGE_BYTES as usize);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
            .await;
        watch.abort();
        Ok(served?)
    }

    /// Hands a plan to the executors; `updates` gets every change of its status it has room for.
    pub(crate) async fn submit(
        &self,
        name: &str,
        context: Arc<SessionContext>,
        plan: &LogicalPlan,
        updates: mpsc::Sender<JobStatus>,
    ) -> Result<JobId, BallistaError> {
        self.ballista
            .submit_job(name, context, plan, Some(updates))
            .await
    }

    /// What Ballista says of a job; `None` if it does not know it.
    pub(crate) async fn status(&self, job: &JobId) -> Option<job_status::Status> {
        let status = self.ballista.state.task_manager.get_job_status(job).await;
        status.ok().flatten().and_then(|status| status.status)
    }

    /// The stages of a running or just finished job; `None` while it is being planned.
    pub(crate) async fn stages(&self, job: &JobId) -> Option<Stages> {
        self.look_at(job, Stages::of).await
    }

    /// The stages of a finished job, each with a title and its plan with the executors' metrics.
    pub(crate) async fn measured_stages(&self, job: &JobId) -> Vec<(String, String)> {
        self.look_at(job, measured).await.unwrap_or_default()
    }

    async fn look_at<T>(&self, job: &JobId, look: fn(&dyn ExecutionGraph) -> T) -> Option<T> {
        let running = self.ballista.state.task_manager.get_running_job_cache();
        if let Some(JobInfoCache {
            execution_graph, ..
        }) = running.get(job)
        {
            return Some(look(execution_graph.read().await.as_ref()));
        }
        let finished = self.jobs.get_execution_graph(job).await.ok().flatten()?;
        Some(look(finished.as_ref()))
    }

    /// Stops a job if it still runs, and removes its files.
    pub(crate) async fn end(&self, job: JobId) {
        let mut was_running = false;
        // A job that is still being planned cannot be cancelled, and would start afterwards.
        loop {
            match self.status(&job).await {
                Some(job_status::Status::Queued(_)) => {}
                Some(job_status::Status::Running(_)) => {
                    was_running = true;
                    if let Err(error) = self.ballista.cancel_job(job.clone()).await {
                        warn!("cannot cancel job {job}: {error}");
                        return;
                    }
                }
                Some(job_status::Status::Failed(_) | job_status::Status::Successful(_)) | None => {
                    break;
                }
            }
            tokio::time::sleep(CANCEL_PAUSE).await;
        }
        let remove_files = || {
            let manager = &self.ballista.state.executor_manager;
            manager.clean_up_job_data(job.clone());
        };
        remove_files();
        if was_running {
            tokio::time::sleep(TASKS_END).await;
            remove_files();
        }
    }

    /// The context of a statement, split into as many partitions as there are vcores.
    pub(crate) async fn job_context(&self, context: &SessionContext) -> Arc<SessionContext> {
        let mut state = context.state();
        let mut config = state.config().clone().upgrade_for_ballista();
        if config.target_partitions() == job_config().target_partitions() {
            // Not set by the user.
            config = config.with_target_partitions(self.vcores().await.max(1));
        }
        *state.config_mut() = config
            .with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES as usize)
            .set_u64(BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS, READ_RETRY_MILLIS);
        Arc::new(SessionContext::new_with_state(state))
    }

    /// Whether some executor takes tasks.
    pub(crate) fn has_executors(&self) -> bool {
        self.ballista.is_ready()
    }

    /// Tasks that all executors together can run at a time.
    pub(crate) async fn vcores(&self) -> usize {
        let executors = self.registered().await;
        executors
            .iter()
            .map(|(executor, _)| executor.specification.vcores as usize)
            .sum()
    }

    /// Host and port of an executor's files; `None` if it does not belong to the cluster.
    pub(crate) async fn address(&self, executor: &str) -> Option<(String, u16)> {
        let manager = &self.ballista.state.executor_manager;
        let executor = manager.get_executor_metadata(executor).await.ok()?;
        Some((executor.host, executor.port))
    }

    /// The executors, for `SHOW EXECUTORS`.
    pub(crate) async fn executors(&self) -> Vec<ExecutorInfo> {
        let manager = &self.ballista.state.executor_manager;
        let mut used = HashMap::new();
        for job in self
            .ballista
            .state
            .task_manager
            .get_running_job_cache()
            .values()
        {
            Stages::of(job.execution_graph.read().await.as_ref()).count_vcores(&mut used);
        }
        let states = manager.get_executors_state().await.unwrap_or_default();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut executors: Vec<ExecutorInfo> = states
            .into_iter()
            .map(|(executor, last_seen, metrics)| {
                let status = manager
                    .get_executor_hearbeat(&executor.id)
                    .and_then(|heartbeat| heartbeat.status)
                    .and_then(|status| status.status);
                ExecutorInfo {
                    used_vcores: used.get(&executor.id).copied().unwrap_or(0),
                    id: executor.id,
                    host: executor.host,
                    port: executor.port,
                    stopping: matches!(status, Some(ExecutorState::Terminating(_))),
                    vcores: executor.specification.vcores,
                    memory_bytes: metrics.iter().find_map(|metric| match metric.metric {
                        Some(Metric::ProcPhysicalMemory(bytes)) => Some(bytes),
                        _ => None,
                    }),
                    last_seen: last_seen.map_or(Duration::ZERO, |seen| now.saturating_sub(seen)),
                }
            })
            .collect();
        executors.sort_by(|a, b| (&a.host, a.port, &a.id).cmp(&(&b.host, b.port, &b.id)));
        executors
    }

    async fn watch_executors(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LIVENESS_INTERVAL) => self.expel_dead_executors().await,
            }
        }
    }

    /// Removes executors that no longer listen, or whose address another one has taken over.
    /// A killed process is noticed this way within a second; a machine that vanished is noticed
    /// by its missing heartbeats.
    pub(crate) async fn expel_dead_executors(&self) {
        let executors = self.registered().await;
        let mut newest: HashMap<(&str, u16), &str> = HashMap::new();
        for (executor, _) in &executors {
            // Ids are UUIDs of version 7: later ones compare greater.
            let id = newest
                .entry((&executor.host, executor.grpc_port))
                .or_insert(&executor.id);
            *id = (*id).max(&executor.id);
        }
        let dead = join_all(executors.iter().map(|(executor, _)| {
            let replaced = newest
                .get(&(executor.host.as_str(), executor.grpc_port))
                .is_some_and(|newest| *newest != executor.id);
            async move {
                if replaced {
                    return Some((executor, "another executor has taken over its address"));
                }
                let refused = refuses_connections(executor).await;
                refused.then_some((executor, "its process is gone"))
            }
        }));
        for (executor, reason) in dead.await.into_iter().flatten() {
            info!(
                "executor {} at {}:{} is lost: {reason}",
                executor.id, executor.host, executor.grpc_port
            );
            let manager = &self.ballista.state.executor_manager;
            let removed = manager
                .remove_executor(&executor.id, Some(reason.to_string()))
                .await;
            if let Err(error) = removed {
                warn!("cannot remove executor {}: {error}", executor.id);
            }
        }
    }

    async fn registered(&self) -> Vec<(ExecutorMetadata, Option<Duration>)> {
        let manager = &self.ballista.state.executor_manager;
        let states = manager.get_executors_state().await.unwrap_or_default();
        states
            .into_iter()
            .map(|(executor, last_seen, _)| (executor, last_seen))
            .collect()
    }
}

async fn refuses_connections(executor: &ExecutorMetadata) -> bool {
    let address = (executor.host.as_str(), executor.grpc_port);
    let connected = tokio::time::timeout(LIVENESS_TIMEOUT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// What jobs start from: Ballista's settings, with room for large plans.
pub(crate) fn job_config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES as usize)
}
