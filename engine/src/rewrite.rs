//! What is done to a query's text tree before DataFusion plans it: Spark's function names,
//! `FROM explode(…)`, columns whatever their case, and clauses that DataFusion would ignore, which
//! are refused instead.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Fields, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query,
    Select, SelectItem, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::error::{EngineError, Result};
use crate::interval;
use crate::named_arguments::place_named_arguments;
use crate::search::nulls_last;
use crate::spark_names::replacement;
use crate::vector_casts;

/// What `current_catalog()`, `current_schema()` and `current_user()` are in a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionNames {
    pub catalog: String,
    pub schema: String,
    pub user: String,
}

impl SessionNames {
    fn answer(&self, call: &Function) -> Option<Expr> {
        let no_arguments = match &call.args {
            FunctionArguments::None => true,
            FunctionArguments::List(list) => list.args.is_empty(),
            FunctionArguments::Subquery(_) => false,
        };
        if !no_arguments {
            return None;
        }
        let name = match call.name.to_string().to_lowercase().as_str() {
            "current_catalog" => &self.catalog,
            "current_schema" | "current_database" => &self.schema,
            "current_user" | "session_user" | "user" => &self.user,
            _ => return None,
        };
        Some(Expr::Value(Value::SingleQuotedString(name.clone()).into()))
    }
}

/// Replaces Spark's names, and the session's where there is one, and refuses what would be ignored.
/// Needs no catalog.
pub(crate) fn normalize(node: &mut impl VisitMut, names: Option<&SessionNames>) -> Result<()> {
    match node.visit(&mut Normalize(names)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Normalize<'a>(Option<&'a SessionNames>);

impl Normalize<'_> {
    fn replacement(&self, call: &Function) -> Result<Option<Expr>> {
        match self.0.and_then(|names| names.answer(call)) {
            Some(name) => Ok(Some(name)),
            None => replacement(call),
        }
    }

    /// A selected call or cast that is replaced keeps the name it was written with.
    fn name_by_text(&self, item: &mut SelectItem) {
        let SelectItem::UnnamedExpr(expr) = item else {
            return;
        };
        let is_replaced = match &*expr {
            // unnest names its own columns, one per field.
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("explode") => false,
            Expr::Function(call) => matches!(self.replacement(call), Ok(Some(_))),
            cast => matches!(vector_casts::replacement(cast), Ok(Some(_))),
        };
        if !is_replaced {
            return;
        }
        *item = SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', expr.to_string()),
        };
    }
}

impl VisitorMut for Normalize<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<EngineError> {
        nulls_last(query);
        if query.locks.is_empty() && query.for_clause.is_none() {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(EngineError::unsupported(
            "FOR UPDATE in a query",
            "leave it out: a statement sees one version of each table",
        ))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<EngineError> {
        for item in &mut select.projection {
            self.name_by_text(item);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        match table_factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        if let Some(product) = interval::product(expr) {
            *expr = product;
        }
        if let Expr::CompoundFieldAccess { access_chain, .. } = expr {
            access_chain.iter_mut().for_each(field_by_text);
        }
        if let Expr::Function(call) = expr
            && let Err(error) = place_named_arguments(call)
        {
            return ControlFlow::Break(error);
        }
        let replaced = match &*expr {
            Expr::Function(call) => self.replacement(call),
            Expr::Cast { .. } => vector_casts::replacement(expr),
            _ => return ControlFlow::Continue(()),
        };
        match replaced {
            Ok(None) => {}
            Ok(Some(ours)) => *expr = ours,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// `f(x).field` as `f(x).'field'`, which is how DataFusion's planner takes it.
fn field_by_text(access: &mut AccessExpr) {
    if let AccessExpr::Dot(field) = access
        && let Expr::Identifier(name) = field
    {
        *field = Expr::Value(Value::SingleQuotedString(name.value.clone()).into());
    }
}

fn table_factor(factor: &mut TableFactor) -> Result<()> {
    let TableFactor::Table {
        name,
        alias,
        args,
        version,
        sample,
        with_hints,
        partitions,
        ..
    } = factor
    else {
        return Ok(());
    };
    if version.is_some() {
        return Err(EngineError::unsupported(
            format!("time travel ({name} VERSION AS OF, TIMESTAMP AS OF)"),
            "a statement reads the newest version; CREATE TABLE … AS SELECT keeps an older one",
        ));
    }
    if sample.is_some() {
        return Err(EngineError::unsupported(
            "TABLESAMPLE",
            "WHERE random() < 0.1",
        ));
    }
    if !with_hints.is_empty() || !partitions.is_empty() {
        return Err(EngineError::unsupported(
            format!("hints or PARTITION behind {name}"),
            "WHERE on the partition column reads only its files",
        ));
    }
    let unnests = ["unnest", "explode"]
        .iter()
        .any(|function| name.to_string().eq_ignore_ascii_case(function));
    let Some(arguments) = args.as_ref().filter(|_| unnests) else {
        return Ok(());
    };
    let array_exprs = arguments
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            _ => Err(EngineError::invalid(format!("{name} takes arrays"))),
        })
        .collect::<Result<Vec<Expr>>>()?;
    *factor = TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    Ok(())
}

/// Gives unquoted names the case that the columns of `schemas` have, where they differ from lower
/// case and nothing has the lower-case name; and a selected field of a struct its own name.
pub(crate) fn match_columns(node: &mut impl VisitMut, schemas: &[SchemaRef]) {
    let mut names = Names::default();
    for schema in schemas {
        names.add(schema.fields());
    }
    names.exact.retain(|lower, _| !names.lower.contains(lower));
    // The visitor never breaks.
    let _ = node.visit(&mut MatchColumns(&names));
}

#[derive(Default)]
struct Names {
    /// Columns in lower case.
    lower: HashSet<String>,
    /// Lower case to the column's own case.
    exact: HashMap<String, String>,
    /// Columns that are structs, in lower case.
    structs: HashSet<String>,
}

impl Names {
    fn add(&mut self, fields: &Fields) {
        for field in fields {
            let lower = field.name().to_lowercase();
            if lower == *field.name() {
                self.lower.insert(lower);
            } else {
                self.exact.insert(lower, field.name().clone());
            }
            if matches!(field.data_type(), DataType::Struct(_)) {
                self.structs.insert(field.name().to_lowercase());
            }
            self.add_nested(field.data_type());
        }
    }

    fn add_nested(&mut self, data_type: &DataType) {
        match data_type {
            DataType::Struct(fields) => self.add(fields),
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                self.add_nested(item.data_type());
            }
            _ => {}
        }
    }
}

struct MatchColumns<'a>(&'a Names);

impl MatchColumns<'_> {
    fn fix(&self, ident: &mut Ident) {
        if ident.quote_style.is_none()
            && let Some(exact) = self.0.exact.get(&ident.value.to_lowercase())
        {
            *ident = Ident::with_quote('"', exact.clone());
        }
    }

    /// `metadata.width` is called `width`, unless another column of the result is.
    fn name_field(&self, item: &mut SelectItem, taken: &[String]) {
        let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = item else {
            return;
        };
        let [.., owner, field] = parts.as_slice() else {
            return;
        };
        let name = result_name(field);
        let unique = taken.iter().filter(|other| **other == name).count() == 1;
        if unique && self.0.structs.contains(&owner.value.to_lowercase()) {
            *item = SelectItem::ExprWithAlias {
                alias: field.clone(),
                expr: Expr::CompoundIdentifier(parts.clone()),
            };
        }
    }
}

fn result_name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl VisitorMut for MatchColumns<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let names = select.projection.iter().filter_map(|item| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name))
            | SelectItem::ExprWithAlias { alias: name, .. } => Some(result_name(name)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().map(result_name)
            }
            _ => None,
        });
        let taken: Vec<String> = names.collect();
        for item in &mut select.projection {
            self.name_field(item, &taken);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.fix(ident),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(|part| self.fix(part)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::parser::{Statement, parse};

    fn query(sql: &str) -> Box<Query> {
        match parse(sql).unwrap().remove(0) {
            Statement::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }

    fn normalized(sql: &str) -> String {
        let mut query = query(sql);
        normalize(&mut query, None).unwrap();
        query.to_string()
    }

    #[test]
    fn spark_functions_are_replaced_everywhere() {
        assert_eq!(
            normalized("SELECT year(ts), lcase(a) AS b FROM t WHERE month(ts) = 1 GROUP BY 1"),
            "SELECT (date_part('year', ts)) AS \"year(ts)\", lower(a) AS b FROM t \
             WHERE (date_part('month', ts)) = 1 GROUP BY 1"
        );
        assert_eq!(
            normalized("SELECT * FROM explode(array(1, 2)) AS x"),
            "SELECT * FROM UNNEST(array(1, 2)) AS x"
        );
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for sql in [
            "SELECT * FROM t VERSION AS OF 3",
            "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
            "SELECT * FROM t FOR UPDATE",
        ] {
            let message = match parse(sql) {
                Ok(mut statements) => match statements.remove(0) {
                    Statement::Query(mut query) => {
                        normalize(&mut query, None).unwrap_err().to_string()
                    }
                    other => panic!("{other:?}"),
                },
                Err(error) => error.to_string(),
            };
            assert!(message.contains("not supported"), "{sql}: {message}");
        }
    }

    #[test]
    fn names_take_the_case_of_the_only_column_they_can_mean() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("userId", DataType::Int32, true),
            Field::new("Name", DataType::Utf8, true),
            Field::new("name", DataType::Utf8, true),
        ]));
        let mut query = query("SELECT USERID, t.userid, Name, \"userid\" FROM t ORDER BY UserId");
        match_columns(&mut query, &[schema]);
        assert_eq!(
            query.to_string(),
            "SELECT \"userId\", t.\"userId\", Name, \"userid\" FROM t ORDER BY \"userId\""
        );
    }

    #[test]
    fn a_selected_field_of_a_struct_keeps_its_own_name() {
        let inner = DataType::Struct(vec![Field::new("width", DataType::Int32, true)].into());
        let schema = Arc::new(Schema::new(vec![Field::new("meta", inner, true)]));
        for (sql, named) in [
            (
                "SELECT meta.width, t.meta FROM t",
                "SELECT meta.width AS width, t.meta FROM t",
            ),
            (
                "SELECT meta.width, width FROM t",
                "SELECT meta.width, width FROM t",
            ),
        ] {
            let mut query = query(sql);
            match_columns(&mut query, std::slice::from_ref(&schema));
            assert_eq!(query.to_string(), named);
        }
    }
}
