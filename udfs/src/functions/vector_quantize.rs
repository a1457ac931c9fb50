//! `vector_quantize(v)` and `vector_dequantize(q)`: a quarter of the bytes of FLOAT, for vectors
//! whose elements may be off by a 254th of the largest.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float32Type, Int8Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::VECTORS;
use super::vector_math::infinity_norm;
use super::vectors::{Element, ListBuilder, Rows, Vectors, coerce, list_like, over_rows};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::new_from_impl(VectorQuantize::new()),
        ScalarUDF::new_from_impl(VectorDequantize::new()),
    ]
}

/// The magnitude that the largest element becomes. -128 is left out, so that the range is symmetric.
const LARGEST: f64 = 127.0;

/// STRUCT<scale FLOAT, values ARRAY<TINYINT>>, with the kind of list that `vector` is.
fn quantized_fields(vector: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("scale", DataType::Float32, true),
        Field::new("values", list_like(vector, DataType::Int8), true),
    ])
}

/// `vector_quantize(v)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorQuantize {
    signature: Signature,
    documentation: Documentation,
}

const QUANTIZE: &str = "vector_quantize";

impl VectorQuantize {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: quantize_documentation(),
        }
    }
}

/// What one step of the integers is worth; NaN if an element is no finite FLOAT.
fn scale_of<T: Element>(vector: &[T]) -> f32 {
    let scale = (infinity_norm(vector) / LARGEST) as f32;
    if scale.is_finite() { scale } else { f32::NAN }
}

fn quantized<T: Element>(vectors: &Rows<'_, T>, fields: Fields) -> Result<ArrayRef> {
    let values_type = fields[1].data_type();
    let mut values = ListBuilder::<Int8Type>::new(values_type, vectors.len());
    let mut scales = Vec::with_capacity(vectors.len());
    for vector in vectors.iter() {
        let Some(vector) = vector else {
            values.push_null();
            scales.push(None);
            continue;
        };
        let scale = scale_of(vector);
        // The cast takes NaN, which a scale of 0 or NaN gives, to 0.
        let step = |x: &T| {
            ((*x).into() / f64::from(scale))
                .round()
                .clamp(-LARGEST, LARGEST) as i8
        };
        values.push(vector.iter().map(step));
        scales.push(Some(scale));
    }
    let nulls: NullBuffer = scales.iter().map(Option::is_some).collect();
    let scales: ArrayRef = Arc::new(Float32Array::from(scales));
    let columns = vec![scales, values.finish()?];
    Ok(Arc::new(StructArray::try_new(
        fields,
        columns,
        Some(nulls),
    )?))
}

impl ScalarUDFImpl for VectorQuantize {
    fn name(&self) -> &str {
        QUANTIZE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector] = take_function_args(QUANTIZE, arg_types)?;
        Ok(vec![coerce(QUANTIZE, vector)?])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [vector] = take_function_args(QUANTIZE, arg_types)?;
        Ok(DataType::Struct(quantized_fields(vector)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, _| {
            let [list]: [&ArrayRef; 1] = take_function_args(QUANTIZE, arrays)?;
            let fields = quantized_fields(list.data_type());
            match Vectors::new(list)? {
                Vectors::F32(vectors) => quantized(&vectors, fields),
                Vectors::F64(vectors) => quantized(&vectors, fields),
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// `vector_dequantize(q)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorDequantize {
    signature: Signature,
    documentation: Documentation,
}

const DEQUANTIZE: &str = "vector_dequantize";

impl VectorDequantize {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: dequantize_documentation(),
        }
    }
}

/// The type of the field `values` of what [`VectorQuantize`] made.
fn values_type(quantized: &DataType) -> Option<&DataType> {
    let DataType::Struct(fields) = quantized else {
        return None;
    };
    let scale = fields.iter().find(|field| field.name() == "scale")?;
    let values = fields.iter().find(|field| field.name() == "values")?;
    let integers = match values.data_type() {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            field.data_type() == &DataType::Int8
        }
        _ => false,
    };
    (integers && scale.data_type() == &DataType::Float32).then(|| values.data_type())
}

fn dequantized(quantized: &StructArray) -> Result<ArrayRef> {
    let column = |name| {
        quantized
            .column_by_name(name)
            .ok_or_else(|| exec_datafusion_err!("{DEQUANTIZE} finds no {name}"))
    };
    let scales = column("scale")?.as_primitive::<Float32Type>();
    let values = column("values")?;
    let vectors = Rows::new::<Int8Type>(values)?;
    let answer_type = list_like(values.data_type(), DataType::Float32);
    let mut answer = ListBuilder::<Float32Type>::new(&answer_type, quantized.len());
    for (row, vector) in vectors.iter().enumerate() {
        match vector {
            Some(vector) if quantized.is_valid(row) && scales.is_valid(row) => {
                let scale = scales.value(row);
                answer.push(vector.iter().map(|step| f32::from(*step) * scale));
            }
            _ => answer.push_null(),
        }
    }
    answer.finish()
}

impl ScalarUDFImpl for VectorDequantize {
    fn name(&self) -> &str {
        DEQUANTIZE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [quantized] = take_function_args(DEQUANTIZE, arg_types)?;
        if quantized.is_null() {
            return Ok(vec![DataType::Struct(quantized_fields(quantized))]);
        }
        if values_type(quantized).is_none() {
            return plan_err!(
                "{DEQUANTIZE} takes STRUCT<scale FLOAT, values ARRAY<TINYINT>>, as \
                 {QUANTIZE} gives it, not {quantized}"
            );
        }
        Ok(vec![quantized.clone()])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [quantized] = take_function_args(DEQUANTIZE, arg_types)?;
        let values = values_type(quantized).unwrap_or(&DataType::Null);
        Ok(list_like(values, DataType::Float32))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_rows(&args.args, args.number_rows, |arrays, _| {
            let [quantized]: [&ArrayRef; 1] = take_function_args(DEQUANTIZE, arrays)?;
            dequantized(quantized.as_struct())
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn quantize_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "A vector in one byte per element: `scale` is the largest magnitude divided by 127, each \
         of `values` the element divided by it and rounded. What `vector_dequantize` makes of it \
         differs from the element by at most half of `scale`, a 254th of the largest magnitude, \
         but for the rounding of FLOAT. A vector with NaN, or with an element beyond FLOAT, has \
         NaN as its `scale` and comes back as NaN.\n\n\
         Returns STRUCT<scale FLOAT, values ARRAY<TINYINT>>.",
        "vector_quantize(v)",
    )
    .with_argument("v", "An array of numbers.")
    .with_sql_example(
        "```sql
SELECT vector_quantize([0.5, -1, 0.25]) AS small, vector_dequantize(vector_quantize([0.5, -1, 0.25])) AS again;
```",
    )
    .with_related_udf("vector_dequantize")
    .build()
}

fn dequantize_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "The vector that `vector_quantize` has made small: each of `values` times \
         `scale`.\n\nReturns ARRAY<FLOAT>, of the kind and length of `values`.",
        "vector_dequantize(q)",
    )
    .with_argument("q", "STRUCT<scale FLOAT, values ARRAY<TINYINT>>.")
    .with_sql_example(
        "```sql
SELECT vector_dequantize(vector_quantize([127, -3, 64])) AS v;
```",
    )
    .with_related_udf("vector_quantize")
    .build()
}
