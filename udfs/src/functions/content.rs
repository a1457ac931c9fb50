//! Encoded pictures as an argument: every binary type Arrow has, row by row.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

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

/// The rows of a binary array; `None` where a row is NULL.
pub(super) fn rows(content: &dyn Array) -> Result<Box<dyn Iterator<Item = Option<&[u8]>> + '_>> {
    Ok(match content.data_type() {
        DataType::Binary => Box::new(content.as_binary::<i32>().iter()),
        DataType::LargeBinary => Box::new(content.as_binary::<i64>().iter()),
        DataType::BinaryView => Box::new(content.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => Box::new(content.as_fixed_size_binary().iter()),
        other => return exec_err!("an encoded picture is BINARY, not {other}"),
    })
}

/// Applies `compute` to an argument that is a column or one value, and answers in kind.
pub(super) fn map_rows(
    argument: &ColumnarValue,
    compute: impl Fn(&dyn Array) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    match argument {
        ColumnarValue::Array(array) => Ok(ColumnarValue::Array(compute(array)?)),
        ColumnarValue::Scalar(value) => {
            let result = compute(&value.to_array()?)?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?))
        }
    }
}
