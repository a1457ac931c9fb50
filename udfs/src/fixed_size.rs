//! From lists of any length to vectors of one length, checked row by row.
//!
//! Arrow's own cast takes the wrong values from a sliced list and says neither which row is wrong nor
//! of which column, so columns become vectors here and nowhere else.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, UInt64Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;

/// Why a column of lists is no column of vectors.
#[derive(Debug)]
pub enum FixedSizeError {
    /// The list in `row` has `found` elements.
    Length {
        /// Row of the array, from 0.
        row: usize,
        /// How many elements it has.
        found: usize,
    },
    /// The elements cannot be cast, or it is no column of lists.
    Arrow(ArrowError),
}

impl From<ArrowError> for FixedSizeError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// `lists`, an array of any of Arrow's list types, as vectors of `length` elements of the type that
/// `element` has. NULL stays NULL.
///
/// # Errors
/// [`FixedSizeError::Length`] for the first list of another length.
pub fn to_fixed_size(
    lists: &ArrayRef,
    element: &FieldRef,
    length: i32,
) -> Result<ArrayRef, FixedSizeError> {
    if !is_list(lists.data_type()) {
        let no_list = format!("{} is no list of numbers", lists.data_type());
        return Err(ArrowError::InvalidArgumentError(no_list).into());
    }
    if let DataType::FixedSizeList(_, found) = lists.data_type() {
        if *found == length {
            let vectors = DataType::FixedSizeList(Arc::clone(element), length);
            return Ok(cast(lists, &vectors)?);
        }
        let first = (0..lists.len()).find(|&row| lists.is_valid(row));
        if let Some(row) = first {
            let found = usize::try_from(*found).unwrap_or(0);
            return Err(FixedSizeError::Length { row, found });
        }
    }
    let lists = cast(lists, &DataType::List(Arc::clone(element)))?;
    let lists = lists.as_list::<i32>();
    let size = usize::try_from(length).unwrap_or(0);
    for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
        let found = usize::try_from(lists.value_length(row)).unwrap_or(0);
        if found != size {
            return Err(FixedSizeError::Length { row, found });
        }
    }
    let start = |row: usize| u64::try_from(lists.value_offsets()[row]).unwrap_or(0);
    let values = if lists.null_count() == 0 && !lists.is_empty() {
        let start = usize::try_from(start(0)).unwrap_or(0);
        lists.values().slice(start, size * lists.len())
    } else {
        // A NULL takes as much room as a vector.
        let positions: UInt64Array = (0..lists.len())
            .flat_map(|row| {
                let start = lists.is_valid(row).then(|| start(row));
                (0..size as u64).map(move |i| Some(start? + i))
            })
            .collect();
        take(lists.values(), &positions, None)?
    };
    let nulls = lists.nulls().cloned();
    let vectors = FixedSizeListArray::try_new(Arc::clone(element), length, values, nulls)?;
    Ok(Arc::new(vectors))
}

/// Arrow would make a list of one of any other value.
fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::FixedSizeList(_, _)
    )
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float32Array, ListArray};
    use datafusion::arrow::datatypes::{Field, Float32Type, Float64Type, Int64Type};

    use super::*;

    fn element() -> FieldRef {
        Arc::new(Field::new("element", DataType::Float32, true))
    }

    fn row(vectors: &ArrayRef, row: usize) -> Vec<f32> {
        let values = vectors.as_fixed_size_list().value(row);
        values.as_primitive::<Float32Type>().values().to_vec()
    }

    #[test]
    fn a_slice_of_lists_keeps_its_own_values() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some([Some(1), Some(2)]),
            Some([Some(3), Some(4)]),
            Some([Some(5), Some(6)]),
        ]));
        let vectors = to_fixed_size(&lists.slice(1, 2), &element(), 2).unwrap();
        assert_eq!(vectors.len(), 2);
        assert_eq!(row(&vectors, 0), [3.0, 4.0]);
        assert_eq!(row(&vectors, 1), [5.0, 6.0]);
    }

    #[test]
    fn null_stays_null_and_the_rows_after_it_their_own() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(9.0), Some(9.0)]),
            None,
            Some(vec![Some(1.0), Some(2.0)]),
        ]));
        let vectors = to_fixed_size(&lists.slice(1, 2), &element(), 2).unwrap();
        assert!(vectors.is_null(0));
        assert_eq!(row(&vectors, 1), [1.0, 2.0]);
        let nothing = to_fixed_size(&lists.slice(0, 0), &element(), 2).unwrap();
        assert_eq!(nothing.len(), 0);
    }

    #[test]
    fn the_first_row_of_another_length_is_named() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
            None,
            Some(vec![Some(1.0), Some(2.0)]),
            Some(vec![Some(1.0)]),
            Some(vec![]),
        ]));
        let error = to_fixed_size(&lists, &element(), 2).unwrap_err();
        assert!(
            matches!(error, FixedSizeError::Length { row: 2, found: 1 }),
            "{error:?}"
        );

        let vectors = to_fixed_size(&lists.slice(0, 2), &element(), 2).unwrap();
        let doubles = Arc::new(Field::new("element", DataType::Float64, true));
        let doubles = to_fixed_size(&vectors.slice(1, 1), &doubles, 2).unwrap();
        let doubles = doubles.as_fixed_size_list().value(0);
        assert_eq!(doubles.as_primitive::<Float64Type>().values(), &[1.0, 2.0]);
        let error = to_fixed_size(&vectors, &element(), 3).unwrap_err();
        assert!(
            matches!(error, FixedSizeError::Length { row: 1, found: 2 }),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let numbers: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
        let error = to_fixed_size(&numbers, &element(), 2).unwrap_err();
        assert!(matches!(error, FixedSizeError::Arrow(_)), "{error:?}");
    }
}
