//! How far a running statement is, as the server reports it in `PollFlightInfo`.

use serde::Deserialize;

/// The metadata of a poll: progress, and what became of an update.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    #[serde(flatten)]
    pub progress: Progress,
    /// The statement has no rows but a count.
    pub update: bool,
    /// Rows an update changed; -1 if unknown.
    pub affected: Option<i64>,
}

/// A picture of a statement's progress. Servers other than Shoal report none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// `queued`, `running`, `finished`, `failed` or `cancelled`; empty if not reported.
    pub state: String,
    /// The stages known so far; empty for statements that run in the scheduler.
    pub stages: Vec<Stage>,
    /// Image ingest: objects below the source. Procedures: images in it.
    pub total_files: Option<u64>,
    /// Image ingest and procedures: done with so far.
    pub files: Option<u64>,
    /// Image ingest: bytes read so far.
    pub bytes: Option<u64>,
    /// Image ingest and procedures: rows added so far.
    pub ingested: Option<u64>,
    /// Image ingest and procedures: put aside so far, with a reason, in the table of rejects.
    pub rejects: Option<u64>,
}

/// Progress of one stage of a distributed statement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stage {
    /// Number of the stage, from 1.
    pub id: usize,
    /// Tasks it consists of.
    pub tasks: usize,
    /// Tasks it is done with.
    pub done: usize,
}

impl Metadata {
    /// Reads the metadata of a poll. What cannot be read counts as not reported: progress is a
    /// courtesy and never fails a statement.
    pub fn read(metadata: &[u8]) -> Self {
        serde_json::from_slice(metadata).unwrap_or_default()
    }
}

impl Progress {
    /// Tasks done and tasks known, over all stages.
    pub fn tasks(&self) -> (usize, usize) {
        let sum = |count: fn(&Stage) -> usize| self.stages.iter().map(count).sum();
        (sum(|stage| stage.done), sum(|stage| stage.tasks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_what_the_server_reports_and_ignores_the_rest() {
        let metadata = Metadata::read(
            br#"{"state":"running","stages":[{"id":1,"tasks":4,"done":4},{"id":2,"tasks":2,"done":1}],
                 "attempts":1,"rejects":3,"update":true,"affected":-1}"#,
        );
        assert_eq!(metadata.progress.tasks(), (5, 6));
        assert_eq!(metadata.progress.rejects, Some(3));
        assert_eq!(metadata.progress.files, None);
        assert_eq!((metadata.update, metadata.affected), (true, Some(-1)));
    }

    #[test]
    fn unreadable_metadata_is_no_metadata() {
        for metadata in [&b""[..], b"\xff\x00", b"[1,2]", b"{\"stages\":7}"] {
            assert_eq!(Metadata::read(metadata), Metadata::default());
        }
    }
}
