//! Tables on object storage: formats, the one scan, the one writer.
//!
//! A format is an adapter with two halves and no more. Its read half makes a [`Snapshot`]: schema,
//! partitioning and [`DataFile`]s with statistics. Its commit half turns [`Changes`] into one new
//! version, or a typed conflict. On those stand, once for all formats: pruning ([`Pruned`]), the scan
//! ([`LakeTable`]), the distributed writer ([`write_node`], [`WriterExec`]) and the codec that carries
//! plans to executors ([`codec()`]).
//!
//! Promises: a snapshot is never older than the call that asked for it; nothing that is written is
//! visible before its commit; a table that Shoal does not fully understand is refused by the name
//! of what it does not understand.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod changes;
mod codec;
mod column_type;
mod data_file;
mod delta;
mod download;
mod error;
mod file_stats;
mod iceberg;
mod images;
mod index;
mod lake;
mod prune;
mod scan;
mod snapshot;
mod sort_order;
mod split;
mod stores;
mod table;
mod transform;
mod write;

pub use changes::{Changes, WriteMode};
pub use codec::codec;
pub use column_type::COLUMN_TYPE_PREFIX;
pub use data_file::{DataFile, WRITTEN_FILES_SCHEMA, decode_files, encode_files};
pub use download::{CONNECTIONS as DOWNLOAD_CONNECTIONS, Downloaded, Downloads};
pub use error::LakeError;
pub use iceberg::Catalogs as IcebergCatalogs;
pub use images::{
    ImageFiles, ImageObject, UNREADABLE, Wanted, image_limits, image_schema, list as list_images,
    split_pattern,
};
pub use index::{
    Candidates, IndexExec, IndexKind, IndexManifest, IndexSpec, Metric, Segment, index_node,
};
pub use lake::{Committed, Lake};
pub use prune::Pruned;
pub use scan::{FirstRows, LakeTable, with_indexed_footers};
pub use snapshot::Snapshot;
pub use split::{split_input, split_node};
pub use stores::Stores;
pub use table::{
    CheckConstraint, CreateTable, Format, GeneratedColumn, PartitionField, TableRef, Transform,
};
pub use write::{LakePlanner, WriteSpec, WriterExec, partition_text, write_node};
