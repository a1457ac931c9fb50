//! Shoal `udfs`: see ARCHITECTURE.md.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod spark;

pub use spark::{register_functions, spark_aggregate_functions, spark_scalar_functions};
