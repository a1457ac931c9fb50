//! The one scan: a table of any format as Parquet files in a `FileScanConfig`, the only kind of leaf
//! that Ballista slices into tasks without reading rows twice.

mod converted;
mod field_id;
mod fixed_length;
mod footers;
mod provider;
mod reduced;
mod relabel;
mod rows;
mod top_rows;

pub(crate) use field_id::FieldIdSource;
pub(crate) use provider::object_path;
pub(crate) use reduced::{ReducedSource, WantedRows};
pub(crate) use rows::{ChosenRows, RowsByFile, select};
pub(crate) use top_rows::TopRows;

pub use footers::with_indexed_footers;
pub use provider::{FirstRows, LakeTable};
