//! Rows of binary and string arrays, whichever of Arrow's types they have.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};

/// The type `content` is passed as: itself if it is binary, BINARY for an untyped NULL.
pub(super) fn coerce(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Binary),
        other => plan_err!("{function} takes an encoded picture as BINARY, not {other}"),
    }
}

/// Row `row` of a binary array; `None` where it is NULL.
pub(super) fn row(content: &dyn Array, row: usize) -> Result<Option<&[u8]>> {
    if content.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match content.data_type() {
        DataType::Binary => content.as_binary::<i32>().value(row),
        DataType::LargeBinary => content.as_binary::<i64>().value(row),
        DataType::BinaryView => content.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => content.as_fixed_size_binary().value(row),
        other => return exec_err!("an encoded picture is BINARY, not {other}"),
    }))
}

/// All rows of a binary array.
pub(super) fn rows(content: &dyn Array) -> Result<Vec<Option<&[u8]>>> {
    (0..content.len())
        .map(|index| row(content, index))
        .collect()
}

/// Row `row` of a string array; `None` where it is NULL, and for other arrays.
pub(super) fn text(strings: &dyn Array, row: usize) -> Option<&str> {
    if strings.is_null(row) {
        return None;
    }
    match strings.data_type() {
        DataType::Utf8 => Some(strings.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(strings.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(strings.as_string_view().value(row)),
        _ => None,
    }
}
