//! Several image functions of one column in one call, so that each picture is decoded once.
//!
//! `image_fused(picture, step, step, …)` is what the optimizer rule of [`crate::fuse`] makes of
//! several calls. Each step is spelled in arguments, so that the call travels to executors as any
//! other: `'name', input, kept, number of arguments, arguments …`. Input 0 is the picture, input n
//! the answer of step n (from 1). The answer is a STRUCT with a field `c1`, `c2`, … for each step
//! that is kept, and `image_fused_answer(struct, n)` takes that of step n: `get_field` would do, but
//! DataFusion moves it down the plan and with it makes the call twice.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use shoal_images::probe::Limits;

use super::arguments::Argument;
use super::call::Step;
use super::find;
use super::function::{Evaluated, evaluate, planned_arguments};

pub(super) const NAME: &str = "image_fused";

/// The function to register.
pub(crate) fn udf(limits: Limits) -> ScalarUDF {
    ScalarUDF::new_from_impl(ImageFused {
        limits,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug)]
struct ImageFused {
    limits: Limits,
    signature: Signature,
}

impl PartialEq for ImageFused {
    fn eq(&self, other: &Self) -> bool {
        self.limits == other.limits
    }
}

impl Eq for ImageFused {}

impl Hash for ImageFused {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.limits.hash(state);
    }
}

/// The steps that the arguments after the picture spell.
pub(super) fn steps(given: &[Argument]) -> Result<Vec<Step>> {
    let unreadable = || plan_datafusion_err!("{NAME} is not meant to be called by hand");
    let mut rest = given;
    let mut steps = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [
            Argument::Constant(ScalarValue::Utf8(Some(name))),
            Argument::Constant(ScalarValue::Int64(Some(input))),
            Argument::Constant(ScalarValue::Boolean(Some(kept))),
            Argument::Constant(ScalarValue::Int64(Some(count))),
        ] = head
        else {
            return Err(unreadable());
        };
        let input = usize::try_from(*input).map_err(|_| unreadable())?;
        let count = usize::try_from(*count).map_err(|_| unreadable())?;
        let (arguments, others) = after.split_at_checked(count).ok_or_else(unreadable)?;
        if input > steps.len() {
            return Err(unreadable());
        }
        steps.push(Step {
            call: find(name).ok_or_else(unreadable)?.call(arguments)?,
            input,
            kept: *kept,
        });
        rest = others;
    }
    if rest.is_empty() {
        Ok(steps)
    } else {
        Err(unreadable())
    }
}

fn output(steps: &[Step]) -> Fields {
    let kept = steps.iter().enumerate().filter(|(_, step)| step.kept);
    kept.map(|(index, step)| step.call.output(&field_name(index + 1)))
        .collect()
}

/// Field of the answer that holds what step `step` (from 1) gives.
fn field_name(step: usize) -> String {
    format!("c{step}")
}

impl ScalarUDFImpl for ImageFused {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("{NAME}: its type depends on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given = planned_arguments(&args);
        let steps = steps(given.get(1..).unwrap_or_default())?;
        let answers = DataType::Struct(output(&steps));
        Ok(Arc::new(Field::new(NAME, answers, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given: Vec<Argument> = args.args.iter().skip(1).map(Argument::from).collect();
        let steps = steps(&given)?;
        let structure = |columns: Vec<ArrayRef>| {
            Ok::<_, datafusion::error::DataFusionError>(StructArray::try_new(
                output(&steps),
                columns,
                None,
            )?)
        };
        Ok(match evaluate(&steps, &args, &self.limits)? {
            Evaluated::Rows(columns) => ColumnarValue::Array(Arc::new(structure(columns)?)),
            Evaluated::One(values) => {
                let columns = values.iter().map(ScalarValue::to_array);
                let one = structure(columns.collect::<Result<_>>()?)?;
                ColumnarValue::Scalar(ScalarValue::Struct(Arc::new(one)))
            }
        })
    }
}

/// The function that takes an answer out of those of a program.
pub(crate) fn answer_udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(ImageFusedAnswer {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ImageFusedAnswer {
    signature: Signature,
}

pub(super) const ANSWER: &str = "image_fused_answer";

fn wanted_field(step: Option<&ScalarValue>) -> Result<String> {
    match step {
        Some(ScalarValue::Int64(Some(step))) => Ok(field_name(usize::try_from(*step).unwrap_or(0))),
        _ => plan_err!("{ANSWER} is not meant to be called by hand"),
    }
}

impl ScalarUDFImpl for ImageFusedAnswer {
    fn name(&self) -> &str {
        ANSWER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("{ANSWER}: its type depends on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = wanted_field(args.scalar_arguments.get(1).copied().flatten())?;
        let answers = args.arg_fields.first().map(|field| field.data_type());
        let field = match answers {
            Some(DataType::Struct(fields)) => fields.find(&name).map(|(_, field)| field),
            _ => None,
        };
        field
            .map(Arc::clone)
            .ok_or_else(|| plan_datafusion_err!("{ANSWER} is not meant to be called by hand"))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [answers, ColumnarValue::Scalar(step)] = args.args.as_slice() else {
            return plan_err!("{ANSWER} is not meant to be called by hand");
        };
        let name = wanted_field(Some(step))?;
        let constant = matches!(answers, ColumnarValue::Scalar(_));
        let answers = answers.to_array(args.number_rows)?;
        let answer = answers
            .as_struct_opt()
            .and_then(|answers| answers.column_by_name(&name))
            .ok_or_else(|| plan_datafusion_err!("{ANSWER}: there is no {name}"))?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(answer, 0)?)
        } else {
            ColumnarValue::Array(Arc::clone(answer))
        })
    }
}
