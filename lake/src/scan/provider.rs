//! A snapshot as a DataFusion table.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::Array as _,
    compute::SortOptions,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        DFSchema, DataFusionError, ScalarValue, Statistics, config::TableParquetOptions,
        internal_err, stats::Precision,
    },
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfigBuilder, FileSource, ParquetFileReaderFactory, ParquetSource,
            parquet::CachedParquetFileReaderFactory,
        },
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::{Expr, SortExpr, TableProviderFilterPushDown},
    physical_expr::{LexOrdering, PhysicalSortExpr},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use object_store::{ObjectMeta, path::Path};
use url::Url;

use crate::{
    data_file::DataFile,
    error::{LakeError, Result},
    index::Candidates,
    prune::{Pruned, is_partition_condition, prune},
    scan::{
        ChosenRows, FieldIdSource, ReducedSource, RowsByFile, TopRows, WantedRows,
        footers::IndexedFooters, select,
    },
    snapshot::Snapshot,
    stores::Stores,
    table::Format,
};

/// The first rows of an order, over the columns of the table.
#[derive(Debug, Clone)]
pub struct FirstRows {
    /// The order. It needs all columns that it names, and no more, of every row.
    pub order: Vec<SortExpr>,
    /// What rows must fulfil to count.
    pub condition: Option<Expr>,
    /// How many of them are wanted.
    pub count: usize,
}

impl FirstRows {
    /// The same as the scan of these columns takes it.
    fn top_rows(
        &self,
        columns: &SchemaRef,
        session: &dyn Session,
    ) -> datafusion::error::Result<TopRows> {
        let columns = DFSchema::try_from(columns.clone())?;
        let physical = |expr: &Expr| session.create_physical_expr(expr.clone(), &columns);
        let keys = self.order.iter().map(|key| {
            let options = SortOptions::new(!key.asc, key.nulls_first);
            Ok(PhysicalSortExpr::new(physical(&key.expr)?, options))
        });
        let keys = keys.collect::<datafusion::error::Result<Vec<_>>>()?;
        let Some(order) = LexOrdering::new(keys) else {
            return internal_err!("an order without keys has no first rows");
        };
        Ok(TopRows {
            order,
            condition: self.condition.as_ref().map(physical).transpose()?,
            count: self.count,
        })
    }
}

/// A snapshot that can be queried. Planned from the snapshot's file list; nothing is listed or read here.
#[derive(Debug, Clone)]
pub struct LakeTable {
    snapshot: Arc<Snapshot>,
    /// Which of its files are read; all without.
    files: Option<Arc<Vec<usize>>>,
    /// Rows to read of files that a vector index covers.
    candidates: Option<Arc<Candidates>>,
    /// Rows to read of each file, at least; all without.
    first: Option<Arc<FirstRows>>,
}

impl LakeTable {
    /// The snapshot as a table.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        LakeTable {
            snapshot,
            files: None,
            candidates: None,
            first: None,
        }
    }

    /// The table without all files but these, by their number in the snapshot, in ascending order.
    pub fn with_files(&self, files: Arc<Vec<usize>>) -> Self {
        let files = Some(files);
        LakeTable {
            files,
            ..self.clone()
        }
    }

    /// The table without the rows that are no candidates.
    pub fn with_candidates(&self, candidates: Arc<Candidates>) -> Self {
        let candidates = Some(candidates);
        LakeTable {
            candidates,
            ..self.clone()
        }
    }

    /// The table without rows that are not among the first: some that are not may be left.
    pub fn with_first(&self, first: Arc<FirstRows>) -> Self {
        let first = Some(first);
        LakeTable {
            first,
            ..self.clone()
        }
    }

    /// Whether it is reduced to some of its rows.
    pub fn is_reduced(&self) -> bool {
        self.candidates.is_some() || self.first.is_some()
    }

    /// The rows that it is reduced to, if a vector index chose some.
    pub fn candidates(&self) -> Option<&Candidates> {
        self.candidates.as_deref()
    }

    /// The snapshot it reads.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The files that a scan with these filters reads.
    pub fn prune(&self, filters: &[Expr], session: &dyn Session) -> Result<Pruned> {
        let mut pruned = prune(&self.snapshot, filters, session)?;
        if let Some(files) = &self.files {
            pruned
                .files
                .retain(|index| files.binary_search(index).is_ok());
            pruned.bytes = self.bytes_of(&pruned.files);
        }
        if let Some(candidates) = &self.candidates {
            let bytes = |index: &usize| self.bytes_read(*index, candidates);
            pruned.files.retain(|index| bytes(index) > 0);
            pruned.bytes = pruned.files.iter().map(bytes).sum();
        }
        Ok(pruned)
    }

    fn bytes_of(&self, files: &[usize]) -> u64 {
        let files = files.iter().filter_map(|&i| self.snapshot.files().get(i));
        files.map(|file| file.size).sum()
    }

    /// Bytes that are about to be read of a file: nothing where no row is a candidate.
    fn bytes_read(&self, index: usize, candidates: &Candidates) -> u64 {
        let Some(file) = self.snapshot.files().get(index) else {
            return 0;
        };
        match self.chosen(index, candidates) {
            Some((_, chosen)) => (chosen.rows.len() as u64 * CHOSEN_ROW_BYTES).min(file.size),
            None => file.size,
        }
    }

    /// The path of a file and the rows to read of it; nothing if that is all of them.
    fn chosen(&self, index: usize, candidates: &Candidates) -> Option<(String, ChosenRows)> {
        let file = self.snapshot.files().get(index)?;
        let path = object_path(&self.snapshot.table().location, &file.path).ok()?;
        let rows = candidates.rows.get(path.as_ref())?;
        let chosen = ChosenRows {
            of: self.snapshot.file_stats().row_count(index)?,
            rows: rows.clone(),
        };
        Some((path.to_string(), chosen))
    }

    /// How many rows are read, where no file is read whole: too few to deal them out to several tasks.
    fn few_rows(&self, pruned: &Pruned) -> Precision<usize> {
        let chosen = |&index: &usize| self.chosen(index, self.candidates.as_deref()?);
        let rows = pruned
            .files
            .iter()
            .map(|index| Some(chosen(index)?.1.rows.len()));
        let rows: Option<usize> = rows.sum();
        rows.map_or(Precision::Absent, Precision::Inexact)
    }

    fn chosen_rows(&self, pruned: &Pruned, candidates: &Candidates) -> RowsByFile {
        let files = pruned.files.iter();
        files.filter_map(|&i| self.chosen(i, candidates)).collect()
    }

    /// Columns in the files, then columns from paths: the order a scan knows them in.
    fn scan_schema(&self) -> TableSchema {
        let outside = self.snapshot.columns_outside_files();
        let (from_paths, in_files): (Vec<FieldRef>, Vec<FieldRef>) = self
            .snapshot
            .schema()
            .fields()
            .iter()
            .cloned()
            .partition(|f| outside.contains(&f.name().as_str()));
        TableSchema::builder(Arc::new(Schema::new(in_files)))
            .with_table_partition_cols(from_paths)
            .build()
    }

    fn partitioned_file(&self, index: usize, from_paths: &[FieldRef]) -> Result<PartitionedFile> {
        let file = &self.snapshot.files()[index];
        let stats = self.snapshot.file_stats();
        let values = from_paths
            .iter()
            .map(|field| match stats.partition_values(field.name()) {
                Some(values) if has_unreadable_value(file, field, values.is_null(index)) => {
                    Err(LakeError::Invalid(format!(
                        "table {}: the partition value {:?} of column {} in file {} is not a {}",
                        self.snapshot.table().name,
                        file.partition.get(field.name()),
                        field.name(),
                        file.path,
                        field.data_type()
                    )))
                }
                Some(values) => Ok(ScalarValue::try_from_array(values, index)?),
                None => Ok(ScalarValue::try_from(field.data_type())?),
            })
            .collect::<Result<Vec<ScalarValue>>>()?;
        let mut partitioned = PartitionedFile::from(ObjectMeta {
            location: object_path(&self.snapshot.table().location, &file.path)?,
            last_modified: chrono::DateTime::from_timestamp_millis(file.modified_ms)
                .unwrap_or_default(),
            size: file.size,
            e_tag: None,
            version: None,
        });
        partitioned.partition_values = values;
        Ok(partitioned)
    }

    fn statistics_of(&self, pruned: &Pruned, schema: &Schema) -> Statistics {
        self.snapshot
            .file_stats()
            .summary(schema, &pruned.files, pruned.bytes)
    }
}

/// A value is there in the log, but it could not be read as the column's type. Empty text means NULL.
fn has_unreadable_value(file: &DataFile, field: &FieldRef, is_null: bool) -> bool {
    is_null
        && file
            .partition
            .get(field.name())
            .and_then(|v| v.as_ref())
            .is_some_and(|v| !v.is_empty())
}

/// Where a data file lies in its table's object store.
pub(crate) fn object_path(table: &Url, file: &str) -> Result<Path> {
    let bad = |e: object_store::path::Error| {
        LakeError::Invalid(format!("the data file {file} of the table at {table}: {e}"))
    };
    if let Ok(absolute) = Url::parse(file)
        && file.contains("://")
    {
        let same_store = absolute.scheme() == table.scheme() && absolute.host() == table.host();
        return match same_store {
            true => Stores::path(&absolute),
            false => Err(LakeError::Invalid(format!(
                "the data file {absolute} lies in another store than its table at {table}, which is not supported"
            ))),
        };
    }
    let prefix = Stores::path(table)?;
    Path::parse(format!("{prefix}/{file}")).map_err(bad)
}

/// Files dealt out to `groups` so that each has about the same number of bytes.
fn balanced(mut files: Vec<PartitionedFile>, groups: usize) -> Vec<FileGroup> {
    let groups = groups.clamp(1, files.len().max(1));
    files.sort_by_key(|f| std::cmp::Reverse(f.object_meta.size));
    let mut dealt: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, vec![]); groups];
    for file in files {
        let lightest = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes);
        if let Some((bytes, group)) = lightest {
            *bytes += file.object_meta.size;
            group.push(file);
        }
    }
    dealt
        .into_iter()
        .map(|(_, files)| FileGroup::new(files))
        .collect()
}

/// Parquet settings of every scan: filters run on row groups, pages and bloom filters first.
fn parquet_options(session: &dyn Session, rows: RowFilters) -> TableParquetOptions {
    let mut options = session.default_table_options().parquet;
    options.global.pushdown_filters = rows.are_early;
    options.global.reorder_filters = true;
    options.global.enable_page_index = true;
    options.global.bloom_filter_on_read = true;
    options.global.skip_metadata = true;
    options.global.schema_force_view_types = false;
    options.global.coerce_int96 = Some("us".into());
    if rows.are_of_few_images {
        options.global.max_predicate_cache_size = Some(0);
    }
    options
}

/// Whether a column holds vectors, which other engines write as lists.
fn has_vectors(schema: &TableSchema) -> bool {
    let fields = schema.file_schema().fields();
    fields
        .iter()
        .any(|field| matches!(field.data_type(), DataType::FixedSizeList(_, _)))
}

/// How conditions are decided row by row.
#[derive(Debug, Clone, Copy)]
struct RowFilters {
    /// Inside the reader, which decodes other columns only for rows that pass.
    are_early: bool,
    /// Some are on images, after others have chosen rows. Keeping images for the result would read whole
    /// batches around each of them.
    are_of_few_images: bool,
}

impl RowFilters {
    /// Decides whether it pays to decode the columns of `filters` first, and of the `wanted` others only
    /// the rows that pass.
    ///
    /// Skipping rows costs more than decoding a few numbers that nobody needs (TPC-H's Q6 takes twice as
    /// long), so the other columns must be many or wide. Without filters the question is open for those
    /// that joins find while they run, which are selective. Of conditions on images and others, the others
    /// come first, and images are among what they spare.
    fn of(snapshot: &Snapshot, wanted: &[usize], filters: &[Expr]) -> Self {
        let (schema, outside_files) = (snapshot.schema(), snapshot.columns_outside_files());
        let cost = |name: &str| match schema.field_with_name(name).map(Field::data_type) {
            Ok(fixed) if fixed.is_primitive() || *fixed == DataType::Boolean => 1,
            Ok(DataType::Utf8) => TEXT_COST,
            _ => BINARY_COST,
        };
        let columns_of = |filter: &Expr| -> HashSet<String> {
            let columns = filter.column_refs().into_iter();
            let names = columns.map(|column| column.name.clone());
            names
                .filter(|name| !outside_files.contains(&name.as_str()))
                .collect()
        };
        let (cheap, wide): (Vec<HashSet<String>>, Vec<HashSet<String>>) = filters
            .iter()
            .map(columns_of)
            .filter(|columns| !columns.is_empty())
            .partition(|columns| columns.iter().all(|name| cost(name) < BINARY_COST));
        let first = if cheap.is_empty() { &wide } else { &cheap };
        let first: HashSet<&String> = first.iter().flatten().collect();
        let others = wanted.iter().map(|&i| schema.field(i).name());
        let decoding: usize = others
            .filter(|name| !first.contains(name))
            .map(|name| cost(name))
            .sum();
        RowFilters {
            are_early: first.is_empty() || decoding >= TEXT_COST * first.len(),
            are_of_few_images: !cheap.is_empty() && !wide.is_empty(),
        }
    }
}

/// A row on its own takes a page of each column with it.
const CHOSEN_ROW_BYTES: u64 = 64 << 10;

/// What decoding a text takes, and an image or a nested value, compared with a number, about.
const TEXT_COST: usize = 4;
const BINARY_COST: usize = 100;

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.snapshot.schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        if self.is_reduced() {
            return None;
        }
        let files: Vec<usize> = match &self.files {
            Some(files) => files.to_vec(),
            None => (0..self.snapshot.files().len()).collect(),
        };
        let all = Pruned {
            bytes: self.bytes_of(&files),
            files,
            total: self.snapshot.files().len(),
        };
        Some(self.statistics_of(&all, self.snapshot.schema()))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(
                |filter| match is_partition_condition(&self.snapshot, filter) {
                    true => TableProviderFilterPushDown::Exact,
                    false => TableProviderFilterPushDown::Inexact,
                },
            )
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let snapshot = &self.snapshot;
        let pruned = self.prune(filters, session)?;
        let table_schema = self.scan_schema();
        let scan_columns: HashMap<&str, usize> = table_schema
            .table_schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| (f.name().as_str(), i))
            .collect();
        let wanted: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..snapshot.schema().fields().len()).collect(),
        };
        if pruned.files.is_empty() {
            let schema = snapshot.schema().project(&wanted)?;
            return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
        }
        let in_scan_order = wanted
            .iter()
            .map(|&i| {
                scan_columns
                    .get(snapshot.schema().field(i).name().as_str())
                    .copied()
            })
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| {
                DataFusionError::Internal(format!(
                    "the scan of {} lost a column",
                    snapshot.table().name
                ))
            })?;
        let from_paths: Vec<FieldRef> = table_schema
            .table_partition_cols()
            .iter()
            .cloned()
            .collect();
        let files = pruned
            .files
            .iter()
            .map(|&i| self.partitioned_file(i, &from_paths))
            .collect::<Result<Vec<PartitionedFile>>>()?;
        let table_rows = table_schema.table_schema().clone();
        let rows = RowFilters::of(snapshot, &wanted, filters);
        let store_url = Stores::store_url(&snapshot.table().location)?;
        let runtime = session.runtime_env();
        // Data files never change, so their footers are read once per process.
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let readers =
            CachedParquetFileReaderFactory::new(runtime.object_store(&store_url)?, footers);
        let whole_files = filters.is_empty() && !self.is_reduced();
        let readers: Arc<dyn ParquetFileReaderFactory> = match whole_files {
            true => Arc::new(readers),
            false => Arc::new(IndexedFooters(Arc::new(readers))),
        };
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(parquet_options(session, rows))
            .with_parquet_file_reader_factory(readers);
        let mut source: Arc<dyn FileSource> = match snapshot.table().format {
            Format::Delta if !has_vectors(source.table_schema()) => Arc::new(source),
            Format::Delta | Format::Iceberg => Arc::new(FieldIdSource::new(Arc::new(source))),
        };
        let mut groups = balanced(files, session.config().target_partitions());
        let statistics = match self.is_reduced() {
            true => Statistics {
                num_rows: self.few_rows(&pruned),
                ..Statistics::new_unknown(&table_rows)
            },
            false => self.statistics_of(&pruned, &table_rows),
        };
        if let Some(candidates) = &self.candidates {
            let rows = Arc::new(self.chosen_rows(&pruned, candidates));
            groups = select(groups, &rows);
            source = Arc::new(ReducedSource::new(source, WantedRows::Chosen(rows)));
        }
        if let Some(first) = &self.first {
            let top = Arc::new(first.top_rows(&table_rows, session)?);
            source = Arc::new(ReducedSource::new(source, WantedRows::First(top)));
        }
        let config = FileScanConfigBuilder::new(store_url, source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(in_scan_order))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
