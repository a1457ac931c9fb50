//! What two vectors are compared by: cosine, distances, the inner product. Each is DOUBLE.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::VECTORS;
use super::vector_math::{
    absolute_distance, cosine, cosine_of, inner_product, l2_norm, squared_distance,
};
use super::vectors::{Element, Rows, Vectors, coerce, over_rows};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [
        Measure::CosineSimilarity,
        Measure::CosineDistance,
        Measure::L2Distance,
        Measure::L1Distance,
        Measure::InnerProduct,
    ]
    .map(|measure| ScalarUDF::new_from_impl(VectorMeasure::new(measure)))
    .into()
}

/// What two vectors of equal length are compared by. All are symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    CosineSimilarity,
    CosineDistance,
    L2Distance,
    L1Distance,
    InnerProduct,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::CosineSimilarity => "vector_cosine_similarity",
            // DataFusion's name, which this replaces: its own would first copy FLOATs to DOUBLEs.
            Self::CosineDistance => "cosine_distance",
            Self::L2Distance => "vector_l2_distance",
            Self::L1Distance => "vector_l1_distance",
            Self::InnerProduct => "vector_inner_product",
        }
    }

    /// `None` where the measure is not defined.
    fn of<A: Element, B: Element>(self, a: &[A], b: &[B]) -> Option<f64> {
        match self {
            Self::CosineSimilarity => cosine(a, b),
            Self::CosineDistance => cosine(a, b).map(|cosine| 1.0 - cosine),
            Self::L2Distance => Some(squared_distance(a, b).sqrt()),
            Self::L1Distance => Some(absolute_distance(a, b)),
            Self::InnerProduct => Some(inner_product(a, b)),
        }
    }

    /// As [`Self::of`], to a vector that many are compared with.
    fn to_constant<A: Element>(self, a: &[A], constant: &Constant) -> Option<f64> {
        let b = constant.values.as_slice();
        let cosine = || cosine_of(inner_product(a, b), l2_norm(a), constant.magnitude);
        match self {
            Self::CosineSimilarity => cosine(),
            Self::CosineDistance => cosine().map(|cosine| 1.0 - cosine),
            Self::L2Distance | Self::L1Distance | Self::InnerProduct => self.of(a, b),
        }
    }

    fn documentation(self) -> Documentation {
        let (description, example, related) = match self {
            Self::CosineSimilarity => (
                "Cosine of the angle between two vectors: 1 for the same direction, 0 for none in \
                 common, -1 for opposite ones. A vector whose magnitude is zero gives NULL.",
                "SELECT vector_cosine_similarity([1, 2, 2], [2, 4, 4]) AS same, \
                 vector_cosine_similarity([1, 0], [0, 3]) AS nothing_in_common;",
                ["cosine_distance", "image_features"],
            ),
            Self::CosineDistance => (
                "One minus the cosine of the angle between two vectors: 0 for the same direction, \
                 2 for opposite ones. A vector whose magnitude is zero gives NULL.",
                "SELECT cosine_distance([1, 2, 2], [2, 4, 4]) AS same, \
                 cosine_distance([1, 0], [0, 3]) AS nothing_in_common;",
                ["vector_cosine_similarity", "vector_l2_distance"],
            ),
            Self::L2Distance => (
                "Euclidean distance between two vectors: the root of the sum of squared \
                 differences.",
                "SELECT vector_l2_distance([1, 2], [4, 6]) AS distance;",
                ["vector_l1_distance", "cosine_distance"],
            ),
            Self::L1Distance => (
                "Manhattan distance between two vectors: the sum of the magnitudes of their \
                 differences.",
                "SELECT vector_l1_distance([1, 2], [4, 6]) AS distance;",
                ["vector_l2_distance", "cosine_distance"],
            ),
            Self::InnerProduct => (
                "Inner product of two vectors: the sum of the products of their elements. That of \
                 vectors of length 1 is their cosine.",
                "SELECT vector_inner_product([1, 2, 3], [4, 5, 6]) AS product;",
                ["vector_normalize", "vector_cosine_similarity"],
            ),
        };
        let name = self.name();
        let builder = Documentation::builder(
            VECTORS,
            format!(
                "{description} Vectors of different lengths are an error; NaN and infinity count \
                 as in IEEE 754.\n\nReturns DOUBLE."
            ),
            format!("{name}(a, b)"),
        )
        .with_argument("a", "An array of numbers.")
        .with_argument("b", "An array of as many numbers.")
        .with_sql_example(format!("```sql\n{example}\n```"));
        related
            .iter()
            .fold(builder, |builder, name| builder.with_related_udf(*name))
            .build()
    }
}

/// A vector that many are compared with, widened once.
struct Constant {
    values: Vec<f64>,
    magnitude: f64,
}

impl Constant {
    fn new<T: Element>(values: &[T]) -> Self {
        Self {
            values: values.iter().map(|value| (*value).into()).collect(),
            magnitude: l2_norm(values),
        }
    }
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
            documentation: measure.documentation(),
        }
    }

    fn check_lengths(&self, a: usize, b: usize) -> Result<()> {
        if a != b {
            return exec_err!(
                "{} takes two vectors of the same length, not of {a} and {b} elements",
                self.name()
            );
        }
        Ok(())
    }

    /// One number per row; a column of one row stands for all.
    fn over<A: Element, B: Element>(
        &self,
        a: &Rows<'_, A>,
        b: &Rows<'_, B>,
    ) -> Result<Float64Array> {
        if b.len() == 1 {
            let constant = b.get(0).map(Constant::new);
            return self.against(a, constant, |row, constant| (row, constant));
        }
        if a.len() == 1 {
            let constant = a.get(0).map(Constant::new);
            return self.against(b, constant, |row, constant| (constant, row));
        }
        a.iter()
            .zip(b.iter())
            .map(|pair| {
                let (Some(a), Some(b)) = pair else {
                    return Ok(None);
                };
                self.check_lengths(a.len(), b.len())?;
                Ok(self.measure.of(a, b))
            })
            .collect()
    }

    /// Every row of a column against a constant. `in_order` puts what belongs to a row and to the
    /// constant into the order of the arguments.
    fn against<T: Element>(
        &self,
        rows: &Rows<'_, T>,
        constant: Option<Constant>,
        in_order: impl Fn(usize, usize) -> (usize, usize),
    ) -> Result<Float64Array> {
        let Some(constant) = constant else {
            return Ok(Float64Array::new_null(rows.len()));
        };
        rows.iter()
            .map(|row| {
                let Some(row) = row else {
                    return Ok(None);
                };
                let (a, b) = in_order(row.len(), constant.values.len());
                self.check_lengths(a, b)?;
                Ok(self.measure.to_constant(row, &constant))
            })
            .collect()
    }
}

impl ScalarUDFImpl for VectorMeasure {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(argument_name).collect();
        Ok(format!("{}({})", self.name(), names.join(",")))
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
        over_rows(&args.args, args.number_rows, |arrays, _| {
            let [a, b]: [&ArrayRef; 2] = take_function_args(self.name(), arrays)?;
            let measured = match (Vectors::new(a)?, Vectors::new(b)?) {
                (Vectors::F32(a), Vectors::F32(b)) => self.over(&a, &b),
                (Vectors::F32(a), Vectors::F64(b)) => self.over(&a, &b),
                (Vectors::F64(a), Vectors::F32(b)) => self.over(&a, &b),
                (Vectors::F64(a), Vectors::F64(b)) => self.over(&a, &b),
            }?;
            Ok(Arc::new(measured))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Constants with more numbers than this are not written out in names of columns.
const NAMED_NUMBERS: usize = 8;

/// The name of an argument within that of a column. The planner asks for it again and again, and a vector to
/// search for has hundreds of numbers, so a long one is named by its length and a hash.
fn argument_name(argument: &Expr) -> String {
    let mut inner = argument;
    while let Expr::Cast(cast) = inner {
        inner = &cast.expr;
    }
    match inner {
        Expr::Literal(value, _) if numbers(value) > NAMED_NUMBERS => {
            let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(value);
            format!("[{} numbers #{hash:016x}]", numbers(value))
        }
        _ => argument.schema_name().to_string(),
    }
}

/// How many numbers a list holds; none for any other value.
fn numbers(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::List(list) => list.values().len(),
        ScalarValue::LargeList(list) => list.values().len(),
        ScalarValue::FixedSizeList(list) => list.values().len(),
        _ => 0,
    }
}
