//! The functions as SQL sees them. The engine replaces the name of a model, their last argument, by the
//! JSON of its [`ModelSpec`] before anything is planned; everything is decided by that.

mod documentation;
mod rows;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, FixedSizeListArray, Float32Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{
    Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err,
};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use shoal_images::probe::Limits;

use crate::spec::{Input, ModelSpec};
use crate::{Models, pixels};

/// All functions of this crate. Register the same set in every process of a cluster: plans name them.
pub fn scalar_functions(models: &Models, limits: Limits) -> Vec<Arc<ScalarUDF>> {
    [Kind::Embed, Kind::Predict, Kind::Version]
        .into_iter()
        .map(|kind| ModelFunction {
            kind,
            models: models.clone(),
            limits,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation::of(kind),
        })
        .map(|function| Arc::new(ScalarUDF::new_from_impl(function)))
        .collect()
}

/// Registers the functions of this crate. `limits` are those of pictures, the same in every process.
///
/// # Errors
/// When the registry takes no functions.
pub fn register_functions(
    registry: &mut dyn FunctionRegistry,
    models: &Models,
    limits: Limits,
) -> Result<()> {
    for function in scalar_functions(models, limits) {
        registry.register_udf(function)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `image_embed(picture, model)`
    Embed,
    /// `model_predict(vector, model)`
    Predict,
    /// `model_version(model)`
    Version,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Embed => "image_embed",
            Self::Predict => "model_predict",
            Self::Version => "model_version",
        }
    }

    /// Where its arguments name the model.
    fn model_argument(self) -> usize {
        match self {
            Self::Embed | Self::Predict => 1,
            Self::Version => 0,
        }
    }
}

#[derive(Debug)]
struct ModelFunction {
    kind: Kind,
    models: Models,
    limits: Limits,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.limits == other.limits
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.limits.hash(state);
    }
}

impl ModelFunction {
    /// The model in the argument that the engine has put there.
    fn spec(&self, argument: Option<&ScalarValue>) -> Result<ModelSpec> {
        let text = match argument {
            Some(
                ScalarValue::Utf8(Some(text))
                | ScalarValue::LargeUtf8(Some(text))
                | ScalarValue::Utf8View(Some(text)),
            ) => text,
            _ => {
                return plan_err!(
                    "{}: name the model as text, such as 'my_model'",
                    self.name()
                );
            }
        };
        serde_json::from_str(text).or_else(|_| {
            plan_err!(
                "{}: model '{text}' cannot be looked up here; models are known in queries only",
                self.name()
            )
        })
    }

    /// That the model takes what the function gives it.
    fn check_input(&self, spec: &ModelSpec, argument: &FieldRef) -> Result<()> {
        match (self.kind, &spec.input, argument.data_type()) {
            (Kind::Embed, Input::Vector { .. }, _) => {
                plan_err!("image_embed: {spec} takes vectors; use model_predict")
            }
            (Kind::Predict, Input::Image(_), _) => {
                plan_err!("model_predict: {spec} takes pictures; use image_embed")
            }
            (Kind::Predict, Input::Vector { length }, DataType::FixedSizeList(_, given))
                if usize::try_from(*given) != Ok(*length) =>
            {
                plan_err!("model_predict: {spec} takes vectors of {length} numbers, not of {given}")
            }
            _ => Ok(()),
        }
    }

    fn vectors(&self, spec: &ModelSpec, argument: &dyn Array) -> Result<ArrayRef> {
        let network = self
            .models
            .network(spec)
            .map_err(|error| exec_datafusion_err!("{error}"))?;
        let length = network.length();
        let (Ok(size), true) = (i32::try_from(length), length == spec.length) else {
            return exec_err!("{spec} gives {length} numbers in place of {}", spec.length);
        };
        let mut values = Vec::with_capacity(argument.len() * length);
        let mut valid = Vec::with_capacity(argument.len());
        let mut append = |inputs: &[Option<Vec<f32>>]| {
            for output in network.run(inputs) {
                valid.push(output.is_some());
                match output {
                    Some(output) => values.extend(output),
                    None => values.resize(values.len() + length, 0.0),
                }
            }
        };
        match &spec.input {
            // Pictures are large and run one by one, so only one of them is unpacked at a time.
            Input::Image(picture) => {
                for given in rows::pictures(argument)? {
                    append(&[given.and_then(|given| pixels::row(given, picture, &self.limits))]);
                }
            }
            Input::Vector { length } => append(&rows::vectors(argument, *length)?),
        }
        let (values, nulls) = (Float32Array::from(values), Some(NullBuffer::from(valid)));
        let array = FixedSizeListArray::try_new(element(), size, Arc::new(values), nulls)?;
        Ok(Arc::new(array))
    }
}

/// An element of the vectors that come out.
fn element() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The name of a result's column holds the model's name, not all of its specification.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let mut texts = Vec::new();
        for (n, argument) in args.iter().enumerate() {
            let model = match argument {
                Expr::Literal(value, _) if n == self.kind.model_argument() => {
                    self.spec(Some(value)).ok()
                }
                _ => None,
            };
            texts.push(match model {
                Some(spec) => format!("{}@{}", spec.name, spec.version),
                None => argument.schema_name().to_string(),
            });
        }
        Ok(format!("{}({})", self.name(), texts.join(",")))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, given) {
            (Kind::Embed, [picture, _]) => Ok(vec![rows::picture_type(picture)?, DataType::Utf8]),
            (Kind::Predict, [vector, _]) => Ok(vec![rows::vector_type(vector)?, DataType::Utf8]),
            (Kind::Version, [_]) => Ok(vec![DataType::Utf8]),
            _ => plan_err!("write {}", self.documentation.syntax_example),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its model", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = args.scalar_arguments.get(self.kind.model_argument());
        let spec = self.spec(model.copied().flatten())?;
        let data_type = match self.kind {
            Kind::Version => DataType::Utf8,
            Kind::Embed | Kind::Predict => {
                if let Some(argument) = args.arg_fields.first() {
                    self.check_input(&spec, argument)?;
                }
                let Ok(length) = i32::try_from(spec.length) else {
                    return plan_err!("{spec} gives {} numbers, which is too many", spec.length);
                };
                DataType::FixedSizeList(element(), length)
            }
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let model = match args.args.get(self.kind.model_argument()) {
            Some(ColumnarValue::Scalar(model)) => Some(model),
            _ => None,
        };
        let spec = self.spec(model)?;
        match (self.kind, args.args.first()) {
            (Kind::Version, _) => Ok(ColumnarValue::Scalar(ScalarValue::from(
                spec.version_text(),
            ))),
            (_, Some(ColumnarValue::Array(array))) => {
                Ok(ColumnarValue::Array(self.vectors(&spec, array)?))
            }
            (_, Some(ColumnarValue::Scalar(value))) => {
                let vectors = self.vectors(&spec, &value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &vectors, 0,
                )?))
            }
            (_, None) => exec_err!("write {}", self.documentation.syntax_example),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[cfg(test)]
mod tests;
