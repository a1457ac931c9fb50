//! Which Delta tables Shoal may read and write.
//!
//! Source of the rules: the Delta protocol's "Reader Version Requirements", "Writer Version
//! Requirements" and "Table Features". A table that asks for more is refused by the feature's name.

use deltalake_core::kernel::Protocol;

use crate::{
    error::{LakeError, Result},
    snapshot::{Base, Snapshot},
    table::TableRef,
};

/// Reader features that the scan respects. Deletion vectors are looked for file by file, since a
/// table may have the feature and no deleted rows.
const READABLE: &[&str] = &[
    "timestampNtz",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "deletionVectors",
];

/// Writer features that appends and overwrites respect.
const WRITABLE: &[&str] = &[
    "appendOnly",
    "invariants",
    "checkConstraints",
    "generatedColumns",
    "changeDataFeed",
    "timestampNtz",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "deletionVectors",
    "domainMetadata",
    "clustering",
];

/// Refuses a table whose reader features the scan does not know.
pub(super) fn check_readable(table: &TableRef, protocol: &Protocol) -> Result<()> {
    if protocol.min_reader_version() == 2 {
        return Err(unsupported(table, "read", &["columnMapping".into()]));
    }
    let unknown = unknown_features(protocol.reader_features(), READABLE);
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(unsupported(table, "read", &unknown)),
    }
}

/// Refuses to write to a table whose writer features the writer does not know.
pub(crate) fn check_writable(snapshot: &Snapshot) -> Result<()> {
    let Base::Delta(base) = &snapshot.base else {
        return Ok(());
    };
    let state = super::load::state(&snapshot.table, &base.table)?;
    let protocol = state.protocol();
    let legacy = match protocol.min_writer_version() {
        5 => vec!["columnMapping".to_string()],
        6 => vec!["columnMapping".to_string(), "identityColumns".to_string()],
        _ => unknown_features(protocol.writer_features(), WRITABLE),
    };
    match legacy.is_empty() {
        true => Ok(()),
        false => Err(unsupported(&snapshot.table, "write", &legacy)),
    }
}

fn unknown_features<F: AsRef<str>>(features: Option<&[F]>, known: &[&str]) -> Vec<String> {
    features
        .unwrap_or_default()
        .iter()
        .map(|f| f.as_ref().to_string())
        .filter(|f| !known.contains(&f.as_str()))
        .collect()
}

fn unsupported(table: &TableRef, doing: &str, features: &[String]) -> LakeError {
    LakeError::Unsupported {
        table: table.name.clone(),
        feature: format!(
            "Shoal cannot {doing} tables with the Delta table feature {}",
            features.join(", ")
        ),
    }
}
