//! Where the rows of a plan go.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tokio::sync::mpsc;

use crate::job::JobError;
use crate::statement::Progress;

/// Where the rows of a plan go.
pub(crate) enum RowSink {
    /// To the client, as they come. They cannot be taken back.
    Client {
        /// The client's end.
        rows: mpsc::Sender<datafusion::error::Result<RecordBatch>>,
        /// The columns it was promised.
        schema: SchemaRef,
        /// Where its rows are counted.
        progress: Arc<Progress>,
        /// Whether the client has got some.
        sent: bool,
    },
    /// Into memory.
    Memory {
        /// The rows of a plan that ran to its end: for a write, one per data file.
        rows: Vec<RecordBatch>,
        /// Rows of runs that did not: their files are to be deleted.
        abandoned: Vec<RecordBatch>,
    },
    /// Nowhere: what stands for each of them is kept.
    Fingerprints {
        /// What stands for the rows of a batch.
        of: fn(&RecordBatch) -> Vec<u128>,
        /// What stood for some row so far.
        found: HashSet<u128>,
    },
    /// Nowhere: they are counted, and what was measured on their way is kept.
    Measure {
        /// How many there were.
        rows: usize,
        /// A title and the measured plan of every stage that ran on executors.
        stages: Vec<(String, String)>,
    },
}

impl RowSink {
    /// Memory, with nothing in it.
    pub(crate) fn memory() -> Self {
        Self::Memory {
            rows: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    /// Takes rows, as fast as they are wanted.
    pub(crate) async fn take(&mut self, batch: RecordBatch) -> Result<(), JobError> {
        match self {
            Self::Client {
                rows,
                schema,
                progress,
                sent,
            } => {
                *sent = true;
                progress.add_rows(batch.num_rows());
                let gone = |_| JobError::Failed("the client went away".to_string());
                rows.send(conform(batch, schema)).await.map_err(gone)
            }
            Self::Memory { rows, .. } => {
                rows.push(batch);
                Ok(())
            }
            Self::Fingerprints { of, found } => {
                found.extend(of(&batch));
                Ok(())
            }
            Self::Measure { rows, .. } => {
                *rows += batch.num_rows();
                Ok(())
            }
        }
    }

    /// Forgets the rows it has taken; `false` if they cannot be taken back.
    pub(crate) fn start_over(&mut self) -> bool {
        match self {
            Self::Client { sent, .. } => !*sent,
            Self::Memory { rows, abandoned } => {
                abandoned.append(rows);
                true
            }
            Self::Fingerprints { found, .. } => {
                found.clear();
                true
            }
            Self::Measure { rows, .. } => {
                *rows = 0;
                true
            }
        }
    }
}

/// The batch with exactly the promised columns: stages may differ in nullability and metadata.
fn conform(batch: RecordBatch, schema: &SchemaRef) -> datafusion::error::Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
