//! SQL text to statement to plan; sessions. See ARCHITECTURE.md.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
pub mod parser;

pub use error::{EngineError, Result};
