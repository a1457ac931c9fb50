//! Statements from text to result, run in this process over tables in a temporary folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "engine/ddl.rs"]
mod ddl;
#[path = "engine/docs.rs"]
mod docs;
#[path = "engine/harness.rs"]
mod harness;
#[path = "engine/iceberg.rs"]
mod iceberg;
#[path = "engine/image_batches.rs"]
mod image_batches;
#[path = "engine/indexes.rs"]
mod indexes;
#[path = "engine/queries.rs"]
mod queries;
#[path = "engine/read_images.rs"]
mod read_images;
#[path = "engine/search.rs"]
mod search;
#[path = "engine/seeds.rs"]
mod seeds;
#[path = "engine/tpch.rs"]
mod tpch;
#[path = "engine/types.rs"]
mod types;
#[path = "engine/writes.rs"]
mod writes;
