//! The functions as SQL sees them: signatures, documentation, and batches of rows in and out.

mod content;
mod images;
mod thumbnail;
mod vector;
mod vectors;

use std::sync::Arc;

use datafusion::logical_expr::{DocSection, ScalarUDF};

use shoal_images::probe::Limits;

const IMAGES: DocSection = DocSection {
    include: true,
    label: "Image functions",
    description: Some(
        "They take an encoded picture (JPEG, PNG, TIFF, GIF, WebP or BMP, recognized by content) \
         as BINARY. NULL, or bytes that cannot be decoded or exceed the limits of the `images` \
         settings, give NULL.",
    ),
};

const VECTORS: DocSection = DocSection {
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
    let images = images::functions(limits);
    let thumbnail = ScalarUDF::new_from_impl(thumbnail::ImageThumbnail::new(limits));
    let vectors = vector::functions();
    images
        .into_iter()
        .chain([thumbnail])
        .chain(vectors)
        .map(Arc::new)
        .collect()
}

#[cfg(test)]
mod tests;
