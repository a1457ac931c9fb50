//! Aggregates of vectors. What a partition has seen travels between processes as plain lists.

mod kmeans;
mod sample;
mod sums;
mod vector_kmeans;
mod vector_sum;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection};

const VECTOR_AGGREGATES: DocSection = DocSection {
    include: true,
    label: "Vector aggregates",
    description: Some(
        "They take a column of arrays of numbers, such as ARRAY<FLOAT>, all of a group of the same \
         length. NULL, or an array with a NULL in it, is left out; a group with nothing else gives \
         NULL.",
    ),
};

/// All of Shoal's aggregate functions. Register the same in every process of a cluster: plans name
/// them and nothing more.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vector_sum::functions()
        .into_iter()
        .chain(vector_kmeans::functions())
        .map(Arc::new)
        .collect()
}

#[cfg(test)]
mod tests;
