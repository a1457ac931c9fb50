//! A Shoal scheduler: front doors, statement execution, job supervision and commits.
//!
//! A statement comes in through a front door (`flight`), is planned by the engine, runs inside this
//! process or on the executors, and its rows go back the same way. [`Statements`] is all that a
//! front door knows.
//!
//! Promises:
//! - a statement ends: in its rows, or within a bounded time in an error that names the cause;
//! - a write commits once, after all its files are written, or not at all;
//! - no port but the front door's is meant for clients, and no executor's address leaves here.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod analyze;
mod append;
pub mod auth;
mod cluster;
mod error;
mod executor_service;
mod flight;
mod images;
mod job;
mod local;
mod pipelines;
mod process;
mod queries;
mod results;
mod run;
mod sink;
mod stages;
mod statement;
mod statements;
mod vcores;
mod view;

pub use error::{Result, StartError, StatementError};
pub use process::{Listening, Scheduler, run};
pub use statement::{
    Execution, IngestMode, IngestTarget, PreparedStatement, Progress, ProgressSnapshot, QueryId,
    QueryState, StageProgress, affected_schema,
};
pub use statements::Statements;
