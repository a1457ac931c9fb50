//! Calls of models in a query. The name of a model, constant text, is replaced by all that running it takes,
//! before the query is planned: types depend on it, and executors know no catalog.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};

use shoal_models::ModelSpec;

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::parser::Name;
use crate::scope::Current;

/// Functions that run a model, and which of their arguments names it.
const FUNCTIONS: [(&str, usize); 3] = [
    ("image_embed", 1),
    ("model_predict", 1),
    ("model_version", 0),
];

/// Puts what running it takes in the place of the name of every model in `query`. All calls of a model in one
/// query mean the same version.
///
/// # Errors
/// When a model does not exist or is not named by constant text.
pub(crate) async fn resolve(engine: &Engine, current: &Current, query: &mut Query) -> Result<()> {
    let mut names = BTreeMap::new();
    each(query, |name| {
        names.insert(name.clone(), String::new());
        Ok(())
    })?;
    for (name, resolved) in &mut names {
        let spec = model(engine, current, name).await?;
        *resolved = serde_json::to_string(&spec).map_err(|error| {
            EngineError::invalid(format!("{spec} cannot be put into a plan: {error}"))
        })?;
    }
    if names.is_empty() {
        return Ok(());
    }
    each(query, |name| {
        if let Some(resolved) = names.get(name.as_str()) {
            name.clone_from(resolved);
        }
        Ok(())
    })
}

/// The model, or the version of one, that `text` names.
///
/// # Errors
/// When there is none.
pub(crate) async fn model(engine: &Engine, current: &Current, text: &str) -> Result<ModelSpec> {
    let (name, version) = parsed(text)?;
    engine.model(&current.table(&name), version).await
}

/// Calls `visit` with the name of the model in every call of one.
fn each(query: &mut Query, visit: impl FnMut(&mut String) -> Result<()>) -> Result<()> {
    match query.visit(&mut Calls(visit)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Calls<F>(F);

impl<F: FnMut(&mut String) -> Result<()>> VisitorMut for Calls<F> {
    type Break = EngineError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        let visited = match model_argument(call) {
            Ok(Some(name)) => (self.0)(name),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match visited {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The name of the model that `call` runs; nothing for another function, and for a call with too few arguments,
/// which planning refuses.
fn model_argument(call: &mut Function) -> Result<Option<&mut String>> {
    let function = call.name.to_string().to_lowercase();
    let Some((_, position)) = FUNCTIONS.iter().find(|(name, _)| *name == function) else {
        return Ok(None);
    };
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(None);
    };
    match list.args.get_mut(*position) {
        None => Ok(None),
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(name),
            ..
        })))) => Ok(Some(name)),
        Some(other) => Err(EngineError::invalid(format!(
            "{function}: name the model as constant text, such as 'my_model', not by {other}"
        ))),
    }
}

/// `schema.name@2` as name and version.
fn parsed(text: &str) -> Result<(Name, Option<u64>)> {
    let wrong = || {
        EngineError::invalid(format!(
            "'{text}' is not the name of a model: write 'model', 'schema.model' or 'catalog.schema.model', and \
             '@2' behind it for version 2"
        ))
    };
    let (name, version) = match text.rsplit_once('@') {
        Some((name, version)) => (name, Some(version.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    if parts.len() > 3 || parts.iter().any(String::is_empty) {
        return Err(wrong());
    }
    Ok((Name(parts), version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{Statement, parse};

    fn query(sql: &str) -> Box<Query> {
        match parse(sql).unwrap().remove(0) {
            Statement::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn models_are_found_wherever_a_query_calls_them() {
        let mut query = query(
            "WITH a AS (SELECT Image_Embed(c, 'one') FROM t) SELECT model_version('two'), lower('three') FROM a \
             WHERE EXISTS (SELECT 1 FROM u WHERE model_predict(v, 'four')[1] > 0) ORDER BY image_embed(d, 'five')",
        );
        let mut names = Vec::new();
        each(&mut query, |name| {
            names.push(name.clone());
            Ok(())
        })
        .unwrap();
        names.sort();
        assert_eq!(names, ["five", "four", "one", "two"]);
    }

    #[test]
    fn a_model_is_named_by_constant_text() {
        for argument in ["c", "$1", "'a' || 'b'", "NULL", "1"] {
            let mut query = query(&format!("SELECT image_embed(content, {argument}) FROM t"));
            let message = each(&mut query, |_| Ok(())).unwrap_err().to_string();
            assert!(message.contains("constant text"), "{message}");
        }
    }

    #[test]
    fn names_may_have_a_version() {
        let name = |parts: &[&str]| Name(parts.iter().map(ToString::to_string).collect());
        assert_eq!(parsed("m").unwrap(), (name(&["m"]), None));
        assert_eq!(parsed("s.M@12").unwrap(), (name(&["s", "M"]), Some(12)));
        for wrong in ["", "m@", "m@x", "a.b.c.d", "a..b", "@1"] {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.contains("is not the name of a model"), "{message}");
        }
    }
}
