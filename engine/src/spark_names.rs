//! Functions that Spark's analysts type and that are another function, or a small expression, here:
//! `year(x)` is `date_part('year', x)`. They are replaced in the statement's text tree, so nothing
//! below the engine knows them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Value,
    ValueWithSpan, VisitMut, VisitorMut,
};

use crate::error::{EngineError, Result};
use crate::parser::parse_expression;

/// Spark's name and the function that does the same with the same arguments.
pub(crate) const RENAMED: [(&str, &str); 23] = [
    ("any", "bool_or"),
    ("approx_count_distinct", "approx_distinct"),
    ("array_size", "array_length"),
    ("bool", "boolean"),
    ("every", "bool_and"),
    ("explode", "unnest"),
    ("endswith", "ends_with"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("lcase", "lower"),
    ("len", "length"),
    ("percentile_approx", "approx_percentile_cont"),
    ("rand", "random"),
    ("regexp", "regexp_like"),
    ("rlike", "regexp_like"),
    ("some", "bool_or"),
    ("sort_array", "array_sort"),
    ("startswith", "starts_with"),
    ("std", "stddev"),
    ("typeof", "arrow_typeof"),
    ("ucase", "upper"),
    ("variance", "var"),
    ("array_join", "array_to_string"),
];

/// Spark's name, the number of its arguments, and the expression it stands for.
pub(crate) const EXPANDED: [(&str, usize, &str); 30] = [
    ("add_months", 2, "add_months($1, CAST($2 AS INT))"),
    ("bigint", 1, "CAST($1 AS BIGINT)"),
    ("binary", 1, "CAST($1 AS BYTEA)"),
    ("boolean", 1, "CAST($1 AS BOOLEAN)"),
    ("count_if", 1, "count(CASE WHEN $1 THEN 1 END)"),
    ("date", 1, "CAST($1 AS DATE)"),
    ("date_add", 2, "date_add($1, CAST($2 AS INT))"),
    ("date_sub", 2, "date_sub($1, CAST($2 AS INT))"),
    ("day", 1, "date_part('day', $1)"),
    ("dayofmonth", 1, "date_part('day', $1)"),
    ("dayofweek", 1, "date_part('dow', $1) + 1"),
    ("dayofyear", 1, "date_part('doy', $1)"),
    ("double", 1, "CAST($1 AS DOUBLE)"),
    ("float", 1, "CAST($1 AS FLOAT)"),
    ("int", 1, "CAST($1 AS INT)"),
    ("isnotnull", 1, "$1 IS NOT NULL"),
    ("isnull", 1, "$1 IS NULL"),
    ("locate", 2, "strpos($2, $1)"),
    ("month", 1, "date_part('month', $1)"),
    ("quarter", 1, "date_part('quarter', $1)"),
    // Around the whole pattern there is one more group, so that group 0 is the first.
    (
        "regexp_extract",
        2,
        "coalesce(array_element(regexp_match($1, '(' || $2 || ')'), 2), left($1, 0 * length($2)))",
    ),
    (
        "regexp_extract",
        3,
        "coalesce(array_element(regexp_match($1, '(' || $2 || ')'), $3 + 1), left($1, 0 * length($2)))",
    ),
    ("smallint", 1, "CAST($1 AS SMALLINT)"),
    ("string", 1, "CAST($1 AS STRING)"),
    ("timestamp", 1, "CAST($1 AS TIMESTAMP)"),
    ("tinyint", 1, "CAST($1 AS TINYINT)"),
    ("unix_timestamp", 0, "to_unixtime(now())"),
    ("unix_timestamp", 1, "to_unixtime($1)"),
    ("weekofyear", 1, "date_part('week', $1)"),
    ("year", 1, "date_part('year', $1)"),
];

/// Functions whose last argument is a date pattern, and how many arguments they have with it.
const PATTERNED: [(&str, &str, usize); 4] = [
    ("date_format", "to_char", 2),
    ("to_date", "to_date", 2),
    ("to_timestamp", "to_timestamp", 2),
    ("to_char", "to_char", 2),
];

static TEMPLATES: LazyLock<HashMap<(&str, usize), Expr>> = LazyLock::new(|| {
    EXPANDED
        .iter()
        .filter_map(|(name, arguments, sql)| {
            Some(((*name, *arguments), parse_expression(sql).ok()?))
        })
        .collect()
});

/// What stands for the function call `call`, if it is one of Spark's names.
///
/// # Errors
/// When the call has a form that has no counterpart.
pub(crate) fn replacement(call: &Function) -> Result<Option<Expr>> {
    let [part] = call.name.0.as_slice() else {
        return Ok(None);
    };
    let Some(name) = part.as_ident().map(|ident| ident.value.to_lowercase()) else {
        return Ok(None);
    };
    if let Some((_, ours)) = RENAMED.iter().find(|(spark, _)| *spark == name) {
        let mut call = call.clone();
        call.name = ObjectName::from(vec![Ident::new(*ours)]);
        return Ok(Some(Expr::Function(call)));
    }
    let Some(arguments) = plain_arguments(call) else {
        return Ok(None);
    };
    if let Some(template) = TEMPLATES.get(&(name.as_str(), arguments.len())) {
        return Ok(Some(Expr::Nested(Box::new(fill(template, &arguments)))));
    }
    if name == "split" && arguments.len() == 2 {
        return split(call, &arguments[1]).map(Some);
    }
    let patterned = PATTERNED
        .iter()
        .find(|(spark, _, count)| *spark == name && *count == arguments.len());
    match patterned {
        Some((_, ours, _)) => with_pattern(call, ours, arguments),
        None => Ok(None),
    }
}

/// The arguments of a call that has nothing but arguments.
fn plain_arguments(call: &Function) -> Option<Vec<Expr>> {
    if call.filter.is_some() || call.over.is_some() || !call.within_group.is_empty() {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

struct Fill<'a>(&'a [Expr]);

impl VisitorMut for Fill<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan {
            value: Value::Placeholder(name),
            ..
        }) = expr
            && let Some(argument) = name[1..]
                .parse::<usize>()
                .ok()
                .and_then(|n| self.0.get(n.wrapping_sub(1)))
        {
            *expr = argument.clone();
        }
        ControlFlow::Continue(())
    }
}

fn fill(template: &Expr, arguments: &[Expr]) -> Expr {
    let mut filled = template.clone();
    // The visitor never breaks.
    let _ = filled.visit(&mut Fill(arguments));
    filled
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// Spark's `split` takes a regular expression; ours takes text, which is the same for text that
/// means itself.
fn split(call: &Function, separator: &Expr) -> Result<Expr> {
    let plain =
        literal(separator).is_some_and(|text| !text.contains(|c| r"\[](){}.*+?^$|".contains(c)));
    if !plain {
        return Err(EngineError::unsupported(
            "split with a regular expression",
            "string_to_array(text, separator), or regexp_replace first",
        ));
    }
    let mut call = call.clone();
    call.name = ObjectName::from(vec![Ident::new("string_to_array")]);
    Ok(Expr::Function(call))
}

fn with_pattern(call: &Function, ours: &str, mut arguments: Vec<Expr>) -> Result<Option<Expr>> {
    let Some(pattern) = arguments.last().and_then(literal) else {
        return Ok(None);
    };
    // Patterns of PostgreSQL's and DataFusion's users have percent signs.
    let translated = if pattern.contains('%') {
        pattern.to_string()
    } else {
        java_pattern(pattern)?
    };
    if let Some(last) = arguments.last_mut() {
        *last = Expr::Value(Value::SingleQuotedString(translated).into());
    }
    let mut call = call.clone();
    call.name = ObjectName::from(vec![Ident::new(ours)]);
    if let FunctionArguments::List(list) = &mut call.args {
        list.args = arguments
            .into_iter()
            .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
            .collect();
    }
    Ok(Some(Expr::Function(call)))
}

/// Spark's date pattern (`yyyy-MM-dd`) as chrono's (`%Y-%m-%d`).
fn java_pattern(pattern: &str) -> Result<String> {
    const LETTERS: [(&str, &str); 22] = [
        ("yyyy", "%Y"),
        ("yy", "%y"),
        ("y", "%Y"),
        ("MMMM", "%B"),
        ("MMM", "%b"),
        ("MM", "%m"),
        ("M", "%-m"),
        ("dd", "%d"),
        ("d", "%-d"),
        ("DDD", "%j"),
        ("EEEE", "%A"),
        ("EEE", "%a"),
        ("E", "%a"),
        ("HH", "%H"),
        ("H", "%-H"),
        ("hh", "%I"),
        ("h", "%-I"),
        ("mm", "%M"),
        ("ss", "%S"),
        ("SSSSSS", "%6f"),
        ("SSS", "%3f"),
        ("a", "%p"),
    ];
    let mut translated = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (quoted, behind) = rest[1..].split_once('\'').unwrap_or((&rest[1..], ""));
            translated.push_str(if quoted.is_empty() { "'" } else { quoted });
            rest = behind;
            continue;
        }
        if !first.is_ascii_alphabetic() {
            translated.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let run = rest.chars().take_while(|c| *c == first).count();
        let (letters, behind) = rest.split_at(run);
        let Some((_, ours)) = LETTERS.iter().find(|(java, _)| *java == letters) else {
            return Err(EngineError::unsupported(
                format!("{letters} in the date pattern '{pattern}'"),
                "yyyy, MM, dd, HH, mm, ss, SSS and their kin, or a pattern with % as in strftime",
            ));
        };
        translated.push_str(ours);
        rest = behind;
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(sql: &str) -> String {
        let Expr::Function(call) = parse_expression(sql).unwrap() else {
            panic!("{sql} is no call");
        };
        replacement(&call)
            .unwrap()
            .map_or_else(|| sql.to_string(), |e| e.to_string())
    }

    #[test]
    fn every_template_parses() {
        assert_eq!(TEMPLATES.len(), EXPANDED.len());
    }

    #[test]
    fn spark_names_become_ours() {
        for (spark, ours) in [
            ("year(a + 1)", "(date_part('year', a + 1))"),
            ("lcase(x)", "lower(x)"),
            ("date(ts)", "(CAST(ts AS DATE))"),
            (
                "date_format(ts, 'yyyy-MM-dd HH:mm:ss')",
                "to_char(ts, '%Y-%m-%d %H:%M:%S')",
            ),
            ("date_format(ts, '%Y')", "to_char(ts, '%Y')"),
            ("to_date(s, 'dd/MM/yyyy')", "to_date(s, '%d/%m/%Y')"),
            ("to_date(s)", "to_date(s)"),
            ("split(s, ',')", "string_to_array(s, ',')"),
            ("sum(x)", "sum(x)"),
            ("count_if(x > 1)", "(count(CASE WHEN x > 1 THEN 1 END))"),
        ] {
            assert_eq!(replaced(spark), ours);
        }
    }

    #[test]
    fn forms_without_a_counterpart_are_refused() {
        for sql in ["split(s, '[,;]')", "date_format(ts, 'QQQ')"] {
            let Expr::Function(call) = parse_expression(sql).unwrap() else {
                panic!("{sql} is no call");
            };
            let message = replacement(&call).unwrap_err().to_string();
            assert!(message.contains("not supported"), "{message}");
        }
    }
}
