//! Shoal's functions over pictures and vectors, for scheduler and executors alike.
//!
//! [`scalar_functions`] and [`aggregate_functions`] give every function to register; each carries its
//! own documentation, from which `docs/functions.md` is generated. This crate knows Arrow,
//! DataFusion's function interface and `shoal-images`, and nothing of tables or plans.
//!
//! Promises kept by every function here: NULL in, NULL out; a picture that cannot be decoded gives
//! NULL, never an error and never a panic; results depend on the arguments alone.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod fixed_size;
pub mod types;

mod aggregates;
mod answer_bytes;
mod binary_length;
mod functions;
mod fuse;
mod spark;

use datafusion::{common::Result, logical_expr::registry::FunctionRegistry};
use shoal_images::probe::Limits;

pub use aggregates::aggregate_functions;
pub use answer_bytes::{AnswerBytes, computed_pictures};
pub use functions::{
    Download, URL_DOWNLOAD, image_at, image_function_parameters, is_internal_function,
    scalar_functions, url_download,
};
pub use fuse::FuseImageCalls;
pub use spark::{spark_aggregate_functions, spark_scalar_functions};

#[cfg(test)]
mod docs;

/// Registers Shoal's and Spark's functions on top of DataFusion's, which `registry` must have
/// already. Scheduler and executors both call this with the same limits, so a name means one thing.
///
/// # Errors
/// When the registry takes no functions.
pub fn register_functions(registry: &mut dyn FunctionRegistry, limits: Limits) -> Result<()> {
    spark::register(registry)?;
    for function in scalar_functions(limits) {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    Ok(())
}
