//! A segment as a graph (HNSW): each vector is linked to near ones, on a few levels that get sparser, and a
//! search walks from one to the next nearer to the query (Malkov and Yashunin, 2018, arXiv:1603.09320;
//! numbers of algorithms below are that paper's).
//!
//! Layout, little-endian: a head as JSON with its length (u32) in front; the [entries](super::codes); then
//! each node's links: per level from 0 up their number (u32) and the nodes (u32 each).

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use super::Metric;
use super::codes::{
    Encoded, Entries, Hit, Query, Vectors, dot, encode_entries, entry_bytes, integers, square,
};
use crate::error::{LakeError, Result};

/// Links of a node on levels above 0, and on level 0.
const LINKS: usize = 16;
const LINKS_BELOW: usize = 32;
/// Nodes looked at for the links of a new one.
const BUILD_BREADTH: usize = 100;
/// Least number of nodes that a search keeps in view.
const MIN_BREADTH: usize = 64;
const MAX_LEVEL: usize = 12;

#[derive(Debug, Serialize, Deserialize)]
struct HeadText {
    metric: Metric,
    dimensions: usize,
    rows: usize,
    entry: u32,
}

/// A segment in memory.
#[derive(Debug)]
pub(super) struct Graph {
    head: HeadText,
    entries: Entries,
    /// As in the segment: of each node the number of its levels, then for each level from 0 up the number of
    /// its links and the links.
    links: Vec<u32>,
    /// Where in `links` each node begins.
    starts: Vec<usize>,
}

/// A node and how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Near {
    score: f32,
    node: u32,
}

impl Eq for Near {}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(self.node.cmp(&other.node))
    }
}

/// Nodes that a walk has seen, a bit for each: few enough bytes to stay in the cache.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    fn begin(&mut self, nodes: usize) {
        self.bits.clear();
        self.bits.resize(nodes.div_ceil(64), 0);
    }

    /// Whether the node was not seen before in this walk.
    fn is_new(&mut self, node: u32) -> bool {
        let bit = 1 << (node % 64);
        match self.bits.get_mut(node as usize / 64) {
            Some(bits) => std::mem::replace(bits, *bits | bit) & bit == 0,
            None => false,
        }
    }
}

/// Algorithm 2: the `breadth` of `nodes` nearest to what `score` measures from, nearest first. `linked` gives
/// a node's links on the level that is walked.
fn walk<'a>(
    nodes: usize,
    linked: &impl Fn(u32) -> &'a [u32],
    from: &[Near],
    breadth: usize,
    seen: &mut Seen,
    score: &impl Fn(u32) -> f32,
) -> Vec<Near> {
    seen.begin(nodes);
    let mut open: BinaryHeap<Reverse<Near>> = BinaryHeap::new();
    let mut best: BinaryHeap<Near> = BinaryHeap::new();
    for &near in from {
        seen.is_new(near.node);
        open.push(Reverse(near));
        best.push(near);
    }
    while let Some(Reverse(next)) = open.pop() {
        let worst = best.peek().map_or(f32::INFINITY, |near| near.score);
        if best.len() >= breadth && next.score > worst {
            break;
        }
        for &node in linked(next.node) {
            if !seen.is_new(node) {
                continue;
            }
            let near = Near {
                score: score(node),
                node,
            };
            let worst = best.peek().map_or(f32::INFINITY, |near| near.score);
            if best.len() < breadth || near.score < worst {
                open.push(Reverse(near));
                best.push(near);
                if best.len() > breadth {
                    best.pop();
                }
            }
        }
    }
    best.into_sorted_vec()
}

/// The graph under construction.
struct Builder<'a> {
    vectors: &'a Vectors,
    metric: Metric,
    squares: Vec<f32>,
    /// Of each node, on each of its levels from 0 up.
    links: Vec<Vec<Vec<u32>>>,
    entry: u32,
    seen: Seen,
}

impl Builder<'_> {
    fn linked(&self, node: u32, level: usize) -> &[u32] {
        let levels = self.links.get(node as usize);
        levels
            .and_then(|levels| levels.get(level))
            .map_or(&[], Vec::as_slice)
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        let product = dot(self.vectors.row(a as usize), self.vectors.row(b as usize));
        let square = |node: u32| self.squares.get(node as usize).copied().unwrap_or_default();
        match self.metric {
            Metric::Cosine | Metric::InnerProduct => -product,
            Metric::L2 => square(a) + square(b) - 2.0 * product,
        }
    }

    /// Algorithm 4: of near nodes those that are nearer to the new one than to each other, so that
    /// links lead into all directions.
    fn chosen(&self, near: &[Near], most: usize) -> Vec<u32> {
        let mut chosen: Vec<u32> = Vec::with_capacity(most);
        for candidate in near {
            if chosen.len() >= most {
                break;
            }
            let leads_elsewhere = chosen
                .iter()
                .all(|&other| self.distance(candidate.node, other) > candidate.score);
            if leads_elsewhere {
                chosen.push(candidate.node);
            }
        }
        // The nearest of the others fill up, where links are few.
        for candidate in near {
            if chosen.len() >= most / 2 {
                break;
            }
            if !chosen.contains(&candidate.node) {
                chosen.push(candidate.node);
            }
        }
        chosen
    }

    /// Algorithm 1.
    fn insert(&mut self, node: u32, level: usize) {
        let top = self.links.get(self.entry as usize).map_or(0, Vec::len);
        self.links.push(vec![Vec::new(); level + 1]);
        if node == 0 {
            return;
        }
        let mut seen = std::mem::take(&mut self.seen);
        let mut from = vec![Near {
            score: self.distance(self.entry, node),
            node: self.entry,
        }];
        for layer in (0..top).rev() {
            let breadth = if layer > level { 1 } else { BUILD_BREADTH };
            let score = |other: u32| self.distance(other, node);
            let linked = |other: u32| self.linked(other, layer);
            from = walk(self.links.len(), &linked, &from, breadth, &mut seen, &score);
            if layer <= level {
                self.connect(node, layer, &from);
            }
        }
        self.seen = seen;
        if level + 1 > top {
            self.entry = node;
        }
    }

    fn connect(&mut self, node: u32, level: usize, near: &[Near]) {
        let most = if level == 0 { LINKS_BELOW } else { LINKS };
        let chosen = self.chosen(near, LINKS);
        for &other in &chosen {
            let mut back = self.linked(other, level).to_vec();
            back.push(node);
            if back.len() > most {
                let mut near: Vec<Near> = back
                    .into_iter()
                    .map(|linked| Near {
                        score: self.distance(other, linked),
                        node: linked,
                    })
                    .collect();
                near.sort();
                back = self.chosen(&near, most);
            }
            self.set(other, level, back);
        }
        self.set(node, level, chosen);
    }

    fn set(&mut self, node: u32, level: usize, links: Vec<u32>) {
        let levels = self.links.get_mut(node as usize);
        if let Some(place) = levels.and_then(|levels| levels.get_mut(level)) {
            *place = links;
        }
    }
}

/// Makes a segment of the vectors.
pub(super) fn encode(vectors: &Vectors, metric: Metric) -> Result<Encoded> {
    let rows = vectors.places.len();
    let mut random = StdRng::seed_from_u64(rows as u64);
    let mut builder = Builder {
        vectors,
        metric,
        squares: (0..rows).map(|row| square(vectors.row(row))).collect(),
        links: Vec::with_capacity(rows),
        entry: 0,
        seen: Seen::default(),
    };
    for node in 0..rows as u32 {
        let chance: f64 = random.random_range(f64::EPSILON..1.0);
        let level = (-chance.ln() / (LINKS as f64).ln()) as usize;
        builder.insert(node, level.min(MAX_LEVEL));
    }
    let head = HeadText {
        metric,
        dimensions: vectors.dimensions,
        rows,
        entry: builder.entry,
    };
    let text = serde_json::to_vec(&head).map_err(|e| LakeError::Invalid(e.to_string()))?;
    let mut bytes = Vec::with_capacity(rows * (entry_bytes(vectors.dimensions) + 4 * LINKS_BELOW));
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(&text);
    let head_bytes = bytes.len() as u64;
    let all: Vec<usize> = (0..rows).collect();
    encode_entries(vectors, &all, &mut bytes);
    for levels in &builder.links {
        bytes.extend((levels.len() as u32).to_le_bytes());
        for links in levels {
            bytes.extend((links.len() as u32).to_le_bytes());
            bytes.extend(links.iter().flat_map(|node| node.to_le_bytes()));
        }
    }
    Ok(Encoded { bytes, head_bytes })
}

impl Graph {
    /// Reads a segment; nothing if it is none, or links lead out of it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let head: HeadText = serde_json::from_slice(text).ok()?;
        let entries = head.rows.checked_mul(entry_bytes(head.dimensions))?;
        let (entries, rest) = rest.split_at_checked(entries)?;
        let entries = Entries::decode(head.rows, head.dimensions, entries)?;
        let links = integers(rest);
        let mut starts = Vec::with_capacity(head.rows);
        let mut end = 0;
        for _ in 0..head.rows {
            starts.push(end);
            let levels = links.get(end).filter(|n| **n as usize <= MAX_LEVEL + 1)?;
            end += 1;
            for _ in 0..*levels {
                let count = *links.get(end).filter(|n| **n as usize <= LINKS_BELOW)?;
                let level = end + 1..end + 1 + count as usize;
                let leads_out = |other: &u32| *other as usize >= head.rows;
                if links.get(level.clone())?.iter().any(leads_out) {
                    return None;
                }
                end = level.end;
            }
        }
        Some(Graph {
            head,
            entries,
            links,
            starts,
        })
    }

    /// Numbers in each vector.
    pub(super) fn dimensions(&self) -> usize {
        self.head.dimensions
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.entries.bytes() + 4 * self.links.len() + 8 * self.starts.len()
    }

    /// How many levels a node is on.
    fn levels(&self, node: u32) -> usize {
        let start = self.starts.get(node as usize);
        start
            .and_then(|start| self.links.get(*start))
            .map_or(0, |levels| *levels as usize)
    }

    /// A node's links on one of its levels.
    fn linked(&self, node: u32, level: usize) -> &[u32] {
        let of_level = || {
            let mut at = self.starts.get(node as usize)? + 1;
            for _ in 0..level {
                at += 1 + *self.links.get(at)? as usize;
            }
            let count = *self.links.get(at)? as usize;
            self.links.get(at + 1..at + 1 + count)
        };
        if level < self.levels(node) {
            of_level().unwrap_or_default()
        } else {
            &[]
        }
    }

    /// About the `count` nearest rows, algorithm 5.
    pub(super) fn hits(&self, query: &Query, count: usize, breadth: Option<usize>) -> Vec<Hit> {
        let score = |node: u32| {
            let hit = self.entries.hit(node as usize, query);
            hit.map_or(f32::INFINITY, |hit| hit.score)
        };
        let mut seen = Seen::default();
        let entry = self.head.entry;
        let top = self.levels(entry);
        let mut from = vec![Near {
            score: score(entry),
            node: entry,
        }];
        let wide = breadth.unwrap_or(MIN_BREADTH).max(count);
        for level in (0..top).rev() {
            let breadth = if level > 0 { 1 } else { wide };
            let linked = |node: u32| self.linked(node, level);
            from = walk(
                self.starts.len(),
                &linked,
                &from,
                breadth,
                &mut seen,
                &score,
            );
        }
        let hits = from
            .iter()
            .filter_map(|near| self.entries.hit(near.node as usize, query));
        hits.take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(metric: Metric, rows: u32) -> Vectors {
        let mut random = StdRng::seed_from_u64(8);
        let mut vectors = Vectors {
            dimensions: 12,
            ..Vectors::default()
        };
        for row in 0..rows {
            let vector: Vec<f32> = (0..12).map(|_| random.random_range(-1.0..1.0)).collect();
            vectors.push(metric, &vector, (3, row));
        }
        vectors
    }

    #[test]
    fn a_walk_finds_nearly_all_of_the_nearest() {
        for metric in [Metric::Cosine, Metric::L2] {
            let vectors = vectors(metric, 1500);
            let graph = Graph::decode(&encode(&vectors, metric).unwrap().bytes).unwrap();
            let mut found = 0;
            for asked in 0..30 {
                let vector = vectors.row(asked * 7);
                let mut exact: Vec<(f32, u32)> = (0..1500)
                    .map(|row| {
                        let other = vectors.row(row as usize);
                        (square(other) - 2.0 * dot(vector, other), row)
                    })
                    .collect();
                exact.sort_by(|a, b| a.0.total_cmp(&b.0));
                let query = Query::new(vector, metric).unwrap();
                let hits = graph.hits(&query, 40, None);
                let has = |row: u32| hits.iter().any(|hit| (hit.file, hit.row) == (3, row));
                found += exact.iter().take(10).filter(|(_, row)| has(*row)).count();
            }
            assert!(found >= 290, "{metric:?}: {found} of 300");
        }
    }

    #[test]
    fn a_graph_that_is_cut_off_is_not_read() {
        for rows in [0, 1, 40] {
            let bytes = encode(&vectors(Metric::L2, rows), Metric::L2)
                .unwrap()
                .bytes;
            assert!(Graph::decode(&bytes).is_some());
            for end in 0..bytes.len() {
                assert!(Graph::decode(&bytes[..end]).is_none(), "{rows} {end}");
            }
        }
        let empty = encode(&vectors(Metric::L2, 0), Metric::L2).unwrap();
        let query = Query::new(&[1.0; 12], Metric::L2).unwrap();
        assert!(
            Graph::decode(&empty.bytes)
                .unwrap()
                .hits(&query, 5, None)
                .is_empty()
        );
    }
}
