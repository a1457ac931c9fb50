//! `n * INTERVAL '1 hour'`: Spark and PostgreSQL multiply intervals, DataFusion does not. The product
//! becomes a call of `make_interval`.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, Interval, Value, ValueWithSpan,
};

use crate::parser::parse_expression;

/// The units in the order of `make_interval`'s arguments.
const UNITS: [&str; 7] = ["year", "month", "week", "day", "hour", "minute", "second"];

/// What stands for the product of a number and an interval of one unit, if `expr` is one.
pub(crate) fn product(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Multiply,
        right,
    } = expr
    else {
        return None;
    };
    let (factor, interval) = match (left.as_ref(), right.as_ref()) {
        (factor, Expr::Interval(interval)) | (Expr::Interval(interval), factor) => {
            (factor, interval)
        }
        _ => return None,
    };
    let (count, unit) = count_and_unit(interval)?;
    let position = UNITS.iter().position(|name| *name == unit)?;
    let zeros = "0, ".repeat(position);
    let number = if unit == "second" { "DOUBLE" } else { "INT" };
    let call = format!("make_interval({zeros}CAST(({factor}) * {count} AS {number}))");
    parse_expression(&call).ok()
}

/// `INTERVAL '2 hours'`, `INTERVAL '2' HOUR` and `INTERVAL 2 HOURS` are (2, "hour").
fn count_and_unit(interval: &Interval) -> Option<(i64, String)> {
    let text = match interval.value.as_ref() {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::Number(text, _),
            ..
        }) => text.as_str(),
        _ => return None,
    };
    let (count, unit) = match &interval.leading_field {
        Some(field) if interval.last_field.is_none() => (text, field_name(field)),
        Some(_) => return None,
        None => {
            let (count, unit) = text.trim().split_once(' ')?;
            (count, unit.trim().to_lowercase())
        }
    };
    let unit = unit.strip_suffix('s').unwrap_or(&unit).to_string();
    Some((count.trim().parse().ok()?, unit))
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str) -> Option<String> {
        product(&parse_expression(sql).unwrap()).map(|expr| expr.to_string())
    }

    #[test]
    fn intervals_are_multiplied_whichever_way_they_are_written() {
        let hours = "make_interval(0, 0, 0, 0, CAST((n) * 2 AS INT))";
        for sql in [
            "n * INTERVAL '2 hours'",
            "INTERVAL '2' HOUR * n",
            "n * INTERVAL 2 HOURS",
        ] {
            assert_eq!(written(sql).as_deref(), Some(hours), "{sql}");
        }
        let seconds = "make_interval(0, 0, 0, 0, 0, 0, CAST((n) * 30 AS DOUBLE))";
        assert_eq!(
            written("n * INTERVAL '30' SECOND").as_deref(),
            Some(seconds)
        );
        assert_eq!(written("n * INTERVAL '1 day 2 hours'"), None);
        assert_eq!(written("n * 2"), None);
    }
}
