//! From the Delta log to a snapshot, from scratch or from an older snapshot.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use delta_kernel::{
    engine::arrow_conversion::TryIntoArrow as _,
    schema::{MetadataValue, StructType},
};
use deltalake_core::{
    DeltaTable,
    kernel::{Action, Add, LogicalFileView, Version},
    logstore::{LogStoreRef, get_actions},
    table::state::DeltaTableState,
};
use futures::TryStreamExt;
use object_store::path::Path;

use super::{CommitFile, DeltaBase, failed, log_store, protocol};
use crate::{
    column_type::{DELTA_KEY, noted_schema},
    data_file::DataFile,
    error::{LakeError, Result},
    snapshot::{Base, Snapshot},
    stores::Stores,
    table::{CheckConstraint, GeneratedColumn, PartitionField, TableRef},
};

const GENERATION_EXPRESSION: &str = "delta.generationExpression";
const INVARIANTS: &str = "delta.invariants";
const CONSTRAINT_PREFIX: &str = "delta.constraints.";
/// Column comments are kept under this key by Delta and by Arrow schemas here.
pub(crate) const COMMENT: &str = "comment";

/// The newest snapshot of the table.
///
/// `cached` is an older snapshot of the same location: it is returned as it is when nothing was
/// committed since, and brought forward by reading only the newer commits otherwise. One listing of
/// the newest part of the log decides; a table that was deleted and created anew is read from scratch.
pub(crate) async fn load(
    table: &TableRef,
    stores: &Stores,
    cached: Option<&Arc<Snapshot>>,
) -> Result<Arc<Snapshot>> {
    if let Some((snapshot, base)) = cached.map(|s| (s, &s.base))
        && let Base::Delta(base) = base
        && let Some(snapshot) = bring_forward(table, snapshot, base).await?
    {
        return Ok(snapshot);
    }
    load_afresh(table, log_store(table, stores)?).await
}

/// Whether a Delta log lies at the location.
pub(crate) async fn exists(table: &TableRef, stores: &Stores) -> Result<bool> {
    log_store(table, stores)?
        .is_delta_table_location()
        .await
        .map_err(failed(table, "looking for the Delta log"))
}

async fn load_afresh(table: &TableRef, log_store: LogStoreRef) -> Result<Arc<Snapshot>> {
    let mut delta = DeltaTable::new(log_store.clone());
    if let Err(error) = delta.load().await {
        return Err(match log_store.is_delta_table_location().await {
            Ok(false) => LakeError::NotATable {
                table: table.name.clone(),
                format: table.format.name(),
                location: table.location.to_string(),
            },
            _ => failed(table, "reading the Delta log")(error),
        });
    }
    let state = state(table, &delta)?;
    protocol::check_readable(table, state.protocol())?;
    let views: Vec<LogicalFileView> = state
        .snapshot()
        .file_views(log_store.as_ref(), None)
        .try_collect()
        .await
        .map_err(failed(table, "listing the data files"))?;
    let mut files = Vec::with_capacity(views.len());
    for view in &views {
        if view.deletion_vector_descriptor().is_some() {
            return Err(deletion_vectors(table));
        }
        files.push(Arc::new(DataFile {
            path: view.path().into_owned(),
            size: view.size().unsigned_abs(),
            modified_ms: view.modification_time(),
            partition: view.partition_values_map().into_iter().collect(),
            stats: view.stats(),
            rows: view.num_records().map(|n| n as u64),
        }));
    }
    let commit_file = newest_commits(&log_store, state.version())
        .await?
        .into_iter()
        .find(|c| c.version == state.version());
    assemble(table, delta, files, commit_file)
}

/// The snapshot with newer commits applied; `None` when it has to be read from scratch.
async fn bring_forward(
    table: &TableRef,
    snapshot: &Arc<Snapshot>,
    base: &DeltaBase,
) -> Result<Option<Arc<Snapshot>>> {
    let log_store = base.table.log_store();
    let Some(known) = &base.commit_file else {
        return Ok(None);
    };
    let commits = newest_commits(&log_store, known.version).await?;
    if commits.first() != Some(known) {
        return Ok(None);
    }
    let Some(newest) = commits.last().filter(|c| c.version > known.version) else {
        return Ok(Some(snapshot.clone()));
    };
    let Some(files) = apply_commits(table, &log_store, snapshot, &commits[1..]).await? else {
        return Ok(None);
    };
    let mut delta = base.table.clone();
    delta
        .update_incremental(Some(newest.version))
        .await
        .map_err(failed(table, "reading new commits of the Delta log"))?;
    assemble(table, delta, files, Some(newest.clone())).map(Some)
}

/// Commit files from `version` on, in order.
async fn newest_commits(log_store: &LogStoreRef, version: Version) -> Result<Vec<CommitFile>> {
    let store = log_store.object_store(None);
    let log = Path::from("_delta_log");
    let from = Path::from(format!("_delta_log/{version:020}"));
    let objects: Vec<_> = store
        .list_with_offset(Some(&log), &from)
        .try_collect()
        .await
        .map_err(LakeError::store(format!(
            "listing the Delta log of {}",
            log_store.root_url()
        )))?;
    let mut commits: Vec<CommitFile> = objects.iter().filter_map(CommitFile::of).collect();
    commits.sort_by_key(|c| c.version);
    Ok(commits)
}

/// The data files after the commits; `None` when a commit changes more than data files.
async fn apply_commits(
    table: &TableRef,
    log_store: &LogStoreRef,
    snapshot: &Snapshot,
    commits: &[CommitFile],
) -> Result<Option<Vec<Arc<DataFile>>>> {
    let mut removed: HashSet<String> = HashSet::new();
    let mut added: HashMap<String, Arc<DataFile>> = HashMap::new();
    for commit in commits {
        let bytes = log_store
            .read_commit_entry(commit.version)
            .await
            .map_err(failed(table, "reading a commit of the Delta log"))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let actions = get_actions(commit.version, &bytes)
            .map_err(failed(table, "reading a commit of the Delta log"))?;
        for action in actions {
            match action {
                Action::Add(add) if add.deletion_vector.is_some() => {
                    return Err(deletion_vectors(table));
                }
                Action::Add(add) => {
                    added.insert(add.path.clone(), Arc::new(data_file(add)));
                }
                Action::Remove(remove) => {
                    added.remove(&remove.path);
                    removed.insert(remove.path);
                }
                Action::Metadata(_) | Action::Protocol(_) => return Ok(None),
                _ => {}
            }
        }
    }
    let mut files: Vec<Arc<DataFile>> = snapshot
        .files
        .iter()
        .filter(|f| !removed.contains(&f.path) && !added.contains_key(&f.path))
        .cloned()
        .collect();
    files.extend(added.into_values());
    Ok(Some(files))
}

fn data_file(add: Add) -> DataFile {
    DataFile {
        path: add.path,
        size: add.size.unsigned_abs(),
        modified_ms: add.modification_time,
        partition: add.partition_values.into_iter().collect(),
        rows: None,
        stats: add.stats,
    }
}

fn deletion_vectors(table: &TableRef) -> LakeError {
    LakeError::Unsupported {
        table: table.name.clone(),
        feature: "it holds deletion vectors (table feature deletionVectors), which Shoal does not read yet; \
                  rewrite the table without them, in Spark with REORG TABLE … APPLY (PURGE)"
            .into(),
    }
}

pub(super) fn state<'a>(table: &TableRef, delta: &'a DeltaTable) -> Result<&'a DeltaTableState> {
    delta
        .snapshot()
        .map_err(failed(table, "reading the Delta log"))
}

fn assemble(
    table: &TableRef,
    delta: DeltaTable,
    files: Vec<Arc<DataFile>>,
    commit_file: Option<CommitFile>,
) -> Result<Arc<Snapshot>> {
    let state = state(table, &delta)?;
    let kernel_schema = state.schema();
    let metadata = state.metadata();
    let properties: BTreeMap<String, String> = metadata
        .configuration()
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut checks: Vec<CheckConstraint> = properties
        .iter()
        .filter_map(|(key, expression)| {
            Some(CheckConstraint {
                name: key.strip_prefix(CONSTRAINT_PREFIX)?.to_string(),
                expression: expression.clone(),
            })
        })
        .collect();
    checks.extend(invariants(&kernel_schema));
    Ok(Arc::new(Snapshot {
        table: table.clone(),
        version: state.version(),
        schema: arrow_schema(table, &kernel_schema)?,
        partition_by: metadata
            .partition_columns()
            .iter()
            .map(PartitionField::identity)
            .collect(),
        generated: generated_columns(&kernel_schema),
        checks,
        comment: metadata.description().map(str::to_string),
        properties,
        files: Arc::new(files),
        stats: OnceLock::new(),
        base: Base::Delta(DeltaBase {
            table: delta,
            commit_file,
        }),
    }))
}

/// The table's schema in Arrow's types; of the fields' metadata comments and notes on types are kept,
/// the latter as the types they tell.
fn arrow_schema(table: &TableRef, schema: &StructType) -> Result<SchemaRef> {
    let arrow: Schema = schema
        .try_into_arrow()
        .map_err(|e| LakeError::Unsupported {
            table: table.name.clone(),
            feature: format!("its schema has a type that Shoal cannot read: {e}"),
        })?;
    let fields: Vec<Field> = arrow
        .fields()
        .iter()
        .map(|field| {
            let comment = field.metadata().get(COMMENT).cloned();
            field.as_ref().clone().with_metadata(
                comment
                    .map(|c| (COMMENT.to_string(), c))
                    .into_iter()
                    .collect(),
            )
        })
        .collect();
    let commented = Schema::new(fields);
    Ok(Arc::new(noted_schema(&commented, |field| {
        let stored = arrow.field_with_name(field.name()).ok()?;
        stored.metadata().get(DELTA_KEY)
    })))
}

fn text(value: &MetadataValue) -> Option<String> {
    match value {
        MetadataValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn generated_columns(schema: &StructType) -> Vec<GeneratedColumn> {
    schema
        .fields()
        .filter_map(|field| {
            Some(GeneratedColumn {
                name: field.name().clone(),
                expression: text(field.metadata().get(GENERATION_EXPRESSION)?)?,
            })
        })
        .collect()
}

/// Column invariants (protocol section "Column Invariants"), which read like CHECK constraints.
fn invariants(schema: &StructType) -> Vec<CheckConstraint> {
    schema
        .fields()
        .filter_map(|field| {
            let json = text(field.metadata().get(INVARIANTS)?)?;
            let json: serde_json::Value = serde_json::from_str(&json).ok()?;
            Some(CheckConstraint {
                name: format!("invariant of {}", field.name()),
                expression: json["expression"]["expression"].as_str()?.to_string(),
            })
        })
        .collect()
}
