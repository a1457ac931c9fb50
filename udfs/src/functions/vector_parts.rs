//! Vectors taken apart and put together: `vector_slice`, `vector_concat`, `vector_dimension`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{
    Result, ScalarValue, exec_datafusion_err, exec_err, plan_datafusion_err, plan_err,
};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::VECTORS;
use super::vectors::{
    Element, ListBuilder, Rows, Vectors, coerce, element_type, list_like, over_rows, row_in,
};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::new_from_impl(VectorSlice::new()),
        ScalarUDF::new_from_impl(VectorConcat::new()),
        ScalarUDF::new_from_impl(VectorDimension::new()),
    ]
}

/// `vector_slice(v, start, length)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorSlice {
    signature: Signature,
    documentation: Documentation,
}

const SLICE: &str = "vector_slice";

impl VectorSlice {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: slice_documentation(),
        }
    }
}

fn check_start(start: i64) -> Result<()> {
    if start == 0 {
        return exec_err!("{SLICE} counts elements from 1, or from -1 at the end: start is 0");
    }
    Ok(())
}

fn check_length(length: i64) -> Result<()> {
    if length < 0 {
        return exec_err!("{SLICE} takes a length of 0 or more, not {length}");
    }
    Ok(())
}

/// The part of `vector`, of nothing where it starts outside of it.
fn part<T>(vector: &[T], start: i64, length: i64) -> &[T] {
    let from_end = || {
        vector
            .len()
            .checked_sub(usize::try_from(start.unsigned_abs()).ok()?)
    };
    let first = if start < 0 {
        from_end()
    } else {
        usize::try_from(start - 1).ok()
    };
    let rest = first
        .and_then(|first| vector.get(first..))
        .unwrap_or_default();
    let length = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(rest.len());
    rest.get(..length).unwrap_or_default()
}

fn slices<T: Element>(
    vectors: &Rows<'_, T>,
    starts: &ArrayRef,
    lengths: &ArrayRef,
    rows: usize,
    answer_type: &DataType,
) -> Result<ArrayRef> {
    let number = |numbers: &ArrayRef, row| {
        let row = row_in(numbers.len(), row);
        let valid = numbers.is_valid(row);
        valid.then(|| numbers.as_primitive::<Int64Type>().value(row))
    };
    let mut slices = ListBuilder::<T::Arrow>::new(answer_type, rows);
    for row in 0..rows {
        let (start, length) = (number(starts, row), number(lengths, row));
        start.map_or(Ok(()), check_start)?;
        length.map_or(Ok(()), check_length)?;
        match (vectors.get(row_in(vectors.len(), row)), start, length) {
            (Some(vector), Some(start), Some(length)) => {
                slices.push(part(vector, start, length).iter().copied());
            }
            _ => slices.push_null(),
        }
    }
    slices.finish()
}

fn constant(argument: Option<&Option<&ScalarValue>>) -> Option<i64> {
    let value = argument.copied().flatten()?;
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(value)) => value,
        _ => None,
    }
}

impl ScalarUDFImpl for VectorSlice {
    fn name(&self) -> &str {
        SLICE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector, start, length] = take_function_args(SLICE, arg_types)?;
        for number in [start, length] {
            if !number.is_integer() && !number.is_null() {
                return plan_err!("{SLICE} takes start and length as integers, not {number}");
            }
        }
        Ok(vec![
            coerce(SLICE, vector)?,
            DataType::Int64,
            DataType::Int64,
        ])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [vector, _, _] = take_function_args(SLICE, arg_types)?;
        let element = element_type(vector);
        Ok(match vector {
            DataType::LargeList(_) => list_like(vector, element),
            _ => DataType::new_list(element, true),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let start = constant(args.scalar_arguments.get(1));
        let length = constant(args.scalar_arguments.get(2));
        start.map_or(Ok(()), check_start)?;
        length.map_or(Ok(()), check_length)?;
        let types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let data_type = match (types.as_slice(), start, length) {
            ([vector @ DataType::FixedSizeList(_, size), ..], Some(start), Some(length)) => {
                let indices: Vec<i32> = (0..*size).collect();
                let taken = i32::try_from(part(&indices, start, length).len()).unwrap_or(0);
                let field = Field::new_list_field(element_type(vector), true);
                DataType::FixedSizeList(Arc::new(field), taken)
            }
            // A type that depends on whether an expression has been computed already would be one
            // before the optimizer and another behind it.
            ([vector @ DataType::FixedSizeList(_, _), ..], _, _) => {
                return plan_err!(
                    "{SLICE} of a vector of known length takes start and length as plain numbers; \
                     for others, write arrow_cast(v, 'List({})')",
                    element_type(vector)
                );
            }
            _ => self.return_type(&types)?,
        };
        Ok(Arc::new(Field::new(SLICE, data_type, true)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let answer_type = args.return_field.data_type();
        over_rows(&args.args, args.number_rows, |arrays, rows| {
            let [list, starts, lengths]: [&ArrayRef; 3] = take_function_args(SLICE, arrays)?;
            match Vectors::new(list)? {
                Vectors::F32(vectors) => slices(&vectors, starts, lengths, rows, answer_type),
                Vectors::F64(vectors) => slices(&vectors, starts, lengths, rows, answer_type),
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// `vector_concat(a, b, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorConcat {
    signature: Signature,
    documentation: Documentation,
}

const CONCAT: &str = "vector_concat";

impl VectorConcat {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: concat_documentation(),
        }
    }
}

/// The element type of vectors put together: FLOAT if all are.
fn common_element(vectors: &[DataType]) -> DataType {
    let floats = |vector| element_type(vector) == DataType::Float32;
    if vectors.iter().all(floats) {
        DataType::Float32
    } else {
        DataType::Float64
    }
}

/// The sum of the lengths, where the types state all of them.
fn common_length(vectors: &[DataType]) -> Option<Option<i32>> {
    vectors
        .iter()
        .map(|vector| match vector {
            DataType::FixedSizeList(_, length) => Some(*length),
            _ => None,
        })
        .try_fold(Some(0_i32), |sum, length| {
            length.map(|length| sum.and_then(|sum| sum.checked_add(length)))
        })
}

fn concatenated<T: Element>(
    parts: &[Rows<'_, T>],
    rows: usize,
    answer_type: &DataType,
) -> Result<ArrayRef> {
    let mut answer = ListBuilder::<T::Arrow>::new(answer_type, rows);
    let mut joined = Vec::new();
    for row in 0..rows {
        joined.clear();
        let complete = parts.iter().all(|part| {
            let vector = part.get(row_in(part.len(), row));
            joined.extend_from_slice(vector.unwrap_or_default());
            vector.is_some()
        });
        if complete {
            answer.push(joined.iter().copied());
        } else {
            answer.push_null();
        }
    }
    answer.finish()
}

impl ScalarUDFImpl for VectorConcat {
    fn name(&self) -> &str {
        CONCAT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.is_empty() {
            return plan_err!("{CONCAT} takes one vector or more");
        }
        let vectors = arg_types
            .iter()
            .map(|given| coerce(CONCAT, given))
            .collect::<Result<Vec<_>>>()?;
        let element = common_element(&vectors);
        Ok(vectors
            .iter()
            .map(|vector| list_like(vector, element.clone()))
            .collect())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let element = common_element(arg_types);
        if let Some(length) = common_length(arg_types) {
            let length = length.ok_or_else(|| {
                plan_datafusion_err!("{CONCAT}: the vectors together are too long")
            })?;
            let field = Field::new_list_field(element, true);
            return Ok(DataType::FixedSizeList(Arc::new(field), length));
        }
        let large = arg_types
            .iter()
            .find(|vector| matches!(vector, DataType::LargeList(_)));
        Ok(list_like(large.unwrap_or(&DataType::Null), element))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let answer_type = args.return_field.data_type();
        over_rows(&args.args, args.number_rows, |arrays, rows| {
            if element_type(answer_type) == DataType::Float32 {
                concatenated::<f32>(&all_of(arrays)?, rows, answer_type)
            } else {
                concatenated::<f64>(&all_of(arrays)?, rows, answer_type)
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn all_of<T: Element>(arrays: &[ArrayRef]) -> Result<Vec<Rows<'_, T>>> {
    arrays
        .iter()
        .map(|array| Rows::new::<T::Arrow>(array))
        .collect()
}

/// `vector_dimension(v)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorDimension {
    signature: Signature,
    documentation: Documentation,
}

const DIMENSION: &str = "vector_dimension";

impl VectorDimension {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: dimension_documentation(),
        }
    }
}

fn dimensions<T: Element>(vectors: &Rows<'_, T>) -> Result<ArrayRef> {
    let dimension = |vector: &[T]| {
        i32::try_from(vector.len())
            .map_err(|_| exec_datafusion_err!("{DIMENSION}: {} is too long", vector.len()))
    };
    let dimensions = vectors
        .iter()
        .map(|vector| vector.map(dimension).transpose());
    Ok(Arc::new(dimensions.collect::<Result<Int32Array>>()?))
}

impl ScalarUDFImpl for VectorDimension {
    fn name(&self) -> &str {
        DIMENSION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector] = take_function_args(DIMENSION, arg_types)?;
        Ok(vec![coerce(DIMENSION, vector)?])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, _| {
            let [list]: [&ArrayRef; 1] = take_function_args(DIMENSION, arrays)?;
            match Vectors::new(list)? {
                Vectors::F32(vectors) => dimensions(&vectors),
                Vectors::F64(vectors) => dimensions(&vectors),
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn slice_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The part of a vector that starts at an element and is as long as said, or as there are \
         elements; empty where it starts outside of the vector.\n\n\
         Returns ARRAY<FLOAT> for FLOAT elements, ARRAY<DOUBLE> for all others; of known length \
         where that of `v` is known, which takes `start` and `length` written as plain numbers.",
        "vector_slice(v, start, length)",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument(
        "start",
        "The first element, counted from 1, or from -1 backwards from the end. 0 is an error.",
    )
    .with_argument("length", "How many elements. Less than 0 is an error.")
    .with_sql_example(
        "```sql
SELECT vector_slice([1, 2, 3, 4], 2, 2) AS middle, vector_slice([1, 2, 3, 4], -2, 9) AS last_two;
```",
    )
    .with_related_udf("vector_concat")
    .build()
}

fn concat_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The elements of all vectors in one, in order.\n\n\
         Returns ARRAY<FLOAT> if all elements are FLOAT, ARRAY<DOUBLE> otherwise; of known length \
         if that of each is known.",
        "vector_concat(a [, b, ...])",
    )
    .with_argument("a", "An array of numbers.")
    .with_argument("b", "Any number of arrays more, of any length.")
    .with_sql_example(
        "```sql
SELECT vector_concat([1, 2], [3], [4, 5]) AS joined;
```",
    )
    .with_related_udf("vector_slice")
    .build()
}

fn dimension_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "How many elements a vector has.\n\nReturns INT.",
        "vector_dimension(v)",
    )
    .with_argument("v", "An array of numbers.")
    .with_sql_example(
        "```sql
SELECT vector_dimension([3, 1, 4]) AS dimension;
```",
    )
    .with_related_udf("vector_slice")
    .build()
}
