//! Arguments row by row: pictures, and vectors.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use shoal_udfs::image_at;
use shoal_udfs::types::is_image;

use crate::pixels::Picture;

/// The type pictures are passed as: itself if it is IMAGE or binary, BINARY for an untyped NULL.
pub(super) fn picture_type(given: &DataType) -> Result<DataType> {
    match given {
        image if is_image(image) => Ok(image.clone()),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(given.clone()),
        DataType::Null | DataType::FixedSizeBinary(_) => Ok(DataType::Binary),
        other => plan_err!("image_embed takes a picture as BINARY or IMAGE, not {other}"),
    }
}

/// The pictures of an array of such a type; `None` for NULL and for an IMAGE whose parts contradict each
/// other.
pub(super) fn pictures(
    argument: &dyn Array,
) -> Result<Box<dyn Iterator<Item = Option<Picture<'_>>> + '_>> {
    if let Some(images) = argument.as_struct_opt() {
        let image = |row| image_at(images, row).map(Picture::Image);
        return Ok(Box::new((0..images.len()).map(image)));
    }
    let files: Box<dyn Iterator<Item = Option<&[u8]>>> = match argument.data_type() {
        DataType::Binary => Box::new(argument.as_binary::<i32>().iter()),
        DataType::LargeBinary => Box::new(argument.as_binary::<i64>().iter()),
        DataType::BinaryView => Box::new(argument.as_binary_view().iter()),
        other => return exec_err!("a picture is BINARY or IMAGE, not {other}"),
    };
    Ok(Box::new(files.map(|file| file.map(Picture::File))))
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
