//! Arguments row by row: encoded pictures, and vectors.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};

/// The type pictures are passed as: itself if it is binary, BINARY for an untyped NULL.
pub(super) fn content_type(given: &DataType) -> Result<DataType> {
    match given {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(given.clone()),
        DataType::Null | DataType::FixedSizeBinary(_) => Ok(DataType::Binary),
        other => plan_err!("image_embed takes an encoded picture as BINARY, not {other}"),
    }
}

/// The pictures of an array of such a type.
pub(super) fn contents(
    argument: &dyn Array,
) -> Result<Box<dyn Iterator<Item = Option<&[u8]>> + '_>> {
    Ok(match argument.data_type() {
        DataType::Binary => Box::new(argument.as_binary::<i32>().iter()),
        DataType::LargeBinary => Box::new(argument.as_binary::<i64>().iter()),
        DataType::BinaryView => Box::new(argument.as_binary_view().iter()),
        other => return exec_err!("an encoded picture is BINARY, not {other}"),
    })
}

/// The type vectors are passed as: a list of FLOAT, of a fixed size if the given one has.
pub(super) fn vector_type(given: &DataType) -> Result<DataType> {
    let element = |field: &FieldRef| -> Result<FieldRef> {
        let number = field.data_type();
        if !number.is_numeric() && !number.is_null() {
            return plan_err!("model_predict takes arrays of numbers, not {given}");
        }
        Ok(Arc::new(Field::new(field.name(), DataType::Float32, true)))
    };
    match given {
        DataType::List(field) | DataType::ListView(field) => Ok(DataType::List(element(field)?)),
        DataType::LargeList(field) | DataType::LargeListView(field) => {
            Ok(DataType::LargeList(element(field)?))
        }
        DataType::FixedSizeList(field, length) => {
            Ok(DataType::FixedSizeList(element(field)?, *length))
        }
        DataType::Null => Ok(DataType::new_list(DataType::Float32, true)),
        other => plan_err!("model_predict takes arrays of numbers, not {other}"),
    }
}

/// The vectors of an array of such a type; `None` for one that is NULL, holds a NULL or does not have
/// `length` numbers.
pub(super) fn vectors(argument: &dyn Array, length: usize) -> Result<Vec<Option<Vec<f32>>>> {
    let rows: Box<dyn Iterator<Item = Option<ArrayRef>>> = match argument.data_type() {
        DataType::List(_) => Box::new(argument.as_list::<i32>().iter()),
        DataType::LargeList(_) => Box::new(argument.as_list::<i64>().iter()),
        DataType::FixedSizeList(_, _) => Box::new(argument.as_fixed_size_list().iter()),
        other => return exec_err!("a vector is an array of numbers, not {other}"),
    };
    rows.map(|row| row.map_or(Ok(None), |row| numbers(&row, length)))
        .collect()
}

fn numbers(row: &ArrayRef, length: usize) -> Result<Option<Vec<f32>>> {
    let row = cast(row, &DataType::Float32)?;
    let numbers: &Float32Array = row.as_primitive::<Float32Type>();
    let whole = numbers.len() == length && numbers.null_count() == 0;
    Ok(whole.then(|| numbers.values().to_vec()))
}
