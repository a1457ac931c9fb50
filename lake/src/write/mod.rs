//! The one writer: a query's rows as data files of a table of any format, on every executor.
//!
//! [`write_node`] puts a logical node on top of a query; [`LakePlanner`] turns it into a [`WriterExec`],
//! an interior node with as many partitions as its input. Each partition writes its own files and
//! answers with one row per file ([`decode_files`](crate::data_file::decode_files)); nothing is visible
//! until those rows are committed.

mod check;
mod exec;
mod file;
mod node;
mod partition;
mod spec;
mod stats;

pub(crate) use partition::to_text as partition_texts;
pub(crate) use stats::json_value;

pub use exec::WriterExec;
pub use node::{LakePlanner, write_node};
pub use partition::partition_text;
pub use spec::WriteSpec;
