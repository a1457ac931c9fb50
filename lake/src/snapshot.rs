//! A table at one version: schema, partitioning, demands on rows, and its data files.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use crate::{
    data_file::DataFile,
    delta::DeltaBase,
    file_stats::FileStats,
    iceberg::IcebergBase,
    table::{CheckConstraint, GeneratedColumn, PartitionField, TableRef, Transform},
};

/// What an adapter needs to commit on top of a snapshot.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// State of the Delta log at the snapshot's version.
    Delta(DeltaBase),
    /// Metadata of the Iceberg table at the snapshot.
    Iceberg(IcebergBase),
}

/// A table at one version. Cheap to share; never changes.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) table: TableRef,
    pub(crate) version: u64,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<PartitionField>,
    pub(crate) generated: Vec<GeneratedColumn>,
    pub(crate) checks: Vec<CheckConstraint>,
    pub(crate) comment: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) files: Arc<Vec<Arc<DataFile>>>,
    pub(crate) base: Base,
    pub(crate) stats: OnceLock<Arc<FileStats>>,
}

impl Snapshot {
    /// The table this is a snapshot of.
    pub fn table(&self) -> &TableRef {
        &self.table
    }

    /// Version of a Delta table; sequence number of an Iceberg snapshot.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All columns in declared order, partition columns among them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Partitioning, outermost first.
    pub fn partition_by(&self) -> &[PartitionField] {
        &self.partition_by
    }

    /// Generated columns with the SQL that computes them.
    pub fn generated(&self) -> &[GeneratedColumn] {
        &self.generated
    }

    /// CHECK constraints.
    pub fn checks(&self) -> &[CheckConstraint] {
        &self.checks
    }

    /// Comment on the table.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// Table properties.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    /// The data files.
    pub fn files(&self) -> &[Arc<DataFile>] {
        &self.files
    }

    /// Bytes in all data files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Names of columns whose values stand in paths and log, not in the files.
    ///
    /// These are the identity-partitioned columns of a Delta table. Iceberg files hold all columns.
    pub fn columns_outside_files(&self) -> Vec<&str> {
        match self.base {
            Base::Delta(_) => self
                .partition_by
                .iter()
                .filter(|p| p.transform == Transform::Identity)
                .map(|p| p.name.as_str())
                .collect(),
            Base::Iceberg(_) => vec![],
        }
    }

    /// Whether rows that were written for the other snapshot fit this one.
    pub(crate) fn demands_the_same(&self, other: &Snapshot) -> bool {
        self.schema == other.schema
            && self.partition_by == other.partition_by
            && self.generated == other.generated
            && self.checks == other.checks
    }

    /// Average bytes of a row in the data files, where their rows are counted.
    pub fn row_bytes(&self) -> Option<u64> {
        let stats = self.file_stats();
        let files = self.files().iter().enumerate();
        let counted = files.filter_map(|(index, file)| Some((file.size, stats.row_count(index)?)));
        let (bytes, rows) = counted.fold((0, 0), |all, file| (all.0 + file.0, all.1 + file.1));
        (rows > 0).then(|| bytes / rows)
    }

    /// Statistics of all files by column, computed on first use.
    pub(crate) fn file_stats(&self) -> Arc<FileStats> {
        self.stats
            .get_or_init(|| Arc::new(FileStats::new(self)))
            .clone()
    }

    /// The column of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&FieldRef> {
        self.schema.fields().find(name).map(|(_, field)| field)
    }

    /// Type of a partition field's values.
    pub(crate) fn partition_type(&self, field: &PartitionField) -> DataType {
        let source = self
            .field(&field.source)
            .map(|f| f.data_type().clone())
            .unwrap_or(DataType::Utf8);
        match field.transform {
            Transform::Identity | Transform::Truncate(_) => source,
            Transform::Day => DataType::Date32,
            Transform::Year | Transform::Month | Transform::Hour | Transform::Bucket(_) => {
                DataType::Int32
            }
        }
    }
}
