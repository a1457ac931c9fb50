//! Working through a table part by part: rows of those images go into the target that it does not hold.

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use datafusion::common::ParamValues;
use shoal_engine::parser::Name;
use shoal_engine::{EngineError, Part, WritePlan};
use tracing::warn;

use super::{texts, timestamp};
use crate::append::{Conductor, Items, Target, fingerprint};
use crate::error::{Result, StatementError};
use crate::statement::CopyProgress;

/// The pause before a part is tried again; it doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Rows that are looked through for something open at a time: where all is done, nothing smaller is asked.
const STRETCH_ROWS: u64 = 1_000_000;

/// A query of rows, given the moment at which they are made as a literal of SQL.
pub(super) type RowsAt = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What is done with each part of a table.
pub(super) struct Work {
    /// The table that is worked through.
    pub source: Part,
    /// Its column of ids, which are text.
    pub id: &'static str,
    /// Query of the different ids of a part.
    pub ids: String,
    /// Most rows and bytes of a part.
    pub size: (u64, u64),
    /// Query of the ids that are done with.
    pub done: String,
    /// What becomes of the ids that can be used.
    pub taken: Output,
    /// Values of the parameters of its query.
    pub parameters: Option<ParamValues>,
    /// What becomes of those that cannot.
    pub rejects: Option<Output>,
}

/// Rows that are made of a part, and where they go.
pub(super) struct Output {
    /// The table. Its column `image_id` holds the ids.
    pub table: Name,
    /// Query of the rows of a part: one per id.
    pub rows: RowsAt,
    /// The table's column that holds the moment at which they are made.
    pub moment: &'static str,
}

/// How far the work is.
struct State {
    target: Target,
    rejected: Option<Target>,
    /// Ids that the tables hold.
    known: HashSet<u128>,
    /// Whether the tables may have changed since: by what failed half-way.
    is_stale: bool,
    /// The moment of rows that may be in the tables and not in the totals: of what failed half-way.
    uncounted: Option<String>,
    /// Ids that are in the totals.
    counted: HashSet<u128>,
    totals: CopyProgress,
}

impl Work {
    /// Does it, part by part, and returns what it came to. What fails is tried again as often as
    /// `processing.max_retries` says.
    pub(super) async fn run(&self, by: &Conductor) -> Result<CopyProgress> {
        let mut tries = 0;
        let mut state = loop {
            match self.begin(by).await {
                Ok(state) => break state,
                Err(error) => wait(by, &mut tries, error).await?,
            }
        };
        by.query.progress.set_copy(state.totals);
        for stretch in self.source.split(STRETCH_ROWS, u64::MAX) {
            let mut tries = 0;
            let is_done = loop {
                match self.is_done(by, &mut state, &stretch).await {
                    Ok(is_done) => break is_done,
                    Err(error) => wait(by, &mut tries, error).await?,
                }
            };
            if is_done {
                continue;
            }
            for part in stretch.split(self.size.0, self.size.1) {
                let mut tries = 0;
                while let Err(error) = self.take(by, &mut state, &part).await {
                    wait(by, &mut tries, error).await?;
                    state.is_stale = true;
                }
            }
        }
        Ok(state.totals)
    }

    async fn begin(&self, by: &Conductor) -> Result<State> {
        let mut state = self.open(by).await?;
        state.totals.files = self.images(by).await?;
        Ok(state)
    }

    async fn open(&self, by: &Conductor) -> Result<State> {
        // Versions first: whatever comes in later shows as a version after them.
        let target = Target::open(&by.session, self.taken.table.clone()).await?;
        let rejected = match &self.rejects {
            Some(rejects) => Some(Target::open(&by.session, rejects.table.clone()).await?),
            None => None,
        };
        Ok(State {
            target,
            rejected,
            known: self.known(by).await?,
            is_stale: false,
            uncounted: None,
            counted: HashSet::new(),
            totals: CopyProgress::default(),
        })
    }

    async fn known(&self, by: &Conductor) -> Result<HashSet<u128>> {
        by.ids(&by.plan(&self.done).await?).await
    }

    /// How many images there are.
    async fn images(&self, by: &Conductor) -> Result<u64> {
        let sql = format!("SELECT CAST(count(*) AS STRING) FROM ({})", self.ids);
        let plan = by.session.plan_over(&self.source, &sql, None).await?;
        let counted = texts(&by.rows(&plan).await?)?;
        Ok(counted.first().and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// Whether a stretch of many parts holds nothing that is open. Its images are then in the totals.
    async fn is_done(&self, by: &Conductor, state: &mut State, stretch: &Part) -> Result<bool> {
        let ids = by.session.plan_over(stretch, &self.ids, None).await?;
        let ids = by.ids(&ids).await?;
        let is_done = ids.is_subset(&state.known);
        if is_done {
            state.count(ids, |totals| &mut totals.unchanged);
            by.query.progress.set_copy(state.totals);
        }
        Ok(is_done)
    }

    async fn take(&self, by: &Conductor, state: &mut State, part: &Part) -> Result<()> {
        if state.is_stale {
            let now = self.open(by).await?;
            (state.known, state.target, state.rejected) = (now.known, now.target, now.rejected);
            self.count_late(by, state).await?;
            state.is_stale = false;
        }
        let ids = by.session.plan_over(part, &self.ids, None).await?;
        let ids = texts(&by.rows(&ids).await?)?;
        let all = ids.len();
        let mut open = Vec::new();
        for id in ids {
            let print = fingerprint_of(&id);
            if state.known.contains(&print) {
                state.count([print], |totals| &mut totals.unchanged);
            } else if !state.counted.contains(&print) {
                open.push(id);
            }
        }
        let most = usize::try_from(self.size.0).unwrap_or(usize::MAX).max(1);
        for ids in open.chunks(most) {
            self.append(by, state, part, all, ids.to_vec()).await?;
            by.query.progress.set_copy(state.totals);
        }
        by.query.progress.set_copy(state.totals);
        Ok(())
    }

    /// Takes in images of a part that holds `all` different ones.
    async fn append(
        &self,
        by: &Conductor,
        state: &mut State,
        part: &Part,
        all: usize,
        ids: Vec<String>,
    ) -> Result<()> {
        let moment = timestamp(&Utc::now());
        let rows = |output: &Output, parameters| Rows {
            work: self,
            by,
            part,
            all,
            sql: (output.rows)(&moment),
            parameters,
        };
        state.uncounted = Some(moment.clone());
        let taken = rows(&self.taken, self.parameters.clone());
        let (written, mine) = state.target.append(by, &taken, ids.clone()).await?;
        state.count_others(ids, &mine);
        let missing = match written < mine.len() as u64 {
            true => {
                let written = self.taken.written_at(by, &moment).await?;
                let (mine, missing) = mine
                    .into_iter()
                    .partition(|id| written.contains(&fingerprint_of(id)));
                state.count_ids(mine, |totals| &mut totals.ingested);
                missing
            }
            false => {
                state.count_ids(mine, |totals| &mut totals.ingested);
                Vec::new()
            }
        };
        let rejected = match (&mut state.rejected, &self.rejects) {
            (Some(target), Some(rejects)) => {
                let rejects = rows(rejects, None);
                let (_, mine) = target.append(by, &rejects, missing.clone()).await?;
                state.count_others(missing, &mine);
                mine
            }
            _ => missing,
        };
        state.count_ids(rejected, |totals| &mut totals.rejected);
        state.uncounted = None;
        Ok(())
    }

    /// Counts rows of an append that failed after one of its commits.
    async fn count_late(&self, by: &Conductor, state: &mut State) -> Result<()> {
        let Some(moment) = state.uncounted.clone() else {
            return Ok(());
        };
        let taken = self.taken.written_at(by, &moment).await?;
        state.count(taken, |totals| &mut totals.ingested);
        if let Some(rejects) = &self.rejects {
            let rejected = rejects.written_at(by, &moment).await?;
            state.count(rejected, |totals| &mut totals.rejected);
        }
        state.uncounted = None;
        Ok(())
    }
}

impl Output {
    /// The ids of the rows that were made at a moment.
    async fn written_at(&self, by: &Conductor, moment: &str) -> Result<HashSet<u128>> {
        let (table, column) = (self.table.to_sql(), self.moment);
        let sql = format!("SELECT image_id FROM {table} WHERE {column} = {moment}");
        by.ids(&by.plan(&sql).await?).await
    }
}

/// One of the totals.
type Total = fn(&mut CopyProgress) -> &mut u64;

impl State {
    /// Adds to one of the totals those that are in none.
    fn count(&mut self, ids: impl IntoIterator<Item = u128>, total: Total) {
        for id in ids {
            if self.counted.insert(id) {
                *total(&mut self.totals) += 1;
                self.totals.done += 1;
            }
        }
    }

    fn count_ids(&mut self, ids: Vec<String>, total: Total) {
        self.count(ids.iter().map(|id| fingerprint_of(id)), total);
    }

    /// Counts what others were done with first: of `ids`, those that are not `mine`.
    fn count_others(&mut self, ids: Vec<String>, mine: &[String]) {
        let mine: HashSet<&String> = mine.iter().collect();
        let others = ids.iter().filter(|id| !mine.contains(id));
        self.count(others.map(|id| fingerprint_of(id)), |totals| {
            &mut totals.unchanged
        });
    }
}

/// Waits before another try, or gives up with the error.
async fn wait(by: &Conductor, tries: &mut u32, error: StatementError) -> Result<()> {
    let retries = by.statements.engine().settings().processing.max_retries;
    if !may_pass(&error) || *tries == retries {
        return Err(error);
    }
    let pause = FIRST_PAUSE * 2u32.saturating_pow(*tries);
    *tries += 1;
    let id = &by.query.id;
    warn!("query {id} tries a part again in {pause:?}: {error}");
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(()),
        () = by.query.cancel.cancelled() => Err(StatementError::Cancelled { id: id.clone() }),
    }
}

fn fingerprint_of(id: &str) -> u128 {
    fingerprint(&[id.as_bytes()])
}

/// Whether the same may succeed at another time.
fn may_pass(error: &StatementError) -> bool {
    matches!(
        error,
        StatementError::Failed { .. }
            | StatementError::ExecutorLost { .. }
            | StatementError::NoExecutors { .. }
            | StatementError::Engine(EngineError::Lake(_) | EngineError::Catalog(_))
    )
}

/// Rows of images of one part.
struct Rows<'a> {
    work: &'a Work,
    by: &'a Conductor,
    part: &'a Part,
    /// How many different images the part holds.
    all: usize,
    sql: String,
    parameters: Option<ParamValues>,
}

impl Items for Rows<'_> {
    type Item = String;

    fn fingerprint(id: &String) -> u128 {
        fingerprint_of(id)
    }

    async fn plan(&self, target: &Name, ids: &[String]) -> Result<WritePlan> {
        let some;
        let part = if ids.len() == self.all {
            self.part
        } else {
            some = self.part.with_values(self.work.id, ids.to_vec());
            &some
        };
        let session = &self.by.session;
        let plan = session.plan_append_over(target, part, &self.sql, self.parameters.clone());
        Ok(plan.await?)
    }

    async fn known(&self) -> Result<HashSet<u128>> {
        self.work.known(self.by).await
    }
}
