//! The arguments that a call has beside its picture: their names, their kinds, constants known at
//! planning, and columns of whole numbers.

use std::fmt::Display;
use std::str::FromStr;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number, one for all rows.
    Integer,
    /// A whole number, which may differ from row to row.
    RowInteger,
    /// An array of numbers.
    Numbers,
    Text,
    Boolean,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Integer | Self::RowInteger => DataType::Int64,
            Self::Numbers => DataType::new_list(DataType::Float64, true),
            Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
        }
    }

    fn accepts(self, given: &DataType) -> bool {
        match self {
            Self::Integer | Self::RowInteger => given.is_integer(),
            Self::Numbers => match given {
                DataType::List(element)
                | DataType::LargeList(element)
                | DataType::FixedSizeList(element, _) => {
                    element.data_type().is_numeric() || element.data_type().is_null()
                }
                _ => false,
            },
            Self::Text => given.is_string(),
            Self::Boolean => given == &DataType::Boolean,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Integer | Self::RowInteger => "an integer",
            Self::Numbers => "an array of numbers",
            Self::Text => "a string",
            Self::Boolean => "true or false",
        }
    }
}

/// One parameter of a function, after its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// A parameter that a call must give.
pub(super) const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        required: true,
    }
}

/// A parameter with a default, which NULL stands for too.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        required: false,
    }
}

/// Parameters that every function has after its own.
pub(super) const COMMON: [Parameter; 2] = [
    optional("on_error", Kind::Text),
    optional("orient", Kind::Boolean),
];

/// The type that each argument is passed as.
pub(super) fn coerce(
    function: &str,
    parameters: &[Parameter],
    given: &[DataType],
) -> Result<Vec<DataType>> {
    if given.len() > parameters.len() {
        return plan_err!(
            "{function} takes at most {} arguments after its picture ({}), not {}",
            parameters.len(),
            names(parameters),
            given.len()
        );
    }
    for missing in parameters.iter().skip(given.len()) {
        if missing.required {
            return plan_err!(
                "{function} needs its argument {} ({})",
                missing.name,
                names(parameters)
            );
        }
    }
    let coerced = parameters.iter().zip(given).map(|(parameter, given)| {
        if given.is_null() {
            // Left as it is: a NULL that is cast would no longer be seen to be a constant.
            Ok(DataType::Null)
        } else if parameter.kind.accepts(given) {
            Ok(parameter.kind.data_type())
        } else {
            let kind = parameter.kind.name();
            plan_err!("{function} takes {} as {kind}, not {given}", parameter.name)
        }
    });
    coerced.collect()
}

fn names(parameters: &[Parameter]) -> String {
    let names: Vec<&str> = parameters.iter().map(|p| p.name).collect();
    names.join(", ")
}

/// One argument as far as it is known.
#[derive(Debug, Clone)]
pub(super) enum Argument {
    Constant(ScalarValue),
    /// A value for each row, unknown at planning.
    Column(Option<ArrayRef>),
}

impl From<&ColumnarValue> for Argument {
    fn from(value: &ColumnarValue) -> Self {
        match value {
            ColumnarValue::Scalar(constant) => Self::Constant(constant.clone()),
            ColumnarValue::Array(array) => Self::Column(Some(array.clone())),
        }
    }
}

/// The arguments of one call, by name.
pub(super) struct Arguments<'a> {
    function: &'static str,
    parameters: &'a [Parameter],
    given: &'a [Argument],
}

impl<'a> Arguments<'a> {
    /// `given` are those of `parameters`, the last of which may be left out.
    pub(super) fn new(
        function: &'static str,
        parameters: &'a [Parameter],
        given: &'a [Argument],
    ) -> Self {
        Self {
            function,
            parameters,
            given,
        }
    }

    /// Name of the called function, for errors.
    pub(super) fn function(&self) -> &'static str {
        self.function
    }

    fn argument(&self, name: &str) -> Result<Option<&'a Argument>> {
        match self.parameters.iter().position(|p| p.name == name) {
            Some(position) => Ok(self.given.get(position)),
            None => internal_err!("{} has no parameter {name}", self.function),
        }
    }

    fn constant(&self, name: &str) -> Result<Option<&'a ScalarValue>> {
        match self.argument(name)? {
            None => Ok(None),
            Some(Argument::Constant(value)) if value.is_null() => Ok(None),
            Some(Argument::Constant(value)) => Ok(Some(value)),
            Some(Argument::Column(_)) => plan_err!(
                "{} takes {name} as a constant, not as a column or an expression of columns",
                self.function
            ),
        }
    }

    /// Whether an argument is an expression, which the optimizer may yet make a constant of: arrays
    /// such as `[0.5, 0.5, 0.5]` are functions until then.
    fn is_yet_unknown(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.argument(name)?, Some(Argument::Column(None))))
    }

    /// A string constant.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.constant(name)? {
            None => Ok(None),
            Some(ScalarValue::Utf8(Some(text))) => Ok(Some(text)),
            Some(other) => internal_err!("{name} is {other:?}"),
        }
    }

    /// A string constant that is one of `choices`, in any case; `default` if it is not given.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
        default: T,
    ) -> Result<T> {
        let Some(text) = self.text(name)? else {
            return Ok(default);
        };
        let chosen = choices
            .iter()
            .find(|(choice, _)| choice.eq_ignore_ascii_case(text));
        match chosen {
            Some((_, value)) => Ok(*value),
            None => {
                let known: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
                plan_err!(
                    "{}: {name} is one of {}, not '{text}'",
                    self.function,
                    known.join(", ")
                )
            }
        }
    }

    /// A string constant in the words of `T`; `default` if it is not given.
    pub(super) fn parse<T>(&self, name: &str, default: T) -> Result<T>
    where
        T: FromStr<Err: Display>,
    {
        match self.text(name)? {
            None => Ok(default),
            Some(text) => text
                .parse()
                .or_else(|error| plan_err!("{}: {error}", self.function)),
        }
    }

    /// A constant of whole numbers within `range`, or what is the matter with it.
    pub(super) fn integer(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>> {
        match self.constant(name)? {
            None => Ok(None),
            Some(ScalarValue::Int64(Some(number))) if range.contains(number) => Ok(Some(*number)),
            Some(ScalarValue::Int64(Some(number))) => plan_err!(
                "{}: {name} is from {} to {}, not {number}",
                self.function,
                range.start(),
                range.end()
            ),
            Some(other) => internal_err!("{name} is {other:?}"),
        }
    }

    /// A constant that must be given.
    pub(super) fn required_integer(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<i64> {
        match self.integer(name, range)? {
            Some(number) => Ok(number),
            None => plan_err!("{}: {name} must not be NULL", self.function),
        }
    }

    /// A constant, true or false.
    pub(super) fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        match self.constant(name)? {
            None => Ok(default),
            Some(ScalarValue::Boolean(Some(value))) => Ok(*value),
            Some(other) => internal_err!("{name} is {other:?}"),
        }
    }

    /// A constant array of finite numbers; none at planning, where it is not a constant yet.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        if self.is_yet_unknown(name)? {
            return Ok(None);
        }
        let Some(value) = self.constant(name)? else {
            return Ok(None);
        };
        let list = value.to_array()?;
        let Some(list) = list.as_list_opt::<i32>() else {
            return internal_err!("{name} is {value:?}");
        };
        let elements = list.value(0);
        let elements = elements.as_primitive::<Float64Type>();
        if elements.null_count() > 0 || elements.values().iter().any(|v| !v.is_finite()) {
            return plan_err!("{}: {name} must hold finite numbers only", self.function);
        }
        Ok(Some(elements.values().to_vec()))
    }

    /// Whole numbers, one for all rows or one for each.
    pub(super) fn row_integers(&self, name: &str) -> Result<RowIntegers> {
        Ok(match self.argument(name)? {
            None => RowIntegers::Constant(None),
            Some(Argument::Constant(ScalarValue::Int64(number))) => RowIntegers::Constant(*number),
            Some(Argument::Constant(null)) if null.is_null() => RowIntegers::Constant(None),
            Some(Argument::Constant(other)) => return internal_err!("{name} is {other:?}"),
            Some(Argument::Column(array)) => RowIntegers::Column(array.clone()),
        })
    }
}

/// Whole numbers that may differ from row to row.
#[derive(Debug, Clone)]
pub(super) enum RowIntegers {
    Constant(Option<i64>),
    Column(Option<ArrayRef>),
}

impl RowIntegers {
    /// The number of a row; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Result<Option<i64>> {
        match self {
            Self::Constant(number) => Ok(*number),
            Self::Column(Some(array)) if array.data_type().is_null() => Ok(None),
            Self::Column(Some(array)) => match array.as_primitive_opt::<Int64Type>() {
                Some(numbers) => Ok(numbers.is_valid(row).then(|| numbers.value(row))),
                None => internal_err!("a column of {}", array.data_type()),
            },
            Self::Column(None) => exec_err!("a column is not known before execution"),
        }
    }
}
