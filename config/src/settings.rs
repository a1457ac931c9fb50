//! The settings themselves: every section, key, unit and default.
//!
//! Defaults describe a whole setup on one machine below `./data`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, CatalogSettings, Storage};

/// Everything a Shoal process can be told. See `config/settings.yaml` for the same with comments.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Zones and object stores.
    pub storage: Storage,
    /// Batches and retries.
    pub processing: Processing,
    /// Scheduler, executors and how they watch each other.
    pub cluster: Cluster,
    /// Where table names are kept.
    pub catalog: CatalogSettings,
    /// The Arrow Flight SQL front door.
    pub flight: FlightSettings,
    /// Where queries run.
    pub query: QuerySettings,
    /// How data files are written.
    pub write: WriteSettings,
    /// Limits on images.
    pub images: ImageSettings,
    /// What runs ONNX models, and limits on them.
    pub models: ModelSettings,
}

/// Batches and retries of data processing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Processing {
    /// Most rows in a batch that carries binary values such as images; at least 1.
    pub batch_size: usize,
    /// About so many bytes are in a batch that carries binary values.
    pub batch_bytes: ByteSize,
    /// How often a request to an object store is tried again, and a part of a pipeline.
    pub max_retries: u32,
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            batch_size: 1000,
            batch_bytes: ByteSize::mib(1),
            max_retries: 3,
        }
    }
}

/// The processes of a cluster. Takes the place of Spark's `spark:` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Name of the deployment in logs and in `shoal status`.
    pub app_name: String,
    /// The scheduler.
    pub scheduler: SchedulerSettings,
    /// Each executor.
    pub executor: ExecutorSettings,
    /// Seconds between an executor's signs of life.
    pub heartbeat_seconds: u64,
    /// Seconds of silence after which an executor counts as lost.
    pub executor_timeout_seconds: u64,
    /// Seconds after which a running job is cancelled.
    pub job_timeout_seconds: u64,
    /// Seconds that running work gets to finish after SIGTERM.
    pub shutdown_grace_seconds: u64,
    /// How often a job that lost an executor is run again.
    pub job_retries: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            app_name: "Shoal".into(),
            scheduler: SchedulerSettings::default(),
            executor: ExecutorSettings::default(),
            heartbeat_seconds: 2,
            executor_timeout_seconds: 10,
            job_timeout_seconds: 3600,
            shutdown_grace_seconds: 20,
            job_retries: 3,
        }
    }
}

/// The scheduler's internal port. It authenticates nobody: keep it on a private network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerSettings {
    /// Address to listen on.
    pub bind_host: String,
    /// Address executors reach it by.
    pub host: String,
    /// Port of its gRPC service; 0 takes a free one, which only `shoal serve` can tell its
    /// executor.
    pub port: u16,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            bind_host: "127.0.0.1".into(),
            host: "127.0.0.1".into(),
            port: 50050,
        }
    }
}

/// One executor. Its internal ports authenticate nobody: keep them on a private network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorSettings {
    /// Address to listen on.
    pub bind_host: String,
    /// Address the scheduler and other executors reach it by.
    pub host: String,
    /// Port that serves shuffle data.
    pub port: u16,
    /// Port that takes tasks.
    pub grpc_port: u16,
    /// Tasks at a time; 0 is one per CPU.
    pub vcores: usize,
    /// Memory shared by all running tasks; past it they spill.
    pub memory: ByteSize,
    /// Folder of shuffle files.
    pub work_dir: PathBuf,
    /// Folder of spilled sorts, joins and aggregates.
    pub spill_dir: PathBuf,
    /// Disk that spilling may take before the statement fails.
    pub max_spill: ByteSize,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            bind_host: "127.0.0.1".into(),
            host: "127.0.0.1".into(),
            port: 50051,
            grpc_port: 50052,
            vcores: 0,
            memory: ByteSize::gib(2),
            work_dir: "data/work".into(),
            spill_dir: "data/spill".into(),
            max_spill: ByteSize::gib(50),
        }
    }
}

/// The Arrow Flight SQL front door, the one port meant for clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlightSettings {
    /// Address to listen on.
    pub bind_host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Users and their argon2 password hashes, one `name:hash` per line.
    pub users_file: Option<PathBuf>,
    /// Lets clients in without a user; refused unless `bind_host` is a loopback address.
    pub anonymous: bool,
    /// Seconds a result can still be fetched after it was planned.
    pub ticket_seconds: u64,
    /// Seconds after which an unused session is forgotten.
    pub session_seconds: u64,
}

impl Default for FlightSettings {
    fn default() -> Self {
        Self {
            bind_host: "127.0.0.1".into(),
            port: 32010,
            users_file: None,
            anonymous: false,
            ticket_seconds: 600,
            session_seconds: 3600,
        }
    }
}

/// Where a statement runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Small ones in the scheduler, the rest on executors.
    #[default]
    Auto,
    /// Always in the scheduler.
    Local,
    /// Always on executors.
    Distributed,
}

/// Placement of queries and the scheduler's own share of the work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Where statements run.
    pub placement: Placement,
    /// The most bytes a statement may be estimated to read and still run in the scheduler; if not
    /// set, see [`QuerySettings::local_max_bytes`].
    pub local_max_bytes: Option<ByteSize>,
    /// Memory of all statements in the scheduler together; if not set, see
    /// [`QuerySettings::local_memory`].
    pub local_memory: Option<ByteSize>,
    /// Statements in the scheduler at a time; at least 1.
    pub local_concurrency: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            placement: Placement::Auto,
            local_max_bytes: None,
            local_memory: None,
            local_concurrency: 8,
        }
    }
}

impl QuerySettings {
    /// The most bytes a statement may be estimated to read and still run in the scheduler.
    pub fn local_max_bytes(&self) -> ByteSize {
        self.local_max_bytes.unwrap_or(ByteSize::mib(256))
    }

    /// Memory of all statements in the scheduler together.
    pub fn local_memory(&self) -> ByteSize {
        self.local_memory.unwrap_or(ByteSize::gib(1))
    }
}

/// Shape of the data files that writes produce.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriteSettings {
    /// Size at which a data file is closed and the next begun.
    pub target_file_size: ByteSize,
    /// Most bytes in memory for one row group; 16 MiB where a column is BINARY.
    pub row_group_bytes: ByteSize,
    /// `none`, `snappy`, `lz4_raw` or `zstd(level)`; image bytes are never compressed again, and vectors with
    /// `snappy` instead of `zstd`.
    pub compression: String,
}

impl Default for WriteSettings {
    fn default() -> Self {
        Self {
            target_file_size: ByteSize::mib(128),
            row_group_bytes: ByteSize::mib(64),
            compression: "zstd(1)".into(),
        }
    }
}

/// Limits that keep one image from taking a process down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSettings {
    /// Largest file that ingest takes in.
    pub max_file_bytes: ByteSize,
    /// Most pixels (width × height) that are decoded.
    pub max_pixels: u64,
    /// Most memory that decoding one image may take.
    pub max_alloc: ByteSize,
    /// Longest time that decoding one image may take.
    pub max_seconds: u64,
    /// URLs that `url_download` may read, each with all below it. A private address is reached only if it
    /// is the host of an entry. Object stores need none.
    pub url_allow: Vec<String>,
    /// Seconds after which `url_download` gives a file up.
    pub url_timeout_seconds: u64,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            max_file_bytes: ByteSize::mib(256),
            max_pixels: 89_000_000,
            max_alloc: ByteSize::gib(1),
            max_seconds: 30,
            url_allow: Vec::new(),
            url_timeout_seconds: 30,
        }
    }
}

/// What runs ONNX models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelRuntime {
    /// tract, which every program has built in.
    #[default]
    Tract,
    /// ONNX Runtime, a library that is loaded when a program starts that was built for it.
    OnnxRuntime,
}

/// What runs models, and limits that keep them from taking a process down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// What runs them.
    pub runtime: ModelRuntime,
    /// ONNX Runtime's shared library; needed by that runtime and by nothing else.
    pub onnxruntime_library: Option<PathBuf>,
    /// Largest file that `CREATE MODEL` takes in.
    pub max_file_bytes: ByteSize,
    /// Models kept in memory by a process, by the size of their files; at least `max_file_bytes`.
    pub cache: ByteSize,
    /// Most vectors that go through a model at a time; at least 1. Pictures go one by one.
    pub batch_size: usize,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            runtime: ModelRuntime::Tract,
            onnxruntime_library: None,
            max_file_bytes: ByteSize::mib(512),
            cache: ByteSize::gib(1),
            batch_size: 64,
        }
    }
}
