//! The row of totals with which long statements answer.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, sum};
use arrow::datatypes::{DataType, UInt64Type};

/// The number in the column `name`, 0 if there is none.
pub fn total(batches: &[RecordBatch], name: &str) -> u64 {
    let columns = batches
        .iter()
        .filter_map(|batch| batch.column_by_name(name));
    let counts = columns.filter_map(|column| cast(column, &DataType::UInt64).ok());
    counts
        .filter_map(|counts| sum(counts.as_primitive::<UInt64Type>()))
        .sum()
}
