//! The words every format shares: which table, how it is partitioned, what it demands of rows.

use std::{collections::BTreeMap, fmt};

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    error::Result,
    sort_order::{self, SortColumn},
};

/// A table format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Delta Lake.
    Delta,
    /// Apache Iceberg.
    Iceberg,
}

impl Format {
    /// The name as it stands in `USING …` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Delta => "Delta",
            Format::Iceberg => "Iceberg",
        }
    }

    /// The format of that name, whatever its case.
    pub fn parse(name: &str) -> Option<Format> {
        match name.to_ascii_lowercase().as_str() {
            "delta" => Some(Format::Delta),
            "iceberg" => Some(Format::Iceberg),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which table: its name for people, its format and the directory it lies in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableRef {
    /// `catalog.schema.table`, for messages.
    pub name: String,
    /// The table's format.
    pub format: Format,
    /// The table's directory, with a slash at the end.
    pub location: Url,
}

impl TableRef {
    /// A reference to a table; adds the slash that a directory URL needs.
    pub fn new(name: impl Into<String>, format: Format, mut location: Url) -> Self {
        if !location.path().ends_with('/') {
            let path = format!("{}/", location.path());
            location.set_path(&path);
        }
        TableRef {
            name: name.into(),
            format,
            location,
        }
    }
}

/// How a partition value comes from its source column (Iceberg's partition transforms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    /// The value itself. The only transform Delta knows.
    Identity,
    /// Years since 1970.
    Year,
    /// Months since 1970-01.
    Month,
    /// Days since 1970-01-01.
    Day,
    /// Hours since 1970-01-01T00.
    Hour,
    /// Hash modulo the number of buckets.
    Bucket(u32),
    /// Value cut to a width.
    Truncate(u32),
}

/// One field of a table's partitioning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartitionField {
    /// Name of the partition field; for an identity transform the column itself.
    pub name: String,
    /// Column it is computed from.
    pub source: String,
    /// How it is computed.
    pub transform: Transform,
}

impl PartitionField {
    /// Partitioning by a column's own values.
    pub fn identity(column: impl Into<String>) -> Self {
        let column = column.into();
        PartitionField {
            name: column.clone(),
            source: column,
            transform: Transform::Identity,
        }
    }
}

/// A column whose value is computed from others on write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GeneratedColumn {
    /// The column.
    pub name: String,
    /// SQL over the table's other columns.
    pub expression: String,
}

/// A condition that every row of a table satisfies (`NULL` counts as satisfied, as in the SQL standard).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckConstraint {
    /// The constraint's name.
    pub name: String,
    /// SQL over the table's columns.
    pub expression: String,
}

/// A table to be created.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Name, format and location.
    pub table: TableRef,
    /// All columns in declared order, partition columns among them.
    pub schema: SchemaRef,
    /// Partitioning, outermost first.
    pub partition_by: Vec<PartitionField>,
    /// Generated columns.
    pub generated: Vec<GeneratedColumn>,
    /// CHECK constraints.
    pub checks: Vec<CheckConstraint>,
    /// Comment on the table.
    pub comment: Option<String>,
    /// Table properties; unknown keys are kept.
    pub properties: BTreeMap<String, String>,
}

impl CreateTable {
    /// In which order rows are to stand in each data file.
    pub(crate) fn sort_by(&self) -> Result<Vec<SortColumn>> {
        sort_order::from_properties(&self.table.name, &self.properties, &self.schema)
    }
}
