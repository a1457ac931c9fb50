//! Reading chosen rows of some files, wherever the rows are: a row selection per file.
//!
//! DataFusion's Parquet scan takes a selection as an extension of a file, which a plan that travels to an
//! executor drops. So [`RowsSource`] stands around the scan's source, and the codec sends the row numbers
//! along and gives them to the files again.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use datafusion::{
    common::{Result, config::ConfigOptions, tree_node::TreeNodeRecursion},
    datasource::{
        physical_plan::{
            FileGroup, FileOpener, FileScanConfig, FileSource, parquet::ParquetRowSelection,
        },
        table_schema::TableSchema,
    },
    physical_expr::{EquivalenceProperties, PhysicalSortExpr, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType, PhysicalExpr, SortOrderPushdownResult,
        filter_pushdown::FilterPushdownPropagation, metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::{PartitionedFile, morsel::Morselizer};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use serde::{Deserialize, Serialize};

/// The rows to read of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChosenRows {
    /// Rows in the file.
    pub(crate) of: u64,
    /// Numbers of those that are read.
    pub(crate) rows: BTreeSet<u64>,
}

impl ChosenRows {
    /// As the Parquet reader takes it.
    pub(super) fn selection(&self) -> RowSelection {
        let mut selectors = Vec::new();
        let mut next = 0;
        for &row in self.rows.iter().filter(|row| **row < self.of) {
            if row > next {
                selectors.push(RowSelector::skip((row - next) as usize));
            }
            selectors.push(RowSelector::select(1));
            next = row + 1;
        }
        if self.of > next {
            selectors.push(RowSelector::skip((self.of - next) as usize));
        }
        RowSelection::from(selectors)
    }
}

/// Rows by path of the file; files that are not there are read whole.
pub(crate) type RowsByFile = HashMap<String, ChosenRows>;

/// A source some of whose files carry a selection.
#[derive(Clone)]
pub(crate) struct RowsSource {
    inner: Arc<dyn FileSource>,
    rows: Arc<RowsByFile>,
}

impl RowsSource {
    /// Around `inner`, whose files have their selections from [`select`].
    pub(crate) fn new(inner: Arc<dyn FileSource>, rows: Arc<RowsByFile>) -> Self {
        RowsSource { inner, rows }
    }

    /// The source that reads.
    pub(crate) fn inner(&self) -> &Arc<dyn FileSource> {
        &self.inner
    }

    /// The rows to read.
    pub(crate) fn rows(&self) -> &Arc<RowsByFile> {
        &self.rows
    }

    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(RowsSource {
            inner,
            rows: self.rows.clone(),
        })
    }
}

/// The groups with their selections given to files.
pub(crate) fn select(groups: Vec<FileGroup>, rows: &RowsByFile) -> Vec<FileGroup> {
    let with_rows = |file: PartitionedFile| match rows.get(file.object_meta.location.as_ref()) {
        Some(chosen) => file.with_extension(ParquetRowSelection::new(chosen.selection())),
        None => file,
    };
    groups
        .into_iter()
        .map(|group| FileGroup::new(group.into_inner().into_iter().map(with_rows).collect()))
        .collect()
}

impl FileSource for RowsSource {
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
        self.inner.create_morselizer(store, config, partition)
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
        let rows: usize = self.rows.values().map(|chosen| chosen.rows.len()).sum();
        write!(f, ", rows={rows} of {} files", self.rows.len())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_counts_every_row_of_its_file() {
        for (of, rows, expected) in [
            (5, vec![], vec![RowSelector::skip(5)]),
            (
                5,
                vec![0, 4],
                vec![
                    RowSelector::select(1),
                    RowSelector::skip(3),
                    RowSelector::select(1),
                ],
            ),
            (
                3,
                vec![1, 9],
                vec![
                    RowSelector::skip(1),
                    RowSelector::select(1),
                    RowSelector::skip(1),
                ],
            ),
        ] {
            let chosen = ChosenRows {
                of,
                rows: rows.into_iter().collect(),
            };
            let selectors: Vec<RowSelector> = chosen.selection().into();
            assert_eq!(selectors, expected);
            assert_eq!(
                selectors.iter().map(|s| s.row_count as u64).sum::<u64>(),
                of
            );
        }
    }
}
