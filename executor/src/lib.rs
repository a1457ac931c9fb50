//! A Shoal executor: runs the stages a scheduler pushes to it, and serves their shuffle files.
//!
//! It knows functions and files, never SQL, the catalog or a policy. Built from the public parts of
//! `ballista-executor` rather than its own process function, because that one installs signal
//! handlers of its own, exits when the scheduler restarts, and keeps shuffle files when it stops.
//!
//! Promises:
//! - listens only on the configured address;
//! - running tasks together stay inside `cluster.executor.memory`, and what they spill inside
//!   `cluster.executor.max_spill`;
//! - its shuffle and spill files lie in folders of its own, which are removed when it stops, and
//!   by the next executor that starts on the same folders if it was killed;
//! - it finds its scheduler again after the scheduler was restarted.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
mod functions;
mod memory;
mod process;
mod process_dir;
mod shuffle_clients;
mod stage;

pub use error::{ExecutorError, Result};
pub use process::run;
