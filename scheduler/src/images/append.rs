//! Appending objects that other runs may be appending at the same moment.

use std::collections::HashSet;
use std::sync::Arc;

use shoal_engine::parser::Name;
use shoal_engine::{Session, WritePlan};
use shoal_lake::{DataFile, ImageObject, Snapshot};

use super::known::fingerprint_of;
use super::{Rows, Run};
use crate::error::Result;

/// A table and the newest version of it whose objects are known.
///
/// Rows go in as the version right after that one, or not at all. If another commit came first, what
/// the table holds is looked up again; so two runs at the same time, also from two schedulers, never
/// take in the same object twice.
pub(super) struct Target {
    /// The table.
    pub name: Name,
    seen: Arc<Snapshot>,
}

/// What an append found when it came to its commit.
enum Outcome {
    /// The rows are in the table: so many.
    Committed(u64),
    /// Others have taken in some of the objects meanwhile; these are all that are known now.
    Taken(HashSet<u128>),
}

impl Target {
    /// The table as it is now. Objects that are looked up from now on are complete for it.
    pub(super) async fn open(session: &Arc<Session>, name: Name) -> Result<Self> {
        let seen = session.snapshot(&name).await?;
        Ok(Self { name, seen })
    }

    /// Appends rows of the objects, and returns how many rows there were and the objects that were
    /// considered: all but those that others have taken in meanwhile.
    ///
    pub(super) async fn append(
        &mut self,
        run: &Run,
        rows: &Rows,
        mut objects: Vec<ImageObject>,
    ) -> Result<(u64, Vec<ImageObject>)> {
        while !objects.is_empty() {
            let source = rows.plan(objects.clone())?;
            let write = run.session.plan_append(&self.name, source).await?;
            let files = run.statements.write_files(&run.query, &write).await?;
            match self.commit(run, &write, &files, &objects).await? {
                Outcome::Committed(rows) => return Ok((rows, objects)),
                Outcome::Taken(known) => {
                    objects.retain(|object| !known.contains(&fingerprint_of(object)));
                }
            }
        }
        Ok((0, objects))
    }

    /// Unless it ends in a commit, the files are deleted.
    async fn commit(
        &mut self,
        run: &Run,
        write: &WritePlan,
        files: &[DataFile],
        objects: &[ImageObject],
    ) -> Result<Outcome> {
        loop {
            if let Some(committed) = write.finish_next(&self.seen, files).await? {
                // With a version of others in between, the next append has to look again.
                if let Ok(newest) = run.session.snapshot(&self.name).await
                    && newest.version() == committed.version
                {
                    self.seen = newest;
                }
                return Ok(Outcome::Committed(committed.rows));
            }
            match self.look_again(run, objects).await {
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

    /// What the tables hold now, if some of the objects are among it.
    async fn look_again(
        &mut self,
        run: &Run,
        objects: &[ImageObject],
    ) -> Result<Option<HashSet<u128>>> {
        self.seen = run.session.snapshot(&self.name).await?;
        let known = run.known().await?;
        let is_known = |object: &ImageObject| known.contains(&fingerprint_of(object));
        Ok(objects.iter().any(is_known).then_some(known))
    }
}
