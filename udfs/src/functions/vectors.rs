//! Arrays of numbers as arguments and results: lists of any kind. Arguments are read row by row,
//! uncopied; a result is the kind of list that its argument is, so that a vector whose length the
//! type knows keeps it.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, GenericListArray,
    NullBufferBuilder, OffsetSizeTrait, PrimitiveArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    ArrowNativeType, DataType, Field, FieldRef, Float32Type, Float64Type,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

/// The type a vector argument is passed as: a list of FLOAT or DOUBLE keeps its type, other numbers
/// become DOUBLE, an untyped NULL becomes ARRAY<DOUBLE>.
pub(crate) fn coerce(function: &str, given: &DataType) -> Result<DataType> {
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

/// FLOAT for vectors of FLOAT, DOUBLE for all others: what is computed from a coerced vector type.
pub(crate) fn element_type(vector: &DataType) -> DataType {
    match vector {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _)
            if field.data_type() == &DataType::Float32 =>
        {
            DataType::Float32
        }
        _ => DataType::Float64,
    }
}

/// The kind of list that `vector` is, of elements of another type.
pub(crate) fn list_like(vector: &DataType, element: DataType) -> DataType {
    let field = Arc::new(Field::new_list_field(element, true));
    match vector {
        DataType::LargeList(_) => DataType::LargeList(field),
        DataType::FixedSizeList(_, length) => DataType::FixedSizeList(field, *length),
        _ => DataType::List(field),
    }
}

/// A number that vectors are computed in.
pub(crate) trait Element: ArrowNativeType + Into<f64> {
    /// Arrow's name for it.
    type Arrow: ArrowPrimitiveType<Native = Self>;

    /// The nearest number of this type.
    fn nearest(value: f64) -> Self;
}

impl Element for f32 {
    type Arrow = Float32Type;

    fn nearest(value: f64) -> Self {
        value as f32
    }
}

impl Element for f64 {
    type Arrow = Float64Type;

    fn nearest(value: f64) -> Self {
        value
    }
}

enum Layout<'a> {
    Offsets(&'a [i32]),
    LargeOffsets(&'a [i64]),
    Fixed(usize),
}

/// A column of lists whose elements are `T`.
pub(crate) struct Rows<'a, T> {
    len: usize,
    layout: Layout<'a>,
    nulls: Option<&'a NullBuffer>,
    values: &'a [T],
    /// The elements that are NULL, where there are any.
    holes: Option<&'a NullBuffer>,
}

impl<'a, T: ArrowNativeType> Rows<'a, T> {
    /// # Errors
    /// When `list` is no list of `P`.
    pub(crate) fn new<P: ArrowPrimitiveType<Native = T>>(list: &'a dyn Array) -> Result<Self> {
        let (layout, values) = parts(list)?;
        let Some(values) = values.as_primitive_opt::<P>() else {
            return exec_err!("a vector of {} has {}", P::DATA_TYPE, values.data_type());
        };
        Ok(Self {
            len: list.len(),
            layout,
            nulls: list.nulls(),
            values: values.values(),
            holes: values.nulls().filter(|nulls| nulls.null_count() > 0),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The vector of a row; `None` when it is NULL or holds a NULL, or where there is no such row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a [T]> {
        if row >= self.len || self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let (start, end) = match self.layout {
            Layout::Offsets(offsets) => {
                (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize)
            }
            Layout::LargeOffsets(offsets) => {
                (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize)
            }
            Layout::Fixed(length) => (row * length, (row + 1) * length),
        };
        let values = self.values.get(start..end)?;
        let holds_null = self
            .holes
            .is_some_and(|holes| holes.slice(start, values.len()).null_count() > 0);
        (!holds_null).then_some(values)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&'a [T]>> {
        (0..self.len).map(|row| self.get(row))
    }
}

fn parts(list: &dyn Array) -> Result<(Layout<'_>, &ArrayRef)> {
    Ok(match list.data_type() {
        DataType::List(_) => {
            let list = list.as_list::<i32>();
            (Layout::Offsets(list.value_offsets()), list.values())
        }
        DataType::LargeList(_) => {
            let list = list.as_list::<i64>();
            (Layout::LargeOffsets(list.value_offsets()), list.values())
        }
        DataType::FixedSizeList(_, length) => {
            let values = list.as_fixed_size_list().values();
            (Layout::Fixed(usize::try_from(*length).unwrap_or(0)), values)
        }
        other => return exec_err!("a vector is an array of numbers, not {other}"),
    })
}

/// A column of vectors of a coerced type.
pub(crate) enum Vectors<'a> {
    F32(Rows<'a, f32>),
    F64(Rows<'a, f64>),
}

impl<'a> Vectors<'a> {
    /// # Errors
    /// When `list` is no list of FLOAT or DOUBLE.
    pub(crate) fn new(list: &'a dyn Array) -> Result<Self> {
        Ok(match element_type(list.data_type()) {
            DataType::Float32 => Self::F32(Rows::new::<Float32Type>(list)?),
            _ => Self::F64(Rows::new::<Float64Type>(list)?),
        })
    }
}

/// Makes a column of lists, row by row.
pub(crate) struct ListBuilder<P: ArrowPrimitiveType> {
    list: DataType,
    values: Vec<P::Native>,
    ends: Vec<usize>,
    valid: NullBufferBuilder,
}

impl<P: ArrowPrimitiveType> ListBuilder<P> {
    /// A column of the type `list`, whose elements are `P`.
    pub(crate) fn new(list: &DataType, rows: usize) -> Self {
        Self {
            list: list.clone(),
            values: Vec::new(),
            ends: Vec::with_capacity(rows),
            valid: NullBufferBuilder::new(rows),
        }
    }

    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = P::Native>) {
        self.values.extend(row);
        self.ends.push(self.values.len());
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        if let DataType::FixedSizeList(_, length) = self.list {
            let padded = self.values.len() + usize::try_from(length).unwrap_or(0);
            self.values.resize(padded, P::Native::default());
        }
        self.ends.push(self.values.len());
        self.valid.append_null();
    }

    /// # Errors
    /// When a row has not the length that the type states, or all are too many for the type.
    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        let values: ArrayRef = Arc::new(PrimitiveArray::<P>::new(self.values.into(), None));
        let nulls = self.valid.finish();
        Ok(match &self.list {
            DataType::List(field) => variable::<i32>(field, &self.ends, values, nulls)?,
            DataType::LargeList(field) => variable::<i64>(field, &self.ends, values, nulls)?,
            DataType::FixedSizeList(field, length) => {
                let (field, rows) = (Arc::clone(field), self.ends.len());
                Arc::new(FixedSizeListArray::try_new_with_length(
                    field, *length, values, nulls, rows,
                )?)
            }
            other => return exec_err!("a vector is an array of numbers, not {other}"),
        })
    }
}

fn variable<O: OffsetSizeTrait>(
    field: &FieldRef,
    ends: &[usize],
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let offsets: Option<Vec<O>> = [0]
        .iter()
        .chain(ends)
        .map(|end| O::from_usize(*end))
        .collect();
    let offsets = offsets.ok_or_else(|| {
        exec_datafusion_err!(
            "{} numbers are too many for the arrays of one batch: set a smaller batch size",
            values.len()
        )
    })?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let list = GenericListArray::<O>::try_new(Arc::clone(field), offsets, values, nulls)?;
    Ok(Arc::new(list))
}

/// Calls `compute` with the arguments as arrays, a constant being an array of one row that stands
/// for all, and with the number of rows to answer. The answer is a constant if all arguments are.
pub(crate) fn over_rows(
    arguments: &[ColumnarValue],
    number_rows: usize,
    compute: impl FnOnce(&[ArrayRef], usize) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = arguments
        .iter()
        .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let arrays = arguments
        .iter()
        .map(|argument| match argument {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array(),
        })
        .collect::<Result<Vec<_>>>()?;
    let answer = compute(&arrays, if constant { 1 } else { number_rows })?;
    Ok(if constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)
    } else {
        ColumnarValue::Array(answer)
    })
}

/// Where an array of `len` rows holds the value for `row`: one row stands for all.
pub(crate) fn row_in(len: usize, row: usize) -> usize {
    if len == 1 { 0 } else { row }
}
