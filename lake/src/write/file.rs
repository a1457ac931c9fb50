//! One data file being written.

use std::{io, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use bytes::Bytes;
use object_store::{ObjectStore, buffered::BufWriter, path::Path};
use parquet::{arrow::ArrowWriter, errors::ParquetError, file::properties::WriterProperties};
use tokio::io::AsyncWriteExt;
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
    writer: ArrowWriter<Parts>,
    upload: BufWriter,
    group_bytes: Option<usize>,
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
        let part_bytes = part_bytes(&spec.location);
        let upload = BufWriter::with_capacity(store.clone(), object.clone(), part_bytes);
        let parts = Parts::of(part_bytes);
        let writer = ArrowWriter::try_new(parts, schema.clone(), Some(properties.clone()))?;
        Ok(OpenFile {
            relative_path,
            object,
            partition,
            schema: schema.clone(),
            writer,
            upload,
            group_bytes: properties.max_row_group_bytes(),
            rows: 0,
        })
    }

    /// Appends rows that have the file's columns.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let at_once = self.rows_at_once(rows);
        let mut start = 0;
        while start < rows.num_rows() {
            let piece = rows.slice(start, at_once.min(rows.num_rows() - start));
            self.writer.write(&piece)?;
            self.send().await?;
            start += piece.num_rows();
        }
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// How many of the rows make a row group on average: the Parquet writer ends one only between two
    /// calls as long as it does not know how large rows are.
    fn rows_at_once(&self, rows: &RecordBatch) -> usize {
        let Some(most) = self.group_bytes else {
            return rows.num_rows();
        };
        let bytes: usize = rows.columns().iter().map(shown_bytes).sum();
        let pieces = bytes.div_ceil(most).max(1);
        rows.num_rows().div_ceil(pieces)
    }

    /// Hands what the Parquet writer has put out to the store.
    async fn send(&mut self) -> Result<()> {
        for part in self.writer.inner_mut().full.drain(..) {
            self.upload.put(part).await.map_err(ParquetError::from)?;
        }
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
        self.writer.flush()?;
        self.send().await
    }

    /// Where the file lies in its store.
    pub(crate) fn object(&self) -> &Path {
        &self.object
    }

    /// Ends the file and describes it.
    pub(crate) async fn close(&mut self) -> Result<DataFile> {
        let metadata = self.writer.finish()?;
        self.writer.inner_mut().end();
        self.send().await?;
        self.upload.shutdown().await.map_err(ParquetError::from)?;
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
    pub(crate) async fn abort(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::debug!(file = %self.object, "an unfinished upload could not be cancelled: {error}");
        }
    }
}

/// Bytes of what a column shows, whatever it is a slice of.
fn shown_bytes(column: &ArrayRef) -> usize {
    let shown = column.to_data().get_slice_memory_size();
    shown.unwrap_or_else(|_| column.get_array_memory_size())
}

/// Output of a Parquet writer, in parts of the size that the store takes: a row group of images in one
/// growing buffer was copied over and over again.
struct Parts {
    size: usize,
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Parts {
    fn of(size: usize) -> Self {
        Parts {
            size,
            full: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Makes what was put out so far a part, whatever its size.
    fn end(&mut self) {
        self.full.push(Bytes::from(std::mem::take(&mut self.open)));
    }
}

impl io::Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.len() == self.size {
            self.end();
        }
        if self.open.is_empty() {
            self.open.reserve_exact(self.size);
        }
        let taken = bytes.len().min(self.size - self.open.len());
        self.open.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
