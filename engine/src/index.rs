//! Vector indexes: what `CREATE`, `REFRESH`, `DROP` and `SHOW INDEXES` do. How an index is made and used
//! is told in the lake's module `index`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use shoal_lake::{IndexKind, IndexManifest, IndexSpec, LakeTable, Metric, Snapshot, index_node};

use crate::command::Command;
use crate::error::{EngineError, Result};
use crate::parser::{CreateIndex, Name, Statement};
use crate::plan::optimized;
use crate::planned::Planned;
use crate::scope::{FullName, Relation};
use crate::session::Session;
use crate::show::TextRow;
use crate::write::{Target, WritePlan};

/// Names become names of directories.
fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_plain) {
        true => Ok(()),
        false => Err(EngineError::invalid(format!(
            "{name} cannot be the name of an index; use letters, digits and _"
        ))),
    }
}

/// The newest version of the table that an index is of.
async fn table(session: &Arc<Session>, name: &Name) -> Result<(FullName, Arc<Snapshot>)> {
    let name = session.current().table(name);
    match session.scope().relation(&name).await? {
        Relation::Table(_, snapshot) => Ok((name, snapshot)),
        Relation::View(..) => Err(EngineError::invalid(format!(
            "{name} is a view; an index is of the table it selects from"
        ))),
    }
}

fn no_such_index(index: &str, table: &FullName) -> EngineError {
    EngineError::NotFound {
        kind: "index",
        name: format!("{index} of table {table}"),
        hint: format!("; SHOW INDEXES ON {table} lists them"),
    }
}

/// Plans the making of an index.
pub(crate) async fn plan_create(session: &Arc<Session>, create: CreateIndex) -> Result<Planned> {
    check_name(&create.name)?;
    let (name, snapshot) = table(session, &create.table).await?;
    let lake = session.engine().lake();
    if lake.index(snapshot.table(), &create.name).await?.is_some() {
        if create.if_not_exists {
            let statement = Statement::CreateIndex(create);
            return Ok(Planned::Command(Command::new(session.clone(), statement)));
        }
        return Err(already_exists(&create.name, &name.to_string()));
    }
    let manifest = manifest(&create, &name, &snapshot)?;
    let rows = lake.provider(snapshot.clone());
    plan_segments(session, &name, snapshot, manifest, rows, true).map(Planned::Write)
}

/// The error that a table has an index of that name.
pub(crate) fn already_exists(index: &str, table: &str) -> EngineError {
    EngineError::AlreadyExists {
        kind: "index",
        name: format!("{index} of table {table}"),
        hint: "write IF NOT EXISTS to leave it as it is, or REFRESH INDEX",
    }
}

fn manifest(create: &CreateIndex, name: &FullName, snapshot: &Snapshot) -> Result<IndexManifest> {
    let schema = snapshot.schema();
    let fields = schema.fields().iter();
    let field = fields
        .clone()
        .find(|field| field.name().eq_ignore_ascii_case(&create.column))
        .ok_or_else(|| {
            EngineError::not_found("column", format!("{} of table {name}", create.column))
        })?;
    let holds_vectors = match field.data_type() {
        arrow::datatypes::DataType::List(item)
        | arrow::datatypes::DataType::LargeList(item)
        | arrow::datatypes::DataType::FixedSizeList(item, _) => item.data_type().is_numeric(),
        _ => false,
    };
    if !holds_vectors {
        return Err(EngineError::invalid(format!(
            "column {} of table {name} holds {}; an index is of a column of arrays of numbers",
            field.name(),
            field.data_type()
        )));
    }
    let mut manifest = IndexManifest {
        name: create.name.clone(),
        column: field.name().clone(),
        kind: create.kind,
        metric: Metric::Cosine,
        lists: None,
        breadth: None,
        table_version: snapshot.version(),
        segments: Vec::new(),
    };
    for (key, value) in &create.options {
        let wrong = |expected: &str| {
            EngineError::invalid(format!(
                "index {}: {key} = {value} makes no sense; {key} is {expected}",
                create.name
            ))
        };
        let number = || value.parse().ok().filter(|n: &usize| *n > 0);
        match (key.to_lowercase().as_str(), create.kind) {
            ("metric", _) => {
                manifest.metric =
                    Metric::parse(value).ok_or_else(|| wrong("cosine, l2 or inner_product"))?;
            }
            ("lists", IndexKind::Ivf) => {
                manifest.lists = Some(number().ok_or_else(|| wrong("a number from 1"))?);
            }
            ("probes", IndexKind::Ivf) | ("breadth", IndexKind::Hnsw) => {
                manifest.breadth = Some(number().ok_or_else(|| wrong("a number from 1"))?);
            }
            (_, kind) => {
                let options = match kind {
                    IndexKind::Ivf => "metric, lists and probes",
                    IndexKind::Hnsw => "metric and breadth",
                };
                return Err(EngineError::invalid(format!(
                    "an {} index has no option {key}; there are {options}",
                    kind.name()
                )));
            }
        }
    }
    Ok(manifest)
}

/// Plans the covering of files that an index does not cover.
pub(crate) async fn plan_refresh(
    session: &Arc<Session>,
    index: &str,
    on: &Name,
) -> Result<Planned> {
    let (name, snapshot) = table(session, on).await?;
    let lake = session.engine().lake();
    let Some(manifest) = lake.index(snapshot.table(), index).await? else {
        return Err(no_such_index(index, &name));
    };
    if snapshot.schema().field_with_name(&manifest.column).is_err() {
        return Err(EngineError::invalid(format!(
            "table {name} has no column {} any more; drop index {index}",
            manifest.column
        )));
    }
    let covered = Arc::new(lake.covered(&snapshot, &manifest));
    let rows = lake.provider(snapshot.clone()).with_candidates(covered);
    let plan = plan_segments(session, &name, snapshot, manifest, Arc::new(rows), false)?;
    Ok(Planned::Write(plan))
}

fn plan_segments(
    session: &Arc<Session>,
    name: &FullName,
    snapshot: Arc<Snapshot>,
    manifest: IndexManifest,
    rows: Arc<LakeTable>,
    is_new: bool,
) -> Result<WritePlan> {
    let spec = IndexSpec {
        table: name.to_string(),
        location: snapshot.table().location.clone(),
        index: manifest.name.clone(),
        column: manifest.column.clone(),
        kind: manifest.kind,
        metric: manifest.metric,
        lists: manifest.lists,
    };
    let column = rows
        .schema()
        .index_of(&manifest.column)
        .map_err(datafusion::error::DataFusionError::from)?;
    let scan = LogicalPlanBuilder::scan(
        name.table.as_str(),
        provider_as_source(rows),
        Some(vec![column]),
    )?;
    let mut state = session.scope().state(&session.current())?;
    // Each task takes whole files, as many bytes as the others.
    let options = state.config_mut().options_mut();
    options.optimizer.repartition_file_scans = false;
    let plan = optimized(state, index_node(scan.build()?, spec), None)?;
    Ok(WritePlan {
        ctx: plan.ctx,
        plan: plan.plan,
        table: format!("index {} of table {name}", manifest.name),
        local_only: false,
        engine: session.engine().clone(),
        target: Target::Index {
            snapshot,
            manifest,
            is_new,
        },
    })
}

/// Removes an index.
pub(crate) async fn drop(
    session: &Arc<Session>,
    index: &str,
    on: &Name,
    if_exists: bool,
) -> Result<()> {
    let (name, snapshot) = table(session, on).await?;
    let lake = session.engine().lake();
    match check_name(index).is_ok() && lake.drop_index(snapshot.table(), index).await? {
        false if !if_exists => Err(no_such_index(index, &name)),
        _ => Ok(()),
    }
}

/// The rows of `SHOW INDEXES` for one table.
async fn rows_of(session: &Arc<Session>, on: &Name) -> Result<Vec<TextRow>> {
    let (name, snapshot) = table(session, on).await?;
    let indexes = session.engine().lake().indexes(snapshot.table()).await?;
    let row = |index: &IndexManifest| {
        let covered = index.covered_files(&snapshot);
        [
            name.to_string(),
            index.name.clone(),
            index.column.clone(),
            index.kind.name().to_string(),
            index.metric.name().to_string(),
            index.rows().to_string(),
            format!("{covered} of {}", snapshot.files().len()),
            index.table_version.to_string(),
        ]
        .map(Some)
        .to_vec()
    };
    Ok(indexes.values().map(row).collect())
}

/// The rows of `SHOW INDEXES`, of one table or of all tables of the current schema.
pub(crate) async fn show(session: &Arc<Session>, on: Option<&Name>) -> Result<Vec<TextRow>> {
    if let Some(on) = on {
        return rows_of(session, on).await;
    }
    let current = session.current();
    let listing = session.engine().listing().await?;
    let tables = listing
        .get(&current.catalog)
        .and_then(|schemas| schemas.get(&current.schema));
    let mut rows = Vec::new();
    for (table, kind) in tables.into_iter().flatten() {
        if *kind != shoal_catalog::TableKind::View {
            rows.extend(rows_of(session, &Name(vec![table.clone()])).await?);
        }
    }
    Ok(rows)
}
