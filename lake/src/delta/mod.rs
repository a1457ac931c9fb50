//! Delta Lake: the two halves of the adapter.
//!
//! [`load`] turns the log into a [`Snapshot`](crate::snapshot::Snapshot), [`commit`] turns changes into
//! one new version. Log replay, checkpoints, protocol rules and conflict checks are delta-rs's; which
//! files are scanned and how data files are written is decided elsewhere in this crate.

mod commit;
mod load;
mod protocol;

use std::sync::Arc;

use deltalake_core::{
    DeltaTable, DeltaTableError,
    kernel::Version,
    logstore::{LogStoreRef, StorageConfig, default_logstore},
};
use object_store::{ObjectMeta, ObjectStore, prefix::PrefixStore};

use crate::{
    error::{LakeError, Result},
    stores::Stores,
    table::TableRef,
};

pub(crate) use commit::{Race, commit, create, set_properties};
pub(crate) use load::{exists, load};
pub(crate) use protocol::check_writable;

/// State of the Delta log that a snapshot was read from.
#[derive(Debug, Clone)]
pub(crate) struct DeltaBase {
    /// The table with its state loaded.
    table: DeltaTable,
    /// The commit file of the snapshot's version, if it still existed: tells a table that was
    /// deleted and created anew from one that did not change.
    commit_file: Option<CommitFile>,
}

/// Identity of a commit file.
#[derive(Debug, Clone, PartialEq)]
struct CommitFile {
    version: Version,
    size: u64,
    modified_ms: i64,
    e_tag: Option<String>,
}

impl CommitFile {
    /// The commit that an object of `_delta_log` is, if it is one.
    fn of(object: &ObjectMeta) -> Option<CommitFile> {
        let digits = object.location.filename()?.strip_suffix(".json")?;
        if digits.len() != 20 {
            return None;
        }
        Some(CommitFile {
            version: digits.parse().ok()?,
            size: object.size,
            modified_ms: object.last_modified.timestamp_millis(),
            e_tag: object.e_tag.clone(),
        })
    }
}

fn log_store(table: &TableRef, stores: &Stores) -> Result<LogStoreRef> {
    let root = stores.store(&table.location)?;
    let prefix = Stores::path(&table.location)?;
    let prefixed: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(root.clone(), prefix));
    Ok(default_logstore(
        prefixed,
        root,
        &table.location,
        &StorageConfig::default(),
    ))
}

fn failed(table: &TableRef, doing: &'static str) -> impl FnOnce(DeltaTableError) -> LakeError {
    let table = table.name.clone();
    move |source| LakeError::Delta {
        table,
        doing,
        source: Box::new(source),
    }
}
