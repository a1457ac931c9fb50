//! A planned write: a query with the lake's writer on top, and the one commit that makes its files
//! visible.

use std::fmt;
use std::sync::Arc;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;
use shoal_catalog::{CreateMode, TableEntry};
use shoal_lake::{Changes, Committed, CreateTable, DataFile, IndexManifest, Snapshot, WriteMode};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::index;
use crate::planned::QueryPlan;

/// A write that was planned and neither run nor committed.
pub struct WritePlan {
    /// The context it was planned in; see [`QueryPlan::ctx`].
    pub ctx: SessionContext,
    /// What to run. Its rows are data files: [`shoal_lake::decode_files`] reads them.
    pub plan: LogicalPlan,
    /// Full name of the table that is written to.
    pub table: String,
    /// Whether its rows are only in this process, so that it cannot run on executors.
    pub local_only: bool,
    pub(crate) engine: Arc<Engine>,
    pub(crate) target: Target,
}

/// What the commit does.
pub(crate) enum Target {
    /// Adds the files to a table, or puts them in place of what it holds.
    Existing {
        /// What the statement saw of the table.
        snapshot: Arc<Snapshot>,
        /// What happens to the rows that are there.
        mode: WriteMode,
    },
    /// Makes the table.
    New(NewTable),
    /// Adds segments to an index, or makes it of them.
    Index {
        /// What the statement saw of the table.
        snapshot: Arc<Snapshot>,
        /// What it saw of the index.
        manifest: IndexManifest,
        /// Whether the index is to be made.
        is_new: bool,
    },
}

/// A table that a commit makes.
#[derive(Debug, Clone)]
pub(crate) struct NewTable {
    /// For the lake.
    pub request: CreateTable,
    /// For the catalog.
    pub entry: TableEntry,
    /// What to do about an entry of that name.
    pub mode: CreateMode,
    /// Whether a table at that location gives way.
    pub replace: bool,
}

impl fmt::Debug for WritePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePlan")
            .field("table", &self.table)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl WritePlan {
    /// The part that runs, as a query for its data files.
    pub fn query(&self) -> QueryPlan {
        QueryPlan {
            ctx: self.ctx.clone(),
            plan: self.plan.clone(),
        }
    }

    /// Commits `files`, all in one version of the table, and returns the number of rows in them.
    /// To be called once, when every task has answered.
    ///
    /// # Errors
    /// When another writer changed the table in a way that contradicts this one, or the store or
    /// catalog fails. The table is then as it was, and the files are gone, unless the error says
    /// that it cannot be known.
    pub async fn finish(&self, files: Vec<DataFile>) -> Result<u64> {
        match &self.target {
            Target::Existing { snapshot, mode } => {
                let changes = Changes {
                    mode: mode.clone(),
                    add: files,
                };
                let committed = self.engine.lake().commit(snapshot, &changes).await?;
                Ok(committed.rows)
            }
            Target::Index {
                snapshot,
                manifest,
                is_new,
            } => {
                let lake = self.engine.lake();
                let (table, index) = (snapshot.table(), &manifest.name);
                if *is_new && !lake.create_index(table, manifest.clone(), &files).await? {
                    return Err(index::already_exists(index, &table.name));
                }
                if !*is_new && !lake.refresh_index(snapshot, manifest, &files).await? {
                    let gone = format!("{index} of table {}", table.name);
                    return Err(EngineError::not_found("index", gone));
                }
                Ok(files.iter().filter_map(|file| file.rows).sum())
            }
            Target::New(new) => {
                let rows = files.iter().filter_map(|file| file.rows).sum();
                self.engine.make_table(new, &files).await?;
                Ok(rows)
            }
        }
    }

    /// As [`finish`](Self::finish), but only as the version right after `seen`, which is a snapshot of the
    /// table that is written to. None if another commit came first: then nothing has changed, and the
    /// files stay for another try.
    ///
    /// # Errors
    /// As for `finish`, with the same consequence for the files; and when the table's columns changed
    /// since the planning.
    pub async fn finish_next(
        &self,
        seen: &Snapshot,
        files: &[DataFile],
    ) -> Result<Option<Committed>> {
        let Target::Existing { snapshot, mode } = &self.target else {
            return Err(EngineError::invalid(format!(
                "table {} does not exist yet",
                self.table
            )));
        };
        let changes = Changes {
            mode: mode.clone(),
            add: files.to_vec(),
        };
        let lake = self.engine.lake();
        Ok(lake.commit_next(snapshot, seen, &changes).await?)
    }

    /// Deletes `files` of a write that will not be committed. What cannot be deleted is logged.
    pub async fn discard(&self, files: &[DataFile]) {
        let table = match &self.target {
            Target::Existing { snapshot, .. } | Target::Index { snapshot, .. } => snapshot.table(),
            Target::New(new) => &new.request.table,
        };
        self.engine.lake().discard(table, files).await;
    }
}
