//! Procedures that work through a table part by part: `CALL extract_features` and `CALL classify_features`.
//!
//! Each part is one commit, so a run that is killed loses at most the part it was at, and the next run
//! goes on from there. Images that the target holds already, or that an earlier run rejected, are left out
//! before anything but their ids is read.

mod classify;
mod extract;
mod work;

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use chrono::{DateTime, SecondsFormat, Utc};
use shoal_config::Placement;
use shoal_engine::{Procedure, Session, call_schema};

use crate::append::Conductor;
use crate::error::{Result, StatementError};
use crate::statement::{CopyProgress, Execution};
use crate::statements::Statements;

impl Statements {
    /// Starts a procedure; it answers with one row of totals.
    pub(crate) fn start_call(
        &self,
        session: &Arc<Session>,
        sql: &str,
        procedure: Procedure,
    ) -> Execution {
        let distributed = session.query_settings().placement != Placement::Local;
        let query = self.begin(session, sql, distributed);
        let (statements, session) = (self.clone(), Arc::clone(session));
        self.in_background(query, call_schema(), |query| async move {
            let started = Instant::now();
            let by = Conductor {
                statements,
                session,
                query,
            };
            let totals = match &procedure {
                Procedure::ExtractFeatures(extract) => extract::run(&by, extract).await?,
                Procedure::ClassifyFeatures(classify) => classify::run(&by, classify).await?,
            };
            answer(totals, started)
        })
    }
}

fn answer(totals: CopyProgress, started: Instant) -> Result<RecordBatch> {
    let count = |n: u64| -> ArrayRef {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        Arc::new(Int64Array::from(vec![n]))
    };
    let seconds = Float64Array::from(vec![started.elapsed().as_secs_f64()]);
    let columns = vec![
        count(totals.files),
        count(totals.ingested),
        count(totals.rejected),
        count(totals.unchanged),
        Arc::new(seconds),
    ];
    RecordBatch::try_new(call_schema(), columns)
        .map_err(|error| StatementError::Invalid(error.to_string()))
}

/// The texts of the first column; NULLs are left out.
fn texts(batches: &[RecordBatch]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for batch in batches {
        let Some(column) = batch.column(0).as_string_opt::<i32>() else {
            return Err(StatementError::Invalid(format!(
                "expected text, and found {}",
                batch.column(0).data_type()
            )));
        };
        found.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(found)
}

/// Text as a literal of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A point in time as a literal of SQL.
fn timestamp(time: &DateTime<Utc>) -> String {
    format!(
        "TIMESTAMP '{}'",
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    )
}
