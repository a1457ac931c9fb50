//! Statements that run inside the scheduler: small ones and metadata.
//!
//! They get threads of their own, so that a long computation never keeps the scheduler from
//! answering executors and clients, and a limited number of places. Their memory limit is part of
//! the context that the engine plans in.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::execute_stream;
use shoal_config::QuerySettings;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StartError;

/// Batches computed before they are asked for.
const BATCHES_AHEAD: usize = 1;

/// Threads and places for statements that run inside the scheduler.
pub(crate) struct Local {
    threads: Option<Runtime>,
    places: Arc<Semaphore>,
}

/// Rows of a local statement, which holds its place until they are dropped.
pub(crate) struct LocalRows {
    /// The rows.
    pub rows: SendableRecordBatchStream,
    _place: OwnedSemaphorePermit,
}

impl Local {
    /// Sets up what the settings allow.
    pub(crate) fn new(settings: &QuerySettings) -> Result<Self, StartError> {
        let threads = Builder::new_multi_thread()
            .thread_name("shoal-local")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        Ok(Self {
            threads: Some(threads),
            places: Arc::new(Semaphore::new(settings.local_concurrency.max(1))),
        })
    }

    /// The threads; what calls [`Local::start`] is spawned on them.
    pub(crate) fn threads(&self) -> Handle {
        match &self.threads {
            Some(threads) => threads.handle().clone(),
            // Taken only when dropped.
            None => Handle::current(),
        }
    }

    /// Waits for a place, and starts `plan`, which is optimized, in the session `state`.
    pub(crate) async fn start(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
    ) -> Result<LocalRows, DataFusionError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        // `SessionState::create_physical_plan` would optimize the plan once more.
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(plan, state).await?;
        // Computed in a task of its own: some operators do not come up for air, and whoever waits
        // for the rows must be able to give up.
        let rows = spawn_buffered(execute_stream(plan, state.task_ctx())?, BATCHES_AHEAD);
        Ok(LocalRows {
            rows,
            _place: place,
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A runtime must not be waited for where asynchronous code runs.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
