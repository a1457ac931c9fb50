//! Searching by content: the table functions `vector_search` and `image_duplicates`.
//!
//! A table function is shorthand for a query. Before a statement is planned, each call in its text tree
//! becomes that query, so whatever holds for queries holds for it: predicates reach the scan, work is
//! spread over executors, `EXPLAIN` shows it.

mod arguments;
mod duplicates;
mod indexes;
mod nearest;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Query, TableFactor, VisitMut, VisitorMut};

use self::arguments::Arguments;
pub(crate) use self::indexes::use_indexes;
pub(crate) use self::nearest::nulls_last;
use crate::error::{EngineError, Result};
use crate::parser::{Name, Statement, parse};
use crate::scope::{Current, FullName, Scope, nearest as nearest_name};

/// The table functions and what each does, for `SHOW FUNCTIONS`.
pub(crate) const TABLE_FUNCTIONS: [(&str, &str); 2] = [
    (
        duplicates::NAME,
        "image_duplicates('table', 'column', max_distance [, key => 'column']): pairs of pictures whose \
         perceptual hashes differ in at most so many bits.",
    ),
    (
        nearest::NAME,
        "vector_search('table', 'column', vector, k [, metric => 'cosine'] [, filter => 'predicate']): \
         the k rows whose vectors are nearest, and their distance.",
    ),
];

/// A searched table: its name as messages give it, and its columns.
struct Searched {
    name: FullName,
    schema: SchemaRef,
}

impl Searched {
    /// The column of that name, whatever its case.
    fn column(&self, name: &str) -> Result<&arrow::datatypes::Field> {
        let fields = self.schema.fields();
        let exact = fields.iter().find(|field| field.name() == name);
        let found = exact.or_else(|| {
            fields
                .iter()
                .find(|field| field.name().eq_ignore_ascii_case(name))
        });
        found.map(Arc::as_ref).ok_or_else(|| {
            let names = fields.iter().map(|field| field.name().as_str());
            EngineError::NotFound {
                kind: "column",
                name: format!("{name} of table {}", self.name),
                hint: nearest_name(&name.to_lowercase(), names)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?")),
            }
        })
    }
}

/// Replaces every call of a table function in `query`.
///
/// # Errors
/// When arguments are missing or wrong, or name a table or column that does not exist.
pub(crate) async fn expand(scope: &Arc<Scope>, current: &Current, query: &mut Query) -> Result<()> {
    // A filter may call a table function in its turn, which shows when the first is replaced.
    for _ in 0..MAX_NESTED {
        let mut tables = Tables::default();
        done(query.visit(&mut tables))?;
        if tables.0.is_empty() {
            return Ok(());
        }
        let mut searched = Vec::new();
        for written in tables.0 {
            let name = current.table(&written);
            let schema = scope.relation(&name).await?.table_schema();
            searched.push((written, Searched { name, schema }));
        }
        done(query.visit(&mut Expand(&searched)))?;
    }
    Err(EngineError::invalid(
        "table functions are nested too deeply; use views",
    ))
}

/// Gives parameters that stand in a cast to an array that type, so that clients learn what to bind.
pub(crate) fn typed_vectors(plan: LogicalPlan) -> Result<LogicalPlan> {
    let typed = plan.transform_down_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                LogicalExpr::Cast(mut cast) if cast.field.data_type().is_list() => {
                    if let LogicalExpr::Placeholder(parameter) = cast.expr.as_mut()
                        && parameter.field.is_none()
                    {
                        parameter.field = Some(cast.field.clone());
                        return Ok(Transformed::yes(LogicalExpr::Cast(cast)));
                    }
                    Ok(Transformed::no(LogicalExpr::Cast(cast)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(typed.data)
}

/// Table functions within filters of table functions.
const MAX_NESTED: usize = 8;

fn done(flow: ControlFlow<EngineError>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The call that `factor` is, if it is one.
fn call(factor: &TableFactor) -> Option<Result<Arguments>> {
    let TableFactor::Table {
        name,
        args: Some(arguments),
        ..
    } = factor
    else {
        return None;
    };
    let name = name.to_string();
    let mut known = TABLE_FUNCTIONS.iter().map(|(known, _)| *known);
    let function = known.find(|known| name.eq_ignore_ascii_case(known))?;
    Some(Arguments::of(function, arguments))
}

/// Finds the tables that are searched.
#[derive(Default)]
struct Tables(Vec<Name>);

impl VisitorMut for Tables {
    type Break = EngineError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        match call(factor).map(|call| call?.table()) {
            Some(Ok(name)) => self.0.push(name),
            Some(Err(error)) => return ControlFlow::Break(error),
            None => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts queries in the place of calls.
struct Expand<'a>(&'a [(Name, Searched)]);

impl Expand<'_> {
    fn query(&self, arguments: &Arguments) -> Result<Option<Box<Query>>> {
        let written = arguments.table()?;
        let Some((_, table)) = self.0.iter().find(|(name, _)| *name == written) else {
            return Ok(None);
        };
        let sql = match arguments.function() {
            nearest::NAME => nearest::query(arguments, table)?,
            _ => duplicates::query(arguments, table)?,
        };
        match parse(&sql)?.pop() {
            Some(Statement::Query(query)) => Ok(Some(query)),
            _ => Err(EngineError::invalid(format!("{sql} is no query"))),
        }
    }
}

impl VisitorMut for Expand<'_> {
    type Break = EngineError;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        let query = match call(factor).map(|call| self.query(&call?)) {
            Some(Ok(Some(query))) => query,
            Some(Err(error)) => return ControlFlow::Break(error),
            Some(Ok(None)) | None => return ControlFlow::Continue(()),
        };
        let alias = match factor {
            TableFactor::Table { alias, .. } => alias.take(),
            _ => None,
        };
        *factor = TableFactor::Derived {
            lateral: false,
            subquery: query,
            alias,
            sample: None,
        };
        ControlFlow::Continue(())
    }
}
