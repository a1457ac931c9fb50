//! The seam between this crate and what runs networks: a runtime reads a file, makes a plan of it and runs the
//! plan. Everything else about a model is decided on this side, the same for both.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use shoal_config::{ModelRuntime, ModelSettings};

use super::tract;
use crate::{ModelError, Result};

/// What runs networks in this process. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Runtime {
    Tract,
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(ort::environment::Environment),
}

/// What a file says about its network.
pub(super) struct Declared {
    pub inputs: Vec<DeclaredInput>,
    /// Their names.
    pub outputs: Vec<String>,
}

/// An input as its file declares it.
pub(super) struct DeclaredInput {
    /// The type of its numbers, as in Rust, or whatever it has in their place.
    pub number: String,
    /// Its sizes, `None` where they are left open; `None` if not even their number is known.
    pub sizes: Option<Vec<Option<usize>>>,
}

/// A file that was read.
pub(super) trait Model: Send {
    /// The network that takes `batch` rows, or any number, of `row_shape` and gives `output`.
    fn plan(
        &self,
        batch: Option<usize>,
        row_shape: &[usize],
        output: &str,
    ) -> Result<Box<dyn Plan>, String>;
}

/// A network that is ready to run, by several threads at a time.
pub(super) trait Plan: Send + Sync {
    /// All numbers of the output for an `input` of this shape.
    fn run(&self, shape: &[usize], input: Vec<f32>) -> Result<Vec<f32>, String>;
}

impl Runtime {
    /// What the settings ask for.
    ///
    /// # Errors
    /// [`ModelError::Setting`] when this process does not have it.
    pub(crate) fn new(settings: &ModelSettings) -> Result<Self> {
        match settings.runtime {
            ModelRuntime::Tract => Ok(Self::Tract),
            ModelRuntime::OnnxRuntime => Self::onnxruntime(settings.onnxruntime_library.as_deref()),
        }
    }

    #[cfg(feature = "onnxruntime")]
    fn onnxruntime(library: Option<&Path>) -> Result<Self> {
        let refuse = |reason| ModelError::Setting {
            key: "models.onnxruntime_library",
            reason,
        };
        let library = library.ok_or_else(|| {
            refuse(
                "give the path of libonnxruntime.so, which models.runtime: onnxruntime needs"
                    .to_owned(),
            )
        })?;
        super::onnxruntime::load(library)
            .map(Self::OnnxRuntime)
            .map_err(refuse)
    }

    #[cfg(not(feature = "onnxruntime"))]
    fn onnxruntime(_: Option<&Path>) -> Result<Self> {
        Err(ModelError::Setting {
            key: "models.runtime",
            reason: "this program was built without onnxruntime; build it with the cargo feature \
                     onnxruntime, or set models.runtime: tract"
                .to_owned(),
        })
    }

    /// Reads an ONNX file.
    pub(super) fn read(&self, file: Bytes) -> Result<(Declared, Box<dyn Model>), String> {
        match self {
            Self::Tract => tract::read(&file),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(environment) => super::onnxruntime::read(environment, file),
        }
    }
}

/// Runs a runtime so that an error or a panic inside it is a sentence about this one model or row.
pub(super) fn contained<T, E: fmt::Display>(
    runtime: &str,
    doing: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    // Nothing half-changed outlives a panic: what is prepared is only read, and every run has a state of its own.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("{runtime} panicked while {doing}")),
    }
}
