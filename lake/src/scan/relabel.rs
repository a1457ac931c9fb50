//! A nested column with other names for its inner fields: the values are the same.

use std::sync::Arc;

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, ListArray, MapArray, StructArray},
    datatypes::{DataType, Field},
};
use datafusion::common::Result;

/// Gives the inner fields of `values` the names of `field`'s type, which has the same shape.
pub(super) fn relabel(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
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
