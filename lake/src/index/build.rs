//! Making segments: a node over the scan of a column, which runs on all executors as a writer does.

use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array},
    compute::cast,
    datatypes::{DataType, Float32Type},
};
use datafusion::{
    common::{
        DFSchema, DFSchemaRef, Result as DfResult, internal_err, tree_node::TreeNodeRecursion,
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfig},
        source::DataSourceExec,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan,
        ExecutionPlanProperties as _, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::{
    IndexKind, Metric, SEGMENT_BYTES,
    codes::{Encoded, Vectors},
    hnsw, ivf,
    manifest::{IndexStore, Segment},
};
use crate::{
    data_file::{DataFile, WRITTEN_FILES_SCHEMA, encode_files},
    error::{LakeError, Result},
    scan::object_path,
    stores::Stores,
};

/// What a task has to know to make segments. Travels to executors as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexSpec {
    /// Name of the table, for messages.
    pub table: String,
    /// The table's directory.
    pub location: Url,
    /// Name of the index, in lower case.
    pub index: String,
    /// The column of vectors.
    pub column: String,
    /// How it finds what is near.
    pub kind: IndexKind,
    /// What nearness means.
    pub metric: Metric,
    /// Lists per segment, where the statement says so.
    pub lists: Option<usize>,
}

/// Puts the making of an index on top of a scan of its column alone. The plan answers with one row per
/// segment, in the form of data files.
pub fn index_node(input: LogicalPlan, spec: IndexSpec) -> LogicalPlan {
    let schema = DFSchema::try_from(WRITTEN_FILES_SCHEMA.as_ref().clone());
    LogicalPlan::Extension(Extension {
        node: Arc::new(IndexNode {
            input,
            spec: Arc::new(spec),
            schema: Arc::new(schema.unwrap_or_else(|_| DFSchema::empty())),
        }),
    })
}

/// The making of an index in logical plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IndexNode {
    input: LogicalPlan,
    pub(crate) spec: Arc<IndexSpec>,
    schema: DFSchemaRef,
}

impl PartialOrd for IndexNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for IndexNode {
    fn name(&self) -> &str {
        "Index"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "Index: table={}, index={}",
            self.spec.table, self.spec.index
        )
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("an index is made of one input");
        };
        Ok(IndexNode {
            input,
            spec: self.spec.clone(),
            schema: self.schema.clone(),
        })
    }
}

/// Makes segments of the files that its input scans, and answers with one row per segment.
///
/// It reads its input's files itself, one after the other, because a row's place is its number in its file.
#[derive(Debug)]
pub struct IndexExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<IndexSpec>,
    properties: Arc<PlanProperties>,
}

impl IndexExec {
    /// The making of an index of the one column that `input` scans.
    pub fn new(input: Arc<dyn ExecutionPlan>, spec: Arc<IndexSpec>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(WRITTEN_FILES_SCHEMA.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        IndexExec {
            input,
            spec,
            properties,
        }
    }

    /// What it makes.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }
}

impl DisplayAs for IndexExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "IndexExec: table={}, index={}, kind={}, column={}, metric={}",
            self.spec.table,
            self.spec.index,
            self.spec.kind.name(),
            self.spec.column,
            self.spec.metric.name()
        )
    }
}

impl ExecutionPlan for IndexExec {
    fn name(&self) -> &str {
        "IndexExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else {
            return internal_err!("an index is made of one input, not {}", children.len());
        };
        Ok(Arc::new(IndexExec::new(input.clone(), self.spec.clone())))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let scan = match scan(&self.input) {
            Some(scan) => scan,
            // Pruned away: there is nothing to cover.
            None if self.input.children().is_empty() => {
                let nothing = EmptyRecordBatchStream::new(WRITTEN_FILES_SCHEMA.clone());
                return Ok(Box::pin(nothing));
            }
            None => {
                return internal_err!("an index is made of a scan, not of {}", self.input.name());
            }
        };
        let files = scan.file_groups.get(partition).map(whole_files);
        let store_url = Stores::store_url(&self.spec.location)?;
        let task = IndexTask {
            scan: scan.clone(),
            store: context.runtime_env().object_store(store_url)?,
            memory: MemoryConsumer::new(format!("IndexExec[{partition}]"))
                .register(context.memory_pool()),
            context,
            spec: self.spec.clone(),
            vectors: Vectors::default(),
            files: vec![],
            written: vec![],
        };
        let rows = futures::stream::once(task.run(files.unwrap_or_default())).map_err(Into::into);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            WRITTEN_FILES_SCHEMA.clone(),
            rows,
        )))
    }
}

/// The files of a group, each as a whole. Where the optimizer has cut a file into ranges of bytes, the task
/// that has the first range takes all of it, because a row's place is its number in the file.
fn whole_files(group: &FileGroup) -> Vec<PartitionedFile> {
    let begins = |file: &&PartitionedFile| match &file.range {
        Some(range) => range.start == 0,
        None => true,
    };
    let whole = |file: &PartitionedFile| PartitionedFile {
        range: None,
        ..file.clone()
    };
    group.files().iter().filter(begins).map(whole).collect()
}

/// The scan below nodes that pass its rows through.
fn scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    if let Some(leaf) = plan.downcast_ref::<DataSourceExec>() {
        return leaf.data_source().downcast_ref::<FileScanConfig>();
    }
    match plan.children().as_slice() {
        [child] => scan(child),
        _ => None,
    }
}

/// One task's segments.
struct IndexTask {
    scan: FileScanConfig,
    store: Arc<dyn ObjectStore>,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
    spec: Arc<IndexSpec>,
    /// Vectors of the segment under way.
    vectors: Vectors,
    /// Its files, in the order in which its rows count them.
    files: Vec<String>,
    written: Vec<DataFile>,
}

impl IndexTask {
    async fn run(mut self, files: Vec<PartitionedFile>) -> Result<arrow::array::RecordBatch> {
        let made = async {
            for file in files {
                self.read(file).await?;
            }
            self.close().await
        };
        match made.await {
            Ok(()) => encode_files(&self.written),
            Err(error) => {
                for segment in &self.written {
                    let path = object_path(&self.spec.location, &segment.path)?;
                    if let Err(error) = self.store.delete(&path).await {
                        tracing::warn!(%path, "a segment of a failed index was left behind: {error}");
                    }
                }
                Err(error)
            }
        }
    }

    async fn read(&mut self, file: PartitionedFile) -> Result<()> {
        let name = file.object_meta.location.to_string();
        let mut alone = self.scan.clone();
        alone.file_groups = vec![FileGroup::new(vec![file])];
        alone.preserve_order = true;
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(alone);
        let mut batches = scan.execute(0, self.context.clone())?;
        self.files.push(name.clone());
        let mut row = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            self.take(batch.column(0), row)?;
            row += batch.num_rows() as u32;
            self.memory.try_resize(2 * 4 * self.vectors.values.len())?;
            if 4 * self.vectors.values.len() >= SEGMENT_BYTES {
                self.close().await?;
                self.files.push(name.clone());
            }
        }
        Ok(())
    }

    /// Adds the vectors of rows from number `first` on.
    fn take(&mut self, column: &ArrayRef, first: u32) -> Result<()> {
        let file = self.files.len().saturating_sub(1) as u32;
        let rows = Rows::of(column)?;
        for (row, number) in (0..column.len()).zip(first..) {
            let Some(vector) = rows.get(row) else {
                continue;
            };
            if self.vectors.dimensions == 0 {
                self.vectors.dimensions = vector.len();
            }
            if vector.len() != self.vectors.dimensions {
                return Err(LakeError::Invalid(format!(
                    "column {} of table {} cannot be indexed: it holds vectors of {} and of {} numbers",
                    self.spec.column,
                    self.spec.table,
                    self.vectors.dimensions,
                    vector.len()
                )));
            }
            self.vectors.push(self.spec.metric, vector, (file, number));
        }
        Ok(())
    }

    /// Writes the segment under way, and begins another.
    async fn close(&mut self) -> Result<()> {
        let vectors = std::mem::take(&mut self.vectors);
        let files = std::mem::take(&mut self.files);
        if files.is_empty() {
            return Ok(());
        }
        self.vectors.dimensions = vectors.dimensions;
        let rows = vectors.places.len() as u64;
        let spec = self.spec.clone();
        let encoded = tokio::task::spawn_blocking(move || encode(&spec, &vectors))
            .await
            .map_err(|error| LakeError::Invalid(format!("making a segment: {error}")))??;
        let directory = IndexStore::segments(&self.spec.index);
        let segment = Segment {
            path: format!("{directory}/{}.segment", Uuid::new_v4()),
            head_bytes: encoded.head_bytes,
            rows,
            files,
        };
        let size = encoded.bytes.len() as u64;
        let path = object_path(&self.spec.location, &segment.path)?;
        self.store
            .put(&path, PutPayload::from(encoded.bytes))
            .await
            .map_err(LakeError::store(format!("writing {path}")))?;
        self.written.push(segment.to_data_file(size)?);
        self.memory.free();
        Ok(())
    }
}

fn encode(spec: &IndexSpec, vectors: &Vectors) -> Result<Encoded> {
    match spec.kind {
        IndexKind::Ivf => ivf::encode(vectors, spec.metric, spec.lists),
        IndexKind::Hnsw => hnsw::encode(vectors, spec.metric),
    }
}

impl Segment {
    /// As a task reports it: a data file whose statistics are the segment's description.
    fn to_data_file(&self, size: u64) -> Result<DataFile> {
        let text = serde_json::to_string(self).map_err(|e| LakeError::Invalid(e.to_string()))?;
        Ok(DataFile {
            path: self.path.clone(),
            size,
            modified_ms: chrono::Utc::now().timestamp_millis(),
            partition: Default::default(),
            stats: Some(text),
            rows: Some(self.rows),
        })
    }

    /// The segment that a task reported.
    pub(crate) fn from_data_file(file: &DataFile) -> Result<Self> {
        let text = file.stats.as_deref().unwrap_or_default();
        serde_json::from_str(text).map_err(|error| {
            LakeError::Invalid(format!("a segment of an index is unreadable: {error}"))
        })
    }
}

/// A column of vectors in single precision.
struct Rows {
    list: ArrayRef,
    values: Float32Array,
}

impl Rows {
    fn of(column: &ArrayRef) -> Result<Self> {
        let values = match column.data_type() {
            DataType::List(_) => column.as_list::<i32>().values(),
            DataType::LargeList(_) => column.as_list::<i64>().values(),
            DataType::FixedSizeList(_, _) => column.as_fixed_size_list().values(),
            other => {
                return Err(LakeError::Invalid(format!(
                    "a column of {other} cannot be indexed; an index takes arrays of numbers"
                )));
            }
        };
        let values = cast(values, &DataType::Float32)?;
        Ok(Self {
            list: column.clone(),
            values: values.as_primitive::<Float32Type>().clone(),
        })
    }

    /// The vector of a row, unless it or one of its numbers is NULL.
    fn get(&self, row: usize) -> Option<&[f32]> {
        if self.list.is_null(row) {
            return None;
        }
        let (start, end) = match self.list.data_type() {
            DataType::List(_) => {
                let offsets = self.list.as_list::<i32>().value_offsets();
                (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize)
            }
            DataType::LargeList(_) => {
                let offsets = self.list.as_list::<i64>().value_offsets();
                (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize)
            }
            _ => {
                let list = self.list.as_fixed_size_list();
                let start = list.value_offset(row) as usize;
                (start, start + list.value_length() as usize)
            }
        };
        let has_null = self
            .values
            .nulls()
            .is_some_and(|nulls| nulls.slice(start, end - start).null_count() > 0);
        if has_null || start == end {
            return None;
        }
        self.values.values().get(start..end)
    }
}
