//! The files that tasks of a job's last stage leave on executors, read while they are written.
//!
//! A task appends its rows to an Arrow IPC stream in a file. The scheduler asks the executor for what
//! the file holds beyond the bytes it has, until the task is done and all of them are here. So rows
//! reach a client while executors still produce others, and a client that does not keep up
//! holds no executor: the disk is the buffer.

use std::collections::HashMap;
use std::time::Duration;

use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf;
use ballista_core::serde::scheduler::{
    Action as Request, ByteRange, ShuffleFileKind, ShuffleLayout,
};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use bytes::Bytes;
use futures::{Stream, stream};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::cluster::{MAX_MESSAGE_BYTES, job_config};

/// Bytes of one file on their way to a reader that does not keep up.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of all files from one executor on their way.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Pause before an executor is asked again whether a file has grown.
const GROWTH_PAUSE: Duration = Duration::from_millis(50);
/// The action by which Ballista's executors send bytes of a file.
const READ_BYTES: &str = "IO_BLOCK_TRANSPORT";

/// A file of rows, named by the task that writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ResultFile {
    /// Number of the task's stage.
    pub stage: usize,
    /// Partition of the stage's output that it holds.
    pub partition: usize,
    /// Number of the task within its stage; one that runs again gets a new one.
    pub task: u64,
    /// Id of the executor that has it.
    pub executor: String,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its task is running.
    Growing,
    /// It gets no more.
    Complete {
        /// What it holds.
        bytes: u64,
        /// How many of them.
        rows: u64,
    },
    /// Its task is given up: whatever it holds, there is no more to come.
    Abandoned,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("result on executor {executor} ({address}) could not be fetched: {source}")]
pub(crate) struct FetchError {
    /// Id of the executor.
    pub executor: String,
    /// Its host and port.
    pub address: String,
    source: ReadError,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{}", .0.message())]
    Executor(#[from] Status),
    #[error(transparent)]
    Connection(#[from] tonic::transport::Error),
    #[error(transparent)]
    Request(#[from] BallistaError),
    #[error("its bytes make no sense: {0}")]
    Content(#[from] ArrowError),
    #[error("it has {found} rows in place of {expected}")]
    Rows { found: u64, expected: u64 },
}

/// Connections to executors, one each, shared by all queries.
#[derive(Default)]
pub(crate) struct ResultClients {
    clients: Mutex<HashMap<(String, u16), FlightServiceClient<Channel>>>,
}

impl ResultClients {
    /// The rows of a job's file, as soon as they are in it and no faster than they are taken, until
    /// it is complete. `address` is that of the executor.
    pub(crate) fn rows(
        &self,
        job: JobId,
        file: ResultFile,
        address: (String, u16),
        extent: watch::Receiver<Extent>,
    ) -> impl Stream<Item = Result<RecordBatch, FetchError>> {
        let reader = Reader {
            clients: self,
            job,
            file,
            address,
            extent,
            decoder: StreamDecoder::new(),
            bytes: Buffer::from(Bytes::new()),
            read: 0,
            rows: 0,
            open: None,
        };
        stream::try_unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(batch) => Ok(batch.map(|batch| (batch, reader))),
                Err(source) => Err(reader.failed(source)),
            }
        })
    }

    async fn client(
        &self,
        address: &(String, u16),
    ) -> Result<FlightServiceClient<Channel>, ReadError> {
        let known = self.clients.lock().get(address).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let (host, port) = address;
        let mut config = GrpcClientConfig::from(&job_config().ballista_config());
        config.initial_connection_window_size = CONNECTION_WINDOW;
        config.initial_stream_window_size = STREAM_WINDOW;
        let endpoint = create_grpc_client_endpoint(format!("http://{host}:{port}"), Some(&config))?;
        let client = FlightServiceClient::new(endpoint.connect().await?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES as usize);
        self.clients.lock().insert(address.clone(), client.clone());
        Ok(client)
    }
}

/// One file on its way.
struct Reader<'a> {
    clients: &'a ResultClients,
    job: JobId,
    file: ResultFile,
    address: (String, u16),
    extent: watch::Receiver<Extent>,
    decoder: StreamDecoder,
    /// Bytes that are here and not yet decoded.
    bytes: Buffer,
    /// How many bytes of the file have come.
    read: u64,
    /// How many rows were in them.
    rows: u64,
    /// The answer that bytes come in.
    open: Option<Streaming<arrow_flight::Result>>,
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.bytes)? {
                self.rows += batch.num_rows() as u64;
                return Ok(Some(batch));
            }
            let Some(bytes) = self.more().await? else {
                return self.check_rows().map(|()| None);
            };
            self.read += bytes.len() as u64;
            self.bytes = Buffer::from(bytes);
        }
    }

    /// Whether a complete file has given all its rows.
    fn check_rows(&self) -> Result<(), ReadError> {
        match *self.extent.borrow() {
            Extent::Complete { rows, .. } if rows != self.rows => Err(ReadError::Rows {
                found: self.rows,
                expected: rows,
            }),
            _ => Ok(()),
        }
    }

    /// The next bytes of the file, waiting for them if need be; none at its end.
    async fn more(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if let Some(open) = &mut self.open {
                match open.message().await? {
                    Some(bytes) => return Ok(Some(bytes.body)),
                    None => self.open = None,
                }
            }
            let extent = *self.extent.borrow_and_update();
            if matches!(extent, Extent::Complete { bytes, .. } if bytes == self.read) {
                return Ok(None);
            }
            match (self.request().await, extent) {
                (Ok(answer), _) => self.open = Some(answer),
                (Err(error), Extent::Growing) if is_not_yet_there(&error) => self.wait().await,
                (Err(error), Extent::Abandoned) if is_not_yet_there(&error) => return Ok(None),
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Asks for all that the file holds now beyond what has come.
    async fn request(&self) -> Result<Streaming<arrow_flight::Result>, ReadError> {
        let (host, port) = self.address.clone();
        let request = Request::FetchPartition {
            job_id: self.job.clone(),
            stage_id: self.file.stage,
            partition_id: self.file.partition,
            host,
            port,
            file_id: Some(self.file.task),
            layout: ShuffleLayout::Passthrough,
            file_kind: ShuffleFileKind::Data,
            byte_ranges: vec![ByteRange {
                offset: self.read,
                length: u64::MAX,
            }],
        };
        let message: protobuf::Action = request.try_into()?;
        let action = Action {
            r#type: READ_BYTES.to_string(),
            body: message.encode_to_vec().into(),
        };
        let mut client = self.clients.client(&self.address).await?;
        Ok(client.do_action(action).await?.into_inner())
    }

    /// Waits until the file may have grown.
    async fn wait(&mut self) {
        // An error says that the job is over: whoever takes the rows is dropped next.
        let _ = tokio::time::timeout(GROWTH_PAUSE, self.extent.changed()).await;
    }

    fn failed(&self, source: ReadError) -> FetchError {
        self.clients.clients.lock().remove(&self.address);
        let (host, port) = &self.address;
        FetchError {
            executor: self.file.executor.clone(),
            address: format!("{host}:{port}"),
            source,
        }
    }
}

/// Whether the executor says that the file has no byte at the place that was asked for: it is not
/// made yet, or has not grown.
fn is_not_yet_there(error: &ReadError) -> bool {
    match error {
        ReadError::Executor(status) => {
            status.code() == Code::OutOfRange || status.message().starts_with("Failed to stat")
        }
        _ => false,
    }
}
