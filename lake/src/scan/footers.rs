//! Footers of data files along with their page indexes, read once per process.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode as _},
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileScanConfig, FileSource, ParquetFileReaderFactory, ParquetSource},
        source::DataSourceExec,
    },
    physical_plan::{ExecutionPlan, metrics::ExecutionPlanMetricsSet},
};
use futures::future::BoxFuture;
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::Result as ParquetResult,
    file::metadata::ParquetMetaData,
};

use super::{FieldIdSource, ReducedSource};

/// Makes readers that take a file's page index from the same cache as its footer.
///
/// DataFusion reads footers without it, and then the index by itself, for every query anew: half of
/// what it took to look up one row of a large file. And it reads the index only for conditions that rule
/// pages out. One that it decides row by row, such as a long `IN`, then reads every page of the columns
/// beside it.
#[derive(Debug)]
pub(crate) struct IndexedFooters(pub(crate) Arc<dyn ParquetFileReaderFactory>);

/// A plan from elsewhere whose filtered scans read page indexes, which plans do not tell of when they
/// travel.
///
/// # Errors
/// When an operator does not take its new input.
pub fn with_indexed_footers(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let scan = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
        let Some((scan, source)) =
            scan.and_then(|scan| Some((scan, indexed(&scan.file_source, false)?)))
        else {
            return Ok(Transformed::no(node));
        };
        let mut scan = scan.clone();
        scan.file_source = source;
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
        Ok(Transformed::yes(scan))
    })?;
    Ok(plan.data)
}

/// The source with page indexes, if it is one of Parquet files and has conditions or a selection of rows.
fn indexed(source: &Arc<dyn FileSource>, selects_rows: bool) -> Option<Arc<dyn FileSource>> {
    if let Some(reduced) = source.downcast_ref::<ReducedSource>() {
        let inner = indexed(reduced.inner(), true)?;
        return Some(Arc::new(ReducedSource::new(inner, reduced.rows().clone())));
    }
    if let Some(by_id) = source.downcast_ref::<FieldIdSource>() {
        let parquet = indexed(by_id.parquet(), selects_rows)?;
        return Some(Arc::new(FieldIdSource::new(parquet)));
    }
    let parquet = source.downcast_ref::<ParquetSource>()?;
    if !selects_rows && parquet.filter().is_none() {
        return None;
    }
    let readers = IndexedFooters(parquet.parquet_file_reader_factory()?.clone());
    let parquet = parquet.clone();
    Some(Arc::new(
        parquet.with_parquet_file_reader_factory(Arc::new(readers)),
    ))
}

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
