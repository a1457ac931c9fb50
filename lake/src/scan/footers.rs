//! Footers of data files along with their page indexes, read once per process.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::Result,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{ParquetFileReaderFactory, parquet::CachedParquetFileReaderFactory},
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::future::BoxFuture;
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::Result as ParquetResult,
    file::metadata::ParquetMetaData,
};

/// Makes readers that take a file's page index from the same cache as its footer.
///
/// DataFusion reads footers without it, and then the index by itself, for every query anew: half of
/// what it took to look up one row of a large file.
#[derive(Debug)]
pub(crate) struct IndexedFooters(pub(crate) CachedParquetFileReaderFactory);

impl ParquetFileReaderFactory for IndexedFooters {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader = self
            .0
            .create_reader(partition, file, footer_bytes, metrics)?;
        Ok(Box::new(IndexedReader(reader)))
    }
}

struct IndexedReader(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for IndexedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        // The options say to leave the index out. Data files are not encrypted, which is all else that
        // they could say about a footer.
        self.0.get_metadata(None)
    }
}
