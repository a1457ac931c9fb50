//! `vector_search('table', 'column', vector, k [, metric => …] [, filter => …])`: the k rows whose
//! vectors are nearest to `vector`, with all columns of the table and `distance`, nearest first.
//!
//! It is the query that a user would write: `SELECT *, cosine_distance(column, vector) AS distance FROM
//! table WHERE filter ORDER BY distance LIMIT k`. Rows without a distance (no vector, or one without
//! direction) are never among the nearest, neither here nor in an ORDER BY that a user writes.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, OrderByKind, Query, Select, SelectItem, SetExpr,
};

use super::Searched;
use super::arguments::{Arguments, exactly, integer, is_parameter, text};
use crate::error::Result;
use crate::parser::{parse_expression, quoted};

pub(super) const NAME: &str = "vector_search";

/// The column that is added.
const DISTANCE: &str = "distance";

/// Names of metrics, and the distance each stands for.
const METRICS: [(&str, Distance); 6] = [
    ("cosine", Distance::Cosine),
    ("l2", Distance::L2),
    ("euclidean", Distance::L2),
    ("l1", Distance::L1),
    ("dot", Distance::InnerProduct),
    ("inner_product", Distance::InnerProduct),
];

#[derive(Clone, Copy)]
enum Distance {
    Cosine,
    L2,
    L1,
    InnerProduct,
}

impl Distance {
    fn sql(self, column: &str, vector: &str) -> String {
        match self {
            Self::Cosine => format!("cosine_distance({column}, {vector})"),
            Self::L2 => format!("vector_l2_distance({column}, {vector})"),
            Self::L1 => format!("vector_l1_distance({column}, {vector})"),
            // The larger the product, the nearer.
            Self::InnerProduct => format!("-vector_inner_product({column}, {vector})"),
        }
    }
}

/// The query that a call stands for.
pub(super) fn query(arguments: &Arguments, table: &Searched) -> Result<String> {
    arguments.expect(4, &["metric", "filter"])?;
    let column = arguments.column(arguments.position(1, "the column of vectors")?)?;
    let field = table.column(&column)?;
    let vector = arguments.position(2, "the vector to search for")?;
    let vector = vector_sql(arguments, table, field, vector)?;
    let k = count(arguments, arguments.position(3, "the number of rows")?)?;
    if table.schema.field_with_name(DISTANCE).is_ok() {
        return Err(arguments.wrong(format!(
            "table {} has a column distance of its own; search a view that names it otherwise",
            table.name
        )));
    }
    let metric = arguments.text("metric")?;
    let distance = distance(arguments, metric.as_deref().unwrap_or("cosine"))?;
    let filter = match arguments.text("filter")? {
        Some(filter) => {
            let parsed = parse_expression(&filter)
                .map_err(|error| arguments.wrong(format!("filter {filter:?}: {error}")))?;
            format!(" WHERE ({parsed})")
        }
        None => String::new(),
    };
    Ok(format!(
        "SELECT * FROM (SELECT *, {} AS {DISTANCE} FROM {}{filter} ORDER BY {DISTANCE} ASC NULLS LAST \
         LIMIT {k}) WHERE {DISTANCE} IS NOT NULL",
        distance.sql(&exactly(field.name()), &vector),
        table.sql()
    ))
}

fn distance(arguments: &Arguments, metric: &str) -> Result<Distance> {
    let lower = metric.to_lowercase();
    let known = METRICS.iter().find(|(name, _)| *name == lower);
    known.map(|(_, distance)| *distance).ok_or_else(|| {
        let names = METRICS.map(|(name, _)| name).join(", ");
        arguments.wrong(format!("{metric} is no metric; there are {names}"))
    })
}

/// How many rows: a number, or a parameter for one.
fn count(arguments: &Arguments, k: &Expr) -> Result<String> {
    match integer(k) {
        Some(rows) if rows > 0 => Ok(rows.to_string()),
        None if is_parameter(k) => Ok(k.to_string()),
        _ => Err(arguments.wrong(format!(
            "the number of rows is a whole number from 1, not {k}"
        ))),
    }
}

/// The vector as SQL: an array, text such as '[1, 2]', a parameter, or any other expression.
fn vector_sql(
    arguments: &Arguments,
    table: &Searched,
    column: &arrow::datatypes::Field,
    vector: &Expr,
) -> Result<String> {
    let place = format!("column {} of table {}", column.name(), table.name);
    let Some(length) = vector_length(column.data_type()) else {
        return Err(arguments.wrong(format!(
            "{place} holds {}, not arrays of numbers",
            column.data_type()
        )));
    };
    if is_parameter(vector) {
        return Ok(format!("CAST({vector} AS ARRAY<DOUBLE>)"));
    }
    let parsed = match text(vector) {
        None => vector.clone(),
        Some(text) => match parse_expression(&text) {
            Ok(array @ Expr::Array(_)) => array,
            _ => {
                return Err(arguments.wrong(format!(
                    "the text {text:?} is no vector; write it as '[0.5, -1]'"
                )));
            }
        },
    };
    if let (Some(expected), Expr::Array(array)) = (length, &parsed)
        && array.elem.len() != expected
    {
        return Err(arguments.wrong(format!(
            "{place} holds vectors of {expected} numbers, but the one to search for has {}",
            array.elem.len()
        )));
    }
    Ok(parsed.to_string())
}

/// For a column of vectors, their length where the type tells; nothing for other columns.
fn vector_length(data_type: &DataType) -> Option<Option<usize>> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) if item.data_type().is_numeric() => {
            Some(None)
        }
        DataType::FixedSizeList(item, length) if item.data_type().is_numeric() => {
            Some(usize::try_from(*length).ok())
        }
        _ => None,
    }
}

/// Functions by which vectors are compared.
const MEASURES: [&str; 8] = [
    "cosine_distance",
    "vector_cosine_similarity",
    "vector_l2_distance",
    "vector_l1_distance",
    "vector_inner_product",
    "inner_product",
    "array_distance",
    "hamming_distance",
];

/// Rows without a distance come last, where the query does not say otherwise: SQL's default puts them
/// first in a descending order, and every vector would come after those that are missing.
pub(crate) fn nulls_last(query: &mut Query) {
    let Some(order) = &mut query.order_by else {
        return;
    };
    let OrderByKind::Expressions(keys) = &mut order.kind else {
        return;
    };
    for key in keys {
        if key.options.nulls_first.is_none() && is_measure(&key.expr, selected(&query.body)) {
            key.options.nulls_first = Some(false);
        }
    }
}

fn selected(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// Whether `key` compares vectors, or is the name of a selected column that does.
fn is_measure(key: &Expr, select: Option<&Select>) -> bool {
    match key {
        Expr::Function(call) => compares(call),
        Expr::Identifier(name) => select.into_iter().flat_map(|s| &s.projection).any(|item| {
            matches!(item, SelectItem::ExprWithAlias { expr: Expr::Function(call), alias }
                if alias.value.eq_ignore_ascii_case(&name.value) && compares(call))
        }),
        _ => false,
    }
}

fn compares(call: &Function) -> bool {
    let name = call.name.to_string();
    MEASURES
        .iter()
        .any(|measure| name.eq_ignore_ascii_case(measure))
}

impl Searched {
    /// Its full name as it stands in SQL.
    pub(super) fn sql(&self) -> String {
        let parts = [&self.name.catalog, &self.name.schema, &self.name.table];
        parts.map(|part| quoted(part)).join(".")
    }
}
