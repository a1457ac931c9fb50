//! The statements that run and those that ended lately: `SHOW JOBS`, cancel, and shutdown.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::statement::{Progress, QueryId, QueryState};

/// Ended statements that are remembered.
const REMEMBERED: usize = 200;
/// Characters of a statement's text that are remembered.
const TEXT_LENGTH: usize = 200;

/// One statement.
#[derive(Clone)]
pub(crate) struct Query {
    /// Its name.
    pub id: QueryId,
    /// Who sent it.
    pub user: String,
    /// Its text, shortened and on one line.
    pub text: String,
    /// Whether it runs on the executors rather than inside the scheduler.
    pub distributed: bool,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Cancels it.
    pub cancel: CancellationToken,
}

/// All statements this scheduler knows of.
#[derive(Default)]
pub(crate) struct Queries {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    running: HashMap<QueryId, Query>,
    ended: VecDeque<Query>,
}

impl Queries {
    /// Takes up a statement; it is listed as running until the result is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        user: &str,
        text: &str,
        distributed: bool,
        cancel: CancellationToken,
    ) -> RunningQuery {
        let words: Vec<&str> = text.split_whitespace().collect();
        let query = Query {
            id: QueryId::random(),
            user: user.to_string(),
            text: words.join(" ").chars().take(TEXT_LENGTH).collect(),
            distributed,
            progress: Arc::default(),
            cancel,
        };
        let mut known = self.known.lock();
        known.running.insert(query.id.clone(), query.clone());
        RunningQuery {
            query,
            queries: Arc::clone(self),
        }
    }

    /// Cancels a statement; `false` if it does not run.
    pub(crate) fn cancel(&self, id: &QueryId) -> bool {
        let known = self.known.lock();
        let query = known.running.get(id);
        query.inspect(|query| query.cancel.cancel()).is_some()
    }

    /// Cancels all statements.
    pub(crate) fn cancel_all(&self) {
        for query in self.known.lock().running.values() {
            query.cancel.cancel();
        }
    }

    /// Whether none runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.known.lock().running.is_empty()
    }

    /// Running statements, then ended ones; the latest of each first.
    pub(crate) fn list(&self) -> Vec<Query> {
        let known = self.known.lock();
        let mut running: Vec<Query> = known.running.values().cloned().collect();
        running.sort_by(|a, b| b.id.as_str().cmp(a.id.as_str()));
        running.extend(known.ended.iter().rev().cloned());
        running
    }
}

/// A statement that runs. Dropped before it was given an end, it counts as cancelled.
pub(crate) struct RunningQuery {
    query: Query,
    queries: Arc<Queries>,
}

impl std::ops::Deref for RunningQuery {
    type Target = Query;

    fn deref(&self) -> &Query {
        &self.query
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.query.progress.set_state(QueryState::Cancelled);
        let mut known = self.queries.known.lock();
        if let Some(query) = known.running.remove(&self.query.id) {
            if known.ended.len() == REMEMBERED {
                known.ended.pop_front();
            }
            known.ended.push_back(query);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_dropped_without_an_end_counts_as_cancelled() {
        let queries = Arc::new(Queries::default());
        let token = CancellationToken::new();
        let running = queries.begin("ann", "SELECT\n  1", false, token.clone());
        assert_eq!(queries.list()[0].text, "SELECT 1");
        assert!(queries.cancel(&running.id) && token.is_cancelled());
        let id = running.id.clone();
        drop(running);
        assert!(queries.is_idle() && !queries.cancel(&id));
        let ended = &queries.list()[0];
        assert_eq!(ended.progress.snapshot().state, QueryState::Cancelled);
    }

    #[test]
    fn only_the_latest_ended_queries_are_remembered() {
        let queries = Arc::new(Queries::default());
        for n in 0..=REMEMBERED {
            let text = n.to_string();
            drop(queries.begin("ann", &text, false, CancellationToken::new()));
        }
        let list = queries.list();
        assert_eq!((list.len(), list[0].text.as_str()), (REMEMBERED, "200"));
    }
}
