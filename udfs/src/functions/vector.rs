//! Functions of vectors: similarity, distance, normalization. Sums are kept in double precision.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Float32Builder, Float64Array, Float64Builder, ListBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::VECTORS;
use super::vectors::{Vector, Vectors, coerce, is_float32};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::new_from_impl(VectorMeasure::new(Measure::CosineSimilarity)),
        ScalarUDF::new_from_impl(VectorMeasure::new(Measure::L2Distance)),
        ScalarUDF::new_from_impl(VectorNormalize::new()),
    ]
}

/// What two vectors of equal length are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    CosineSimilarity,
    L2Distance,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::CosineSimilarity => "vector_cosine_similarity",
            Self::L2Distance => "vector_l2_distance",
        }
    }

    /// `None` where the measure is not defined.
    fn of<A: Copy + Into<f64>, B: Copy + Into<f64>>(self, a: &[A], b: &[B]) -> Option<f64> {
        match self {
            Self::CosineSimilarity => {
                let magnitudes = (sum(a, a, |x, y| x * y) * sum(b, b, |x, y| x * y)).sqrt();
                let cosine = sum(a, b, |x, y| x * y) / magnitudes;
                (magnitudes > 0.0).then(|| cosine.clamp(-1.0, 1.0))
            }
            Self::L2Distance => Some(sum(a, b, |x, y| (x - y) * (x - y)).sqrt()),
        }
    }
}

/// Sum of `term` over pairs, in eight lanes that the compiler turns into SIMD.
fn sum<A: Copy + Into<f64>, B: Copy + Into<f64>>(
    a: &[A],
    b: &[B],
    term: impl Fn(f64, f64) -> f64,
) -> f64 {
    const LANES: usize = 8;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane].into(), b[lane].into());
        }
    }
    let rest: f64 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(x, y)| term((*x).into(), (*y).into()))
        .sum();
    sums.iter().sum::<f64>() + rest
}

/// A function of the form `name(a, b)` that gives DOUBLE.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorMeasure {
    measure: Measure,
    signature: Signature,
    documentation: Documentation,
}

impl VectorMeasure {
    fn new(measure: Measure) -> Self {
        Self {
            measure,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: match measure {
                Measure::CosineSimilarity => cosine_documentation(),
                Measure::L2Distance => l2_documentation(),
            },
        }
    }

    fn measure_row(&self, a: Vector<'_>, b: Vector<'_>) -> Result<Option<f64>> {
        if a.len() != b.len() {
            return exec_err!(
                "{} takes two vectors of the same length, not of {} and {} elements",
                self.name(),
                a.len(),
                b.len()
            );
        }
        Ok(match (a, b) {
            (Vector::F32(a), Vector::F32(b)) => self.measure.of(a, b),
            (Vector::F32(a), Vector::F64(b)) => self.measure.of(a, b),
            (Vector::F64(a), Vector::F32(b)) => self.measure.of(a, b),
            (Vector::F64(a), Vector::F64(b)) => self.measure.of(a, b),
        })
    }

    /// One number per row; an argument of one row stands for all.
    fn measure_rows(&self, a: &ArrayRef, b: &ArrayRef, rows: usize) -> Result<Float64Array> {
        let (a, b) = (Vectors::new(a)?, Vectors::new(b)?);
        let at = |vectors: &Vectors<'_>, row| if vectors.len() == 1 { 0 } else { row };
        (0..rows)
            .map(|row| match (a.get(at(&a, row)), b.get(at(&b, row))) {
                (Some(x), Some(y)) => self.measure_row(x, y),
                _ => Ok(None),
            })
            .collect()
    }
}

impl ScalarUDFImpl for VectorMeasure {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [a, b] = take_function_args(self.name(), arg_types)?;
        Ok(vec![coerce(self.name(), a)?, coerce(self.name(), b)?])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [a, b] = take_function_args(self.name(), &args.args)?;
        let constant = matches!((a, b), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result = self.measure_rows(&one_or_all(a)?, &one_or_all(b)?, rows)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(result))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// A column as it is, a constant as an array of one row.
fn one_or_all(argument: &ColumnarValue) -> Result<ArrayRef> {
    match argument {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(value) => value.to_array(),
    }
}

/// `vector_normalize(a)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorNormalize {
    signature: Signature,
    documentation: Documentation,
}

const NORMALIZE: &str = "vector_normalize";

impl VectorNormalize {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: normalize_documentation(),
        }
    }
}

/// What each element of `values` is divided by; `None` for a vector without direction.
fn magnitude<T: Copy + Into<f64>>(values: &[T]) -> Option<f64> {
    let magnitude = sum(values, values, |x, y| x * y).sqrt();
    (magnitude > 0.0).then_some(magnitude)
}

fn normalized(list: &ArrayRef) -> Result<ArrayRef> {
    let vectors = Vectors::new(list)?;
    if is_float32(list.data_type()) {
        let mut result = ListBuilder::new(Float32Builder::new());
        for row in 0..vectors.len() {
            if let Some(Vector::F32(values)) = vectors.get(row)
                && let Some(magnitude) = magnitude(values)
            {
                let scaled = values.iter().map(|x| (f64::from(*x) / magnitude) as f32);
                result.append_value(scaled.map(Some));
            } else {
                result.append_null();
            }
        }
        return Ok(Arc::new(result.finish()));
    }
    let mut result = ListBuilder::new(Float64Builder::new());
    for row in 0..vectors.len() {
        if let Some(Vector::F64(values)) = vectors.get(row)
            && let Some(magnitude) = magnitude(values)
        {
            result.append_value(values.iter().map(|x| Some(x / magnitude)));
        } else {
            result.append_null();
        }
    }
    Ok(Arc::new(result.finish()))
}

impl ScalarUDFImpl for VectorNormalize {
    fn name(&self) -> &str {
        NORMALIZE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector] = take_function_args(NORMALIZE, arg_types)?;
        Ok(vec![coerce(NORMALIZE, vector)?])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [vector] = take_function_args(NORMALIZE, arg_types)?;
        let element = if is_float32(vector) {
            DataType::Float32
        } else {
            DataType::Float64
        };
        Ok(DataType::new_list(element, true))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [vector] = take_function_args(NORMALIZE, &args.args)?;
        match vector {
            ColumnarValue::Array(list) => Ok(ColumnarValue::Array(normalized(list)?)),
            ColumnarValue::Scalar(value) => {
                let result = normalized(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

const VECTOR: &str = "An array of numbers.";

fn cosine_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "Cosine of the angle between two vectors: 1 for the same direction, 0 for none in common, -1 \
         for opposite ones. Vectors of different lengths are an error; a vector whose magnitude is \
         zero gives NULL.\n\nReturns DOUBLE.",
        "vector_cosine_similarity(a, b)",
    )
    .with_argument("a", VECTOR)
    .with_argument("b", "An array of as many numbers.")
    .with_sql_example(
        "```sql
SELECT vector_cosine_similarity([1, 2, 2], [2, 4, 4]) AS same, vector_cosine_similarity([1, 0], [0, 3]) AS nothing_in_common;
```",
    )
    .with_related_udf("vector_l2_distance")
    .with_related_udf("image_features")
    .build()
}

fn l2_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "Euclidean distance between two vectors. Vectors of different lengths are an \
         error.\n\nReturns DOUBLE.",
        "vector_l2_distance(a, b)",
    )
    .with_argument("a", VECTOR)
    .with_argument("b", "An array of as many numbers.")
    .with_sql_example(
        "```sql
SELECT vector_l2_distance([1, 2], [4, 6]) AS distance;
```",
    )
    .with_related_udf("vector_cosine_similarity")
    .build()
}

fn normalize_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The vector of length 1 in the same direction. A vector whose magnitude is zero gives \
         NULL.\n\nReturns ARRAY<FLOAT> for FLOAT elements, ARRAY<DOUBLE> for all others.",
        "vector_normalize(a)",
    )
    .with_argument("a", VECTOR)
    .with_sql_example(
        "```sql
SELECT vector_normalize([3, 4]) AS unit;
```",
    )
    .with_related_udf("vector_cosine_similarity")
    .build()
}
