//! What can be wrong with the configuration, said with the key, the place it was written and the
//! remedy.

use std::path::PathBuf;

/// An error in the settings. The text names the key and where its value was written, and never
/// repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read the {what} file {}: {source}", path.display())]
    File {
        /// Which of the files, in words: `settings`, `.env`, `logging`.
        what: &'static str,
        /// The path as resolved.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not YAML, or not a mapping.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown setting \"{key}\" in {origin}{hint}")]
    UnknownKey {
        /// Dotted path of the key.
        key: String,
        /// The file, variable or flag that names it.
        origin: String,
        /// The nearest known key, as a sentence; may be empty.
        hint: String,
    },
    /// A value of the wrong type, or one that cannot be used.
    #[error("setting \"{key}\" in {origin}: {message}")]
    Value {
        /// Dotted path of the key.
        key: String,
        /// The file, variable or flag that sets it.
        origin: String,
        /// What is wrong with the value and what is expected.
        message: String,
    },
    /// Logging could not be started.
    #[error("cannot start logging: {0}")]
    Logging(String),
}
