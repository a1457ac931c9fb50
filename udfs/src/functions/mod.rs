//! The functions as SQL sees them: signatures, documentation, and batches of rows in and out.

mod content;
mod download;
mod fixed_size;
mod pictures;
mod vector;
mod vector_classify;
mod vector_hamming;
pub(crate) mod vector_math;
mod vector_norm;
mod vector_parts;
mod vector_quantize;
pub(crate) mod vectors;

use std::sync::Arc;

use datafusion::logical_expr::{DocSection, ScalarUDF};
use shoal_images::probe::Limits;

pub use download::{Download, URL_DOWNLOAD, url_download};
pub(crate) use pictures::{
    LooksAt, answer_bytes_function, fused_answer_function, fused_function, is_fused, looks_at,
};
pub use pictures::{image_at, image_function_parameters, is_internal_function};

pub(crate) const VECTORS: DocSection = DocSection {
    include: true,
    label: "Vector functions",
    description: Some(
        "They take arrays of numbers, such as ARRAY<FLOAT>. NULL, or an array with a NULL in it, \
         gives NULL.",
    ),
};

/// All of Shoal's scalar functions. Register the same set, with the same limits, in every process
/// of a cluster: plans name them and nothing more.
pub fn scalar_functions(limits: Limits) -> Vec<Arc<ScalarUDF>> {
    let images = pictures::functions(limits);
    let vectors = [
        vector::functions(),
        vector_classify::functions(),
        vector_norm::functions(),
        vector_parts::functions(),
        vector_quantize::functions(),
        vector_hamming::functions(),
    ];
    images
        .into_iter()
        .chain(vectors.into_iter().flatten())
        .chain(fixed_size::functions())
        .map(Arc::new)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod vector_tests;
