//! Reading Parquet files whose columns are found by field id, not by name, or are vectors in the table
//! and lists in the file.
//!
//! A file keeps the names its columns had when it was written; the table may have renamed them since,
//! or given an old name to a new column. [`FieldIdSource`] is a `ParquetSource` that looks at the ids
//! in each file it opens, and at the lengths of the lists that are to be vectors. It is a source of
//! its own because a plan that travels to an executor drops whatever else could carry the rules (the
//! codec sends the Parquet scan and wraps it again).

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    datasource::{
        physical_plan::{FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    physical_expr::{
        EquivalenceProperties, PhysicalSortExpr, expressions::Column, projection::ProjectionExprs,
        utils::collect_columns,
    },
    physical_expr_adapter::{
        DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
    },
    physical_plan::{
        DisplayFormatType, PhysicalExpr, SortOrderPushdownResult,
        filter_pushdown::{FilterPushdownPropagation, PushedDown},
        metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::{
    PartitionedFile,
    morsel::{MorselPlanner, Morselizer},
};
use object_store::ObjectStore;
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, RowNumber};

use super::converted::{Conversion, Converted};

/// A Parquet source that matches columns by the field ids in the files, and makes vectors of lists.
///
/// The fields of an Iceberg table's schema carry their ids under [`PARQUET_FIELD_ID_META_KEY`], on all
/// levels. Where table or file has no ids, columns are matched by name.
#[derive(Clone)]
pub(crate) struct FieldIdSource {
    parquet: Arc<dyn FileSource>,
}

impl FieldIdSource {
    /// Wraps a `ParquetSource`.
    pub(crate) fn new(parquet: Arc<dyn FileSource>) -> Self {
        FieldIdSource { parquet }
    }

    /// The `ParquetSource` inside.
    pub(crate) fn parquet(&self) -> &Arc<dyn FileSource> {
        &self.parquet
    }

    fn wrap(parquet: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(FieldIdSource { parquet })
    }

    /// Whether the filter touches only columns without inner fields. Inside a reader, Parquet looks
    /// for `column.field` by name alone, so other filters stay above the scan.
    fn is_flat(&self, filter: &Arc<dyn PhysicalExpr>) -> bool {
        let schema = self.parquet.table_schema().table_schema();
        collect_columns(filter).iter().all(|column| {
            schema
                .field_with_name(column.name())
                .is_ok_and(|field| !field.data_type().is_nested())
        })
    }
}

impl FileSource for FieldIdSource {
    fn create_file_opener(
        &self,
        _store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        internal_err!("Parquet files are opened by morselizers")
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let mut config = config.clone();
        // One file is opened at a time, and the list of all would be copied for each.
        config.file_groups.clear();
        Ok(Box::new(FileByFile {
            parquet: self.parquet.clone(),
            store,
            config,
            partition,
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Self::wrap(self.parquet.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.parquet.fmt_extra(format, f)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let flat: Vec<bool> = filters.iter().map(|f| self.is_flat(f)).collect();
        let taken = filters.into_iter().zip(&flat).filter(|(_, flat)| **flat);
        let pushed = self
            .parquet
            .try_pushdown_filters(taken.map(|(filter, _)| filter).collect(), config)?;
        let mut answers = pushed.filters.into_iter();
        let answers = flat
            .iter()
            .map(|flat| match flat {
                true => answers.next().unwrap_or(PushedDown::No),
                false => PushedDown::No,
            })
            .collect();
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        Ok(match pushed.updated_node {
            Some(parquet) => propagation.with_updated_node(Self::wrap(parquet)),
            None => propagation,
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(self
            .parquet
            .try_pushdown_sort(order, properties)?
            .map(Self::wrap))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.parquet.try_pushdown_projection(projection)?;
        Ok(pushed.map(Self::wrap))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parquet.apply_expressions(f)
    }
}

/// Opens each file with an adapter of its own, so that errors can name it.
struct FileByFile {
    parquet: Arc<dyn FileSource>,
    store: Arc<dyn ObjectStore>,
    config: FileScanConfig,
    partition: usize,
}

impl fmt::Debug for FileByFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileByFile")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

impl Morselizer for FileByFile {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let mut config = self.config.clone();
        config.expr_adapter_factory = Some(Arc::new(FieldIdAdapterFactory {
            file: Arc::from(file.object_meta.location.as_ref()),
        }));
        self.parquet
            .create_morselizer(self.store.clone(), &config, self.partition)?
            .plan_file(file)
    }
}

/// Rewrites expressions over the table's columns to the columns of one file, by field id.
#[derive(Debug)]
struct FieldIdAdapterFactory {
    file: Arc<str>,
}

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(
        &self,
        logical: SchemaRef,
        physical: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let renamed = Arc::new(Schema::new(rename(logical.fields(), physical.fields())));
        let by_name = DefaultPhysicalExprAdapterFactory.create(logical, renamed.clone())?;
        Ok(Arc::new(FieldIdAdapter {
            by_name,
            physical,
            renamed,
            file: self.file.clone(),
        }))
    }
}

#[derive(Debug)]
struct FieldIdAdapter {
    /// Adapts to [`Self::renamed`].
    by_name: Arc<dyn PhysicalExprAdapter>,
    physical: SchemaRef,
    /// The file's columns in their order, under the names that the table gives them.
    renamed: SchemaRef,
    file: Arc<str>,
}

impl PhysicalExprAdapter for FieldIdAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.by_name.rewrite(expr)?;
        adapted
            .transform_up(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                let position = column.index();
                let in_file = self.physical.field(position);
                let as_table = self.renamed.field(position);
                let found: Arc<dyn PhysicalExpr> = Arc::new(Column::new(in_file.name(), position));
                if in_file.data_type() == as_table.data_type() {
                    return Ok(Transformed::yes(found));
                }
                let conversion = match as_vectors(as_table.data_type(), in_file.data_type()) {
                    true => Conversion::FixedLength {
                        file: self.file.clone(),
                    },
                    false => Conversion::Relabel,
                };
                Ok(Transformed::yes(Arc::new(Converted {
                    column: found,
                    field: Arc::new(as_table.clone()),
                    conversion,
                })))
            })
            .data()
    }
}

/// The file's fields under the table's names. A field that the table does not have gets a name that
/// no query can ask for.
fn rename(table: &Fields, file: &Fields) -> Fields {
    let have_ids = |fields: &Fields| fields.iter().any(|field| id(field).is_some());
    let has_ids = have_ids(file) && have_ids(table);
    file.iter()
        .enumerate()
        .map(|(position, field)| {
            if field.has_valid_extension_type::<RowNumber>() {
                return field.clone();
            }
            let found = match has_ids {
                true => id(field).and_then(|id_in_file| {
                    table
                        .iter()
                        .find(|candidate| id(candidate) == Some(id_in_file))
                }),
                false => table
                    .iter()
                    .find(|candidate| candidate.name() == field.name()),
            };
            match found {
                Some(column) => rename_field(column, field),
                None => {
                    let unreachable = format!("\u{0}{position}");
                    Arc::new(field.as_ref().clone().with_name(unreachable))
                }
            }
        })
        .collect()
}

/// The file's field under the table's name; the table's own field if only names, nullability or
/// metadata differ, so that nothing has to be cast, and if vectors are made of the file's lists.
fn rename_field(column: &FieldRef, in_file: &FieldRef) -> FieldRef {
    if as_vectors(column.data_type(), in_file.data_type()) {
        return column.clone();
    }
    let data_type = rename_type(column.data_type(), in_file.data_type());
    match same_names(column.data_type(), &data_type) {
        true => column.clone(),
        false => Arc::new(
            Field::new(column.name(), data_type, in_file.is_nullable())
                .with_metadata(column.metadata().clone()),
        ),
    }
}

fn rename_type(column: &DataType, in_file: &DataType) -> DataType {
    match (column, in_file) {
        (DataType::Struct(table), DataType::Struct(file)) => DataType::Struct(rename(table, file)),
        (DataType::List(table), DataType::List(file)) => DataType::List(rename_field(table, file)),
        (DataType::Map(table, _), DataType::Map(file, sorted)) => {
            // Keys and values stand in this order, whatever they are called.
            let entries = match (table.data_type(), file.data_type()) {
                (DataType::Struct(table), DataType::Struct(file)) if table.len() == file.len() => {
                    let pairs = table.iter().zip(file);
                    pairs
                        .map(|(column, in_file)| rename_field(column, in_file))
                        .collect()
                }
                _ => return in_file.clone(),
            };
            let entries = Field::new(table.name(), DataType::Struct(entries), false);
            DataType::Map(Arc::new(entries), *sorted)
        }
        _ => in_file.clone(),
    }
}

/// Whether a column of the table holds vectors that the file has as lists.
fn as_vectors(column: &DataType, in_file: &DataType) -> bool {
    let of_numbers = |item: &FieldRef| item.data_type().is_numeric();
    column != in_file
        && matches!(column, DataType::FixedSizeList(_, _))
        && match in_file {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                of_numbers(item)
            }
            _ => false,
        }
}

/// Whether two types are the same but for nullability and metadata.
fn same_names(one: &DataType, other: &DataType) -> bool {
    let same = |one: &FieldRef, other: &FieldRef| {
        one.name() == other.name() && same_names(one.data_type(), other.data_type())
    };
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (DataType::List(one), DataType::List(other))
        | (DataType::Map(one, _), DataType::Map(other, _)) => same(one, other),
        _ => one == other,
    }
}

fn id(field: &Field) -> Option<&str> {
    let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
    Some(id.as_str())
}
