//! What can go wrong between a statement's text and its plan, said so that its author can put it
//! right: what was wrong, with which object, and what to write instead.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// The result of everything in this crate.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// An error of a statement or of a session.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The text is not a statement. Lines and columns count from 1.
    #[error("syntax error at line {line}, column {column}: {message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
        /// Line of the offending token in the text given.
        line: u64,
        /// Column of the offending token in its line, in characters.
        column: u64,
    },

    /// The statement is known but not offered. Nothing of it was executed.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// The statement or clause.
        what: String,
        /// The nearest thing that is supported.
        instead: String,
    },

    /// A name that nothing has.
    #[error("{kind} {name} does not exist{hint}")]
    NotFound {
        /// "table", "schema", "catalog", "view", "model", "column", "setting", "function".
        kind: &'static str,
        /// The full name.
        name: String,
        /// Empty, or a sentence that begins with "; ".
        hint: String,
    },

    /// A name that is taken.
    #[error("{kind} {name} already exists; {hint}")]
    AlreadyExists {
        /// What kind of object has the name.
        kind: &'static str,
        /// The full name.
        name: String,
        /// What to write instead.
        hint: &'static str,
    },

    /// The statement means nothing, or something that must not be done.
    #[error("{0}")]
    Invalid(String),

    /// The query could not be planned.
    #[error("{}", plain(.0))]
    Plan(#[from] DataFusionError),

    /// A table could not be read or written.
    #[error(transparent)]
    Lake(#[from] shoal_lake::LakeError),

    /// A model could not be taken in.
    #[error(transparent)]
    Model(#[from] shoal_models::ModelError),

    /// The catalog could not answer.
    #[error(transparent)]
    Catalog(#[from] shoal_catalog::CatalogError),
}

impl EngineError {
    /// An [`EngineError::Invalid`] from anything that prints.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// An [`EngineError::Unsupported`].
    pub fn unsupported(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            instead: instead.into(),
        }
    }

    /// Whether a name or a place is taken.
    pub(crate) fn is_already_exists(&self) -> bool {
        matches!(
            self,
            Self::AlreadyExists { .. }
                | Self::Lake(shoal_lake::LakeError::AlreadyExists { .. })
                | Self::Catalog(shoal_catalog::CatalogError::AlreadyExists { .. })
        )
    }

    /// An [`EngineError::NotFound`] without a hint.
    pub fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound {
            kind,
            name: name.into(),
            hint: String::new(),
        }
    }
}

impl From<EngineError> for DataFusionError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Plan(inner) => inner,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

/// A planning error as a user reads it: without DataFusion's layers, prefixes and back traces.
fn plain(error: &DataFusionError) -> String {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => plain(inner),
            None => inner.to_string(),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => plain(inner),
        DataFusionError::Shared(inner) => plain(inner),
        DataFusionError::Collection(all) => {
            let all: Vec<String> = all.iter().map(plain).collect();
            all.join("; ")
        }
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => {
            let end = message.find(DataFusionError::BACK_TRACE_SEP);
            message[..end.unwrap_or(message.len())].to_string()
        }
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => inner.to_string(),
            inner => inner.to_string(),
        },
        other => other.strip_backtrace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_taken_off() {
        let lowest = EngineError::invalid("the row is wrong");
        let error = DataFusionError::External(Box::new(lowest)).context("while planning");
        let error = EngineError::from(DataFusionError::from(ArrowError::ExternalError(Box::new(
            error,
        ))));
        assert!(error.to_string().ends_with("the row is wrong"), "{error}");
        let plan = EngineError::from(DataFusionError::Plan("no such thing".into()));
        assert_eq!(plan.to_string(), "no such thing");
    }
}
