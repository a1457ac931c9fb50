//! `vector_kmeans(v, k)`: a sample per partition, the samples merged into one, k-means over it.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, ListArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Int64Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, not_impl_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;

use super::VECTOR_AGGREGATES;
use super::kmeans::centroids;
use super::sample::{Point, Sample, SampleSize};
use crate::functions::vectors::{Element, ListBuilder, Rows, Vectors, coerce, list_like};

const NAME: &str = "vector_kmeans";

/// The most centroids. More are an index, not a summary.
const MOST: usize = 1024;

/// The functions of this file.
pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![AggregateUDF::new_from_impl(VectorKmeans::new())]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorKmeans {
    signature: Signature,
    documentation: Documentation,
}

impl VectorKmeans {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation(),
        }
    }
}

fn checked(k: &ScalarValue) -> Result<usize> {
    let given = k.cast_to(&DataType::Int64)?;
    let ScalarValue::Int64(Some(given)) = given else {
        return plan_err!("{NAME} takes k as a number from 1 to {MOST}, not NULL");
    };
    match usize::try_from(given) {
        Ok(k @ 1..=MOST) => Ok(k),
        _ => plan_err!("{NAME} takes k from 1 to {MOST}, not {given}"),
    }
}

/// Refuses a wrong k, or one that is no constant, while the query is planned.
fn check_arguments(function: AggregateFunction) -> Result<Expr> {
    match function.params.args.get(1) {
        Some(Expr::Literal(k, _)) => {
            checked(k)?;
        }
        // Its value is bound later.
        Some(Expr::Placeholder(_)) => {}
        _ => return plan_err!("{NAME} takes k as a constant"),
    }
    Ok(Expr::AggregateFunction(function))
}

/// The type of a list of centroids, each of the kind of list that `vector` is.
fn centroids_field(vector: &DataType) -> FieldRef {
    let centroid = list_like(vector, DataType::Float32);
    Arc::new(Field::new_list_field(centroid, true))
}

fn state_list<P: ArrowPrimitiveType>() -> DataType {
    list_like(&DataType::Null, P::DATA_TYPE)
}

impl AggregateUDFImpl for VectorKmeans {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector, k] = take_function_args(NAME, arg_types)?;
        if !k.is_integer() && !k.is_null() {
            return plan_err!("{NAME} takes k as an integer, not {k}");
        }
        Ok(vec![coerce(NAME, vector)?, DataType::Int64])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [vector, _] = take_function_args(NAME, arg_types)?;
        Ok(DataType::List(centroids_field(vector)))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|function, _| check_arguments(function)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name, data_type| {
            Arc::new(Field::new(
                format_state_name(args.name, name),
                data_type,
                true,
            ))
        };
        Ok(vec![
            field("elements", state_list::<Float32Type>()),
            field("weights", state_list::<Int64Type>()),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{NAME} over DISTINCT vectors; take them from SELECT DISTINCT");
        }
        let k = args.exprs.get(1).and_then(|k| k.downcast_ref::<Literal>());
        let Some(k) = k else {
            return exec_err!("{NAME} takes k as a constant");
        };
        let DataType::List(centroid) = args.return_field.data_type() else {
            return exec_err!("{NAME} gives an array of arrays");
        };
        let k = checked(k.value())?;
        Ok(Box::new(Clustering {
            k,
            centroid: Arc::clone(centroid),
            sample: Sample::new(sample_size(k)),
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Hundreds of vectors per centroid, as is usual where centroids are trained, and enough for small k.
fn sample_size(k: usize) -> SampleSize {
    SampleSize {
        least: k,
        most: (256 * k).clamp(8192, 32_768),
    }
}

#[derive(Debug)]
struct Clustering {
    k: usize,
    centroid: FieldRef,
    sample: Sample,
}

impl Clustering {
    fn add<T: Element>(&mut self, vector: &[T], weight: i64) -> Result<()> {
        let elements = vector.iter().map(|x| (*x).into());
        self.sample.add(NAME, elements, weight)
    }

    fn add_all<T: Element>(&mut self, vectors: &Rows<'_, T>) -> Result<()> {
        vectors
            .iter()
            .flatten()
            .try_for_each(|vector| self.add(vector, 1))
    }
}

impl Accumulator for Clustering {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [list, _]: [&ArrayRef; 2] = take_function_args(NAME, values)?;
        match Vectors::new(list)? {
            Vectors::F32(vectors) => self.add_all(&vectors),
            Vectors::F64(vectors) => self.add_all(&vectors),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut elements = ListBuilder::<Float32Type>::new(&state_list::<Float32Type>(), 1);
        let mut weights = ListBuilder::<Int64Type>::new(&state_list::<Int64Type>(), 1);
        let points = || self.sample.points();
        elements.push(points().flat_map(|point| point.vector.iter().copied()));
        weights.push(points().map(|point| point.weight));
        [elements.finish()?, weights.finish()?]
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [elements, weights]: [&ArrayRef; 2] = take_function_args(NAME, states)?;
        let elements = Rows::new::<Float32Type>(elements)?;
        let weights = Rows::new::<Int64Type>(weights)?;
        for pair in elements.iter().zip(weights.iter()) {
            let (Some(elements), Some(weights)) = pair else {
                continue;
            };
            let dimension = elements.len().checked_div(weights.len()).unwrap_or(0);
            for (row, weight) in weights.iter().enumerate() {
                let vector = elements.get(row * dimension..(row + 1) * dimension);
                self.add(vector.unwrap_or_default(), *weight)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let points: Vec<&Point> = self.sample.points().collect();
        let centroids = centroids(&points, self.k);
        let mut inner = ListBuilder::<Float32Type>::new(self.centroid.data_type(), centroids.len());
        for centroid in &centroids {
            inner.push(centroid.iter().copied());
        }
        let field = Arc::clone(&self.centroid);
        let all = OffsetBuffer::from_lengths([centroids.len()]);
        let nulls = points.is_empty().then(|| NullBuffer::new_null(1));
        let list = ListArray::try_new(field, all, inner.finish()?, nulls)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sample.size()
    }
}

fn documentation() -> Documentation {
    Documentation::builder(
        VECTOR_AGGREGATES,
        "Centroids of `k` clusters of the vectors of a group, the largest cluster's first; fewer \
         than `k` if there are fewer different vectors. Vectors of different lengths are an error, \
         as are NaN and infinity.\n\n\
         Found by k-means (greedy k-means++ seeding from a fixed seed, 25 iterations at most) with \
         Euclidean distances; for cosine, normalize the vectors. Where a group has more than 256 \
         `k` different vectors, at least 8,192 and at most 32,768 or as many as 32 MiB hold as \
         FLOAT, the centroids are those of a sample of so many, chosen by a hash of the vectors. \
         So memory per group is bounded, and the same vectors give the same centroids in any order \
         and on any number of executors.\n\n\
         Returns ARRAY<ARRAY<FLOAT>>.",
        "vector_kmeans(v, k)",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument("k", "How many centroids: a constant from 1 to 1024.")
    .with_sql_example(
        "```sql
SELECT vector_kmeans(v, 2) AS centroids FROM VALUES ([1, 1]), ([1, 2]), ([1, 3]), ([9, 9]) AS t(v);
```",
    )
    .with_related_udf("vector_avg")
    .with_related_udf("vector_normalize")
    .build()
}
