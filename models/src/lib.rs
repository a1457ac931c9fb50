//! ONNX models as SQL functions: loading, checking, preparing input, running; tract does it, or ONNX Runtime where
//! the settings ask for it and the feature `onnxruntime` is on.
//!
//! A model is a file on an object store and the options it was registered with. [`Models::inspect`]
//! looks at a new one and answers with its [`ModelSpec`], which says all that running it takes: where the
//! file lies, its hash, how pictures are prepared, how long the output is. The engine puts that, as JSON,
//! in the place of the model's name in a plan, so executors need no catalog. [`register_functions`]
//! registers the functions that read it: `image_embed`, `model_predict`, `model_version`.
//!
//! Promises: a file whose hash is not the recorded one is never run; a process loads a model once, also
//! when many tasks ask at the same time, and keeps no more bytes of models than the settings allow; a row
//! that a model cannot digest is NULL; no input, be it a model or a row, makes it panic.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
mod functions;
mod models;
mod network;
mod options;
mod pixels;
mod spec;

pub use error::ModelError;
pub use functions::{register_functions, scalar_functions};
pub use models::Models;
pub use network::InputShape;
pub use options::ModelOptions;
pub use spec::{Color, Fit, Input, Layout, ModelSpec, PictureInput};

/// The result of everything in this crate that is no SQL function.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

#[cfg(test)]
mod test_networks;
