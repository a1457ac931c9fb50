//! What can go wrong with a model, said so that its author can put it right.

/// An error of a model or of the options it is registered with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// The file could not be fetched.
    #[error("cannot read {location} of {model}: {reason}")]
    Unreadable {
        /// The model.
        model: String,
        /// URL of its file.
        location: String,
        /// What the object store said.
        reason: String,
    },
    /// The file is larger than the settings allow.
    #[error(
        "{location} of {model} has {bytes} bytes, more than the limit of {limit} (models.max_file_bytes)"
    )]
    TooLarge {
        /// The model.
        model: String,
        /// URL of its file.
        location: String,
        /// Its size.
        bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The file is not the one the model was made from.
    #[error(
        "{location} is not the file {model} was made from: expected BLAKE3 hash {expected}, found \
         {found}; put the file back, or take in the new one with CREATE OR REPLACE MODEL"
    )]
    Changed {
        /// The model.
        model: String,
        /// URL of its file.
        location: String,
        /// The hash recorded at `CREATE MODEL`.
        expected: String,
        /// The hash of what is there now.
        found: String,
    },
    /// The file is no ONNX model, or one that Shoal cannot run.
    #[error("{location} of {model} cannot be run: {reason}")]
    Unusable {
        /// The model.
        model: String,
        /// URL of its file.
        location: String,
        /// What is wrong, with the remedy where there is one.
        reason: String,
    },
    /// An option of `CREATE MODEL` is unknown, missing or has a wrong value.
    #[error("model option {option} {reason}")]
    Option {
        /// Its name.
        option: String,
        /// The rest of the sentence, with the values that are possible.
        reason: String,
    },
    /// A setting cannot be followed by this process.
    #[error("setting \"{key}\": {reason}")]
    Setting {
        /// Its dotted path.
        key: &'static str,
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// The process is too short of something to load models at all.
    #[error("models cannot be loaded in this process: {0}")]
    Process(String),
}
