//! `EXPLAIN ANALYZE`: runs a query where it was placed, and answers with what was measured.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use shoal_engine::{AnalyzePlan, Session};

use crate::error::{Result, StatementError};
use crate::queries::RunningQuery;
use crate::sink::RowSink;
use crate::statement::Execution;
use crate::statements::Statements;

impl Statements {
    /// Starts the query of an `EXPLAIN ANALYZE`; it answers when the query is done.
    pub(crate) fn start_analyze(
        &self,
        session: &Arc<Session>,
        query: RunningQuery,
        analyze: AnalyzePlan,
    ) -> Execution {
        let (statements, session) = (self.clone(), Arc::clone(session));
        self.in_background(query, analyze.schema(), |query| async move {
            let measured = if query.distributed {
                statements.measure_on_executors(&query, &analyze).await?
            } else {
                statements.measure_here(&query, &analyze).await?
            };
            Ok(analyze.answer(&session, &measured)?)
        })
    }

    async fn measure_on_executors(
        &self,
        query: &RunningQuery,
        analyze: &AnalyzePlan,
    ) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        let mut sink = RowSink::Measure {
            rows: 0,
            stages: Vec::new(),
        };
        self.places().run(query, &analyze.query, &mut sink).await?;
        let seconds = began.elapsed().as_secs_f64();
        let RowSink::Measure { rows, mut stages } = sink else {
            return Ok(Vec::new());
        };
        stages.push(("rows".to_string(), format!("{rows} in {seconds:.3} s")));
        Ok(stages)
    }

    async fn measure_here(
        &self,
        query: &RunningQuery,
        analyze: &AnalyzePlan,
    ) -> Result<Vec<(String, String)>> {
        let mut sink = RowSink::memory();
        self.places()
            .run(query, &analyze.local()?, &mut sink)
            .await?;
        let RowSink::Memory { rows: batches, .. } = sink else {
            return Ok(Vec::new());
        };
        let texts = |batch: &RecordBatch, row: usize| {
            let text = |column: usize| array_value_to_string(batch.column(column), row);
            Ok((text(0)?, text(1)?))
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |row| texts(batch, row)))
            .collect::<std::result::Result<_, arrow::error::ArrowError>>()
            .map_err(|error| StatementError::Invalid(error.to_string()))
    }
}
