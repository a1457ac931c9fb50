//! SQL text to statement to plan, and the sessions in which that happens.
//!
//! An [`Engine`] is made once per scheduler and hands out [`Session`]s. A session [parses](Session::parse)
//! text into [`Statement`](parser::Statement)s and [plans](Session::plan) each into a [`Planned`]: a
//! query to run, a write to run and then [commit](WritePlan::finish), or a command to
//! [carry out](Command::execute). Planning changes nothing.
//!
//! Promises:
//! - a statement sees one version of each table, and never one older than its planning;
//! - each write is one commit, or none;
//! - what is not supported is refused by name before anything of it is done;
//! - the same plan gives the same rows in this process and on executors.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod assign;
mod attached;
mod batches;
mod below;
mod cluster;
mod column_types;
mod command;
mod config;
mod create;
mod describe;
mod engine;
mod error;
mod estimate;
mod explain;
mod functions;
mod index;
mod ingest;
mod insert;
mod interval;
mod leaves;
mod model_calls;
mod models;
mod named_arguments;
mod one_batch;
mod parameters;
pub mod parser;
mod part;
mod place;
mod plan;
mod planned;
mod procedure;
mod providers;
mod read_images;
mod rewrite;
mod scope;
mod search;
mod session;
mod show;
mod spark_names;
mod split;
mod subscript;
mod top_rows;
mod types;
mod vector_casts;
mod write;

pub use cluster::{Cluster, ClusterResult};
pub use command::Command;
pub use engine::Engine;
pub use error::{EngineError, Result};
pub use estimate::{Decision, Estimate, Place, ScanEstimate};
pub use explain::AnalyzePlan;
pub use ingest::{IngestMode, copy_schema};
pub use part::Part;
pub use place::location_url;
pub use planned::{CommandOutput, Planned, QueryPlan};
pub use procedure::{
    Classifier, ClassifyFeatures, ExtractFeatures, Extractor, Procedure, call_schema,
};
pub use session::{Principal, Session};
pub use write::WritePlan;
