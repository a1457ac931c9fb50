//! Rows that a client sends instead of a query: bulk ingest.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;

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

impl Session {
    /// Plans to write `rows` to the table `name`, by column name. A table that is created gets the
    /// columns of `rows`. The plan is to be run in this process: `rows` exist nowhere else.
    ///
    /// # Errors
    /// As `mode` says; and when the rows do not fit the table.
    pub async fn plan_ingest(
        self: &Arc<Self>,
        name: &Name,
        mode: IngestMode,
        rows: Arc<dyn TableProvider>,
    ) -> Result<WritePlan> {
        let current = self.current();
        let full = current.table(name);
        let exists = self.engine().entry(&full).await?.is_some();
        let state = self.scope().state(&current)?;
        let source = LogicalPlanBuilder::scan("rows", provider_as_source(rows), None)?.build()?;
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
                name: name.clone(),
                or_replace: mode == IngestMode::Replace,
                if_not_exists: false,
                columns: Vec::new(),
                checks: Vec::new(),
                using: None,
                partitioned_by: Vec::new(),
                location: None,
                comment: None,
                properties: BTreeMap::new(),
                query: None,
            };
            create::plan_from(self, state, table, full, source).await?
        };
        plan.local_only = true;
        Ok(plan)
    }
}
