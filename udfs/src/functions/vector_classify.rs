//! `vector_classify(v, examples, labels, k)` and `vector_cluster(v, centroids)`: the class of a vector by its
//! nearest labelled neighbors, or by the nearest centroid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, StringArray, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::VECTORS;
use super::vector_math::{cosine_of, inner_product, l2_norm, squared_distance};
use super::vectors::{Element, Rows, Vectors, coerce, over_rows, row_in};

/// Nearer than this is the same direction, up to rounding.
const SAME: f64 = 1e-12;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [Method::Classify, Method::Cluster]
        .map(|method| ScalarUDF::new_from_impl(VectorClass::new(method)))
        .into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Method {
    /// By a vote of the nearest labelled vectors.
    Classify,
    /// By the nearest centroid.
    Cluster,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorClass {
    method: Method,
    signature: Signature,
    documentation: Documentation,
}

impl VectorClass {
    fn new(method: Method) -> Self {
        Self {
            method,
            // The answer says how long it took.
            signature: Signature::user_defined(Volatility::Volatile),
            documentation: match method {
                Method::Classify => classify_documentation(),
                Method::Cluster => cluster_documentation(),
            },
        }
    }

    fn fields(&self) -> Fields {
        let class = match self.method {
            Method::Classify => Field::new("label", DataType::Utf8, true),
            Method::Cluster => Field::new("cluster", DataType::Int32, true),
        };
        Fields::from(vec![
            class,
            Field::new("confidence", DataType::Float64, true),
            Field::new("seconds", DataType::Float64, true),
        ])
    }

    fn answer(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [vectors, known, ..] = arrays else {
            return exec_err!(
                "{} takes vectors and what they are compared with",
                self.name()
            );
        };
        let nothing = || arc(StructArray::new_null(self.fields(), rows));
        let Some(known) = the_constant(self.name(), known)? else {
            return Ok(nothing());
        };
        let known = Known::new(self.name(), &known)?;
        let voters = match self.method {
            Method::Cluster => None,
            Method::Classify => match voters(self.name(), arrays, &known)? {
                Some(voters) => Some(voters),
                None => return Ok(nothing()),
            },
        };
        let answers = match Vectors::new(vectors)? {
            Vectors::F32(vectors) => self.answers(&vectors, rows, &known, voters.as_ref()),
            Vectors::F64(vectors) => self.answers(&vectors, rows, &known, voters.as_ref()),
        }?;
        let classes: ArrayRef = match &voters {
            Some(voters) => Arc::new(
                answers
                    .iter()
                    .map(|a| voters.label(a))
                    .collect::<StringArray>(),
            ),
            None => Arc::new(answers.iter().map(cluster).collect::<Int32Array>()),
        };
        let numbers = |of: fn(&Answer) -> f64| -> ArrayRef {
            let numbers = answers.iter().map(|answer| answer.as_ref().map(of));
            Arc::new(numbers.collect::<Float64Array>())
        };
        let confidences = numbers(|answer| answer.confidence);
        let seconds = numbers(|answer| answer.seconds);
        let valid: NullBuffer = answers.iter().map(Option::is_some).collect();
        let columns = vec![classes, confidences, seconds];
        Ok(arc(StructArray::try_new(
            self.fields(),
            columns,
            Some(valid),
        )?))
    }

    fn answers<T: Element>(
        &self,
        vectors: &Rows<'_, T>,
        rows: usize,
        known: &Known,
        voters: Option<&Voters>,
    ) -> Result<Vec<Option<Answer>>> {
        let answer = |row| {
            let Some(vector) = vectors.get(row_in(vectors.len(), row)) else {
                return Ok(None);
            };
            if vector.len() != known.dimension {
                return exec_err!(
                    "{} takes vectors of the same length, not of {} and {} elements",
                    self.name(),
                    vector.len(),
                    known.dimension
                );
            }
            let start = Instant::now();
            let found = match voters {
                Some(voters) => voters.vote(vector, known),
                None => nearest_centroid(vector, known),
            };
            Ok(found.map(|(class, confidence)| Answer {
                class,
                confidence,
                seconds: start.elapsed().as_secs_f64(),
            }))
        };
        (0..rows).map(answer).collect()
    }
}

/// What is found about one vector.
struct Answer {
    /// Number of its class.
    class: usize,
    /// From 0 to 1.
    confidence: f64,
    /// How long finding it took.
    seconds: f64,
}

fn cluster(answer: &Option<Answer>) -> Option<i32> {
    i32::try_from(answer.as_ref()?.class).ok()
}

fn arc(array: StructArray) -> ArrayRef {
    Arc::new(array)
}

/// The one value of an argument that is the same for all rows; `None` if it is NULL.
fn the_constant(function: &str, argument: &ArrayRef) -> Result<Option<ArrayRef>> {
    if argument.len() != 1 {
        return exec_err!("{function} takes what vectors are compared with as constants");
    }
    if argument.is_null(0) {
        return Ok(None);
    }
    match argument.data_type() {
        DataType::List(_) => Ok(Some(argument.as_list::<i32>().value(0))),
        other => exec_err!("{function} takes an array of vectors, not {other}"),
    }
}

/// The vectors that others are compared with.
struct Known {
    dimension: usize,
    vectors: Vec<Vec<f64>>,
    magnitudes: Vec<f64>,
}

impl Known {
    fn new(function: &str, list: &ArrayRef) -> Result<Self> {
        let vectors = match Vectors::new(list)? {
            Vectors::F32(rows) => widened(&rows),
            Vectors::F64(rows) => widened(&rows),
        };
        let Some(vectors) = vectors else {
            return exec_err!("{function} takes no NULL among the vectors to compare with");
        };
        let dimension = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|vector| vector.len() != dimension) {
            return exec_err!("{function} takes vectors of the same length to compare with");
        }
        Ok(Self {
            dimension,
            magnitudes: vectors.iter().map(|vector| l2_norm(vector)).collect(),
            vectors,
        })
    }
}

fn widened<T: Element>(rows: &Rows<'_, T>) -> Option<Vec<Vec<f64>>> {
    rows.iter()
        .map(|row| row.map(|row| row.iter().map(|x| (*x).into()).collect()))
        .collect()
}

/// Labels of known vectors, of which the nearest vote.
struct Voters {
    /// The different labels in order. Their numbers are the classes.
    labels: Vec<String>,
    /// The class of each known vector.
    classes: Vec<usize>,
    k: usize,
}

fn voters(function: &str, arrays: &[ArrayRef], known: &Known) -> Result<Option<Voters>> {
    let [_, _, given, k] = arrays else {
        return exec_err!("{function} takes vectors, examples, their labels and k");
    };
    let Some(given) = the_constant(function, given)? else {
        return Ok(None);
    };
    let Some(given) = given.as_string_opt::<i32>() else {
        return exec_err!("{function} takes labels as an array of STRING");
    };
    let given: Vec<&str> = given.iter().flatten().collect();
    if given.len() != known.vectors.len() {
        return exec_err!(
            "{function} takes a label for each example, not {} for {}",
            given.len(),
            known.vectors.len()
        );
    }
    let Some(k) = k.as_primitive::<Int64Type>().iter().next().flatten() else {
        return Ok(None);
    };
    let k = positive(function, k)?;
    let different: BTreeSet<&str> = given.iter().copied().collect();
    let labels: Vec<String> = different.into_iter().map(str::to_owned).collect();
    let class_of = |label: &&str| labels.binary_search_by(|l| l.as_str().cmp(label)).ok();
    let classes = given.iter().filter_map(class_of).collect();
    Ok(Some(Voters { labels, classes, k }))
}

fn positive(function: &str, k: i64) -> Result<usize> {
    match usize::try_from(k) {
        Ok(k) if k > 0 => Ok(k),
        _ => plan_err!("{function} takes k from 1, not {k}"),
    }
}

impl Voters {
    /// The class with the most weight among the `k` nearest, and its share of their weight. Weights are the
    /// inverses of distances; those at no distance outweigh all others.
    fn vote<T: Element>(&self, vector: &[T], known: &Known) -> Option<(usize, f64)> {
        let magnitude = l2_norm(vector);
        let compared = known
            .vectors
            .iter()
            .zip(&known.magnitudes)
            .zip(&self.classes);
        let mut nearest: Vec<(f64, usize)> = compared
            .filter_map(|((example, its_magnitude), class)| {
                let product = inner_product(vector, example);
                let cosine = cosine_of(product, magnitude, *its_magnitude)?;
                Some((1.0 - cosine, *class))
            })
            .collect();
        if nearest.len() > self.k {
            nearest.select_nth_unstable_by(self.k - 1, |a, b| a.0.total_cmp(&b.0));
            nearest.truncate(self.k);
        }
        let touches = nearest.iter().any(|(distance, _)| *distance < SAME);
        let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
        for (distance, class) in nearest {
            let weight = match touches {
                true => f64::from(u8::from(distance < SAME)),
                false => 1.0 / distance,
            };
            *weights.entry(class).or_default() += weight;
        }
        let total: f64 = weights.values().sum();
        let heaviest = |best: (usize, f64), next: (usize, f64)| match next.1 > best.1 {
            true => next,
            false => best,
        };
        let (class, weight) = weights.into_iter().reduce(heaviest)?;
        total.is_finite().then_some((class, weight / total))
    }

    fn label(&self, answer: &Option<Answer>) -> Option<&str> {
        self.labels.get(answer.as_ref()?.class).map(String::as_str)
    }
}

/// The nearest centroid, and how much nearer it is than the next: the simplified silhouette.
fn nearest_centroid<T: Element>(vector: &[T], known: &Known) -> Option<(usize, f64)> {
    let (mut nearest, mut next) = (None, f64::INFINITY);
    for (cluster, centroid) in known.vectors.iter().enumerate() {
        let distance = squared_distance(vector, centroid).sqrt();
        match nearest {
            Some((_, least)) if distance >= least => next = next.min(distance),
            Some((_, least)) => (nearest, next) = (Some((cluster, distance)), least),
            None => nearest = Some((cluster, distance)),
        }
    }
    let (cluster, distance) = nearest?;
    let confidence = if next == 0.0 {
        0.0
    } else {
        1.0 - distance / next
    };
    distance.is_finite().then_some((cluster, confidence))
}

impl ScalarUDFImpl for VectorClass {
    fn name(&self) -> &str {
        match self.method {
            Method::Classify => "vector_classify",
            Method::Cluster => "vector_cluster",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let vectors = |given: &DataType| match given {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _) => {
                let vector = coerce(name, field.data_type())?;
                Ok(DataType::new_list(vector, true))
            }
            DataType::Null => Ok(DataType::new_list(coerce(name, given)?, true)),
            other => plan_err!("{name} takes an array of vectors to compare with, not {other}"),
        };
        match self.method {
            Method::Cluster => {
                let [vector, centroids] = take_function_args(name, arg_types)?;
                Ok(vec![coerce(name, vector)?, vectors(centroids)?])
            }
            Method::Classify => {
                let [vector, examples, labels, k] = take_function_args(name, arg_types)?;
                if !k.is_integer() && !k.is_null() {
                    return plan_err!("{name} takes k as an integer, not {k}");
                }
                let is_list = matches!(
                    labels,
                    DataType::List(_)
                        | DataType::LargeList(_)
                        | DataType::FixedSizeList(..)
                        | DataType::Null
                );
                if !is_list {
                    return plan_err!("{name} takes labels as an array of STRING, not {labels}");
                }
                let labels = DataType::new_list(DataType::Utf8, true);
                Ok(vec![
                    coerce(name, vector)?,
                    vectors(examples)?,
                    labels,
                    DataType::Int64,
                ])
            }
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.fields()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(Some(k)) = args.scalar_arguments.get(3)
            && let Ok(ScalarValue::Int64(Some(k))) = k.cast_to(&DataType::Int64)
        {
            positive(self.name(), k)?;
        }
        let answer = DataType::Struct(self.fields());
        Ok(Arc::new(Field::new(self.name(), answer, true)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, rows| {
            self.answer(arrays, rows)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn classify_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "Class of a vector by its `k` nearest labelled examples. Each votes for its label with the inverse of \
         its cosine distance as weight; examples in the very direction of the vector outvote all others. \
         The confidence is the winner's share of the weight. These are the classes and probabilities \
         of scikit-learn's KNeighborsClassifier with `metric='cosine', weights='distance'`. Of labels with equal \
         weight the first in the alphabet wins.\n\n\
         Every vector is compared with every example: keep to some thousands.\n\n\
         Returns STRUCT<label STRING, confidence DOUBLE, seconds DOUBLE>; `seconds` is how long it took. \
         Vectors of different lengths are an error.",
        "vector_classify(v, examples, labels, k)",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument("examples", "A constant array of vectors of the same length.")
    .with_argument("labels", "A constant array of as many labels, STRING.")
    .with_argument("k", "How many of them vote: a constant from 1.")
    .with_sql_example(
        "```sql
SELECT c['label'] AS label, round(c['confidence'], 2) AS confidence
FROM (SELECT vector_classify([1, 2], [[1, 1], [1, 3], [9, 1]], ['a', 'a', 'b'], 3) AS c);
```",
    )
    .with_related_udf("vector_cluster")
    .with_related_udf("cosine_distance")
    .build()
}

fn cluster_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The nearest of some centroids by Euclidean distance, as a number from 0, and how much nearer than the \
         next one it is: 1 - a/b for distances a and b to the two (the simplified silhouette), so 1 at the \
         centroid, and 0 halfway between two.\n\n\
         Returns STRUCT<cluster INT, confidence DOUBLE, seconds DOUBLE>; `seconds` is how long it took. \
         Vectors of different lengths are an error.",
        "vector_cluster(v, centroids)",
    )
    .with_argument("v", "An array of numbers.")
    .with_argument("centroids", "A constant array of vectors of the same length, such as `vector_kmeans` gives.")
    .with_sql_example(
        "```sql
SELECT c['cluster'] AS cluster, c['confidence'] AS confidence
FROM (SELECT vector_cluster([8, 8], [[1, 2], [9, 9]]) AS c);
```",
    )
    .with_related_udf("vector_kmeans")
    .with_related_udf("vector_classify")
    .build()
}
