//! Result partitions of finished jobs, fetched from the executors that hold them.

use std::collections::HashMap;

use arrow::record_batch::RecordBatch;
use ballista_core::client::BallistaClient;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::PartitionLocation;
use ballista_core::serde::scheduler::PartitionId;
use datafusion::error::DataFusionError;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::cluster::MAX_MESSAGE_BYTES;

/// Partitions fetched at a time.
const CONCURRENT_FETCHES: usize = 8;
/// Bytes of one partition on their way to a reader that does not keep up.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of all partitions from one executor on their way.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Connections to executors, one each, shared by all queries.
#[derive(Default)]
pub(crate) struct ResultClients {
    clients: Mutex<HashMap<(String, u16), BallistaClient>>,
}

/// A partition that could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("result on executor {executor} ({address}) could not be fetched: {source}")]
pub(crate) struct FetchError {
    /// Id of the executor.
    pub executor: String,
    /// Its host and port.
    pub address: String,
    source: DataFusionError,
}

impl ResultClients {
    /// The rows of all partitions, in no order, read no faster than they are taken.
    pub(crate) fn rows(
        &self,
        partitions: Vec<PartitionLocation>,
    ) -> impl Stream<Item = Result<RecordBatch, FetchError>> {
        let with_rows = partitions.into_iter().filter(|partition| {
            let rows = partition
                .partition_stats
                .as_ref()
                .map(|stats| stats.num_rows);
            rows != Some(0)
        });
        stream::iter(with_rows)
            .map(|partition| self.partition(partition))
            .buffer_unordered(CONCURRENT_FETCHES)
            .try_flatten_unordered(CONCURRENT_FETCHES)
    }

    async fn partition(
        &self,
        location: PartitionLocation,
    ) -> Result<impl Stream<Item = Result<RecordBatch, FetchError>> + use<>, FetchError> {
        let executor = location.executor_meta.clone().unwrap_or_default();
        let address = (executor.host.clone(), executor.port as u16);
        let failed = move |source: DataFusionError| FetchError {
            executor: executor.id.clone(),
            address: format!("{}:{}", executor.host, executor.port),
            source,
        };
        let rows = self.request(&address, &location).await;
        let rows = rows.map_err(|error| {
            self.clients.lock().remove(&address);
            failed(DataFusionError::External(Box::new(error)))
        })?;
        Ok(rows.map_err(failed))
    }

    async fn request(
        &self,
        address: &(String, u16),
        location: &PartitionLocation,
    ) -> Result<datafusion::execution::SendableRecordBatchStream, BallistaError> {
        let partition = location.partition_id.clone().unwrap_or_default();
        let partition = PartitionId::new(
            &partition.job_id.into(),
            partition.stage_id as usize,
            partition.partition_id as usize,
        );
        let executor = location.executor_meta.clone().unwrap_or_default();
        let mut client = self.client(address).await?;
        client
            .fetch_partition(
                &executor.id,
                &partition,
                location.file_id,
                location.layout(),
                true,
            )
            .await
    }

    async fn client(&self, address: &(String, u16)) -> Result<BallistaClient, BallistaError> {
        let known = self.clients.lock().get(address).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let (host, port) = address;
        let client = BallistaClient::try_new(
            host,
            *port,
            MAX_MESSAGE_BYTES as usize,
            false,
            None,
            1,
            0,
            CONNECTION_WINDOW,
            STREAM_WINDOW,
        )
        .await?;
        self.clients.lock().insert(address.clone(), client.clone());
        Ok(client)
    }
}
