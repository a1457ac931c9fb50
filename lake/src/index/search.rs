//! Searching an index: which rows of the files it covers may be the nearest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use moka::future::Cache;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};

use super::{
    IndexKind, IndexManifest, Segment,
    codes::{Entries, Hit, Query},
    hnsw::Graph,
    ivf::Head,
};
use crate::{
    error::{LakeError, Result},
    scan::object_path,
    table::TableRef,
};

/// Lists that are kept in memory: the most used ones.
const CACHE_BYTES: u64 = 512 << 20;
/// Graphs are of use only whole.
const GRAPH_CACHE_BYTES: u64 = 1 << 30;
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
    blocks: Cache<(Path, u32), Arc<Entries>>,
    graphs: Cache<Path, Arc<Graph>>,
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
                .weigher(|_, block: &Arc<Entries>| block.bytes() as u32)
                .build(),
            graphs: Cache::builder()
                .max_capacity(GRAPH_CACHE_BYTES)
                .weigher(|_, graph: &Arc<Graph>| graph.bytes() as u32)
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
        let search = Search {
            store,
            table,
            index,
            live,
            query,
            count: (k * CANDIDATES_PER_ROW).max(MIN_CANDIDATES),
        };
        let searched: Vec<_> = index
            .segments
            .iter()
            .map(|segment| self.segment(&search, segment))
            .collect();
        let found: Vec<Option<Vec<Hit>>> = futures::stream::iter(searched)
            .buffered(PARALLEL_SEGMENTS)
            .try_collect()
            .await?;
        let mut candidates = Candidates {
            index: index.name.clone(),
            rows: HashMap::new(),
        };
        let mut all: Vec<(&str, Hit)> = Vec::new();
        for (segment, hits) in index.segments.iter().zip(found) {
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
        for (file, hit) in all.into_iter().take(search.count) {
            if let Some(rows) = candidates.rows.get_mut(file) {
                rows.insert(u64::from(hit.row));
            }
        }
        Ok((candidates.len() >= k).then_some(candidates))
    }

    /// The best rows of one segment; nothing if its vectors have another length.
    async fn segment(&self, search: &Search<'_>, segment: &Segment) -> Result<Option<Vec<Hit>>> {
        if segment.rows == 0 {
            return Ok(Some(vec![]));
        }
        let path = object_path(&search.table.location, &segment.path)?;
        let hits = match search.index.kind {
            IndexKind::Ivf => self.in_lists(search, segment, &path).await?,
            IndexKind::Hnsw => self.in_graph(search, segment, &path).await?,
        };
        let is_live: Vec<bool> = segment
            .files
            .iter()
            .map(|f| search.live.contains(f))
            .collect();
        let is_live = |hit: &Hit| is_live.get(hit.file as usize).copied().unwrap_or(false);
        Ok(hits.map(|mut hits| {
            hits.retain(is_live);
            if hits.len() > search.count {
                hits.select_nth_unstable_by(search.count, |a, b| a.score.total_cmp(&b.score));
                hits.truncate(search.count);
            }
            hits
        }))
    }

    /// Rows of the lists nearest to the query.
    async fn in_lists(
        &self,
        search: &Search<'_>,
        segment: &Segment,
        path: &Path,
    ) -> Result<Option<Vec<Hit>>> {
        let head = match self.heads.get(path).await {
            Some(head) => head,
            None => {
                let bytes = search.read(path, 0..segment.head_bytes).await?;
                let head = Head::decode(&bytes).ok_or_else(|| search.unreadable(path))?;
                let head = Arc::new(head);
                self.heads.insert(path.clone(), head.clone()).await;
                head
            }
        };
        if head.dimensions() != search.query.dimensions() {
            return Ok(None);
        }
        let mut blocks = Vec::new();
        let mut missing = Vec::new();
        for list in head.probed(&search.query, search.index.breadth) {
            match self.blocks.get(&(path.clone(), list)).await {
                Some(block) => blocks.push(block),
                None => missing.push(list),
            }
        }
        if !missing.is_empty() {
            let ranges: Vec<_> = missing.iter().map(|list| head.range(*list)).collect();
            let read = search.store.get_ranges(path, &ranges).await;
            let read = read.map_err(LakeError::store(format!("reading {path}")))?;
            for (list, bytes) in missing.into_iter().zip(read) {
                let block = head.block(list, &bytes);
                let block = Arc::new(block.ok_or_else(|| search.unreadable(path))?);
                self.blocks
                    .insert((path.clone(), list), block.clone())
                    .await;
                blocks.push(block);
            }
        }
        let hits = blocks.iter().flat_map(|block| block.hits(&search.query));
        Ok(Some(hits.collect()))
    }

    /// Rows that a walk over the graph finds: more of them where files are gone.
    async fn in_graph(
        &self,
        search: &Search<'_>,
        segment: &Segment,
        path: &Path,
    ) -> Result<Option<Vec<Hit>>> {
        let graph = match self.graphs.get(path).await {
            Some(graph) => graph,
            None => {
                let bytes = search.store.get(path).await;
                let bytes = bytes.map_err(LakeError::store(format!("reading {path}")))?;
                let bytes = bytes.bytes().await;
                let bytes = bytes.map_err(LakeError::store(format!("reading {path}")))?;
                let graph = Graph::decode(&bytes).ok_or_else(|| search.unreadable(path))?;
                let graph = Arc::new(graph);
                self.graphs.insert(path.clone(), graph.clone()).await;
                graph
            }
        };
        if graph.dimensions() != search.query.dimensions() {
            return Ok(None);
        }
        let all_live = segment.files.iter().all(|file| search.live.contains(file));
        let count = if all_live {
            search.count
        } else {
            3 * search.count
        };
        Ok(Some(graph.hits(&search.query, count, search.index.breadth)))
    }
}

/// One search of an index.
struct Search<'a> {
    store: &'a Arc<dyn ObjectStore>,
    table: &'a TableRef,
    index: &'a IndexManifest,
    live: &'a HashSet<String>,
    query: Query,
    count: usize,
}

impl Search<'_> {
    async fn read(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let read = self.store.get_range(path, range).await;
        read.map_err(LakeError::store(format!("reading {path}")))
    }

    fn unreadable(&self, path: &Path) -> LakeError {
        let index = &self.index.name;
        LakeError::Invalid(format!("segment {path} of index {index} is unreadable"))
    }
}
