//! One data file being written.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::{ObjectStore, buffered::BufWriter, path::Path};
use parquet::{arrow::AsyncArrowWriter, file::properties::WriterProperties};
use url::Url;
use uuid::Uuid;

use crate::{
    data_file::DataFile,
    error::Result,
    scan::object_path,
    write::{
        partition::{PartitionKey, directory},
        spec::WriteSpec,
        stats::json_stats,
    },
};

/// Bytes of one request to a remote store; S3 takes no smaller parts than 5 MiB.
const REMOTE_PART_BYTES: usize = 8 << 20;
/// Bytes of one write to a local file: from about a megabyte on, Linux looks for large contiguous
/// pages, and copying into them was ten times slower here.
const LOCAL_PART_BYTES: usize = 256 << 10;

fn part_bytes(location: &Url) -> usize {
    match location.scheme() {
        "file" => LOCAL_PART_BYTES,
        _ => REMOTE_PART_BYTES,
    }
}

/// A Parquet file of one partition that still takes rows.
pub(crate) struct OpenFile {
    relative_path: String,
    object: Path,
    partition: PartitionKey,
    schema: SchemaRef,
    writer: AsyncArrowWriter<BufWriter>,
    rows: u64,
}

impl OpenFile {
    /// Begins a file whose name nothing else carries, so that a task that runs twice never
    /// overwrites its first run.
    pub(crate) fn create(
        spec: &WriteSpec,
        schema: &SchemaRef,
        properties: &WriterProperties,
        store: &Arc<dyn ObjectStore>,
        partition: PartitionKey,
    ) -> Result<Self> {
        let relative_path = format!(
            "{}{}part-{}.parquet",
            spec.data_prefix,
            directory(&partition),
            Uuid::new_v4()
        );
        let object = object_path(&spec.location, &relative_path)?;
        let writer = AsyncArrowWriter::try_new(
            BufWriter::with_capacity(store.clone(), object.clone(), part_bytes(&spec.location)),
            schema.clone(),
            Some(properties.clone()),
        )?;
        Ok(OpenFile {
            relative_path,
            object,
            partition,
            schema: schema.clone(),
            writer,
            rows: 0,
        })
    }

    /// Appends rows that have the file's columns.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).await?;
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Bytes held in memory.
    pub(crate) fn buffered(&self) -> usize {
        self.writer.memory_size()
    }

    /// Bytes the file has so far, the row group in memory included.
    pub(crate) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Ends the row group, which frees what is buffered.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush().await?)
    }

    /// Where the file lies in its store.
    pub(crate) fn object(&self) -> &Path {
        &self.object
    }

    /// Ends the file and describes it.
    pub(crate) async fn close(&mut self) -> Result<DataFile> {
        let metadata = self.writer.finish().await?;
        Ok(DataFile {
            path: self.relative_path.clone(),
            size: self.writer.bytes_written() as u64,
            modified_ms: chrono::Utc::now().timestamp_millis(),
            partition: self.partition.iter().cloned().collect(),
            stats: Some(json_stats(&self.schema, &metadata)?),
            rows: Some(self.rows),
        })
    }

    /// Gives the file up: an upload in progress is cancelled at the store.
    pub(crate) async fn abort(self) {
        let mut upload = self.writer.into_inner();
        if let Err(error) = upload.abort().await {
            tracing::debug!(file = %self.object, "an unfinished upload could not be cancelled: {error}");
        }
    }
}
