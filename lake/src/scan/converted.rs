//! A column of a file as the table has it, where the types of the two differ.

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

use super::{fixed_length::fixed_length, relabel::relabel};

/// What is done to a file's column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Conversion {
    /// Its inner fields get the table's names; the types have the same shape.
    Relabel,
    /// Its lists become vectors. The file is named where one has another length.
    FixedLength { file: Arc<str> },
}

/// A file's column under `field`, the table's.
///
/// Made when a file is opened, so it never travels.
#[derive(Debug, Eq)]
pub(super) struct Converted {
    pub(super) column: Arc<dyn PhysicalExpr>,
    pub(super) field: FieldRef,
    pub(super) conversion: Conversion,
}

impl PartialEq for Converted {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column)
            && self.field == other.field
            && self.conversion == other.conversion
    }
}

impl Hash for Converted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.hash(state);
        self.conversion.hash(state);
    }
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conversion {
            Conversion::Relabel => write!(f, "relabel({})", self.column),
            Conversion::FixedLength { .. } => write!(f, "fixed_length({})", self.column),
        }
    }
}

impl PhysicalExpr for Converted {
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
        let values = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let converted = match &self.conversion {
            Conversion::Relabel => relabel(&values, &self.field)?,
            Conversion::FixedLength { file } => fixed_length(&values, &self.field, file)?,
        };
        Ok(ColumnarValue::Array(converted))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([column]) => Ok(Arc::new(Converted {
                column,
                field: self.field.clone(),
                conversion: self.conversion.clone(),
            })),
            Err(children) => {
                internal_err!("a converted column has one child, not {}", children.len())
            }
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
