//! A nested column with other names for its inner fields: the values are the same.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, ListArray, MapArray, RecordBatch, StructArray},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::ColumnarValue,
    physical_plan::PhysicalExpr,
};

/// Gives a column's inner fields the names of `field`'s type, which has the same shape.
///
/// Made when a file is opened, so it never travels.
#[derive(Debug, Eq)]
pub(super) struct Relabel {
    column: Arc<dyn PhysicalExpr>,
    field: FieldRef,
}

impl Relabel {
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, field: FieldRef) -> Self {
        Relabel { column, field }
    }
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.field == other.field
    }
}

impl Hash for Relabel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.hash(state);
    }
}

impl fmt::Display for Relabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "relabel({})", self.column)
    }
}

impl PhysicalExpr for Relabel {
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
        Ok(ColumnarValue::Array(relabel(&values, &self.field)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([column]) => Ok(Arc::new(Relabel::new(column, self.field.clone()))),
            Err(children) => {
                internal_err!("a relabelled column has one child, not {}", children.len())
            }
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}

fn relabel(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    Ok(match (values.data_type(), field.data_type()) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let values = values.as_struct();
            let columns = values.columns().iter().zip(fields);
            let columns = columns
                .map(|(column, field)| relabel(column, field))
                .collect::<Result<Vec<_>>>()?;
            let (fields, nulls) = (fields.clone(), values.nulls().cloned());
            Arc::new(StructArray::try_new_with_length(
                fields,
                columns,
                nulls,
                values.len(),
            )?)
        }
        (DataType::List(_), DataType::List(element)) => {
            let values = values.as_list::<i32>();
            let inner = relabel(values.values(), element)?;
            let (offsets, nulls) = (values.offsets().clone(), values.nulls().cloned());
            Arc::new(ListArray::try_new(element.clone(), offsets, inner, nulls)?)
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let values = values.as_map();
            let inner: ArrayRef = Arc::new(values.entries().clone());
            let inner = relabel(&inner, entries)?.as_struct().clone();
            let (offsets, nulls) = (values.offsets().clone(), values.nulls().cloned());
            Arc::new(MapArray::try_new(
                entries.clone(),
                offsets,
                inner,
                nulls,
                *sorted,
            )?)
        }
        _ => values.clone(),
    })
}
