//! Apache Iceberg: the two halves of the adapter.
//!
//! [`load`] turns a table's metadata into a [`Snapshot`](crate::snapshot::Snapshot); [`commit`] and
//! [`create`] turn data files into one new snapshot of the table. Metadata, manifests and catalogs are
//! the `iceberg` crates' work; which files are scanned and how data files are written is decided
//! elsewhere in this crate. No Arrow value crosses the boundary: `iceberg` brings another version of
//! Arrow, so schemas and values are translated here.

mod catalogs;
mod commit;
mod create;
mod load;
mod metrics;
mod schema;
mod storage;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use iceberg::{Catalog, table::Table};

use crate::error::LakeError;

pub use catalogs::Catalogs;
pub(crate) use commit::{check_mode, check_writable, commit, set_properties};
pub(crate) use create::{adopt, create, exists, forget, new_schema};
pub(crate) use load::load;

/// State of the Iceberg table that a snapshot was read from.
#[derive(Debug, Clone)]
pub(crate) struct IcebergBase {
    pub(crate) table: Table,
    catalog: Arc<dyn Catalog>,
    manifests: Arc<load::Manifests>,
}

fn failed(table: &str, doing: &'static str) -> impl FnOnce(iceberg::Error) -> LakeError {
    let table = table.to_owned();
    move |source| LakeError::Iceberg {
        table,
        doing,
        source: Box::new(source),
    }
}
