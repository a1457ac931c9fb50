//! What can go wrong in the lake, with the table or object it happened to.

use datafusion::error::DataFusionError;

/// A failure of a table format, an object store, a scan or a write.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// No table of the expected format lies at the location.
    #[error(
        "there is no {format} table at {location} (table {table}); check the LOCATION, or create the table"
    )]
    NotATable {
        /// Name of the table as the user knows it.
        table: String,
        /// Format that was expected.
        format: &'static str,
        /// Where it was looked for.
        location: String,
    },
    /// A table already lies where one was to be created.
    #[error(
        "a table already exists at {location} (creating {table}); choose another LOCATION, or drop it with PURGE"
    )]
    AlreadyExists {
        /// Name of the table that was to be created.
        table: String,
        /// Where the existing table lies.
        location: String,
    },
    /// The table uses something Shoal does not know.
    #[error("table {table} cannot be used: {feature}")]
    Unsupported {
        /// Name of the table.
        table: String,
        /// The feature, by its name in the format's specification.
        feature: String,
    },
    /// Another writer changed the table in a way that contradicts this one.
    #[error("table {table} was changed by another writer: {reason}; run the statement again")]
    Conflict {
        /// Name of the table.
        table: String,
        /// What the conflict was.
        reason: String,
        /// The commits of others do not contradict this one; they were just faster every time.
        lost_race: bool,
    },
    /// A row violates a constraint of the table.
    #[error("table {table}: constraint {constraint} is violated by the row {row}")]
    Constraint {
        /// Name of the table.
        table: String,
        /// `NOT NULL column` or the name of the CHECK constraint.
        constraint: String,
        /// The row, as `column: value` pairs.
        row: String,
    },
    /// A location, property or statistic does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// An object store refused or failed.
    #[error("{doing}: {source}")]
    Store {
        /// What was being done to which object.
        doing: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The Delta log could not be read or written.
    #[error("table {table}: {doing}: {source}")]
    Delta {
        /// Name of the table.
        table: String,
        /// What was being done.
        doing: &'static str,
        /// What the Delta library said.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// An Iceberg table's metadata or catalog could not be read or written.
    #[error("{table}: {doing}: {source}")]
    Iceberg {
        /// Name of the table or catalog.
        table: String,
        /// What was being done.
        doing: &'static str,
        /// What the Iceberg library said.
        source: Box<::iceberg::Error>,
    },
    /// The query engine failed.
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
}

/// Result of a lake operation.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

impl LakeError {
    /// Wraps an object store's error with what was being done.
    pub fn store(doing: impl Into<String>) -> impl FnOnce(object_store::Error) -> LakeError {
        let doing = doing.into();
        move |source| LakeError::Store { doing, source }
    }
}

impl From<LakeError> for DataFusionError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::DataFusion(inner) => inner,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

impl From<arrow::error::ArrowError> for LakeError {
    fn from(error: arrow::error::ArrowError) -> Self {
        LakeError::DataFusion(DataFusionError::from(error))
    }
}

impl From<parquet::errors::ParquetError> for LakeError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        LakeError::DataFusion(DataFusionError::from(error))
    }
}
