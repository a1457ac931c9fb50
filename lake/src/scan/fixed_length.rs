//! A column of vectors that a file has as lists: their lengths are checked as they are read.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field},
};
use datafusion::common::{Result, internal_err};
use shoal_udfs::fixed_size::{FixedSizeError, to_fixed_size};

use crate::error::LakeError;

/// The lists of a column of `file` as vectors of `field`'s type, a fixed-size list.
pub(super) fn fixed_length(lists: &ArrayRef, field: &Field, file: &str) -> Result<ArrayRef> {
    let DataType::FixedSizeList(element, length) = field.data_type() else {
        return internal_err!("column {} holds no vectors", field.name());
    };
    match to_fixed_size(lists, element, *length) {
        Ok(vectors) => Ok(vectors),
        Err(FixedSizeError::Arrow(error)) => Err(error.into()),
        Err(FixedSizeError::Length { found, .. }) => Err(LakeError::Invalid(format!(
            "column {} takes {length} elements, but the file {file} has a row of {found}; write \
             that file anew with the engine that made it",
            field.name(),
        ))
        .into()),
    }
}
