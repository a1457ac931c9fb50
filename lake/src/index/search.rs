//! Searching an index: which rows of the files it covers may be the nearest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _};
use moka::future::Cache;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};

use super::{
    IndexManifest, Segment,
    ivf::{Block, Head, Hit, Query},
};
use crate::{
    error::{LakeError, Result},
    scan::object_path,
    table::TableRef,
};

/// Lists that are kept in memory: the most used ones.
const CACHE_BYTES: u64 = 512 << 20;
const PARALLEL_SEGMENTS: usize = 8;
/// Candidates for each row that is wanted: distances of the search are about 1 in 100 off.
const CANDIDATES_PER_ROW: usize = 4;
const MIN_CANDIDATES: usize = 32;

/// Rows that may be the nearest, by data file. Of a file that is not among the keys, all may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The index that chose them.
    pub index: String,
    /// Ascending row numbers by path of the data file in the table's store.
    pub rows: HashMap<String, BTreeSet<u64>>,
}

impl Candidates {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.values().map(BTreeSet::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parts of indexes that were read: they never change.
#[derive(Debug)]
pub(crate) struct IndexCache {
    heads: Cache<Path, Arc<Head>>,
    blocks: Cache<(Path, u32), Arc<Block>>,
}

impl IndexCache {
    pub(crate) fn new() -> Self {
        let limit = CACHE_BYTES / 2;
        IndexCache {
            heads: Cache::builder()
                .max_capacity(limit)
                .weigher(|_, head: &Arc<Head>| head.bytes() as u32)
                .build(),
            blocks: Cache::builder()
                .max_capacity(limit)
                .weigher(|_, block: &Arc<Block>| block.bytes() as u32)
                .build(),
        }
    }

    /// Rows of `live` files that may be among the `k` nearest to `vector`; nothing if the index cannot
    /// tell, because the vector has another length or is near to nothing.
    pub(crate) async fn candidates(
        &self,
        store: &Arc<dyn ObjectStore>,
        table: &TableRef,
        index: &IndexManifest,
        live: &HashSet<String>,
        vector: &[f32],
        k: usize,
    ) -> Result<Option<Candidates>> {
        let Some(query) = Query::new(vector, index.metric) else {
            return Ok(None);
        };
        let count = (k * CANDIDATES_PER_ROW).max(MIN_CANDIDATES);
        let searched: Vec<_> = index
            .segments
            .iter()
            .map(|segment| {
                let query = &query;
                async move {
                    let hits = self.segment(store, table, index, segment, live, query, count);
                    Ok::<_, LakeError>((segment, hits.await?))
                }
            })
            .collect();
        let found: Vec<(&Segment, Option<Vec<Hit>>)> = futures::stream::iter(searched)
            .buffer_unordered(PARALLEL_SEGMENTS)
            .try_collect()
            .await?;
        let mut candidates = Candidates {
            index: index.name.clone(),
            rows: HashMap::new(),
        };
        let mut all: Vec<(&str, Hit)> = Vec::new();
        for (segment, hits) in found {
            let Some(hits) = hits else {
                return Ok(None);
            };
            for file in segment.files.iter().filter(|file| live.contains(*file)) {
                candidates.rows.entry(file.clone()).or_default();
            }
            all.extend(hits.into_iter().filter_map(|hit| {
                let file = segment.files.get(hit.file as usize)?;
                Some((file.as_str(), hit))
            }));
        }
        all.sort_by(|a, b| a.1.score.total_cmp(&b.1.score));
        for (file, hit) in all.into_iter().take(count) {
            if let Some(rows) = candidates.rows.get_mut(file) {
                rows.insert(u64::from(hit.row));
            }
        }
        Ok((candidates.len() >= k).then_some(candidates))
    }

    /// The best rows of one segment; nothing if its vectors have another length.
    #[allow(clippy::too_many_arguments)]
    async fn segment(
        &self,
        store: &Arc<dyn ObjectStore>,
        table: &TableRef,
        index: &IndexManifest,
        segment: &Segment,
        live: &HashSet<String>,
        query: &Query,
        count: usize,
    ) -> Result<Option<Vec<Hit>>> {
        if segment.rows == 0 {
            return Ok(Some(vec![]));
        }
        let path = object_path(&table.location, &segment.path)?;
        let unreadable = || {
            LakeError::Invalid(format!(
                "segment {path} of index {} is unreadable",
                index.name
            ))
        };
        let reading = || LakeError::store(format!("reading {path}"));
        let head = match self.heads.get(&path).await {
            Some(head) => head,
            None => {
                let bytes = store.get_range(&path, 0..segment.head_bytes).await;
                let head = Head::decode(&bytes.map_err(reading())?).ok_or_else(unreadable)?;
                let head = Arc::new(head);
                self.heads.insert(path.clone(), head.clone()).await;
                head
            }
        };
        if head.dimensions() != query.dimensions() {
            return Ok(None);
        }
        let mut blocks = Vec::new();
        let mut missing = Vec::new();
        for list in head.probed(query, index.probes) {
            match self.blocks.get(&(path.clone(), list)).await {
                Some(block) => blocks.push(block),
                None => missing.push(list),
            }
        }
        if !missing.is_empty() {
            let ranges: Vec<_> = missing.iter().map(|list| head.range(*list)).collect();
            let read = store.get_ranges(&path, &ranges).await.map_err(reading())?;
            for (list, bytes) in missing.into_iter().zip(read) {
                let block = Arc::new(head.block(list, &bytes).ok_or_else(unreadable)?);
                self.blocks
                    .insert((path.clone(), list), block.clone())
                    .await;
                blocks.push(block);
            }
        }
        let is_live: Vec<bool> = segment
            .files
            .iter()
            .map(|file| live.contains(file))
            .collect();
        let mut hits: Vec<Hit> = Vec::new();
        for block in &blocks {
            let alive = block
                .hits(query)
                .filter(|hit| is_live.get(hit.file as usize).copied().unwrap_or(false));
            hits.extend(alive);
        }
        if hits.len() > count {
            hits.select_nth_unstable_by(count, |a, b| a.score.total_cmp(&b.score));
            hits.truncate(count);
        }
        Ok(Some(hits))
    }
}
