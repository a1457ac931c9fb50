//! Statements about models: `CREATE`, `DROP`, `SHOW`, `DESCRIBE`. A model is looked at once, when it is
//! created; what running it takes is kept in the catalog, and [`crate::model_calls`] puts it into plans.

use chrono::{DateTime, SecondsFormat};
use shoal_catalog::{CreateMode, ModelEntry};
use shoal_config::ByteSize;
use shoal_models::{Input, ModelOptions, ModelSpec, PictureInput};
use url::Url;

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::parser::{CreateModel, ModelName, Name};
use crate::place::location_url;
use crate::scope::{Current, FullName, nearest};
use crate::session::Session;
use crate::show::{TextRow, matches, row};

/// `CREATE MODEL`: fetches the file, checks that it runs, and enters it in the catalog.
pub(crate) async fn create(session: &Session, model: &CreateModel) -> Result<()> {
    let engine = session.engine();
    let name = session.current().table(&model.name);
    engine.refuse_in_attached(&name.catalog, "a model")?;
    let schema = Current {
        catalog: name.catalog.clone(),
        schema: name.schema.clone(),
    };
    engine.schema_entry(&schema).await?;
    let there = engine
        .catalog()
        .model(&name.catalog, &name.schema, &name.table, None)
        .await?;
    match there {
        Some(_) if model.if_not_exists => return Ok(()),
        Some(_) if !model.or_replace => return Err(already_exists(&name)),
        _ => {}
    }
    let location = file_url(&model.location)?;
    let options = ModelOptions::parse(&model.options)?;
    let (spec, bytes) = engine
        .models()
        .inspect(&name.to_string(), &location, &options)
        .await?;
    let entry = ModelEntry {
        catalog: name.catalog.clone(),
        schema: name.schema.clone(),
        name: name.table.clone(),
        version: spec.version,
        location: spec.location.clone(),
        hash: spec.hash.clone(),
        bytes,
        definition: definition(&spec)?,
        comment: model.comment.clone(),
        created_at_ms: chrono::Utc::now().timestamp_millis(),
    };
    let mode = match (model.or_replace, model.if_not_exists) {
        (true, _) => CreateMode::Replace,
        (false, true) => CreateMode::IfNotExists,
        (false, false) => CreateMode::Fail,
    };
    let created = engine
        .catalog()
        .create_model(&entry, mode)
        .await
        .map_err(EngineError::from);
    match created {
        Err(error) if error.is_already_exists() => Err(already_exists(&name)),
        created => created.map(|_| ()),
    }
}

/// `DROP MODEL`: all versions.
pub(crate) async fn drop(session: &Session, name: &Name, if_exists: bool) -> Result<()> {
    let engine = session.engine();
    let name = session.current().table(name);
    let dropped = engine
        .catalog()
        .drop_model(&name.catalog, &name.schema, &name.table)
        .await?;
    match dropped || if_exists {
        true => Ok(()),
        false => Err(engine.no_such_model(&name, None).await?),
    }
}

/// `SHOW MODELS`: the newest version of each.
pub(crate) async fn show(
    session: &Session,
    schema: Option<&Name>,
    pattern: Option<&str>,
) -> Result<Vec<TextRow>> {
    let schema = session.current().schema(schema);
    let engine = session.engine();
    engine.schema_entry(&schema).await?;
    let mut rows = Vec::new();
    for entry in engine
        .catalog()
        .models(&schema.catalog, &schema.schema)
        .await?
    {
        if !matches(&entry.name, pattern) {
            continue;
        }
        let spec = spec_of(&entry)?;
        let version = entry.version.to_string();
        let mut texts = row(&[
            &entry.schema,
            &entry.name,
            &version,
            &input_text(&spec),
            &output_text(&spec),
        ]);
        texts.push(entry.comment);
        rows.push(texts);
    }
    Ok(rows)
}

/// `DESCRIBE MODEL`: one row per thing to know.
pub(crate) async fn describe(session: &Session, model: &ModelName) -> Result<Vec<TextRow>> {
    let engine = session.engine();
    let name = session.current().table(&model.name);
    let versions = engine
        .catalog()
        .model_versions(&name.catalog, &name.schema, &name.table)
        .await?;
    let numbers: Vec<String> = versions
        .iter()
        .map(|entry| entry.version.to_string())
        .collect();
    let wanted = |entry: &&ModelEntry| model.version.is_none_or(|version| version == entry.version);
    let Some(entry) = versions.iter().rev().find(wanted) else {
        return Err(engine.no_such_model(&name, model.version).await?);
    };
    let spec = spec_of(entry)?;
    let created = DateTime::from_timestamp_millis(entry.created_at_ms)
        .map_or_else(String::new, |time| {
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        });
    let mut rows = vec![
        row(&["Catalog", &entry.catalog]),
        row(&["Database", &entry.schema]),
        row(&["Model", &entry.name]),
        row(&["Version", &entry.version.to_string()]),
        row(&["Versions", &numbers.join(", ")]),
        row(&["Version Text", &spec.version_text()]),
        row(&["Created Time", &created]),
        row(&["Location", &entry.location]),
        row(&["Hash", &entry.hash]),
        row(&["Size", &ByteSize(entry.bytes).to_string()]),
        row(&["Input", &input_text(&spec)]),
    ];
    if let Input::Image(picture) = &spec.input {
        rows.extend(picture_rows(picture));
    }
    rows.push(row(&["Output", &output_text(&spec)]));
    if let Some(comment) = &entry.comment {
        rows.push(row(&["Comment", comment]));
    }
    Ok(rows)
}

/// The options of pictures under their own names.
fn picture_rows(picture: &PictureInput) -> Vec<TextRow> {
    let word = |choice: String| choice.to_lowercase();
    let numbers = |numbers: &[f32]| {
        let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
        numbers.join(", ")
    };
    vec![
        row(&["fit", &word(format!("{:?}", picture.fit))]),
        row(&["color", &format!("{:?}", picture.color).to_uppercase()]),
        row(&["layout", &format!("{:?}", picture.layout).to_uppercase()]),
        row(&["mean", &numbers(&picture.mean)]),
        row(&["std", &numbers(&picture.std)]),
    ]
}

fn input_text(spec: &ModelSpec) -> String {
    match &spec.input {
        Input::Image(picture) => format!("image {} x {}", picture.width, picture.height),
        Input::Vector { length } => format!("vector of {length}"),
    }
}

fn output_text(spec: &ModelSpec) -> String {
    format!("{}, vector of {}", spec.output, spec.length)
}

fn already_exists(name: &FullName) -> EngineError {
    EngineError::AlreadyExists {
        kind: "model",
        name: name.to_string(),
        hint: "write CREATE OR REPLACE MODEL for another version, or IF NOT EXISTS to leave it as it is",
    }
}

/// The URL of one file, given as URL or absolute path.
fn file_url(location: &str) -> Result<Url> {
    let mut url = location_url(location)?;
    if !location.ends_with('/')
        && let Ok(mut segments) = url.path_segments_mut()
    {
        segments.pop_if_empty();
    }
    Ok(url)
}

fn definition(spec: &ModelSpec) -> Result<String> {
    serde_json::to_string(spec)
        .map_err(|error| EngineError::invalid(format!("{spec} cannot be kept: {error}")))
}

/// What running the version of `entry` takes.
pub(crate) fn spec_of(entry: &ModelEntry) -> Result<ModelSpec> {
    let mut spec: ModelSpec = serde_json::from_str(&entry.definition).map_err(|error| {
        EngineError::invalid(format!(
            "the catalog's entry of model {}@{} cannot be read ({error}); make a new version with CREATE OR \
             REPLACE MODEL",
            entry.full_name(),
            entry.version
        ))
    })?;
    spec.version = entry.version;
    Ok(spec)
}

impl Engine {
    /// A version of a model, the newest if none is given.
    ///
    /// # Errors
    /// When there is none, with the nearest name or the versions there are.
    pub(crate) async fn model(&self, name: &FullName, version: Option<u64>) -> Result<ModelSpec> {
        let entry = self
            .catalog()
            .model(&name.catalog, &name.schema, &name.table, version)
            .await?;
        match entry {
            Some(entry) => spec_of(&entry),
            None => Err(self.no_such_model(name, version).await?),
        }
    }

    async fn no_such_model(&self, name: &FullName, version: Option<u64>) -> Result<EngineError> {
        let catalog = self.catalog();
        let versions = catalog
            .model_versions(&name.catalog, &name.schema, &name.table)
            .await?;
        if let (Some(version), Some(newest)) = (version, versions.last()) {
            return Ok(EngineError::NotFound {
                kind: "model",
                name: format!("{name}@{version}"),
                hint: format!("; its newest version is {}", newest.version),
            });
        }
        let others = catalog.models(&name.catalog, &name.schema).await?;
        let near = nearest(&name.table, others.iter().map(|other| other.name.as_str()));
        Ok(EngineError::NotFound {
            kind: "model",
            name: name.to_string(),
            hint: near.map_or_else(
                || "; SHOW MODELS lists those of a schema".to_owned(),
                |near| format!("; did you mean {near}?"),
            ),
        })
    }
}
