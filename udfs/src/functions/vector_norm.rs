//! `vector_norm(v [, degree])` and `vector_normalize(v [, degree])`, with Spark 4.2's degrees.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::VECTORS;
use super::vector_math::{infinity_norm, l1_norm, l2_norm};
use super::vectors::{
    Element, ListBuilder, Rows, Vectors, coerce, element_type, list_like, over_rows, row_in,
};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [Answer::Norm, Answer::Unit]
        .map(|answer| ScalarUDF::new_from_impl(VectorNorm::new(answer)))
        .into()
}

/// Which norm.
#[derive(Clone, Copy)]
enum Degree {
    One,
    Two,
    Infinity,
}

impl Degree {
    fn of(function: &str, degree: f64) -> Result<Self> {
        if degree == 1.0 {
            return Ok(Self::One);
        }
        if degree == 2.0 {
            return Ok(Self::Two);
        }
        if degree == f64::INFINITY {
            return Ok(Self::Infinity);
        }
        exec_err!("{function} takes degree 1, 2 or float('inf'), not {degree}")
    }

    fn norm<T: Element>(self, vector: &[T]) -> f64 {
        match self {
            Self::One => l1_norm(vector),
            Self::Two => l2_norm(vector),
            Self::Infinity => infinity_norm(vector),
        }
    }
}

/// What a function of this file answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Norm,
    Unit,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorNorm {
    answer: Answer,
    signature: Signature,
    documentation: Documentation,
}

impl VectorNorm {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: match answer {
                Answer::Norm => norm_documentation(),
                Answer::Unit => normalize_documentation(),
            },
        }
    }

    fn answer_type(&self, vector: &DataType) -> DataType {
        let element = element_type(vector);
        match self.answer {
            Answer::Norm => element,
            Answer::Unit => list_like(vector, element),
        }
    }

    fn answer<T: Element>(
        &self,
        vectors: &Rows<'_, T>,
        degrees: Option<&ArrayRef>,
        rows: usize,
        answer_type: &DataType,
    ) -> Result<ArrayRef> {
        let measure = |row| -> Result<Option<(&[T], f64)>> {
            let vector = vectors.get(row_in(vectors.len(), row));
            let degree = self.degree(degrees, row)?;
            Ok(vector
                .zip(degree)
                .map(|(vector, degree)| (vector, degree.norm(vector))))
        };
        let measured = (0..rows).map(measure);
        match self.answer {
            Answer::Norm => {
                let norms = measured.map(|row| Ok(row?.map(|(_, norm)| T::nearest(norm))));
                let norms: PrimitiveArray<T::Arrow> = norms.collect::<Result<_>>()?;
                Ok(Arc::new(norms))
            }
            Answer::Unit => {
                let mut units = ListBuilder::<T::Arrow>::new(answer_type, rows);
                for row in measured {
                    match row? {
                        // The empty vector has norm 0, and nothing to divide by it.
                        Some((vector, norm)) if norm != 0.0 || vector.is_empty() => {
                            units.push(vector.iter().map(|x| T::nearest((*x).into() / norm)));
                        }
                        _ => units.push_null(),
                    }
                }
                units.finish()
            }
        }
    }

    /// The degree for a row, 2 where none is given, `None` where it is NULL.
    fn degree(&self, degrees: Option<&ArrayRef>, row: usize) -> Result<Option<Degree>> {
        let Some(degrees) = degrees else {
            return Ok(Some(Degree::Two));
        };
        let row = row_in(degrees.len(), row);
        if degrees.is_null(row) {
            return Ok(None);
        }
        let degree = degrees.as_primitive::<Float64Type>().value(row);
        Degree::of(self.name(), degree).map(Some)
    }
}

impl ScalarUDFImpl for VectorNorm {
    fn name(&self) -> &str {
        match self.answer {
            Answer::Norm => "vector_norm",
            Answer::Unit => "vector_normalize",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        match arg_types {
            [vector] => Ok(vec![coerce(name, vector)?]),
            [vector, degree] if degree.is_numeric() || degree.is_null() => {
                Ok(vec![coerce(name, vector)?, DataType::Float64])
            }
            [_, degree] => plan_err!("{name} takes its degree as a number, not {degree}"),
            _ => plan_err!(
                "{name} takes a vector and a degree, not {} arguments",
                arg_types.len()
            ),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let vector = arg_types.first().unwrap_or(&DataType::Null);
        Ok(self.answer_type(vector))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(Some(degree)) = args.scalar_arguments.get(1)
            && let Ok(degree) = degree.cast_to(&DataType::Float64)
            && let ScalarValue::Float64(Some(degree)) = degree
        {
            Degree::of(self.name(), degree)?;
        }
        let types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        Ok(Arc::new(Field::new(
            self.name(),
            self.return_type(&types)?,
            true,
        )))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, rows| {
            let Some(list) = arrays.first() else {
                return exec_err!("{} takes a vector", self.name());
            };
            let (degrees, answer_type) = (arrays.get(1), self.answer_type(list.data_type()));
            match Vectors::new(list)? {
                Vectors::F32(vectors) => self.answer(&vectors, degrees, rows, &answer_type),
                Vectors::F64(vectors) => self.answer(&vectors, degrees, rows, &answer_type),
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

const DEGREE: &str = "1 for the sum of magnitudes, 2 for the root of the sum of squares, \
    float('inf') for the largest magnitude. 2 if left out; any other number is an error.";

fn norm_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "Norm of a vector: its length. That of an empty vector is 0.\n\n\
         Returns FLOAT for FLOAT elements, DOUBLE for all others.",
        "vector_norm(v [, degree])",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument("degree", DEGREE)
    .with_sql_example(
        "```sql
SELECT vector_norm([3, -4]) AS l2, vector_norm([3, -4], 1) AS l1, vector_norm([3, -4], CAST('inf' AS DOUBLE)) AS largest;
```",
    )
    .with_related_udf("vector_normalize")
    .build()
}

fn normalize_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The vector of norm 1 in the same direction. A vector whose norm is zero gives NULL, an \
         empty one is itself.\n\nReturns an array of the kind and length of `v`: of FLOAT for \
         FLOAT elements, of DOUBLE for all others.",
        "vector_normalize(v [, degree])",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument("degree", DEGREE)
    .with_sql_example(
        "```sql
SELECT vector_normalize([3, 4]) AS unit, vector_normalize([3, 5], 1) AS parts_of_one;
```",
    )
    .with_related_udf("vector_norm")
    .with_related_udf("vector_cosine_similarity")
    .build()
}
