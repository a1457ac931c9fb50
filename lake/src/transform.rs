//! Iceberg's partition transforms as Arrow kernels (table spec, "Partition Transforms").

use arrow::array::ArrayRef;

use crate::{
    error::{LakeError, Result},
    table::Transform,
};

/// The transform's value for every row.
pub(crate) fn apply(transform: Transform, _source: &ArrayRef) -> Result<ArrayRef> {
    Err(LakeError::Invalid(format!(
        "the partition transform {transform:?} belongs to Iceberg tables"
    )))
}
