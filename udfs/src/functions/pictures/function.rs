//! Image functions as DataFusion calls them.

use std::hash::{Hash, Hasher};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use shoal_images::probe::Limits;

use super::arguments::Argument;
use super::call::{Function, Step, run};
use super::subject::Pictures;

/// A function of one picture and constants, by itself.
pub(super) struct ImageFunction {
    function: &'static Function,
    limits: Limits,
    signature: Signature,
    documentation: Documentation,
}

impl ImageFunction {
    pub(super) fn new(function: &'static Function, limits: Limits) -> Self {
        let names = parameter_names(function);
        let signature = Signature::user_defined(Volatility::Immutable);
        Self {
            function,
            limits,
            signature: signature
                .clone()
                .with_parameter_names(names)
                .unwrap_or(signature),
            documentation: (function.documentation)(),
        }
    }
}

/// Names of all parameters: the picture's first.
pub(super) fn parameter_names(function: &Function) -> Vec<&'static str> {
    let others = function.all_parameters();
    std::iter::once("picture")
        .chain(others.iter().map(|parameter| parameter.name))
        .collect()
}

impl std::fmt::Debug for ImageFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageFunction")
            .field("name", &self.function.name)
            .field("limits", &self.limits)
            .finish()
    }
}

impl PartialEq for ImageFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.limits == other.limits
    }
}

impl Eq for ImageFunction {}

impl Hash for ImageFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
        self.limits.hash(state);
    }
}

impl ScalarUDFImpl for ImageFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("{}: its type depends on its arguments", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given = planned_arguments(&args);
        let Some((_, given)) = given.split_first() else {
            return plan_err!("{} needs a picture", self.function.name);
        };
        Ok(self.function.call(given)?.output(self.function.name))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given: Vec<Argument> = args.args.iter().skip(1).map(Argument::from).collect();
        let step = Step {
            call: self.function.call(&given)?,
            input: 0,
            kept: true,
        };
        let answers = evaluate(&[step], &args, &self.limits)?;
        match answers {
            Evaluated::Rows(mut columns) if columns.len() == 1 => {
                Ok(ColumnarValue::Array(columns.remove(0)))
            }
            Evaluated::One(mut values) if values.len() == 1 => {
                Ok(ColumnarValue::Scalar(values.remove(0)))
            }
            _ => internal_err!("one step gives one column"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The arguments of a call as planning knows them.
pub(super) fn planned_arguments(args: &ReturnFieldArgs<'_>) -> Vec<Argument> {
    args.scalar_arguments
        .iter()
        .map(|constant| match constant {
            Some(constant) => Argument::Constant((*constant).clone()),
            None => Argument::Column(None),
        })
        .collect()
}

/// What a program answers: columns, or single values where all arguments are constants.
pub(super) enum Evaluated {
    Rows(Vec<ArrayRef>),
    One(Vec<ScalarValue>),
}

/// Runs `steps` over the first of `args`.
pub(super) fn evaluate(
    steps: &[Step],
    args: &ScalarFunctionArgs,
    limits: &Limits,
) -> Result<Evaluated> {
    let Some(pictures) = args.args.first() else {
        return plan_err!("an image function needs a picture");
    };
    let constant = args
        .args
        .iter()
        .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let pictures = Pictures::new(pictures)?;
    let columns = run(steps, &pictures, rows, limits)?;
    if !constant {
        return Ok(Evaluated::Rows(columns));
    }
    let values = columns
        .iter()
        .map(|column| ScalarValue::try_from_array(column, 0));
    Ok(Evaluated::One(values.collect::<Result<_>>()?))
}

/// A function ready to register.
pub(super) fn udf(
    function: &'static Function,
    limits: Limits,
) -> datafusion::logical_expr::ScalarUDF {
    ScalarUDF::new_from_impl(ImageFunction::new(function, limits))
}
