//! Appending rows of items that other runs may be appending at the same moment.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::DataType;
use shoal_engine::parser::Name;
use shoal_engine::{Planned, QueryPlan, Session, WritePlan};
use shoal_lake::{DataFile, Snapshot};

use crate::error::{Result, StatementError};
use crate::queries::RunningQuery;
use crate::sink::RowSink;
use crate::statements::Statements;

/// On whose behalf a statement of several steps runs.
pub(crate) struct Conductor {
    /// What runs the steps.
    pub statements: Statements,
    /// Whose names and settings they have.
    pub session: Arc<Session>,
    /// The statement: its progress, and whether it was cancelled.
    pub query: Arc<RunningQuery>,
}

impl Conductor {
    /// All rows of a query, in memory.
    pub(crate) async fn rows(&self, plan: &QueryPlan) -> Result<Vec<RecordBatch>> {
        let mut sink = RowSink::memory();
        let places = self.statements.places();
        places.run(&self.query, plan, &mut sink).await?;
        match sink {
            RowSink::Memory { rows, .. } => Ok(rows),
            _ => Ok(Vec::new()),
        }
    }

    /// All rows of the query `sql`, in memory.
    pub(crate) async fn select(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.rows(&self.plan(sql).await?).await
    }

    /// The query `sql`.
    pub(crate) async fn plan(&self, sql: &str) -> Result<QueryPlan> {
        match self.statements.plan(&self.session, sql, None).await? {
            Planned::Query(plan) => Ok(plan),
            _ => Err(StatementError::Invalid(format!("{sql} is not a query"))),
        }
    }

    /// What stands for the ids that a query gives in its only column, without those that are NULL. The ids
    /// themselves, of which there may be millions, are never here at once.
    pub(crate) async fn ids(&self, plan: &QueryPlan) -> Result<HashSet<u128>> {
        let schema = plan.schema();
        match schema.fields().iter().as_slice() {
            [id] if id.data_type() == &DataType::Utf8 => {}
            _ => {
                return Err(StatementError::Invalid(format!(
                    "expected a column of text, and found {schema}"
                )));
            }
        }
        let mut sink = RowSink::Fingerprints {
            of: ids_of,
            found: HashSet::new(),
        };
        let places = self.statements.places();
        places.run(&self.query, plan, &mut sink).await?;
        match sink {
            RowSink::Fingerprints { found, .. } => Ok(found),
            _ => Ok(HashSet::new()),
        }
    }

    /// Makes a Delta table partitioned by day, unless there is one of that name.
    pub(crate) async fn make_table(&self, name: &Name, columns: &str) -> Result<()> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} ({columns}) USING DELTA \
             PARTITIONED BY (date_partition STRING)",
            name.to_sql()
        );
        let made = self.statements.execute(&self.session, &sql, None).await?;
        made.affected().await?;
        Ok(())
    }
}

/// What stands for the ids in the first column.
fn ids_of(batch: &RecordBatch) -> Vec<u128> {
    let ids = batch.column(0).as_string_opt::<i32>();
    let ids = ids.into_iter().flatten().flatten();
    ids.map(|id| fingerprint(&[id.as_bytes()])).collect()
}

/// What is appended: each item stands for rows.
pub(crate) trait Items {
    /// What there may be one of in the table.
    type Item;

    /// What stands for an item in a set of known ones.
    fn fingerprint(item: &Self::Item) -> u128;

    /// The rows of these items as a write.
    async fn plan(&self, target: &Name, items: &[Self::Item]) -> Result<WritePlan>;

    /// What is in the tables by now.
    async fn known(&self) -> Result<HashSet<u128>>;
}

/// The first 128 bits of a hash: of millions of items, no two share them.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// A table and the newest version of it whose items are known.
///
/// Rows go in as the version right after that one, or not at all. If another commit came first, what
/// the table holds is looked up again; so two runs at the same time, also from two schedulers, never
/// take in the same item twice.
pub(crate) struct Target {
    /// The table.
    pub name: Name,
    seen: Arc<Snapshot>,
}

/// What an append found when it came to its commit.
enum Outcome {
    /// The rows are in the table: so many.
    Committed(u64),
    /// Others have taken in some of the items meanwhile; these are all that are known now.
    Taken(HashSet<u128>),
}

impl Target {
    /// The table as it is now. Items that are looked up from now on are complete for it.
    pub(crate) async fn open(session: &Arc<Session>, name: Name) -> Result<Self> {
        let seen = session.snapshot(&name).await?;
        Ok(Self { name, seen })
    }

    /// Appends rows of the items, and returns how many rows there were and the items that were
    /// considered: all but those that others have taken in meanwhile.
    pub(crate) async fn append<I: Items>(
        &mut self,
        by: &Conductor,
        rows: &I,
        mut items: Vec<I::Item>,
    ) -> Result<(u64, Vec<I::Item>)> {
        while !items.is_empty() {
            let write = rows.plan(&self.name, &items).await?;
            let files = by.statements.write_files(&by.query, &write).await?;
            match self.commit(by, rows, &write, &files, &items).await? {
                Outcome::Committed(rows) => return Ok((rows, items)),
                Outcome::Taken(known) => {
                    items.retain(|item| !known.contains(&I::fingerprint(item)));
                }
            }
        }
        Ok((0, items))
    }

    /// Unless it ends in a commit, the files are deleted.
    async fn commit<I: Items>(
        &mut self,
        by: &Conductor,
        rows: &I,
        write: &WritePlan,
        files: &[DataFile],
        items: &[I::Item],
    ) -> Result<Outcome> {
        loop {
            if let Some(committed) = write.finish_next(&self.seen, files).await? {
                // With a version of others in between, the next append has to look again.
                if let Ok(newest) = by.session.snapshot(&self.name).await
                    && newest.version() == committed.version
                {
                    self.seen = newest;
                }
                return Ok(Outcome::Committed(committed.rows));
            }
            match self.look_again(by, rows, items).await {
                Ok(None) => {}
                Ok(Some(known)) => {
                    write.discard(files).await;
                    return Ok(Outcome::Taken(known));
                }
                Err(error) => {
                    write.discard(files).await;
                    return Err(error);
                }
            }
        }
    }

    /// What the tables hold now, if some of the items are among it.
    async fn look_again<I: Items>(
        &mut self,
        by: &Conductor,
        rows: &I,
        items: &[I::Item],
    ) -> Result<Option<HashSet<u128>>> {
        self.seen = by.session.snapshot(&self.name).await?;
        let known = rows.known().await?;
        let is_known = |item: &I::Item| known.contains(&I::fingerprint(item));
        Ok(items.iter().any(is_known).then_some(known))
    }
}
