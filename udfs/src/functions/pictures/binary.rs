//! Files and pixels gathered into an Arrow array.

use datafusion::arrow::array::{BinaryArray, NullBufferBuilder};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use datafusion::common::{Result, exec_err};

/// A BINARY column that grows. Unlike Arrow's builder it takes its values over: a batch that holds one
/// large picture, as most batches of photographs do, keeps the memory that the picture was decoded into.
pub(crate) struct Binary {
    bytes: Vec<u8>,
    /// Where each row starts, and where the last one ends.
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Default for Binary {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            offsets: vec![0],
            valid: NullBufferBuilder::new(0),
        }
    }
}

impl Binary {
    /// Adds a row.
    ///
    /// # Errors
    /// When all rows together exceed 2 GiB: Arrow counts the bytes of a BINARY array in 31 bits.
    pub(crate) fn append_value(&mut self, value: Vec<u8>) -> Result<()> {
        let Ok(end) = i32::try_from(self.bytes.len().saturating_add(value.len())) else {
            return exec_err!(
                "the pictures of one batch take more than 2 GiB; lower datafusion.execution.batch_size"
            );
        };
        if self.bytes.is_empty() {
            self.bytes = value;
        } else {
            self.bytes.extend_from_slice(&value);
        }
        self.offsets.push(end);
        self.valid.append_non_null();
        Ok(())
    }

    /// Adds a row that is NULL.
    pub(crate) fn append_null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.append_null();
    }

    /// The array of all rows.
    pub(crate) fn finish(mut self) -> Result<BinaryArray> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.bytes);
        Ok(BinaryArray::try_new(offsets, bytes, self.valid.finish())?)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Array;

    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in_and_the_first_is_not_copied() {
        let first = vec![7; 1000];
        let address = first.as_ptr();
        let mut column = Binary::default();
        column.append_null();
        column.append_value(Vec::new()).unwrap();
        column.append_value(first).unwrap();
        assert_eq!(column.bytes.as_ptr(), address);
        column.append_value(vec![1, 2]).unwrap();
        column.append_null();
        let array = column.finish().unwrap();
        let rows: Vec<Option<&[u8]>> = array.iter().collect();
        let expected: [Option<&[u8]>; 5] = [None, Some(&[]), Some(&[7; 1000]), Some(&[1, 2]), None];
        assert_eq!(rows, expected);
        assert_eq!(array.null_count(), 2);
    }

    #[test]
    fn more_than_an_array_holds_is_an_error() {
        // Never touched, so that it takes no memory.
        let huge = vec![0; i32::MAX as usize];
        let mut column = Binary::default();
        column.append_value(huge).unwrap();
        let error = column.append_value(vec![1]).unwrap_err().to_string();
        assert!(error.contains("more than 2 GiB"), "{error}");
    }
}
