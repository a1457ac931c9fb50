//! The functions there are, in words: `SHOW FUNCTIONS` and `DESCRIBE FUNCTION`.

use std::collections::BTreeMap;

use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Documentation;

use crate::error::{EngineError, Result};
use crate::read_images;
use crate::scope::nearest;
use crate::search::TABLE_FUNCTIONS;
use crate::show::{TextRow, row};
use crate::spark_names::{EXPANDED, RENAMED};

/// Every function's name and what it does, in order of name. Empty where nothing is written.
pub(crate) fn all(state: &SessionState) -> Vec<(String, String)> {
    let mut all = BTreeMap::new();
    for (name, documentation) in documented(state) {
        let text = documentation.map_or_else(String::new, |d| first_line(&d.description));
        all.insert(name.to_string(), text);
    }
    for (name, ours) in RENAMED {
        all.insert(name.to_string(), format!("Same as {ours}."));
    }
    for (name, _, expression) in EXPANDED {
        all.insert(name.to_string(), format!("Same as {expression}."));
    }
    let ours = TABLE_FUNCTIONS.map(|(name, text)| (name.to_string(), text.to_string()));
    all.extend(ours);
    all.insert(
        read_images::NAME.to_string(),
        read_images::USAGE.to_string(),
    );
    all.into_iter().collect()
}

fn documented(state: &SessionState) -> Vec<(&str, Option<&Documentation>)> {
    let scalar = state.scalar_functions().iter();
    let scalar = scalar
        .filter(|(name, _)| !shoal_udfs::is_internal_function(name))
        .map(|(name, f)| (name.as_str(), f.documentation()));
    let aggregate = state.aggregate_functions().iter();
    let aggregate = aggregate.map(|(name, f)| (name.as_str(), f.documentation()));
    let window = state.window_functions().iter();
    let window = window.map(|(name, f)| (name.as_str(), f.documentation()));
    let table = state.table_functions().keys();
    let table = table.map(|name| (name.as_str(), None));
    scalar.chain(aggregate).chain(window).chain(table).collect()
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().to_string()
}

/// `DESCRIBE FUNCTION`: one line of text per row.
///
/// # Errors
/// When there is no such function, with the nearest name.
pub(crate) fn describe(state: &SessionState, name: &str, extended: bool) -> Result<Vec<TextRow>> {
    let lower = name.to_lowercase();
    let all = all(state);
    if !all.iter().any(|(name, _)| *name == lower) {
        let near = nearest(&lower, all.iter().map(|(name, _)| name.as_str()));
        return Err(EngineError::NotFound {
            kind: "function",
            name: lower.clone(),
            hint: near.map_or_else(
                || "; SHOW FUNCTIONS lists them".into(),
                |near| format!("; did you mean {near}?"),
            ),
        });
    }
    let mut lines = vec![format!("Function: {lower}")];
    let documentation = documented(state)
        .into_iter()
        .find(|(name, _)| *name == lower)
        .and_then(|(_, documentation)| documentation);
    match documentation {
        Some(documentation) => lines.extend(page(documentation, extended)),
        None => {
            let text = all.into_iter().find(|(name, _)| *name == lower);
            lines.extend(text.map(|(_, text)| text).filter(|text| !text.is_empty()));
        }
    }
    Ok(lines.iter().map(|line| row(&[line])).collect())
}

fn page(documentation: &Documentation, extended: bool) -> Vec<String> {
    let mut lines = vec![
        format!("Usage: {}", documentation.syntax_example),
        documentation.description.trim().to_string(),
    ];
    for (name, description) in documentation.arguments.iter().flatten() {
        lines.push(format!("  {name}: {description}"));
    }
    if extended {
        let example = documentation.sql_example.as_deref().unwrap_or_default();
        lines.extend(example.trim().lines().map(str::to_string));
    }
    lines
}
