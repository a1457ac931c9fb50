//! `to_vector` and `to_tensor`: what `CAST(… AS VECTOR(n))` and `CAST(… AS TENSOR(…))` stand for.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::VECTORS;
use crate::fixed_size::{FixedSizeError, to_fixed_size};
use crate::types::{MAX_LENGTH, fixed_size_list, tensor_length, tensor_metadata};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [false, true]
        .map(|tensor| ScalarUDF::new_from_impl(ToFixedSize::new(tensor)))
        .into()
}

/// `to_vector(list, n)` or `to_tensor(list, size, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToFixedSize {
    tensor: bool,
    signature: Signature,
    documentation: Documentation,
}

impl ToFixedSize {
    fn new(tensor: bool) -> Self {
        Self {
            tensor,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: match tensor {
                false => vector_documentation(),
                true => tensor_documentation(),
            },
        }
    }

    /// The sizes, which must be constants.
    fn shape(&self, sizes: &[Option<&ScalarValue>]) -> Result<Vec<i32>> {
        let size = |value: &Option<&ScalarValue>| match value {
            Some(ScalarValue::Int64(Some(size))) => i32::try_from(*size).ok(),
            _ => None,
        };
        let shape: Option<Vec<i32>> = sizes.iter().map(size).collect();
        match shape.filter(|shape| tensor_length(shape).is_some()) {
            Some(shape) => Ok(shape),
            None => plan_err!(
                "{} takes constant sizes from 1 on, of at most {MAX_LENGTH} elements altogether",
                self.name()
            ),
        }
    }
}

impl ScalarUDFImpl for ToFixedSize {
    fn name(&self) -> &str {
        match self.tensor {
            false => "to_vector",
            true => "to_tensor",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let Some((list, sizes)) = arg_types.split_first() else {
            return plan_err!("{} takes a list and its size", self.name());
        };
        if sizes.is_empty() || (!self.tensor && sizes.len() > 1) {
            return match self.tensor {
                false => plan_err!("to_vector takes a list and how many elements it has"),
                true => plan_err!("to_tensor takes a list and the size of each dimension"),
            };
        }
        let list = match list {
            DataType::Null => DataType::new_list(DataType::Float32, true),
            list if element(list).is_some_and(|item| item.data_type().is_numeric()) => list.clone(),
            // An empty array has no type of its own.
            list if element(list).is_some_and(|item| item.data_type().is_null()) => {
                DataType::new_list(DataType::Float32, true)
            }
            other => return plan_err!("{} takes lists of numbers, not {other}", self.name()),
        };
        let sizes = sizes.iter().map(|_| DataType::Int64);
        Ok(std::iter::once(list).chain(sizes).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type that {} gives depends on its values", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ([list, ..], [_, sizes @ ..]) = (args.arg_fields, args.scalar_arguments) else {
            return plan_err!("{} takes a list and its size", self.name());
        };
        let shape = self.shape(sizes)?;
        let (Some(item), Some(length)) = (element(list.data_type()), tensor_length(&shape)) else {
            return plan_err!(
                "{} takes lists of numbers, not {}",
                self.name(),
                list.data_type()
            );
        };
        if let DataType::FixedSizeList(_, found) = list.data_type()
            && *found != length
        {
            return plan_err!(
                "{} takes lists of {length} elements here, not of {found}",
                self.name()
            );
        }
        let data_type = fixed_size_list(item.data_type().clone(), length);
        let field = Field::new(self.name(), data_type, true);
        Ok(Arc::new(match self.tensor {
            false => field,
            true => field.with_metadata(tensor_metadata(&shape)),
        }))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(list) = args.args.first() else {
            return internal_err!("{} without arguments", self.name());
        };
        let DataType::FixedSizeList(item, length) = args.return_field.data_type() else {
            return internal_err!("{} does not give {}", self.name(), args.return_field);
        };
        let lists = match list {
            ColumnarValue::Array(lists) => Arc::clone(lists),
            ColumnarValue::Scalar(list) => list.to_array()?,
        };
        let vectors = match to_fixed_size(&lists, item, *length) {
            Ok(vectors) => vectors,
            Err(FixedSizeError::Arrow(error)) => return Err(error.into()),
            Err(FixedSizeError::Length { found, .. }) => {
                return exec_err!(
                    "{} takes lists of {length} elements here, and a row has one of {found}",
                    self.name()
                );
            }
        };
        Ok(match list {
            ColumnarValue::Array(_) => ColumnarValue::Array(vectors),
            ColumnarValue::Scalar(_) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&vectors, 0)?)
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The items of a list type.
fn element(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

fn vector_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "An array of n numbers as a vector. An array of another length is an error. The elements \
         keep their type; `CAST(list AS VECTOR(n))` makes them FLOAT first.\n\nReturns VECTOR(n).",
        "to_vector(list, n)",
    )
    .with_argument("list", "ARRAY of n numbers.")
    .with_argument("n", "How many elements, a constant from 1 on.")
    .with_sql_example(
        "```sql
SELECT to_vector(make_array(1, 2, 3), 3) AS v;
```",
    )
    .with_related_udf("to_tensor")
    .build()
}

fn tensor_documentation() -> Documentation {
    Documentation::builder(
        VECTORS,
        "An array of numbers as a tensor, in row-major order: the last dimension varies fastest. \
         An array that does not fill the shape is an error. Python sees a \
         `fixed_shape_tensor`.\n\nReturns TENSOR(size, …).",
        "to_tensor(list, size, …)",
    )
    .with_argument("list", "ARRAY of as many numbers as the sizes multiplied.")
    .with_argument("size", "The size of each dimension, constants from 1 on.")
    .with_sql_example(
        "```sql
SELECT to_tensor(make_array(1, 2, 3, 4, 5, 6), 2, 3) AS t;
```",
    )
    .with_related_udf("to_vector")
    .build()
}
