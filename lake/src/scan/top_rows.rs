//! Reading the first rows of an order, and of all others only what decides that they are not.
//!
//! `ORDER BY taken DESC LIMIT 10` over a table of photos needs ten of them. So of each file the columns that
//! decide are read first, and then everything else of the rows that are among the first so far: of those
//! in the files that the same task has looked at before, too. The sort above puts the rows into order as it
//! would otherwise; a row that is left out is one that it would have dropped.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::{SortColumn, concat, filter_record_batch, lexsort_to_indices, take},
    datatypes::{DataType, Field, Int64Type},
};
use datafusion::{
    common::{Result, internal_err},
    datasource::{
        physical_plan::{
            FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
            parquet::ParquetRowSelection,
        },
        table_schema::TableSchema,
    },
    physical_expr::{
        LexOrdering, PhysicalSortExpr,
        utils::{collect_columns, conjunction, reassign_expr_columns, split_conjunction},
    },
    physical_plan::{PhysicalExpr, metrics::ExecutionPlanMetricsSet},
};
use datafusion_datasource::{
    PartitionedFile,
    file_stream::FileStreamBuilder,
    morsel::{MorselPlan, MorselPlanner, Morselizer},
};
use futures::TryStreamExt as _;
use object_store::ObjectStore;
use parking_lot::Mutex;
use parquet::arrow::RowNumber;

use super::{ChosenRows, FieldIdSource, ReducedSource};

/// Rows of a batch in which keys are compared: vectors may be long.
const BATCH_ROWS: usize = 1024;
/// The name of the numbers of rows, which no column has: it is not printable.
const ROW_NUMBER: &str = "\u{0}row";

/// Which rows are wanted.
#[derive(Debug, Clone)]
pub(crate) struct TopRows {
    /// The order, over the columns of the table as the scan has them.
    pub(crate) order: LexOrdering,
    /// What rows must fulfil to count, over the same columns.
    pub(crate) condition: Option<Arc<dyn PhysicalExpr>>,
    /// How many of them.
    pub(crate) count: usize,
}

/// Reads of each file the rows that may be among the first, by `source`, which reads Parquet files.
pub(super) fn top_of_files(
    source: &Arc<dyn FileSource>,
    top: &TopRows,
    store: Arc<dyn ObjectStore>,
    config: &FileScanConfig,
    partition: usize,
) -> Result<Box<dyn Morselizer>> {
    let look = Look::new(source, top, store.clone(), config)?;
    let rest = source.create_morselizer(store, config, partition)?;
    Ok(Box::new(TopOfFiles {
        look: Arc::new(look),
        rest: Arc::from(rest),
    }))
}

/// Looks at each file, then reads the rows that were found.
#[derive(Debug)]
struct TopOfFiles {
    look: Arc<Look>,
    rest: Arc<dyn Morselizer>,
}

impl Morselizer for TopOfFiles {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        Ok(Box::new(TopOfFile {
            look: self.look.clone(),
            rest: self.rest.clone(),
            file,
        }))
    }
}

#[derive(Debug)]
struct TopOfFile {
    look: Arc<Look>,
    rest: Arc<dyn Morselizer>,
    file: PartitionedFile,
}

impl MorselPlanner for TopOfFile {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let reading = async move {
            let chosen = self.look.rows_of(&self.file).await?;
            if chosen.rows.is_empty() {
                return Ok(Box::new(Nothing) as Box<dyn MorselPlanner>);
            }
            let selection = ParquetRowSelection::new(chosen.selection());
            self.rest.plan_file(self.file.with_extension(selection))
        };
        Ok(Some(MorselPlan::new().with_pending_planner(reading)))
    }
}

/// Of a file of which no row is wanted.
#[derive(Debug)]
struct Nothing;

impl MorselPlanner for Nothing {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(None)
    }
}

/// Reading the columns that decide.
struct Look {
    parquet: ParquetSource,
    config: FileScanConfig,
    store: Arc<dyn ObjectStore>,
    /// Over the columns read here, as [`Self::condition`] is.
    order: LexOrdering,
    condition: Option<Arc<dyn PhysicalExpr>>,
    count: usize,
    files: AtomicUsize,
    best: Mutex<Best>,
    /// The metrics of the scan, and how many of those of this source are among them already.
    metrics: ExecutionPlanMetricsSet,
    passed_on: Mutex<usize>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look")
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// The first rows of the files so far.
#[derive(Default)]
struct Best {
    /// One array per sort key.
    keys: Vec<ArrayRef>,
    /// Number of the file, in the order in which files were begun, and number of the row in it.
    rows: Vec<(usize, u64)>,
}

/// The source that reads Parquet files: `source`, or what is in it.
fn parquet_of(source: &Arc<dyn FileSource>) -> Result<&ParquetSource> {
    let source = without_rows(source);
    let source = match source.downcast_ref::<FieldIdSource>() {
        Some(by_id) => by_id.parquet(),
        None => source,
    };
    match source.downcast_ref::<ParquetSource>() {
        Some(parquet) => Ok(parquet),
        None => internal_err!("the first rows are looked for in Parquet files only"),
    }
}

/// A selection of rows is a matter of the files, not of how they are read.
fn without_rows(source: &Arc<dyn FileSource>) -> &Arc<dyn FileSource> {
    source
        .downcast_ref::<ReducedSource>()
        .map_or(source, ReducedSource::inner)
}

impl Look {
    fn new(
        inner: &Arc<dyn FileSource>,
        top: &TopRows,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
    ) -> Result<Self> {
        let parquet = parquet_of(inner)?;
        let table = parquet.table_schema();
        let row_number = Field::new(ROW_NUMBER, DataType::Int64, false);
        let with_numbers = TableSchema::builder(table.file_schema().clone())
            .with_table_partition_cols(table.table_partition_cols().clone())
            .with_virtual_columns(vec![Arc::new(row_number.with_extension_type(RowNumber))])
            .build();
        let mut options = parquet.table_parquet_options().clone();
        // Few columns are read, and all of them decide.
        options.global.pushdown_filters = false;
        let mut look = ParquetSource::new(with_numbers).with_table_parquet_options(options);
        if let Some(readers) = parquet.parquet_file_reader_factory() {
            look = look.with_parquet_file_reader_factory(readers.clone());
        }
        let flat = |condition: &&Arc<dyn PhysicalExpr>| is_flat(condition, table);
        let conditions = top.condition.iter().flat_map(split_conjunction);
        let prunes: Vec<_> = conditions.filter(flat).cloned().collect();
        if !prunes.is_empty() {
            look = look.with_predicate(conjunction(prunes));
        }
        let wanted = top.columns();
        let numbers = table.schema_without_virtual_columns().fields().len();
        let columns: Vec<usize> = wanted.iter().copied().chain([numbers]).collect();
        let source = by_id_like(inner, Arc::new(look.clone()));
        let config = FileScanConfigBuilder::new(config.object_store_url.clone(), source)
            .with_projection_indices(Some(columns))?
            .build();
        let schema = config.projected_schema()?;
        let here = |expr: &Arc<dyn PhysicalExpr>| reassign_expr_columns(expr.clone(), &schema);
        let order = top
            .order
            .iter()
            .map(|key| Ok(PhysicalSortExpr::new(here(&key.expr)?, key.options)));
        let Some(order) = LexOrdering::new(order.collect::<Result<Vec<_>>>()?) else {
            return internal_err!("an order without keys has no first rows");
        };
        Ok(Look {
            parquet: look,
            condition: top.condition.as_ref().map(here).transpose()?,
            config,
            store,
            order,
            count: top.count,
            files: AtomicUsize::new(0),
            best: Mutex::default(),
            metrics: inner.metrics().clone(),
            passed_on: Mutex::default(),
        })
    }

    /// The rows of a file that are among the first of all rows looked at so far.
    async fn rows_of(&self, file: &PartitionedFile) -> Result<ChosenRows> {
        let of = self.rows_in(file).await?;
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let mut config = self.config.clone();
        config.file_groups = vec![FileGroup::new(vec![file.clone()])];
        let source = config.file_source.with_batch_size(BATCH_ROWS);
        let morselizer = source.create_morselizer(self.store.clone(), &config, 0)?;
        let mut batches = FileStreamBuilder::new(&config)
            .with_partition(0)
            .with_morselizer(morselizer)
            .with_metrics(&ExecutionPlanMetricsSet::new())
            .build()?;
        while let Some(batch) = batches.try_next().await? {
            self.compare(number, batch)?;
        }
        self.pass_metrics_on();
        let best = self.best.lock();
        let own = best.rows.iter().filter(|(file, _)| *file == number);
        let rows: BTreeSet<u64> = own.map(|(_, row)| *row).collect();
        Ok(ChosenRows { of, rows })
    }

    /// Counts what was read here as read by the scan.
    fn pass_metrics_on(&self) {
        let mut passed_on = self.passed_on.lock();
        let own = self.parquet.metrics().clone_inner();
        for metric in own.iter().skip(*passed_on) {
            self.metrics.register(metric.clone());
        }
        *passed_on = own.iter().count();
    }

    /// How many rows a file has.
    async fn rows_in(&self, file: &PartitionedFile) -> Result<u64> {
        let Some(readers) = self.parquet.parquet_file_reader_factory() else {
            return internal_err!("a scan of Parquet files lost its readers");
        };
        let mut reader =
            readers.create_reader(0, file.clone(), None, &ExecutionPlanMetricsSet::new())?;
        let footer = reader.get_metadata(None).await?;
        Ok(u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default())
    }

    /// Takes in rows of the file with that number.
    fn compare(&self, file: usize, batch: RecordBatch) -> Result<()> {
        let batch = match &self.condition {
            Some(condition) => {
                let holds = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
                filter_record_batch(&batch, holds.as_boolean())?
            }
            None => batch,
        };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = self
            .order
            .iter()
            .map(|key| key.evaluate_to_sort_column(&batch));
        let columns = columns.collect::<Result<Vec<SortColumn>>>()?;
        let numbers = batch
            .column(batch.num_columns() - 1)
            .as_primitive::<Int64Type>();
        let numbers = numbers
            .values()
            .iter()
            .map(|row| (file, row.unsigned_abs()));
        self.best.lock().add(columns, numbers, self.count)
    }
}

impl Best {
    /// Takes in rows with these keys, and drops all but the first `count`.
    fn add(
        &mut self,
        mut columns: Vec<SortColumn>,
        rows: impl Iterator<Item = (usize, u64)>,
        count: usize,
    ) -> Result<()> {
        for (column, best) in columns.iter_mut().zip(&self.keys) {
            column.values = concat(&[best, &column.values])?;
        }
        self.rows.extend(rows);
        let first = lexsort_to_indices(&columns, Some(count))?;
        let keys = columns
            .iter()
            .map(|column| take(&column.values, &first, None));
        self.keys = keys.collect::<Result<_, _>>()?;
        let kept = first
            .values()
            .iter()
            .filter_map(|at| self.rows.get(*at as usize));
        self.rows = kept.copied().collect();
        Ok(())
    }
}

impl TopRows {
    /// Positions of the columns that decide, in the scan's order.
    fn columns(&self) -> BTreeSet<usize> {
        let exprs = self
            .order
            .iter()
            .map(|key| &key.expr)
            .chain(&self.condition);
        let columns = exprs.flat_map(collect_columns);
        columns.map(|column| column.index()).collect()
    }
}

/// Whether the condition is on columns without inner fields: others cannot rule out parts of a file.
fn is_flat(condition: &Arc<dyn PhysicalExpr>, table: &TableSchema) -> bool {
    let schema = table.table_schema();
    let is_flat = |index: usize| !schema.field(index).data_type().is_nested();
    collect_columns(condition)
        .iter()
        .all(|column| is_flat(column.index()))
}

/// `parquet` in what `source` has around its own.
fn by_id_like(source: &Arc<dyn FileSource>, parquet: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
    match without_rows(source).is::<FieldIdSource>() {
        true => Arc::new(FieldIdSource::new(parquet)),
        false => parquet,
    }
}
