//! Arrays of numbers as an argument: lists of any kind of FLOAT or DOUBLE, row by row, uncopied.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};

/// The type a vector argument is passed as: a list of FLOAT or DOUBLE keeps its type, other numbers
/// become DOUBLE, an untyped NULL becomes ARRAY<DOUBLE>.
pub(super) fn coerce(function: &str, given: &DataType) -> Result<DataType> {
    let element = |field: &FieldRef| -> Result<FieldRef> {
        match field.data_type() {
            DataType::Float32 | DataType::Float64 => Ok(Arc::clone(field)),
            number if number.is_numeric() || number.is_null() => {
                Ok(Arc::new(Field::new(field.name(), DataType::Float64, true)))
            }
            _ => plan_err!("{function} takes arrays of numbers, not {given}"),
        }
    };
    match given {
        DataType::List(field) | DataType::ListView(field) => Ok(DataType::List(element(field)?)),
        DataType::LargeList(field) | DataType::LargeListView(field) => {
            Ok(DataType::LargeList(element(field)?))
        }
        DataType::FixedSizeList(field, length) => {
            Ok(DataType::FixedSizeList(element(field)?, *length))
        }
        DataType::Null => Ok(DataType::new_list(DataType::Float64, true)),
        other => plan_err!("{function} takes arrays of numbers, not {other}"),
    }
}

/// True when the elements of a coerced vector type are FLOAT.
pub(super) fn is_float32(vector: &DataType) -> bool {
    match vector {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            field.data_type() == &DataType::Float32
        }
        _ => false,
    }
}

/// One vector, without NULLs.
#[derive(Clone, Copy)]
pub(super) enum Vector<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl Vector<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }
}

enum Elements<'a> {
    F32(&'a PrimitiveArray<Float32Type>),
    F64(&'a PrimitiveArray<Float64Type>),
}

/// A column of vectors.
pub(super) struct Vectors<'a> {
    list: &'a dyn Array,
    elements: Elements<'a>,
}

impl<'a> Vectors<'a> {
    /// `list` has a type that [`coerce`] returns.
    pub(super) fn new(list: &'a dyn Array) -> Result<Self> {
        let values = match list.data_type() {
            DataType::List(_) => list.as_list::<i32>().values(),
            DataType::LargeList(_) => list.as_list::<i64>().values(),
            DataType::FixedSizeList(_, _) => list.as_fixed_size_list().values(),
            other => return exec_err!("a vector is an array of numbers, not {other}"),
        };
        let elements = match values.data_type() {
            DataType::Float32 => Elements::F32(values.as_primitive()),
            DataType::Float64 => Elements::F64(values.as_primitive()),
            other => return exec_err!("a vector holds FLOAT or DOUBLE, not {other}"),
        };
        Ok(Self { list, elements })
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The vector of a row; `None` when it is NULL or holds a NULL.
    pub(super) fn get(&self, row: usize) -> Option<Vector<'a>> {
        if self.list.is_null(row) {
            return None;
        }
        let (start, end) = match self.list.data_type() {
            DataType::List(_) => {
                let offsets = self.list.as_list::<i32>().value_offsets();
                (offsets[row] as usize, offsets[row + 1] as usize)
            }
            DataType::LargeList(_) => {
                let offsets = self.list.as_list::<i64>().value_offsets();
                (offsets[row] as usize, offsets[row + 1] as usize)
            }
            _ => {
                let list = self.list.as_fixed_size_list();
                let start = list.value_offset(row) as usize;
                (start, start + list.value_length() as usize)
            }
        };
        match self.elements {
            Elements::F32(array) => slice(array, start, end).map(Vector::F32),
            Elements::F64(array) => slice(array, start, end).map(Vector::F64),
        }
    }
}

fn slice<T: datafusion::arrow::datatypes::ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    start: usize,
    end: usize,
) -> Option<&[T::Native]> {
    let holds_null = array
        .nulls()
        .is_some_and(|nulls| nulls.slice(start, end - start).null_count() > 0);
    (!holds_null).then(|| &array.values()[start..end])
}
