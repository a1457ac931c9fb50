//! Vector indexes beside a table: which rows may be the nearest to a vector.
//!
//! # Design
//!
//! **An index prunes rows, and no more.** Statistics say which files a query can leave out; a vector index
//! says which rows of the files it covers can be left out of `ORDER BY distance LIMIT k`. The query keeps
//! its plan: it reads the candidates (a row selection in the one scan) and all rows of files that the index
//! does not cover, computes exact distances, and takes the top k. So an index never makes an answer wrong
//! in any way but missing a near row: rows of files that are gone are not read because their files are
//! not, new files are searched exactly, distances are exact.
//!
//! **Kinds.** Both hold vectors quantized to 8 bits; candidates are twice as many as the rows that are
//! wanted, which makes up for that. Inverted lists (IVF): each segment has its own k-means centroids, about
//! √rows of them, and a search reads the lists nearest among those of all segments. It is built fast and read by a
//! few ranges of an object, which suits an object store, so it is what to take in doubt. A graph (HNSW): fewer
//! vectors are looked at, but it takes far longer to build, and a search needs it whole in memory.
//!
//! **Segments.** Building is a query: a scan of the column under an [`IndexExec`], which runs on all executors.
//! Each task makes segments of its files, [`SEGMENT_BYTES`] of vectors at a time, which bounds its memory, and
//! answers with one row per segment, as a writer does. A row's place is its file and its number in
//! it, so a task reads its files one after the other.
//!
//! **Where.** `<table>/_shoal_index/<name>/`: segments under names nothing else carries, and one manifest
//! per version of the index, `<number>.json`, made with put-if-absent. Beside the table and not in the
//! catalog, so that every scheduler that reads the table finds it, and it goes where the table goes. Delta's
//! and Iceberg's cleaners leave names with an underscore alone. The manifest names the version of the
//! table and the data files each segment covers. Data files never change, so what is covered stays right.
//!
//! **Refresh** makes segments of the files that are not covered and drops those whose files are mostly gone.
//! Two at a time both commit; a segment whose files the other has covered meanwhile is thrown away.
//!
//! **Search** happens while a query is planned, in the scheduler: it reads centroids and the nearest lists,
//! a few megabytes, of which it keeps the most used. If anything of it fails, or fewer candidates than rows
//! are found, the query is exact.
//!
//! **Predicates.** A query with a WHERE clause is exact: its predicate is pushed into the scan and decides how
//! much is read. Candidates chosen without it could all fail it.

mod build;
mod codes;
mod hnsw;
mod ivf;
mod manifest;
mod search;

pub(crate) use build::IndexNode;
pub use build::{IndexExec, IndexSpec, index_node};
pub use manifest::{IndexManifest, Segment};
pub(crate) use manifest::{IndexStore, files};
pub use search::Candidates;
pub(crate) use search::IndexCache;

use serde::{Deserialize, Serialize};

/// Vectors of one segment, in bytes of single precision: what a task holds in memory.
pub(crate) const SEGMENT_BYTES: usize = 256 << 20;

/// How an index finds what is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Inverted lists.
    Ivf,
    /// A graph.
    Hnsw,
}

impl IndexKind {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            IndexKind::Ivf => "IVF",
            IndexKind::Hnsw => "HNSW",
        }
    }
}

/// What nearness means. Every metric has the smaller value for the nearer vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// 1 less the cosine of the angle.
    Cosine,
    /// Euclidean distance.
    L2,
    /// The negated inner product.
    InnerProduct,
}

impl Metric {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
            Metric::InnerProduct => "inner_product",
        }
    }

    /// The metric of that name, whatever its case.
    pub fn parse(name: &str) -> Option<Metric> {
        match name.to_ascii_lowercase().as_str() {
            "cosine" => Some(Metric::Cosine),
            "l2" | "euclidean" => Some(Metric::L2),
            "inner_product" | "dot" => Some(Metric::InnerProduct),
            _ => None,
        }
    }
}
