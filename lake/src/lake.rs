//! The lake as the engine sees it: snapshots, tables to query, commits, whatever the format.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use futures::StreamExt as _;
use moka::future::Cache;
use object_store::ObjectStoreExt as _;
use shoal_config::Settings;

use crate::{
    changes::{Changes, WriteMode},
    data_file::DataFile,
    delta,
    error::{LakeError, Result},
    iceberg::{self, Catalogs},
    index::{self, Candidates, IndexCache, IndexManifest, IndexStore, Segment},
    scan::{LakeTable, object_path},
    snapshot::{Base, Snapshot},
    stores::{Stores, delete_below},
    table::{CreateTable, Format, TableRef},
};

/// Snapshots kept for reuse.
const CACHED_SNAPSHOTS: u64 = 1000;
/// How often an append that lost every race starts over, and the wait between rounds.
const COMMIT_ROUNDS: u32 = 10;
const ROUND_WAIT: Duration = Duration::from_millis(200);
/// How long a search may go by indexes as they were: one that others changed since is incomplete, or gone,
/// and then the search reads more rows.
const MANIFESTS_KEPT: Duration = Duration::from_secs(5);
/// Files deleted at a time.
const PARALLEL_DELETES: usize = 16;

/// Tables on object stores.
#[derive(Debug)]
pub struct Lake {
    stores: Arc<Stores>,
    iceberg: Catalogs,
    snapshots: Cache<TableRef, Arc<Snapshot>>,
    indexes: IndexCache,
    manifests: Cache<TableRef, Arc<BTreeMap<String, IndexManifest>>>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The table's new version.
    pub version: u64,
    /// Rows in the new files.
    pub rows: u64,
}

impl Lake {
    /// The lake that the settings describe.
    pub fn new(settings: &Settings) -> Arc<Self> {
        let stores = Stores::new(&settings.storage, settings.processing.max_retries);
        Arc::new(Lake {
            iceberg: Catalogs::new(settings, stores.clone()),
            stores,
            snapshots: Cache::new(CACHED_SNAPSHOTS),
            indexes: IndexCache::new(),
            manifests: Cache::builder()
                .max_capacity(CACHED_SNAPSHOTS)
                .time_to_live(MANIFESTS_KEPT)
                .build(),
        })
    }

    /// The object stores, which double as DataFusion's registry.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// A runtime environment that reaches the lake's object stores; spilling and memory limits are
    /// the caller's.
    pub fn runtime(&self, builder: RuntimeEnvBuilder) -> Result<Arc<RuntimeEnv>> {
        Ok(builder
            .with_object_store_registry(self.stores.clone())
            .build_arc()?)
    }

    /// The table's newest snapshot. The log is asked each time whether there is a newer version, so a
    /// snapshot is never older than the call.
    pub async fn snapshot(&self, table: &TableRef) -> Result<Arc<Snapshot>> {
        let cached = self.snapshots.get(table).await;
        let loaded = match table.format {
            Format::Delta => delta::load(table, &self.stores, cached.as_ref()).await,
            Format::Iceberg => iceberg::load(table, &self.iceberg, cached.as_ref()).await,
        };
        match loaded {
            Ok(snapshot) => {
                self.snapshots.insert(table.clone(), snapshot.clone()).await;
                Ok(snapshot)
            }
            Err(error) => {
                self.snapshots.invalidate(table).await;
                Err(error)
            }
        }
    }

    /// A table to query: the snapshot, and no later one.
    pub fn provider(&self, snapshot: Arc<Snapshot>) -> Arc<LakeTable> {
        Arc::new(LakeTable::new(snapshot))
    }

    /// Whether a table of that format lies at its location.
    pub async fn exists(&self, table: &TableRef) -> Result<bool> {
        match table.format {
            Format::Delta => delta::exists(table, &self.stores).await,
            Format::Iceberg => iceberg::exists(table, &self.iceberg).await,
        }
    }

    /// Creates a table, with its first files if there are any, in one commit.
    ///
    /// With `replace` an existing table at the location gives way to the new one in that same commit.
    pub async fn create(
        &self,
        request: &CreateTable,
        files: &[DataFile],
        replace: bool,
    ) -> Result<Arc<Snapshot>> {
        // Refused now rather than when the first rows come.
        request.sort_by()?;
        match request.table.format {
            Format::Delta => delta::create(request, files, replace, &self.stores).await?,
            Format::Iceberg => iceberg::create(request, files, replace, &self.iceberg).await?,
        }
        self.snapshot(&request.table).await
    }

    /// Refuses a table that cannot be written to, before anything is written.
    pub fn check_writable(&self, snapshot: &Snapshot) -> Result<()> {
        match &snapshot.base {
            Base::Delta(_) => delta::check_writable(snapshot),
            Base::Iceberg(base) => iceberg::check_writable(snapshot, base),
        }
    }

    /// Refuses a kind of change that the table's format does not take yet, before anything is written.
    pub fn check_mode(&self, snapshot: &Snapshot, mode: &WriteMode) -> Result<()> {
        match snapshot.table.format {
            Format::Delta => Ok(()),
            Format::Iceberg => iceberg::check_mode(snapshot, mode),
        }
    }

    /// Makes the changes visible, all in one version. Commits of others that do not contradict them
    /// are taken in; a contradiction is [`LakeError::Conflict`], and nothing is changed.
    ///
    /// On error the new files are deleted, unless the commit may have been kept after all.
    pub async fn commit(&self, base: &Snapshot, changes: &Changes) -> Result<Committed> {
        let mut committed = self.try_commit(base, changes).await;
        for round in 1..=COMMIT_ROUNDS {
            let Err(LakeError::Conflict {
                lost_race: true, ..
            }) = committed
            else {
                break;
            };
            // An append does not depend on what is in the table, so it may start over from the newest
            // version; anything else would act on rows that its statement has not seen.
            if changes.mode != WriteMode::Append {
                break;
            }
            tokio::time::sleep(rand::random_range(Duration::ZERO..ROUND_WAIT * round)).await;
            let newest = self.snapshot(base.table()).await?;
            if !newest.demands_the_same(base) {
                break;
            }
            committed = self.try_commit(&newest, changes).await;
        }
        match committed {
            Ok(version) => Ok(Committed {
                version,
                rows: changes.rows(),
            }),
            Err(error @ LakeError::Conflict { .. }) => {
                self.discard(base.table(), &changes.add).await;
                Err(error)
            }
            Err(error) => self.settle(base, changes, error).await,
        }
    }

    /// As [`commit`](Self::commit), but only as the version right after `seen`, for rows that were written for
    /// `base`. None if another commit came first: then nothing is changed, and the files stay.
    ///
    /// An Iceberg catalog takes in commits of others on its own; there the newest version is looked at
    /// right before the commit.
    ///
    /// On error the new files are deleted, unless the commit may have been kept after all.
    pub async fn commit_next(
        &self,
        base: &Snapshot,
        seen: &Snapshot,
        changes: &Changes,
    ) -> Result<Option<Committed>> {
        if !seen.demands_the_same(base) {
            self.discard(base.table(), &changes.add).await;
            return Err(LakeError::Conflict {
                table: base.table().name.clone(),
                reason: "its columns, partitions or constraints were changed".into(),
                lost_race: false,
            });
        }
        let committed = match &seen.base {
            Base::Delta(delta) => delta::commit(seen, delta, changes, delta::Race::Yield).await,
            Base::Iceberg(iceberg) => {
                if self.snapshot(seen.table()).await?.version() != seen.version() {
                    return Ok(None);
                }
                iceberg::commit(seen, iceberg, changes, &self.stores).await
            }
        };
        match committed {
            Ok(version) => Ok(Some(Committed {
                version,
                rows: changes.rows(),
            })),
            Err(LakeError::Conflict {
                lost_race: true, ..
            }) => Ok(None),
            Err(error @ LakeError::Conflict { .. }) => {
                self.discard(base.table(), &changes.add).await;
                Err(error)
            }
            Err(error) => self.settle(seen, changes, error).await.map(Some),
        }
    }

    async fn try_commit(&self, base: &Snapshot, changes: &Changes) -> Result<u64> {
        match &base.base {
            Base::Delta(delta) => delta::commit(base, delta, changes, delta::Race::Retry).await,
            Base::Iceberg(iceberg) => iceberg::commit(base, iceberg, changes, &self.stores).await,
        }
    }

    /// Sets or removes table properties, and the comment.
    pub async fn set_properties(
        &self,
        base: &Snapshot,
        properties: &BTreeMap<String, Option<String>>,
        comment: Option<&str>,
    ) -> Result<u64> {
        match &base.base {
            Base::Delta(delta) => delta::set_properties(base, delta, properties, comment).await,
            Base::Iceberg(iceberg) => {
                iceberg::set_properties(base, iceberg, properties, comment).await
            }
        }
    }

    /// Deletes files that were written for a commit that will not happen. What cannot be deleted is logged.
    pub async fn discard(&self, table: &TableRef, files: &[DataFile]) {
        let Ok(store) = self.stores.store(&table.location) else {
            return;
        };
        futures::stream::iter(files)
            .for_each_concurrent(PARALLEL_DELETES, |file| {
                let store = store.clone();
                async move {
                    let deleted = match object_path(&table.location, &file.path) {
                        Ok(path) => store.delete(&path).await.map_err(|e| e.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(error) = deleted {
                        tracing::warn!(
                            table = table.name,
                            file = file.path,
                            "a file of a write that was not committed was left behind: {error}"
                        );
                    }
                }
            })
            .await;
    }

    /// Makes a table that lies at its location known by its name to the catalog of its format. A Delta
    /// table has no such catalog.
    pub async fn adopt(&self, table: &TableRef) -> Result<()> {
        match table.format {
            Format::Delta => Ok(()),
            Format::Iceberg => iceberg::adopt(table, &self.iceberg).await,
        }
    }

    /// The vector indexes of a table, by name.
    pub async fn indexes(&self, table: &TableRef) -> Result<BTreeMap<String, IndexManifest>> {
        IndexStore::of(&self.stores, table)?.all().await
    }

    /// The vector indexes of a table as they were at most some seconds ago.
    pub async fn known_indexes(
        &self,
        table: &TableRef,
    ) -> Result<Arc<BTreeMap<String, IndexManifest>>> {
        if let Some(known) = self.manifests.get(table).await {
            return Ok(known);
        }
        let indexes = Arc::new(self.indexes(table).await?);
        self.manifests.insert(table.clone(), indexes.clone()).await;
        Ok(indexes)
    }

    /// The vector index of that name, in lower case.
    pub async fn index(&self, table: &TableRef, name: &str) -> Result<Option<IndexManifest>> {
        let found = IndexStore::of(&self.stores, table)?.newest(name).await?;
        Ok(found.map(|(_, manifest)| manifest))
    }

    /// Makes a vector index of the segments that a plan with an [`index_node`](crate::index_node) reported.
    /// False, and the segments are deleted, if there is one of that name.
    pub async fn create_index(
        &self,
        table: &TableRef,
        mut index: IndexManifest,
        reported: &[DataFile],
    ) -> Result<bool> {
        index.segments = reported
            .iter()
            .map(Segment::from_data_file)
            .collect::<Result<_>>()?;
        let made = IndexStore::of(&self.stores, table)?.create(&index).await?;
        self.manifests.invalidate(table).await;
        if !made {
            self.discard(table, reported).await;
        }
        Ok(made)
    }

    /// Adds the segments that a plan reported to an index, and drops those whose files are mostly gone from
    /// `snapshot`. False, and the segments are deleted, if there is no such index any more.
    pub async fn refresh_index(
        &self,
        snapshot: &Snapshot,
        index: &IndexManifest,
        reported: &[DataFile],
    ) -> Result<bool> {
        let table = snapshot.table();
        let live = index::files(snapshot).into_iter().collect();
        let segments = reported
            .iter()
            .map(Segment::from_data_file)
            .collect::<Result<Vec<_>>>()?;
        let store = IndexStore::of(&self.stores, table)?;
        let changed = store
            .change(
                &index.name,
                snapshot.version(),
                &segments,
                &index.stale(&live),
            )
            .await?;
        self.manifests.invalidate(table).await;
        let Some(superfluous) = changed else {
            self.discard(table, reported).await;
            return Ok(false);
        };
        let store = self.stores.store(&table.location)?;
        for segment in superfluous {
            let path = object_path(&table.location, &segment)?;
            if let Err(error) = store.delete(&path).await {
                tracing::warn!(%path, "a segment of an index was left behind: {error}");
            }
        }
        Ok(true)
    }

    /// Removes a vector index. False if there is none.
    pub async fn drop_index(&self, table: &TableRef, name: &str) -> Result<bool> {
        let dropped = IndexStore::of(&self.stores, table)?.drop(name).await;
        self.manifests.invalidate(table).await;
        dropped
    }

    /// All files that an index, once refreshed, need not cover anew, as candidates of which none is read.
    pub fn covered(&self, snapshot: &Snapshot, index: &IndexManifest) -> Candidates {
        let live = index::files(snapshot).into_iter().collect();
        let stale = index.stale(&live);
        let kept = index.segments.iter().filter(|s| !stale.contains(&s.path));
        let files = kept.flat_map(|segment| segment.files.clone());
        Candidates {
            index: index.name.clone(),
            rows: files.map(|file| (file, Default::default())).collect(),
        }
    }

    /// Rows of the files the index covers that may be among the `k` nearest to `vector`; nothing if it
    /// cannot tell.
    pub async fn candidates(
        &self,
        snapshot: &Snapshot,
        index: &IndexManifest,
        vector: &[f32],
        k: usize,
    ) -> Result<Option<Candidates>> {
        let table = snapshot.table();
        let store = self.stores.store(&table.location)?;
        let live = index::files(snapshot).into_iter().collect();
        self.indexes
            .candidates(&store, table, index, &live, vector, k)
            .await
    }

    /// Tells the catalog of the table's format that the table is dropped; its files stay, but not its
    /// indexes. A Delta table has no such catalog.
    pub async fn forget(&self, table: &TableRef) -> Result<()> {
        self.snapshots.invalidate(table).await;
        self.manifests.invalidate(table).await;
        if let Err(error) = IndexStore::of(&self.stores, table)?.drop_all().await {
            tracing::warn!(table = table.name, "its indexes were left behind: {error}");
        }
        match table.format {
            Format::Delta => Ok(()),
            Format::Iceberg => iceberg::forget(table, &self.iceberg).await,
        }
    }

    /// The Iceberg catalogs that the settings attach.
    pub fn attached(&self) -> &Catalogs {
        &self.iceberg
    }

    /// Deletes everything below the table's directory.
    pub async fn purge(&self, table: &TableRef) -> Result<()> {
        self.snapshots.invalidate(table).await;
        let store = self.stores.store(&table.location)?;
        let directory = Stores::path(&table.location)?;
        if directory.as_ref().is_empty() {
            return Err(LakeError::Invalid(format!(
                "table {} lies at the root of {}; Shoal does not delete a whole store",
                table.name, table.location
            )));
        }
        delete_below(store.as_ref(), &directory)
            .await
            .map_err(LakeError::store(format!(
                "deleting the files of table {}",
                table.name
            )))
    }

    /// After a commit whose outcome is unknown: looks whether it is in the table.
    async fn settle(
        &self,
        base: &Snapshot,
        changes: &Changes,
        error: LakeError,
    ) -> Result<Committed> {
        let Ok(now) = self.snapshot(base.table()).await else {
            return Err(error);
        };
        let is_there = |file: &DataFile| now.files().iter().any(|f| f.path == file.path);
        match changes.add.first() {
            Some(file) if is_there(file) => Ok(Committed {
                version: now.version(),
                rows: changes.rows(),
            }),
            _ => {
                self.discard(base.table(), &changes.add).await;
                Err(error)
            }
        }
    }
}
