//! `read_images('location' [, …])`: the files below a folder or an object-store prefix, or those that a glob
//! names, as rows.
//!
//! | column | |
//! |---|---|
//! | path | URL |
//! | size | bytes |
//! | last_modified | |
//! | content | the bytes; NULL for a file larger than `images.max_file_bytes`, and for a local one that is no picture |
//! | width, height, format | from the header; NULL for what is no picture |
//!
//! Listing takes time, and DataFusion asks for a table function's rows in passing. So the files of all calls
//! in a statement are listed before it is planned. A file is read only where a query uses its content or
//! header, and conditions on path, size and time are decided before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlanBuilder, col};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, TableFactor, Value, VisitMut,
    VisitorMut,
};
use shoal_lake::{ImageFiles, ImageObject, Wanted, image_limits, list_images, split_pattern};
use url::{Position, Url};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::place::location_url;

/// Its name in SQL.
pub(crate) const NAME: &str = "read_images";

/// Most bytes that the names of the files of one statement take in its plan. They travel to every executor in one
/// message, which must stay below 256 MiB, and take some five times as much in the scheduler's memory.
const MOST_BYTES: u64 = 128 << 20;

/// What it does, for `SHOW FUNCTIONS`.
pub(crate) const USAGE: &str = "read_images('location' [, …]): the files below a folder or an object-store prefix, or those a \
     glob such as 's3://bucket/**/*.jpg' names, as rows of path, size, last_modified, content, width, height \
     and format.";

/// Lists the files of every call in `query` and makes `state` know them.
///
/// # Errors
/// When a location is no text, is in no store that Shoal reaches, or has no files, and when there are too many.
pub(crate) async fn list(
    engine: &Engine,
    query: &mut Query,
    state: &mut SessionState,
) -> Result<()> {
    let mut calls = Calls::default();
    if let ControlFlow::Break(error) = query.visit(&mut calls) {
        return Err(error);
    }
    if calls.0.is_empty() {
        return Ok(());
    }
    let mut listed = Listed::default();
    let mut room = Room(MOST_BYTES);
    for locations in calls.0 {
        if let Entry::Vacant(call) = listed.0.entry(locations) {
            let rows = rows(engine, call.key(), &mut room).await?;
            call.insert(Arc::new(rows));
        }
    }
    state.register_udtf(NAME, Arc::new(listed));
    Ok(())
}

/// The rows of each call, by its locations.
#[derive(Debug, Default)]
struct Listed(HashMap<Vec<String>, Arc<ViewTable>>);

impl TableFunctionImpl for Listed {
    fn call_with_args(
        &self,
        args: TableFunctionArgs,
    ) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let location = |argument: &LogicalExpr| match argument {
            LogicalExpr::Literal(value, _) => value.try_as_str().flatten().map(str::to_string),
            _ => None,
        };
        let locations: Option<Vec<String>> = args.exprs().iter().map(location).collect();
        match locations.and_then(|locations| self.0.get(&locations)) {
            Some(rows) => Ok(rows.clone()),
            None => plan_err!("{NAME} stands in the FROM of a query, with locations as text"),
        }
    }
}

/// Finds calls and writes their locations as plain text arguments.
#[derive(Default)]
struct Calls(Vec<Vec<String>>);

impl VisitorMut for Calls {
    type Break = EngineError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        let TableFactor::Table {
            name,
            args: Some(arguments),
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        if !name.to_string().eq_ignore_ascii_case(NAME) {
            return ControlFlow::Continue(());
        }
        let given: Option<Vec<Vec<String>>> = arguments.args.iter().map(locations_of).collect();
        let locations = given.unwrap_or_default().concat();
        if locations.is_empty() {
            return ControlFlow::Break(EngineError::invalid(format!(
                "{NAME} takes locations as text or as an array of text, such as \
                 {NAME}('s3://bucket/photos/**/*.jpg'), not {NAME}({})",
                comma_separated(&arguments.args)
            )));
        }
        let text = |location: &String| {
            let value = Value::SingleQuotedString(location.clone());
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value.into())))
        };
        arguments.args = locations.iter().map(text).collect();
        self.0.push(locations);
        ControlFlow::Continue(())
    }
}

fn comma_separated(arguments: &[FunctionArg]) -> String {
    let texts: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn locations_of(argument: &FunctionArg) -> Option<Vec<String>> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Array(array))) => {
            array.elem.iter().map(text).collect()
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(call)))
            if call.name.to_string().eq_ignore_ascii_case("array") =>
        {
            let FunctionArguments::List(items) = &call.args else {
                return None;
            };
            let lists: Option<Vec<Vec<String>>> = items.args.iter().map(locations_of).collect();
            lists.map(|lists| lists.concat())
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(vec![text(value)?]),
        _ => None,
    }
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => value.clone().into_string(),
        _ => None,
    }
}

/// What the files of a statement may still take in its plan.
struct Room(u64);

impl Room {
    fn take(&mut self, object: &ImageObject, location: &str) -> Result<()> {
        let Some(left) = self.0.checked_sub(object.plan_bytes()) else {
            return Err(EngineError::invalid(format!(
                "{NAME}: there are too many files at {location} to name them all in the plan of one query, which \
                 has room for about half a million; narrow the location, or take the files into a table with \
                 COPY INTO … FILEFORMAT = IMAGE, which has no such limit, and query that"
            )));
        };
        self.0 = left;
        Ok(())
    }
}

/// The files at `locations` as a table, each once.
async fn rows(engine: &Engine, locations: &[String], room: &mut Room) -> Result<ViewTable> {
    let mut store: Option<Url> = None;
    let mut objects: Vec<ImageObject> = Vec::new();
    for location in locations {
        let (folder, pattern) = split_pattern(location);
        let folder = location_url(folder)?;
        let first = store.get_or_insert_with(|| folder.clone());
        if first[..Position::BeforePath] != folder[..Position::BeforePath] {
            return Err(EngineError::invalid(format!(
                "{NAME}: {first} and {folder} are in two stores; call it once for each, with UNION ALL"
            )));
        }
        list_images(engine.lake().stores(), &folder, pattern, |object| {
            room.take(&object, folder.as_str())?;
            objects.push(object);
            Ok::<(), EngineError>(())
        })
        .await?;
    }
    let Some(store) = store else {
        return Err(EngineError::invalid(format!("{NAME} needs a location")));
    };
    objects.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    objects.dedup_by(|a, b| a.meta.location == b.meta.location);
    let limits = image_limits(&engine.settings().images);
    let files = ImageFiles::new(store, objects, limits, Wanted::Everything);
    let header = |field: &str| col("metadata").field(field).alias(field);
    let plan = LogicalPlanBuilder::scan(NAME, provider_as_source(Arc::new(files)), None)?
        .project(vec![
            col("filename").alias("path"),
            col("size"),
            col("created_at").alias("last_modified"),
            col("content"),
            header("width"),
            header("height"),
            header("format"),
        ])?
        .build()?;
    Ok(ViewTable::new(plan, None))
}

#[cfg(test)]
mod tests {
    use shoal_config::Storage;
    use shoal_lake::Stores;

    use super::*;

    #[tokio::test]
    async fn a_statement_has_room_for_so_many_files_and_the_error_names_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.jpg", "c.jpg"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let url = Url::from_directory_path(folder.path()).unwrap();
        let stores = Stores::new(&Storage::default(), 0);
        let mut objects = Vec::new();
        let take = |object| {
            objects.push(object);
            Ok::<(), EngineError>(())
        };
        list_images(&stores, &url, None, take).await.unwrap();
        let taken = |room: u64| -> Result<()> {
            let mut room = Room(room);
            objects
                .iter()
                .try_for_each(|object| room.take(object, url.as_str()))
        };
        let all = objects.iter().map(ImageObject::plan_bytes).sum();
        assert_eq!(objects.len(), 3);
        taken(all).unwrap();
        let error = taken(all - 1).unwrap_err().to_string();
        assert!(
            error.contains(url.as_str()) && error.contains("COPY INTO"),
            "{error}"
        );
    }
}
