//! The writer node as executors run it.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{Result as DfResult, internal_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{EquivalenceProperties, OrderingRequirements, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::file::properties::WriterProperties;
use shoal_udfs::fixed_size::{FixedSizeError, to_fixed_size};

use crate::{
    column_type::file_schema,
    data_file::{DataFile, WRITTEN_FILES_SCHEMA, encode_files},
    error::{LakeError, Result},
    stores::Stores,
    write::{
        check::{check, row_text},
        file::OpenFile,
        partition::{PartitionKey, split},
        spec::WriteSpec,
    },
};

/// Files one task keeps open at a time; a task with more partitions closes the largest first.
const MAX_OPEN_FILES: usize = 64;

/// Writes its input as data files and answers with one row per file.
///
/// It has as many partitions as its input, so Ballista runs it on all executors at once.
#[derive(Debug)]
pub struct WriterExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WriterExec {
    /// A writer of the input's rows, which have the table's columns in declared order.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        spec: Arc<WriteSpec>,
        checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    ) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(WRITTEN_FILES_SCHEMA.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        WriterExec {
            input,
            spec,
            checks,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// What it knows of the table.
    pub fn spec(&self) -> &WriteSpec {
        &self.spec
    }

    /// CHECK constraints by name.
    pub(crate) fn checks(&self) -> &[(String, Arc<dyn PhysicalExpr>)] {
        &self.checks
    }
}

impl DisplayAs for WriterExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let partition_by: Vec<&str> = self
            .spec
            .partition_by
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        write!(
            f,
            "WriterExec: table={}, format={}, partition_by=[{}]",
            self.spec.table,
            self.spec.format,
            partition_by.join(", ")
        )
    }
}

impl ExecutionPlan for WriterExec {
    fn name(&self) -> &str {
        "WriterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for (_, check) in &self.checks {
            recursion = recursion.visit_sibling(|| f(check))?;
        }
        Ok(recursion)
    }

    /// Each task's rows, so each file, in the table's sort order.
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.spec.ordering().map(OrderingRequirements::from)]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else {
            return internal_err!("a writer has one input, not {}", children.len());
        };
        Ok(Arc::new(WriterExec::new(
            input.clone(),
            self.spec.clone(),
            self.checks.clone(),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let store_url = Stores::store_url(&self.spec.location)?;
        let task = WriterTask {
            store: context.runtime_env().object_store(store_url)?,
            file_schema: Arc::new(file_schema(
                &self.spec.schema.project(&self.spec.file_columns())?,
            )),
            file_columns: self.spec.file_columns(),
            properties: self.spec.parquet_properties()?,
            memory: MemoryConsumer::new(format!("WriterExec[{partition}]"))
                .register(context.memory_pool()),
            rows_written: MetricBuilder::new(&self.metrics).output_rows(partition),
            bytes_written: MetricBuilder::new(&self.metrics).counter("bytes_written", partition),
            spec: self.spec.clone(),
            checks: self.checks.clone(),
            open: HashMap::new(),
            closed: vec![],
            uncommitted: vec![],
        };
        let rows = futures::stream::once(task.run(input)).map_err(Into::into);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            WRITTEN_FILES_SCHEMA.clone(),
            rows,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One task's files. Dropped before it has answered, it deletes what it wrote.
struct WriterTask {
    spec: Arc<WriteSpec>,
    checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    store: Arc<dyn ObjectStore>,
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    properties: WriterProperties,
    memory: MemoryReservation,
    rows_written: Count,
    bytes_written: Count,
    open: HashMap<PartitionKey, OpenFile>,
    closed: Vec<DataFile>,
    uncommitted: Vec<Path>,
}

impl WriterTask {
    async fn run(mut self, mut input: SendableRecordBatchStream) -> Result<RecordBatch> {
        while let Some(batch) = input.next().await {
            let batch = conform(&self.spec, &batch?)?;
            check(&self.spec, &self.checks, &batch)?;
            for (partition, rows) in split(&self.spec, &batch)? {
                self.write(partition, &rows.project(&self.file_columns)?)
                    .await?;
            }
        }
        let partitions: Vec<PartitionKey> = self.open.keys().cloned().collect();
        for partition in partitions {
            self.close(&partition).await?;
        }
        let answer = encode_files(&self.closed)?;
        self.uncommitted.clear();
        Ok(answer)
    }

    async fn write(&mut self, partition: PartitionKey, rows: &RecordBatch) -> Result<()> {
        if !self.open.contains_key(&partition) {
            if self.open.len() >= MAX_OPEN_FILES
                && let Some(largest) = self.largest_by(OpenFile::bytes)
            {
                self.close(&largest).await?;
            }
            let file = OpenFile::create(
                &self.spec,
                &self.file_schema,
                &self.properties,
                &self.store,
                partition.clone(),
            )?;
            self.uncommitted.push(file.object().clone());
            self.open.insert(partition.clone(), file);
        }
        let Some(file) = self.open.get_mut(&partition) else {
            return Ok(());
        };
        file.write(rows).await?;
        self.rows_written.add(rows.num_rows());
        if file.bytes() >= self.spec.target_file_size {
            self.close(&partition).await?;
        }
        self.account().await
    }

    /// Reports buffered bytes to the memory pool, ending row groups until they fit.
    async fn account(&mut self) -> Result<()> {
        loop {
            let buffered = self.open.values().map(OpenFile::buffered).sum();
            let Err(refused) = self.memory.try_resize(buffered) else {
                return Ok(());
            };
            let largest = self.largest_by(|file| file.buffered() as u64);
            let Some(file) = largest.and_then(|key| self.open.get_mut(&key)) else {
                return Err(refused.into());
            };
            let before = file.buffered();
            file.flush().await?;
            if file.buffered() >= before {
                return Err(refused.into());
            }
        }
    }

    fn largest_by(&self, size: impl Fn(&OpenFile) -> u64) -> Option<PartitionKey> {
        self.open
            .iter()
            .max_by_key(|(_, file)| size(file))
            .map(|(key, _)| key.clone())
    }

    async fn close(&mut self, partition: &PartitionKey) -> Result<()> {
        if let Some(mut file) = self.open.remove(partition) {
            let written = file.close().await?;
            self.bytes_written.add(written.size as usize);
            self.closed.push(written);
        }
        Ok(())
    }
}

impl Drop for WriterTask {
    fn drop(&mut self) {
        let open: Vec<OpenFile> = self.open.drain().map(|(_, file)| file).collect();
        let paths = std::mem::take(&mut self.uncommitted);
        if paths.is_empty() {
            return;
        }
        let store = self.store.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for file in open {
                    file.abort().await;
                }
                for path in paths {
                    match store.delete(&path).await {
                        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => {
                            tracing::warn!(%path, "a file of a failed write was left behind: {error}");
                        }
                    }
                }
            });
        }
    }
}

/// The lists in a column as vectors.
fn vectors(
    spec: &WriteSpec,
    field: &Field,
    element: &FieldRef,
    length: i32,
    batch: &RecordBatch,
    lists: &ArrayRef,
) -> Result<ArrayRef> {
    to_fixed_size(lists, element, length).map_err(|error| match error {
        FixedSizeError::Arrow(error) => error.into(),
        FixedSizeError::Length { row, found } => LakeError::Invalid(format!(
            "table {}: column {} takes {length} elements, and {found} are given in the row {}",
            spec.table,
            field.name(),
            row_text(spec, batch, row)
        )),
    })
}

/// The batch with exactly the table's columns: views become plain arrays, lists the vectors that the
/// table has, and nullability is the table's.
fn conform(spec: &WriteSpec, batch: &RecordBatch) -> Result<RecordBatch> {
    let fields = spec.schema.fields();
    if fields.len() != batch.num_columns() {
        return Err(LakeError::Invalid(format!(
            "table {} has {} columns, but the rows to write have {}",
            spec.table,
            fields.len(),
            batch.num_columns()
        )));
    }
    let columns = fields
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| match field.data_type() {
            same if column.data_type() == same => Ok(column.clone()),
            DataType::FixedSizeList(element, length) => {
                vectors(spec, field, element, *length, batch, column)
            }
            other => Ok(cast(column, other)?),
        })
        .collect::<Result<Vec<_>>>()?;
    // A NULL in a NOT NULL column is reported by name later; Arrow's own check would hide the row.
    let nullable: Vec<_> = fields
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(nullable)),
        columns,
        &options,
    )?)
}
