//! Searching an index: which rows of the files it covers may be the nearest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

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
/// Candidates for each row that is wanted: distances of the search are about 1 in 100 off, by which the ten nearest
/// are among the first twelve of 300,000, or among the first twenty where a few dimensions outweigh all others.
const CANDIDATES_PER_ROW: usize = 2;
const MIN_CANDIDATES: usize = 20;

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
            // Which lists are read is decided among all segments, so each counts as holding as many.
            of_each: k.div_ceil(index.segments.len().max(1)),
        };
        let found = match index.kind {
            IndexKind::Ivf => self.in_lists(&search).await?,
            IndexKind::Hnsw => self.in_graphs(&search).await?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let mut candidates = Candidates {
            index: index.name.clone(),
            rows: HashMap::new(),
        };
        let mut all: Vec<(&str, Hit)> = Vec::new();
        for (segment, hits) in index.segments.iter().zip(found) {
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

    /// The best rows of each segment, from the lists nearest to the query; nothing if the vectors have another
    /// length. Which lists are read is decided among those of all segments: rows that came together may have
    /// all that is near in one segment.
    async fn in_lists(&self, search: &Search<'_>) -> Result<Option<Vec<Vec<Hit>>>> {
        let segments = &search.index.segments;
        let heads = each(segments.iter().map(|segment| self.head(search, segment))).await?;
        let mut lists: Vec<(f32, usize, u32)> = Vec::new();
        let mut enough = 0;
        for (segment, head) in heads.iter().enumerate() {
            let Some(head) = head else { continue };
            if head.dimensions() != search.query.dimensions() {
                return Ok(None);
            }
            let own = head.lists(&search.query).into_iter();
            lists.extend(own.map(|(score, list)| (score, segment, list)));
            let probes = search.index.breadth;
            enough += probes.unwrap_or_else(|| head.enough(search.of_each)).max(1);
        }
        if lists.len() > enough {
            lists.select_nth_unstable_by(enough, |a, b| a.0.total_cmp(&b.0));
            lists.truncate(enough);
        }
        let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); segments.len()];
        for (_, segment, list) in lists {
            if let Some(chosen) = chosen.get_mut(segment) {
                chosen.push(list);
            }
        }
        let read = segments.iter().zip(heads).zip(chosen);
        let read = read.map(|((segment, head), chosen)| async move {
            match head {
                Some(head) => self.in_chosen(search, segment, &head, chosen).await,
                None => Ok(vec![]),
            }
        });
        each(read).await.map(Some)
    }

    /// What stands before the lists of a segment; nothing if it holds no rows.
    async fn head(&self, search: &Search<'_>, segment: &Segment) -> Result<Option<Arc<Head>>> {
        if segment.rows == 0 {
            return Ok(None);
        }
        let path = search.path(segment)?;
        if let Some(head) = self.heads.get(&path).await {
            return Ok(Some(head));
        }
        let read = search.store.get_range(&path, 0..segment.head_bytes).await;
        let bytes = read.map_err(LakeError::store(format!("reading {path}")))?;
        let head = Head::decode(&bytes).ok_or_else(|| search.unreadable(&path))?;
        let head = Arc::new(head);
        self.heads.insert(path, head.clone()).await;
        Ok(Some(head))
    }

    /// The best rows of some lists of a segment.
    async fn in_chosen(
        &self,
        search: &Search<'_>,
        segment: &Segment,
        head: &Head,
        lists: Vec<u32>,
    ) -> Result<Vec<Hit>> {
        let path = search.path(segment)?;
        let mut blocks = Vec::new();
        let mut missing = Vec::new();
        for list in lists {
            match self.blocks.get(&(path.clone(), list)).await {
                Some(block) => blocks.push(block),
                None => missing.push(list),
            }
        }
        if !missing.is_empty() {
            let ranges: Vec<_> = missing.iter().map(|list| head.range(*list)).collect();
            let read = search.store.get_ranges(&path, &ranges).await;
            let read = read.map_err(LakeError::store(format!("reading {path}")))?;
            for (list, bytes) in missing.into_iter().zip(read) {
                let block = head.block(list, &bytes);
                let block = Arc::new(block.ok_or_else(|| search.unreadable(&path))?);
                self.blocks
                    .insert((path.clone(), list), block.clone())
                    .await;
                blocks.push(block);
            }
        }
        let hits = blocks.iter().flat_map(|block| block.hits(&search.query));
        Ok(search.best(segment, hits.collect()))
    }

    /// The best rows of each segment that a walk over its graph finds; nothing if the vectors have another
    /// length.
    async fn in_graphs(&self, search: &Search<'_>) -> Result<Option<Vec<Vec<Hit>>>> {
        let segments = search.index.segments.iter();
        let found = each(segments.map(|segment| self.in_graph(search, segment))).await?;
        Ok(found.into_iter().collect())
    }

    /// Rows that a walk over the graph finds: more of them where files are gone.
    async fn in_graph(&self, search: &Search<'_>, segment: &Segment) -> Result<Option<Vec<Hit>>> {
        if segment.rows == 0 {
            return Ok(Some(vec![]));
        }
        let path = search.path(segment)?;
        let graph = match self.graphs.get(&path).await {
            Some(graph) => graph,
            None => {
                let bytes = search.store.get(&path).await;
                let bytes = bytes.map_err(LakeError::store(format!("reading {path}")))?;
                let bytes = bytes.bytes().await;
                let bytes = bytes.map_err(LakeError::store(format!("reading {path}")))?;
                let graph = Graph::decode(&bytes).ok_or_else(|| search.unreadable(&path))?;
                let graph = Arc::new(graph);
                self.graphs.insert(path, graph.clone()).await;
                graph
            }
        };
        if graph.dimensions() != search.query.dimensions() {
            return Ok(None);
        }
        let all_live = segment.files.iter().all(|file| search.live.contains(file));
        let count = match all_live {
            true => search.count,
            false => 3 * search.count,
        };
        let hits = graph.hits(&search.query, count, search.index.breadth);
        Ok(Some(search.best(segment, hits)))
    }
}

/// What all of `futures` give, in their order; some run side by side.
async fn each<T>(futures: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let futures: Vec<_> = futures.collect();
    futures::stream::iter(futures)
        .buffered(PARALLEL_SEGMENTS)
        .try_collect()
        .await
}

/// One search of an index.
struct Search<'a> {
    store: &'a Arc<dyn ObjectStore>,
    table: &'a TableRef,
    index: &'a IndexManifest,
    live: &'a HashSet<String>,
    query: Query,
    /// Candidates that are wanted.
    count: usize,
    /// How many of the nearest rows each segment is expected to hold.
    of_each: usize,
}

impl Search<'_> {
    /// Where a segment lies.
    fn path(&self, segment: &Segment) -> Result<Path> {
        object_path(&self.table.location, &segment.path)
    }

    /// The best hits whose files still belong to the table.
    fn best(&self, segment: &Segment, mut hits: Vec<Hit>) -> Vec<Hit> {
        let files = segment.files.iter();
        let is_live: Vec<bool> = files.map(|file| self.live.contains(file)).collect();
        hits.retain(|hit| is_live.get(hit.file as usize).copied().unwrap_or(false));
        if hits.len() > self.count {
            hits.select_nth_unstable_by(self.count, |a, b| a.score.total_cmp(&b.score));
            hits.truncate(self.count);
        }
        hits
    }

    fn unreadable(&self, path: &Path) -> LakeError {
        let index = &self.index.name;
        LakeError::Invalid(format!("segment {path} of index {index} is unreadable"))
    }
}
