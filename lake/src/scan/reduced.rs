//! Reading not all rows of files: chosen ones, or those that come first in an order.
//!
//! DataFusion's Parquet scan takes a selection of rows as an extension of a file, which a plan that travels
//! to an executor drops. So [`ReducedSource`] stands around the scan's source and says what is wanted, and
//! the codec sends that along.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, config::ConfigOptions, tree_node::TreeNodeRecursion},
    datasource::{
        physical_plan::{FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    physical_expr::{EquivalenceProperties, PhysicalSortExpr, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType, PhysicalExpr, SortOrderPushdownResult,
        filter_pushdown::FilterPushdownPropagation, metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::{RowsByFile, TopRows, top_rows::top_of_files};

/// Which rows of its files a [`ReducedSource`] reads.
#[derive(Clone)]
pub(crate) enum WantedRows {
    /// These; the files carry their selections from [`select`](super::select).
    Chosen(Arc<RowsByFile>),
    /// Those that may be among the first.
    First(Arc<TopRows>),
}

/// A source of Parquet files that reads some of their rows.
#[derive(Clone)]
pub(crate) struct ReducedSource {
    inner: Arc<dyn FileSource>,
    rows: WantedRows,
}

impl ReducedSource {
    /// Around `inner`, which would read all rows.
    pub(crate) fn new(inner: Arc<dyn FileSource>, rows: WantedRows) -> Self {
        ReducedSource { inner, rows }
    }

    /// The source that reads.
    pub(crate) fn inner(&self) -> &Arc<dyn FileSource> {
        &self.inner
    }

    /// The rows that are wanted.
    pub(crate) fn rows(&self) -> &WantedRows {
        &self.rows
    }

    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(ReducedSource {
            inner,
            rows: self.rows.clone(),
        })
    }
}

impl FileSource for ReducedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        match &self.rows {
            WantedRows::Chosen(_) => self.inner.create_morselizer(store, config, partition),
            WantedRows::First(top) => top_of_files(&self.inner, top, store, config, partition),
        }
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.wrap(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    /// A part of a file would take the selection of the whole.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.rows {
            WantedRows::Chosen(files) => {
                let rows: usize = files.values().map(|chosen| chosen.rows.len()).sum();
                write!(f, ", rows={rows} of {} files", files.len())?;
            }
            WantedRows::First(top) => {
                write!(f, ", first {} of each file by [{}]", top.count, top.order)?;
            }
        }
        self.inner.fmt_extra(format, f)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.wrap(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_sort(order, properties)?;
        Ok(pushed.map(|inner| self.wrap(inner)))
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.wrap(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}
