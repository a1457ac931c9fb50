//! What an index consists of, and its place beside the table.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, path::Path};
use serde::{Deserialize, Serialize};

use super::{IndexKind, Metric};
use crate::{
    error::{LakeError, Result},
    scan::object_path,
    snapshot::Snapshot,
    stores::{Stores, delete_below},
    table::TableRef,
};

const DIRECTORY: &str = "_shoal_index";
/// No statement runs for longer between the writing of a segment and its commit.
const ORPHANED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a change of an index starts over because another was faster.
const ROUNDS: u32 = 20;
/// By how much a change waits longer in each round.
const PAUSE: Duration = Duration::from_millis(3);

/// An index at one of its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexManifest {
    /// Its name, in lower case.
    pub name: String,
    /// The column of vectors.
    pub column: String,
    /// How it finds what is near.
    pub kind: IndexKind,
    /// What nearness means.
    pub metric: Metric,
    /// Lists per segment of inverted lists, where the statement says so.
    pub lists: Option<usize>,
    /// What a search looks at in each segment, where the statement says so: lists, or nodes of a graph that it
    /// keeps in view.
    pub breadth: Option<usize>,
    /// Version of the table that it was built or refreshed for last.
    pub table_version: u64,
    /// Its segments.
    pub segments: Vec<Segment>,
}

/// Vectors of some data files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Where it lies, below the table's directory.
    pub path: String,
    /// Bytes before its lists.
    pub head_bytes: u64,
    /// Vectors in it.
    pub rows: u64,
    /// The data files it covers: paths in the table's store, in the order in which its rows count them.
    pub files: Vec<String>,
}

impl IndexManifest {
    /// The data files that it covers.
    pub fn covered(&self) -> HashSet<&str> {
        let files = self.segments.iter().flat_map(|segment| &segment.files);
        files.map(String::as_str).collect()
    }

    /// Vectors in it, those of files that are gone included.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// How many of the snapshot's files it covers.
    pub fn covered_files(&self, snapshot: &Snapshot) -> usize {
        let covered = self.covered();
        let files = files(snapshot);
        files
            .iter()
            .filter(|f| covered.contains(f.as_str()))
            .count()
    }

    /// Segments of which most files are gone.
    pub(crate) fn stale(&self, live: &HashSet<String>) -> Vec<String> {
        let is_stale = |segment: &&Segment| {
            let alive = segment.files.iter().filter(|f| live.contains(*f)).count();
            alive * 2 < segment.files.len()
        };
        let stale = self.segments.iter().filter(is_stale);
        stale.map(|segment| segment.path.clone()).collect()
    }
}

/// Paths of the snapshot's files in the table's store.
pub(crate) fn files(snapshot: &Snapshot) -> Vec<String> {
    let location = &snapshot.table().location;
    let paths = snapshot.files().iter();
    paths
        .filter_map(|file| Some(object_path(location, &file.path).ok()?.to_string()))
        .collect()
}

/// Where the indexes of a table are kept.
pub(crate) struct IndexStore {
    store: Arc<dyn ObjectStore>,
    directory: Path,
    table: String,
}

impl IndexStore {
    pub(crate) fn of(stores: &Stores, table: &TableRef) -> Result<Self> {
        Ok(Self {
            store: stores.store(&table.location)?,
            directory: Stores::path(&table.location)?.join(DIRECTORY),
            table: table.name.clone(),
        })
    }

    /// Directory of an index's segments, below the table's.
    pub(crate) fn segments(name: &str) -> String {
        format!("{DIRECTORY}/{name}")
    }

    fn doing<'a>(
        &'a self,
        what: &'a str,
    ) -> impl FnOnce(object_store::Error) -> LakeError + use<'a> {
        LakeError::store(format!("{what} the indexes of table {}", self.table))
    }

    /// All indexes of the table, by name.
    pub(crate) async fn all(&self) -> Result<BTreeMap<String, IndexManifest>> {
        let listed = self
            .store
            .list_with_delimiter(Some(&self.directory))
            .await
            .map_err(self.doing("listing"))?;
        let mut found = BTreeMap::new();
        for directory in listed.common_prefixes {
            let name = directory.filename().unwrap_or_default().to_string();
            if let Some((_, manifest)) = self.newest(&name).await? {
                found.insert(name, manifest);
            }
        }
        Ok(found)
    }

    /// The newest version of an index and its number.
    pub(crate) async fn newest(&self, name: &str) -> Result<Option<(u64, IndexManifest)>> {
        for _ in 0..ROUNDS {
            let Some(number) = self.newest_number(name).await? else {
                return Ok(None);
            };
            let bytes = match self.store.get(&self.version(name, number)).await {
                Ok(found) => found.bytes().await.map_err(self.doing("reading"))?,
                // Dropped, or replaced by a newer one, since it was listed.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(self.doing("reading")(error)),
            };
            let manifest = serde_json::from_slice(&bytes).map_err(|error| {
                LakeError::Invalid(format!(
                    "index {name} of table {} is unreadable: {error}; drop it and make it again",
                    self.table
                ))
            })?;
            return Ok(Some((number, manifest)));
        }
        Err(self.always_changing(name))
    }

    async fn newest_number(&self, name: &str) -> Result<Option<u64>> {
        let directory = self.directory.clone().join(name);
        let listed = self
            .store
            .list_with_delimiter(Some(&directory))
            .await
            .map_err(self.doing("listing"))?;
        let numbers = listed.objects.iter().filter_map(|object| {
            let number = object.location.filename()?.strip_suffix(".json")?;
            number.parse::<u64>().ok()
        });
        Ok(numbers.max())
    }

    fn always_changing(&self, name: &str) -> LakeError {
        LakeError::Conflict {
            table: self.table.clone(),
            reason: format!("its index {name} is being changed all the time"),
            lost_race: true,
        }
    }

    fn version(&self, name: &str, number: u64) -> Path {
        let directory = self.directory.clone().join(name);
        directory.join(format!("{number:020}.json"))
    }

    /// Writes a version of an index unless there is one of that number.
    async fn put(&self, number: u64, manifest: &IndexManifest) -> Result<bool> {
        let text = serde_json::to_vec(manifest).map_err(|e| LakeError::Invalid(e.to_string()))?;
        let options = PutOptions::from(PutMode::Create);
        let path = self.version(&manifest.name, number);
        match self
            .store
            .put_opts(&path, PutPayload::from(text), options)
            .await
        {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.doing("writing")(error)),
        }
    }

    /// Makes an index. False if there is one of that name.
    pub(crate) async fn create(&self, manifest: &IndexManifest) -> Result<bool> {
        match self.newest(&manifest.name).await? {
            Some(_) => Ok(false),
            None => self.put(0, manifest).await,
        }
    }

    /// Adds segments to an index and takes others out. Segments whose files another refresh has covered
    /// meanwhile are not added. Returns what to delete, or nothing if there is no such index any more.
    pub(crate) async fn change(
        &self,
        name: &str,
        table_version: u64,
        add: &[Segment],
        remove: &[String],
    ) -> Result<Option<Vec<String>>> {
        for round in 0..ROUNDS {
            // Those that lost a round wait, the longer the more often, so that each comes through.
            tokio::time::sleep(PAUSE * round).await;
            let Some((number, mut manifest)) = self.newest(name).await? else {
                return Ok(None);
            };
            manifest.segments.retain(|s| !remove.contains(&s.path));
            let covered: HashSet<String> = manifest.covered().into_iter().map(Into::into).collect();
            let (late, fresh): (Vec<&Segment>, Vec<&Segment>) = add
                .iter()
                .partition(|segment| segment.files.iter().all(|file| covered.contains(file)));
            manifest.segments.extend(fresh.iter().copied().cloned());
            manifest.table_version = manifest.table_version.max(table_version);
            if self.put(number + 1, &manifest).await? {
                if !self.is_in(name, number + 1, &fresh).await? {
                    continue;
                }
                self.delete_before(name, number).await;
                let late = late.into_iter().map(|segment| segment.path.clone());
                let orphans = self.orphans(&manifest).await?;
                return Ok(Some(late.chain(remove.to_vec()).chain(orphans).collect()));
            }
        }
        Err(self.always_changing(name))
    }

    /// Whether a version that was just written counts. A writer that was held up may have written one whose
    /// number others had used and deleted meanwhile; the newest then knows nothing of its segments.
    async fn is_in(&self, name: &str, written: u64, segments: &[&Segment]) -> Result<bool> {
        let Some((number, newest)) = self.newest(name).await? else {
            return Ok(true);
        };
        let counts = number == written || segments.iter().all(|s| newest.segments.contains(s));
        if !counts {
            let late = self.version(name, written);
            let deleted = self.store.delete(&late).await;
            deleted.map_err(self.doing("deleting"))?;
        }
        Ok(counts)
    }

    /// Deletes the version before `number`. That one itself stays while its successor is new: a listing of
    /// a local folder may miss a file that is made meanwhile, and must not find nothing at all.
    async fn delete_before(&self, name: &str, number: u64) {
        let Some(before) = number.checked_sub(1) else {
            return;
        };
        let old = self.version(name, before);
        match self.store.delete(&old).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                tracing::debug!(path = %old, "an old version of an index stays: {error}");
            }
        }
    }

    /// Segments that the index does not name, left behind long ago by tasks that were cut off.
    async fn orphans(&self, index: &IndexManifest) -> Result<Vec<String>> {
        let named: HashSet<&str> = index.segments.iter().map(|s| s.path.as_str()).collect();
        let listed = self
            .store
            .list_with_delimiter(Some(&self.directory.clone().join(index.name.as_str())))
            .await
            .map_err(self.doing("listing"))?;
        let long_ago = chrono::Utc::now() - ORPHANED_AFTER;
        let old = listed.objects.iter().filter(|o| o.last_modified < long_ago);
        let paths = old.filter_map(|object| {
            let file = object.location.filename()?;
            Some(format!("{}/{file}", Self::segments(&index.name)))
        });
        Ok(paths
            .filter(|path| path.ends_with(".segment") && !named.contains(path.as_str()))
            .collect())
    }

    /// Removes an index. False if there is none.
    pub(crate) async fn drop(&self, name: &str) -> Result<bool> {
        let found = self.newest(name).await?.is_some();
        let directory = self.directory.clone().join(name);
        delete_below(self.store.as_ref(), &directory)
            .await
            .map_err(self.doing("deleting"))?;
        Ok(found)
    }

    /// Removes all indexes of the table.
    pub(crate) async fn drop_all(&self) -> Result<()> {
        delete_below(self.store.as_ref(), &self.directory)
            .await
            .map_err(self.doing("deleting"))
    }
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;

    use super::*;

    fn manifest() -> IndexManifest {
        IndexManifest {
            name: "near".into(),
            column: "v".into(),
            kind: IndexKind::Ivf,
            metric: Metric::Cosine,
            lists: None,
            breadth: None,
            table_version: 0,
            segments: Vec::new(),
        }
    }

    fn segment(path: &str) -> Segment {
        Segment {
            path: path.into(),
            head_bytes: 0,
            rows: 1,
            files: vec![format!("{path}.parquet")],
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_index_is_found_while_others_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let indexes = Arc::new(IndexStore {
            store: Arc::new(store),
            directory: Path::from(DIRECTORY),
            table: "t".into(),
        });
        assert!(indexes.create(&manifest()).await.unwrap());
        let changes = (0..4).map(|task| {
            let indexes = indexes.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let add = [segment(&format!("{task}-{n}"))];
                    let changed = indexes.change("near", 1, &add, &[]).await.unwrap();
                    assert_eq!(changed, Some(vec![]));
                }
            })
        });
        let changes: Vec<_> = changes.collect();
        while !changes.iter().all(|task| task.is_finished()) {
            assert!(indexes.newest("near").await.unwrap().is_some());
        }
        for change in changes {
            change.await.unwrap();
        }
        let (number, found) = indexes.newest("near").await.unwrap().unwrap();
        assert_eq!((number, found.segments.len()), (80, 80));
    }
}
