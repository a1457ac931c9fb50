//! A column of vectors that a file has as lists: their lengths are checked as they are read.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, FieldRef, Schema},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::ColumnarValue,
    physical_plan::PhysicalExpr,
};
use shoal_udfs::fixed_size::{FixedSizeError, to_fixed_size};

use crate::error::LakeError;

/// The lists of a file's column as vectors of `field`'s type.
///
/// Made when a file is opened, so it never travels.
#[derive(Debug, Eq)]
pub(super) struct FixedLength {
    column: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    file: Arc<str>,
}

impl FixedLength {
    /// `field` is the table's column, of a fixed-size list type.
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, field: FieldRef, file: Arc<str>) -> Self {
        FixedLength {
            column,
            field,
            file,
        }
    }
}

impl PartialEq for FixedLength {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.field == other.field && self.file == other.file
    }
}

impl Hash for FixedLength {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.hash(state);
        self.file.hash(state);
    }
}

impl fmt::Display for FixedLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fixed_length({})", self.column)
    }
}

impl PhysicalExpr for FixedLength {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.column.nullable(input)
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let DataType::FixedSizeList(element, length) = self.field.data_type() else {
            return internal_err!("column {} holds no vectors", self.field.name());
        };
        let lists = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        match to_fixed_size(&lists, element, *length) {
            Ok(vectors) => Ok(ColumnarValue::Array(vectors)),
            Err(FixedSizeError::Arrow(error)) => Err(error.into()),
            Err(FixedSizeError::Length { found, .. }) => Err(LakeError::Invalid(format!(
                "column {} takes {length} elements, but the file {} has a row of {found}; write \
                 that file anew with the engine that made it",
                self.field.name(),
                self.file
            ))
            .into()),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([column]) => Ok(Arc::new(FixedLength::new(
                column,
                self.field.clone(),
                self.file.clone(),
            ))),
            Err(children) => internal_err!("vectors have one child, not {}", children.len()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
