//! Rows that come from elsewhere than a query: from a client (bulk ingest), or from objects that are no
//! table (`COPY INTO`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use parking_lot::Mutex;

use crate::error::Result;
use crate::parser::{CreateTable, Name};
use crate::session::Session;
use crate::write::WritePlan;
use crate::{create, insert};

/// What bulk ingest does about a table that exists or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestMode {
    /// Create the table; an existing one is an error.
    Create,
    /// Append to the table; a missing one is an error.
    Append,
    /// Replace the table, or create it.
    Replace,
    /// Append to the table, or create it.
    CreateAppend,
}

/// The columns a `COPY INTO` answers with, in one row:
///
/// - `files`: objects below the source
/// - `ingested`: rows added to the table
/// - `rejected`: rows added to the table of rejected objects
/// - `unchanged`: objects that an earlier run had taken in or rejected
/// - `bytes`: bytes in the objects that were read
pub fn copy_schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        number("files"),
        number("ingested"),
        number("rejected"),
        number("unchanged"),
        number("bytes"),
    ]))
}

impl Session {
    /// Plans to append the rows of `source` to the table `name`, by column name.
    ///
    /// # Errors
    /// When there is no such table, or the rows do not fit it.
    pub async fn plan_append(
        self: &Arc<Self>,
        name: &Name,
        source: LogicalPlan,
    ) -> Result<WritePlan> {
        let current = self.current();
        let state = self.scope().state(&current)?;
        insert::plan_from(self, state, &current.table(name), source).await
    }

    /// Plans to write `rows` to the table `name`, by column name. A table that is created gets the
    /// columns of `rows`. The plan is to be run once and in this process: `rows` exist nowhere else.
    ///
    /// # Errors
    /// As `mode` says; and when the rows do not fit the table.
    pub async fn plan_ingest(
        self: &Arc<Self>,
        name: &Name,
        mode: IngestMode,
        rows: SendableRecordBatchStream,
    ) -> Result<WritePlan> {
        let current = self.current();
        let full = current.table(name);
        let exists = self.engine().entry(&full).await?.is_some();
        let state = self.scope().state(&current)?;
        let rows = Once {
            schema: rows.schema(),
            rows: Mutex::new(Some(rows)),
        };
        let rows = StreamingTable::try_new(rows.schema.clone(), vec![Arc::new(rows)])?;
        let rows = provider_as_source(Arc::new(rows));
        let source = LogicalPlanBuilder::scan("rows", rows, None)?.build()?;
        let append = match mode {
            IngestMode::Append => true,
            IngestMode::CreateAppend => exists,
            IngestMode::Create if exists => return Err(create::already_exists(&full)),
            IngestMode::Create | IngestMode::Replace => false,
        };
        let mut plan = if append {
            insert::plan_from(self, state, &full, source).await?
        } else {
            let table = CreateTable {
                or_replace: mode == IngestMode::Replace,
                ..CreateTable::named(name.clone())
            };
            create::plan_from(self, state, table, full, source).await?
        };
        plan.local_only = true;
        Ok(plan)
    }
}

/// Rows that can be read once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take();
        rows.unwrap_or_else(|| {
            let read = DataFusionError::Execution(
                "the client's rows were read already; send the statement again".into(),
            );
            let failed = futures::stream::once(async { Err(read) });
            Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), failed))
        })
    }
}
