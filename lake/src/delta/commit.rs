//! From changes to one new version of a Delta table.

use std::collections::{BTreeMap, HashMap, HashSet};

use delta_kernel::{
    engine::arrow_conversion::TryFromArrow as _,
    schema::{MetadataValue, StructField, StructType},
    table_properties::TableProperties,
};
use deltalake_core::{
    DeltaTableError,
    kernel::{
        Action, Add, EagerSnapshot, Metadata, MetadataExt as _, Protocol, Remove,
        transaction::{
            CommitBuilder, CommitProperties, PreCommit, TableReference, TransactionError,
        },
    },
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};

use super::{DeltaBase, failed, load::COMMENT, log_store};
use crate::{
    changes::{Changes, WriteMode},
    column_type,
    data_file::DataFile,
    error::{LakeError, Result},
    snapshot::Snapshot,
    stores::Stores,
    table::{CreateTable, TableRef},
};

/// What to do about versions that others committed after the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Race {
    /// Check them for contradictions, and commit after them.
    Retry,
    /// Let them have it: the commit is [`LakeError::Conflict`] with `lost_race`.
    Yield,
}

/// Commits the changes on top of the snapshot and returns the new version. When this returns an error other than [`LakeError::Conflict`], the caller must look
/// at the table before it deletes files: a store may have kept a commit whose answer was lost.
pub(crate) async fn commit(
    snapshot: &Snapshot,
    base: &DeltaBase,
    changes: &Changes,
    race: Race,
) -> Result<u64> {
    let table = &snapshot.table;
    let state = super::load::state(table, &base.table)?;
    let removed = files_to_remove(snapshot, &changes.mode, &changes.add)?;
    let mut actions: Vec<Action> = removed.iter().map(|f| remove(f).into()).collect();
    actions.extend(changes.add.iter().map(|f| Action::from(add(f))));
    let operation = DeltaOperation::Write {
        mode: match changes.mode {
            WriteMode::Append => SaveMode::Append,
            _ => SaveMode::Overwrite,
        },
        partition_by: Some(
            snapshot
                .partition_by
                .iter()
                .map(|p| p.name.clone())
                .collect(),
        ),
        predicate: None,
    };
    let checked = Checked::new(state)?;
    let mut commit = CommitBuilder::from(CommitProperties::default());
    if race == Race::Yield {
        commit = commit.with_max_retries(0);
    }
    let pre = commit
        .with_actions(actions)
        .build(Some(&checked), base.table.log_store(), operation);
    finish(table, pre).await
}

/// Creates the table, with its first files if there are any, in one version.
///
/// With `replace` the table may exist: its files are removed and its schema and properties are set
/// anew in that version.
pub(crate) async fn create(
    request: &CreateTable,
    files: &[DataFile],
    replace: bool,
    stores: &Stores,
) -> Result<()> {
    let table = &request.table;
    let mut actions: Vec<Action> = vec![Action::Protocol(protocol_for(request)?)];
    actions.extend(files.iter().map(|f| Action::from(add(f))));
    let mut configuration = request.properties.clone();
    for check in &request.checks {
        configuration.insert(
            format!("delta.constraints.{}", check.name),
            check.expression.clone(),
        );
    }
    let short_name = table.name.rsplit('.').next().unwrap_or(&table.name);
    let mut builder = CreateBuilder::new()
        .with_log_store(log_store(table, stores)?)
        .with_table_name(short_name)
        .with_columns(columns(request)?)
        .with_partition_columns(request.partition_by.iter().map(|p| p.name.clone()))
        .with_configuration(configuration.into_iter().map(|(k, v)| (k, Some(v))))
        .with_raise_if_key_not_exists(false)
        .with_actions(actions)
        .with_save_mode(match replace {
            true => SaveMode::Overwrite,
            false => SaveMode::ErrorIfExists,
        });
    if let Some(comment) = &request.comment {
        builder = builder.with_comment(comment);
    }
    if !replace {
        // Of two that create the table at once, delta-rs would let the second commit its own table as
        // version 1 on top of the first's.
        builder = builder.with_commit_properties(CommitProperties::default().with_max_retries(0));
    }
    match builder.await {
        Ok(_) => Ok(()),
        Err(DeltaTableError::Transaction {
            source: TransactionError::MaxCommitAttempts(_),
        }) if !replace => Err(already_exists(table)),
        Err(error) if error.to_string().contains("already exists") => Err(already_exists(table)),
        Err(error) => Err(failed(table, "creating the Delta table")(error)),
    }
}

fn already_exists(table: &TableRef) -> LakeError {
    LakeError::AlreadyExists {
        table: table.name.clone(),
        location: table.location.to_string(),
    }
}

/// Commits new table properties and comment; `None` removes a property.
pub(crate) async fn set_properties(
    snapshot: &Snapshot,
    base: &DeltaBase,
    properties: &BTreeMap<String, Option<String>>,
    comment: Option<&str>,
) -> Result<u64> {
    let table = &snapshot.table;
    let state = super::load::state(table, &base.table)?;
    let wrong = failed(table, "changing the table's properties");
    let changed = (|| -> Result<_, DeltaTableError> {
        let mut metadata = state.metadata().clone();
        for (key, value) in properties {
            metadata = match value {
                Some(value) => metadata.add_config_key(key.clone(), value.clone())?,
                None => metadata.remove_config_key(key)?,
            };
        }
        match comment {
            Some(comment) => Ok(metadata.with_description(comment.to_string())?),
            None => Ok(metadata),
        }
    })()
    .map_err(wrong)?;
    let operation = DeltaOperation::SetTableProperties {
        properties: properties
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect(),
    };
    let checked = Checked::new(state)?;
    let pre = CommitBuilder::from(CommitProperties::default())
        .with_actions(vec![Action::Metadata(changed)])
        .build(Some(&checked), base.table.log_store(), operation);
    finish(table, pre).await
}

/// Runs the commit. What follows it (checkpoint, log cleanup) may fail without failing the commit.
async fn finish(table: &TableRef, pre: PreCommit<'_>) -> Result<u64> {
    let committed = async { pre.into_prepared_commit_future().await?.await }.await;
    let post = committed.map_err(|error| match error {
        DeltaTableError::Transaction {
            source: TransactionError::CommitConflict(reason),
        } => LakeError::Conflict {
            table: table.name.clone(),
            reason: reason.to_string(),
            lost_race: false,
        },
        DeltaTableError::Transaction {
            source: TransactionError::MaxCommitAttempts(attempts),
        } => LakeError::Conflict {
            table: table.name.clone(),
            reason: format!("{attempts} attempts to commit all lost the race to other writers"),
            lost_race: true,
        },
        DeltaTableError::Transaction {
            source: TransactionError::DeltaTableAppendOnly,
        } => LakeError::Unsupported {
            table: table.name.clone(),
            feature:
                "it is append-only (delta.appendOnly), so rows cannot be removed or overwritten"
                    .into(),
        },
        other => failed(table, "committing to the Delta log")(other),
    })?;
    let version = post.version;
    if let Err(error) = post.await {
        tracing::warn!(
            table = table.name,
            version,
            "the commit stands, but what follows it failed: {error}"
        );
    }
    Ok(version)
}

/// A table whose writer features [`super::check_writable`] has checked and Shoal's own writer keeps.
/// delta-rs, built without a writer, knows none of them and would refuse the commit.
struct Checked<'a> {
    state: &'a DeltaTableState,
    protocol: Protocol,
}

impl<'a> Checked<'a> {
    fn new(state: &'a DeltaTableState) -> Result<Self> {
        let protocol = serde_json::json!({
            "minReaderVersion": 3, "readerFeatures": [],
            "minWriterVersion": 7, "writerFeatures": ["appendOnly"],
        });
        let protocol = serde_json::from_value(protocol)
            .map_err(|e| LakeError::Invalid(format!("building a Delta protocol: {e}")))?;
        Ok(Checked { state, protocol })
    }
}

impl TableReference for Checked<'_> {
    fn config(&self) -> &TableProperties {
        TableReference::config(self.state)
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn metadata(&self) -> &Metadata {
        TableReference::metadata(self.state)
    }

    fn eager_snapshot(&self) -> &EagerSnapshot {
        TableReference::eager_snapshot(self.state)
    }
}

/// Files of the snapshot that a write of that mode takes out of the table.
fn files_to_remove<'a>(
    snapshot: &'a Snapshot,
    mode: &WriteMode,
    added: &[DataFile],
) -> Result<Vec<&'a DataFile>> {
    let all = snapshot.files.iter().map(AsRef::as_ref);
    Ok(match mode {
        WriteMode::Append => vec![],
        WriteMode::Overwrite => all.collect(),
        WriteMode::OverwritePartition(values) => all
            .filter(|f| {
                values
                    .iter()
                    .all(|(name, value)| f.partition.get(name).is_some_and(|v| v == value))
            })
            .collect(),
        WriteMode::OverwriteTouchedPartitions => {
            let touched: HashSet<_> = added.iter().map(|f| &f.partition).collect();
            all.filter(|f| touched.contains(&f.partition)).collect()
        }
    })
}

fn add(file: &DataFile) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: file
            .partition
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: file.modified_ms,
        data_change: true,
        stats: file.stats.clone(),
        ..Add::default()
    }
}

fn remove(file: &DataFile) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(
            file.partition
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        ),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    }
}

/// The lowest protocol that has what the table asks for (protocol section "Writer Version Requirements").
fn protocol_for(request: &CreateTable) -> Result<Protocol> {
    let writer = match (request.generated.is_empty(), request.checks.is_empty()) {
        (false, _) => 4,
        (true, false) => 3,
        (true, true) => 2,
    };
    serde_json::from_value(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": writer}))
        .map_err(|e| {
            LakeError::Invalid(format!(
                "building the protocol of {}: {e}",
                request.table.name
            ))
        })
}

fn columns(request: &CreateTable) -> Result<Vec<StructField>> {
    let schema = StructType::try_from_arrow(request.schema.as_ref()).map_err(|e| {
        LakeError::Invalid(format!(
            "table {} cannot be a Delta table: {e}",
            request.table.name
        ))
    })?;
    let generated: HashMap<&str, &str> = request
        .generated
        .iter()
        .map(|g| (g.name.as_str(), g.expression.as_str()))
        .collect();
    Ok(schema
        .fields()
        .zip(request.schema.fields())
        .map(|(field, column)| {
            let mut metadata: Vec<(String, MetadataValue)> = vec![];
            if let Some(note) = column_type::note(column) {
                metadata.push((column_type::DELTA_KEY.into(), MetadataValue::String(note)));
            }
            if let Some(MetadataValue::String(comment)) = field.metadata().get(COMMENT) {
                metadata.push((COMMENT.into(), MetadataValue::String(comment.clone())));
            }
            if let Some(expression) = generated.get(field.name().as_str()) {
                metadata.push((
                    "delta.generationExpression".into(),
                    MetadataValue::String((*expression).to_string()),
                ));
            }
            field.clone().with_metadata(metadata)
        })
        .collect())
}
