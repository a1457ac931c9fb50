//! `hamming_distance(a, b)`: in how many bits two hashes differ.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, PrimitiveArray};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type, UInt64Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::vectors::over_rows;
use super::{VECTORS, content};

const NAME: &str = "hamming_distance";

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(HammingDistance::new())]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HammingDistance {
    signature: Signature,
    documentation: Documentation,
}

impl HammingDistance {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation(),
        }
    }
}

/// The values of two columns side by side; a column of one row goes round and round.
fn pairs<T>(
    a: impl Iterator<Item = T> + Clone,
    b: impl Iterator<Item = T> + Clone,
    rows: usize,
) -> impl Iterator<Item = (T, T)> {
    a.cycle().zip(b.cycle()).take(rows)
}

fn of_integers<P: ArrowPrimitiveType>(
    a: &ArrayRef,
    b: &ArrayRef,
    rows: usize,
    differing: impl Fn(P::Native, P::Native) -> u32,
) -> Int32Array {
    let (a, b): (&PrimitiveArray<P>, &PrimitiveArray<P>) = (a.as_primitive(), b.as_primitive());
    pairs(a.iter(), b.iter(), rows)
        // Sixty-four bits at most.
        .map(|(a, b)| Some(differing(a?, b?) as i32))
        .collect()
}

fn of_bytes(a: &[u8], b: &[u8]) -> Result<i32> {
    if a.len() != b.len() {
        return exec_err!(
            "{NAME} takes two values of the same length, not of {} and {} bytes",
            a.len(),
            b.len()
        );
    }
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words);
    let in_words = words
        .map(|(a, b)| u64::from((u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)).count_ones()));
    let rest = a_rest.iter().zip(b_rest);
    let in_rest = rest.map(|(a, b)| u64::from((a ^ b).count_ones()));
    let differing: u64 = in_words.chain(in_rest).sum();
    i32::try_from(differing)
        .map_err(|_| exec_datafusion_err!("{NAME}: {differing} bits are more than INT holds"))
}

fn of_binaries(a: &ArrayRef, b: &ArrayRef, rows: usize) -> Result<Int32Array> {
    let a = content::rows(a)?;
    let b = content::rows(b)?;
    pairs(a.iter(), b.iter(), rows)
        .map(|(a, b)| a.zip(*b).map(|(a, b)| of_bytes(a, b)).transpose())
        .collect()
}

impl ScalarUDFImpl for HammingDistance {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [a, b] = take_function_args(NAME, arg_types)?;
        let known = |given: &DataType| given.is_binary() || given.is_integer();
        let (a, b) = match (a.is_null(), b.is_null()) {
            (true, true) => (&DataType::Int64, &DataType::Int64),
            (true, false) => (b, b),
            (false, true) => (a, a),
            (false, false) => (a, b),
        };
        for given in [a, b] {
            if matches!(
                given,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            ) {
                return plan_err!(
                    "{NAME} takes integers or BINARY; unhex makes BINARY of hex text"
                );
            }
            if !known(given) {
                return plan_err!("{NAME} takes integers or BINARY, not {given}");
            }
        }
        if a.is_binary() != b.is_binary() {
            return plan_err!("{NAME} takes two integers or two BINARY values, not {a} and {b}");
        }
        if a.is_binary() {
            return Ok(vec![a.clone(), b.clone()]);
        }
        let unsigned = *a == DataType::UInt64 || *b == DataType::UInt64;
        let common = if unsigned {
            DataType::UInt64
        } else {
            DataType::Int64
        };
        Ok(vec![common.clone(), common])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, rows| {
            let [a, b]: [&ArrayRef; 2] = take_function_args(NAME, arrays)?;
            let differing = match a.data_type() {
                DataType::Int64 => {
                    of_integers::<Int64Type>(a, b, rows, |a, b| (a ^ b).count_ones())
                }
                DataType::UInt64 => {
                    of_integers::<UInt64Type>(a, b, rows, |a, b| (a ^ b).count_ones())
                }
                _ => of_binaries(a, b, rows)?,
            };
            Ok(Arc::new(differing))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "In how many bits two hashes differ, for instance two of `image_hash`. Integers of any \
         type are compared as BIGINT. BINARY values of different lengths are an error, \
         as is text: `unhex` makes BINARY of hex text.\n\nReturns INT.",
        "hamming_distance(a, b)",
    )
    .with_argument("a", "An integer, or BINARY.")
    .with_argument("b", "The same, and as long.")
    .with_sql_example(
        "```sql
SELECT hamming_distance(7, 8) AS of_integers, hamming_distance(X'ff00', X'0f01') AS of_bytes;
```",
    )
    .with_related_udf("image_hash")
    .build()
}
