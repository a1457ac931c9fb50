//! Arguments of a table function: first those by position, then those by name.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, TableFunctionArgs, UnaryOperator, Value,
};

use crate::error::{EngineError, Result};
use crate::parser::{Name, parse_expression, quoted};

/// See the module's documentation.
pub(super) struct Arguments {
    function: &'static str,
    by_position: Vec<Expr>,
    by_name: Vec<(String, Expr)>,
}

impl Arguments {
    /// The arguments of a call of `function`.
    pub(super) fn of(function: &'static str, given: &TableFunctionArgs) -> Result<Self> {
        let mut arguments = Self {
            function,
            by_position: Vec::new(),
            by_name: Vec::new(),
        };
        for argument in &given.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                    arguments.by_position.push(value.clone());
                }
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => {
                    let name = name.value.to_lowercase();
                    arguments.by_name.push((name, value.clone()));
                }
                FunctionArg::ExprNamed {
                    name: Expr::Identifier(name),
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => {
                    let name = name.value.to_lowercase();
                    arguments.by_name.push((name, value.clone()));
                }
                other => return Err(arguments.wrong(format!("{other} is no argument"))),
            }
        }
        Ok(arguments)
    }

    /// The function that is called.
    pub(super) fn function(&self) -> &'static str {
        self.function
    }

    /// An error of this call.
    pub(super) fn wrong(&self, reason: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(format!("{}: {reason}", self.function))
    }

    /// Refuses more than `positions` arguments by position and names other than `names`.
    pub(super) fn expect(&self, positions: usize, names: &[&str]) -> Result<()> {
        if self.by_position.len() > positions {
            return Err(self.wrong(format!(
                "{} arguments are given where there are {positions}; the others are given by name: {}",
                self.by_position.len(),
                names.join(" => …, ") + " => …"
            )));
        }
        let known = |name: &str| names.contains(&name);
        match self.by_name.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(self.wrong(format!(
                "there is no argument {name}; there are {}",
                names.join(" and ")
            ))),
            None => Ok(()),
        }
    }

    /// The argument at a position, counted from 0, which is `what`.
    pub(super) fn position(&self, position: usize, what: &str) -> Result<&Expr> {
        self.by_position
            .get(position)
            .ok_or_else(|| self.wrong(format!("argument {}, {what}, is missing", position + 1)))
    }

    /// The text given under a name.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        match self.by_name.iter().find(|(given, _)| given == name) {
            None => Ok(None),
            Some((_, value)) => match text(value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.wrong(format!("{name} is given as text, not as {value}"))),
            },
        }
    }

    /// The table that is searched, the first argument: text or a name.
    pub(super) fn table(&self) -> Result<Name> {
        let first = self.position(0, "the table")?;
        let parts = name_parts(first);
        parts
            .filter(|parts| (1..=3).contains(&parts.len()))
            .map(Name)
            .ok_or_else(|| self.wrong(format!("{first} is not the name of a table")))
    }

    /// The name of a column, given as text or as a name.
    pub(super) fn column(&self, value: &Expr) -> Result<String> {
        match name_parts(value).as_deref() {
            Some([column]) => Ok(column.clone()),
            _ => Err(self.wrong(format!("{value} is not the name of a column"))),
        }
    }

    /// The column given under `name`.
    pub(super) fn named_column(&self, name: &str) -> Result<Option<String>> {
        let given = self.by_name.iter().find(|(given, _)| given == name);
        given.map(|(_, value)| self.column(value)).transpose()
    }
}

/// The value of a string literal.
pub(super) fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The value of an integer literal.
pub(super) fn integer(value: &Expr) -> Option<i64> {
    match value {
        Expr::Value(literal) => match &literal.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => integer(expr)?.checked_neg(),
        _ => None,
    }
}

/// Whether `value` is a parameter.
pub(super) fn is_parameter(value: &Expr) -> bool {
    matches!(value, Expr::Value(literal) if matches!(literal.value, Value::Placeholder(_)))
}

fn name_parts(value: &Expr) -> Option<Vec<String>> {
    match value {
        Expr::Identifier(name) => Some(vec![name.value.clone()]),
        Expr::CompoundIdentifier(parts) => {
            Some(parts.iter().map(|part| part.value.clone()).collect())
        }
        other => {
            let text = text(other)?;
            match parse_expression(&text) {
                Ok(name @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))) => name_parts(&name),
                _ => Some(vec![text]),
            }
        }
    }
}

/// `name` as it stands in SQL, whatever characters it has.
pub(super) fn exactly(name: &str) -> String {
    match quoted(name) {
        already if already != name => already,
        _ => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
