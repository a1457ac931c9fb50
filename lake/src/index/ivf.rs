//! A segment of inverted lists (IVF): the vectors nearest to the same centroid stand together.
//!
//! Layout: a head as JSON with its length (u32) in front; the centroids (`lists` x `dimensions` f32); then
//! each list as one block of [entries](super::codes).

use fearless_simd::dispatch;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::index::sample};
use serde::{Deserialize, Serialize};

use super::Metric;
use super::codes::{
    Encoded, Entries, LEVEL, Query, Vectors, dot, encode_entries, entry_bytes, floats, inlined_dot,
    square,
};
use crate::error::{LakeError, Result};

/// Rows looked at per list when centroids are found; more hardly move them.
const TRAINING_ROWS_PER_LIST: usize = 40;
const TRAINING_ROUNDS: usize = 8;
const MAX_LISTS: usize = 4096;
/// The largest share of the lists that a search reads unless it is told.
const MAX_PROBED_SHARE: f64 = 0.5;
/// How many rows are searched for to learn how many lists a search has to read, and the share of
/// their nearest rows that are to be found. Vectors that hardly cluster need many times more than
/// others, and no rule of thumb tells them apart.
const TRIED_ROWS: usize = 128;
const TRIED_NEAREST: usize = 10;
const WANTED_RECALL: f64 = 0.95;

/// What stands in front of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HeadText {
    metric: Metric,
    dimensions: usize,
    /// Rows of each list.
    lists: Vec<u32>,
    /// Lists that a search for the nearest row of the segment reads unless it is told, for the two nearest,
    /// and so on.
    probes: Vec<usize>,
}

/// A segment without its lists.
#[derive(Debug)]
pub(super) struct Head {
    text: HeadText,
    centroids: Vec<f32>,
    /// Where each list's block begins; one more for the end.
    starts: Vec<u64>,
}

/// Makes a segment of the vectors, in `lists` lists or in about √rows.
pub(super) fn encode(vectors: &Vectors, metric: Metric, lists: Option<usize>) -> Result<Encoded> {
    let rows = vectors.places.len();
    let wanted = lists.unwrap_or_else(|| (rows as f64).sqrt() as usize);
    let wanted = wanted.clamp(1, MAX_LISTS).min(rows.max(1));
    let centroids = train(vectors, wanted);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); wanted];
    let mut list_of = Vec::with_capacity(rows);
    let halves = half_squares(&centroids, vectors.dimensions);
    for row in 0..rows {
        let list = nearest(vectors.row(row), &centroids, &halves, vectors.dimensions);
        list_of.push(list as u32);
        if let Some(list) = members.get_mut(list) {
            list.push(row);
        }
    }
    let lists: Vec<u32> = members.iter().map(|list| list.len() as u32).collect();
    let text = HeadText {
        metric,
        dimensions: vectors.dimensions,
        probes: enough_lists(vectors, metric, &centroids, &lists, &list_of),
        lists,
    };
    let text = serde_json::to_vec(&text).map_err(|e| LakeError::Invalid(e.to_string()))?;
    let mut bytes = Vec::with_capacity(rows * entry_bytes(vectors.dimensions) + (1 << 20));
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(&text);
    bytes.extend(centroids.iter().flat_map(|x| x.to_le_bytes()));
    let head_bytes = bytes.len() as u64;
    for list in &members {
        encode_entries(vectors, list, &mut bytes);
    }
    Ok(Encoded { bytes, head_bytes })
}

impl Head {
    /// Reads what stands before the lists.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let text: HeadText = serde_json::from_slice(text).ok()?;
        let centroids = floats(rest);
        if centroids.len() != text.lists.len().checked_mul(text.dimensions)? {
            return None;
        }
        let mut starts = vec![bytes.len() as u64];
        let mut end = bytes.len() as u64;
        for rows in &text.lists {
            end += u64::from(*rows) * entry_bytes(text.dimensions) as u64;
            starts.push(end);
        }
        Some(Head {
            text,
            centroids,
            starts,
        })
    }

    /// Numbers in each vector.
    pub(super) fn dimensions(&self) -> usize {
        self.text.dimensions
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        4 * self.centroids.len() + 12 * self.starts.len()
    }

    /// Where a list's block stands in the segment.
    pub(super) fn range(&self, list: u32) -> std::ops::Range<u64> {
        let list = list as usize;
        let at = |n: usize| self.starts.get(n).copied().unwrap_or_default();
        at(list)..at(list + 1)
    }

    /// How many lists are enough to find the `nearest` rows of the segment.
    pub(super) fn enough(&self, nearest: usize) -> usize {
        let probes = &self.text.probes;
        let enough = probes.get(nearest.saturating_sub(1)).or(probes.last());
        enough.copied().unwrap_or_default()
    }

    /// The lists that hold rows, with how near to the query they are.
    pub(super) fn lists(&self, query: &Query) -> Vec<(f32, u32)> {
        scored_lists(query, &self.centroids, &self.text.lists)
    }

    /// Reads a list from its block.
    pub(super) fn block(&self, list: u32, bytes: &[u8]) -> Option<Entries> {
        let rows = *self.text.lists.get(list as usize)?;
        Entries::decode(rows as usize, self.text.dimensions, bytes)
    }
}

/// The lists that hold rows, with the scores of their centroids: the smaller, the nearer.
fn scored_lists(query: &Query, centroids: &[f32], rows: &[u32]) -> Vec<(f32, u32)> {
    let each = centroids.chunks_exact(query.dimensions().max(1)).zip(rows);
    (0u32..)
        .zip(each)
        .filter(|(_, (_, rows))| **rows > 0)
        .map(|(list, (centroid, _))| (query.centroid_score(centroid), list))
        .collect()
}

/// How many lists have to be read to find most of the rows nearest to some of the rows themselves: of the one
/// nearest row, of the two nearest, and so on; never fewer lists than rows.
fn enough_lists(
    vectors: &Vectors,
    metric: Metric,
    centroids: &[f32],
    lists: &[u32],
    list_of: &[u32],
) -> Vec<usize> {
    let rows = vectors.places.len();
    let mut random = StdRng::seed_from_u64(rows as u64 + 1);
    // By how near a row is: for each row that was tried, the place of its list.
    let mut needed: Vec<Vec<usize>> = vec![Vec::new(); TRIED_NEAREST];
    for row in sample(&mut random, rows, TRIED_ROWS.min(rows)) {
        let vector = vectors.row(row);
        let Some(query) = Query::new(vector, metric) else {
            continue;
        };
        let mut order = scored_lists(&query, centroids, lists);
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (near, needed) in nearest_rows(vectors, metric, row).iter().zip(&mut needed) {
            let list = list_of.get(*near);
            let place = order.iter().position(|(_, other)| Some(other) == list);
            needed.extend(place.map(|place| place + 1));
        }
    }
    let most = (lists.len() as f64 * MAX_PROBED_SHARE).ceil() as usize;
    (1..=TRIED_NEAREST)
        .map(|nearest| {
            let mut needed: Vec<usize> = needed.iter().take(nearest).flatten().copied().collect();
            needed.sort_unstable();
            let enough = (needed.len() as f64 * WANTED_RECALL).ceil() as usize;
            let enough = needed.get(enough.saturating_sub(1)).copied().unwrap_or(0);
            enough.min(most).max(nearest)
        })
        .collect()
}

/// The rows nearest to a row, without itself, the nearest first.
fn nearest_rows(vectors: &Vectors, metric: Metric, row: usize) -> Vec<usize> {
    let vector = vectors.row(row);
    let score = |other: usize| {
        let other = vectors.row(other);
        match metric {
            Metric::InnerProduct => -dot(other, vector),
            Metric::Cosine | Metric::L2 => square(other) / 2.0 - dot(other, vector),
        }
    };
    let others = (0..vectors.places.len()).filter(|other| *other != row);
    let mut scored: Vec<(f32, usize)> = others.map(|other| (score(other), other)).collect();
    if scored.len() > TRIED_NEAREST {
        scored.select_nth_unstable_by(TRIED_NEAREST, |a, b| a.0.total_cmp(&b.0));
        scored.truncate(TRIED_NEAREST);
    }
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    scored.into_iter().map(|(_, other)| other).collect()
}

/// Centroids by k-means over a sample of the rows. The same rows give the same centroids.
fn train(vectors: &Vectors, lists: usize) -> Vec<f32> {
    let dimensions = vectors.dimensions;
    let rows = vectors.places.len();
    let mut random = StdRng::seed_from_u64(rows as u64);
    let chosen = sample(
        &mut random,
        rows,
        (TRAINING_ROWS_PER_LIST * lists).min(rows),
    )
    .into_vec();
    let mut centroids: Vec<f32> = chosen
        .iter()
        .take(lists)
        .flat_map(|&row| vectors.row(row).to_vec())
        .collect();
    for _ in 0..TRAINING_ROUNDS {
        let halves = half_squares(&centroids, dimensions);
        let mut sums = vec![0.0f32; centroids.len()];
        let mut counts = vec![0u32; lists];
        for &row in &chosen {
            let vector = vectors.row(row);
            let list = nearest(vector, &centroids, &halves, dimensions);
            let sum = sums.chunks_exact_mut(dimensions.max(1)).nth(list);
            for (total, x) in sum.into_iter().flatten().zip(vector) {
                *total += x;
            }
            if let Some(count) = counts.get_mut(list) {
                *count += 1;
            }
        }
        let means = sums.chunks_exact(dimensions.max(1)).zip(&counts);
        for (centroid, (sum, count)) in centroids.chunks_exact_mut(dimensions.max(1)).zip(means) {
            // A list that nobody chose starts again from a row.
            let row = random.random_range(0..chosen.len().max(1));
            match (*count, chosen.get(row)) {
                (0, Some(&row)) => centroid.copy_from_slice(vectors.row(row)),
                (count, _) => {
                    for (mean, total) in centroid.iter_mut().zip(sum) {
                        *mean = total / count.max(1) as f32;
                    }
                }
            }
        }
    }
    centroids
}

fn half_squares(centroids: &[f32], dimensions: usize) -> Vec<f32> {
    let each = centroids.chunks_exact(dimensions.max(1));
    each.map(|centroid| square(centroid) / 2.0).collect()
}

/// The centroid nearest to the vector: |v - c|² is least where v·c - |c|²/2 is greatest.
fn nearest(vector: &[f32], centroids: &[f32], halves: &[f32], dimensions: usize) -> usize {
    dispatch!(*LEVEL, _simd => nearest_of(vector, centroids, halves, dimensions))
}

#[inline(always)]
fn nearest_of(vector: &[f32], centroids: &[f32], halves: &[f32], dimensions: usize) -> usize {
    let each = centroids.chunks_exact(dimensions.max(1)).zip(halves);
    let scores = each.map(|(centroid, half)| inlined_dot(vector, centroid) - half);
    let mut best = (f32::NEG_INFINITY, 0);
    for (list, score) in scores.enumerate() {
        if score > best.0 {
            best = (score, list);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around `centers` centers, on a grid of seeds.
    fn clustered(rows: usize, dimensions: usize, centers: usize) -> Vec<Vec<f32>> {
        let mut random = StdRng::seed_from_u64(5);
        let centers: Vec<Vec<f32>> = (0..centers)
            .map(|_| {
                (0..dimensions)
                    .map(|_| random.random_range(-1.0..1.0))
                    .collect()
            })
            .collect();
        (0..rows)
            .map(|row| {
                let center = &centers[row % centers.len()];
                center
                    .iter()
                    .map(|x| x + random.random_range(-0.3..0.3))
                    .collect()
            })
            .collect()
    }

    fn exact(rows: &[Vec<f32>], query: &[f32], metric: Metric, k: usize) -> Vec<u32> {
        let distance = |v: &[f32]| match metric {
            Metric::Cosine => -dot(v, query) / (square(v) * square(query)).sqrt(),
            Metric::L2 => square(v) - 2.0 * dot(v, query),
            Metric::InnerProduct => -dot(v, query),
        };
        let mut all: Vec<(f32, u32)> = (0u32..).zip(rows).map(|(n, v)| (distance(v), n)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.iter().take(k).map(|(_, n)| *n).collect()
    }

    fn segment(rows: &[Vec<f32>], metric: Metric) -> Encoded {
        let mut vectors = Vectors {
            dimensions: 24,
            ..Vectors::default()
        };
        for (n, row) in (0u32..).zip(rows) {
            vectors.push(metric, row, (7, n));
        }
        encode(&vectors, metric, None).unwrap()
    }

    /// The lists that a search for the `nearest` rows reads where there is no other segment.
    fn nearest_lists(head: &Head, query: &Query, nearest: usize) -> Vec<u32> {
        let mut lists = head.lists(query);
        lists.sort_by(|a, b| a.0.total_cmp(&b.0));
        lists.truncate(head.enough(nearest));
        lists.into_iter().map(|(_, list)| list).collect()
    }

    /// How many of the ten rows nearest to each query are among the forty best of the lists that a search
    /// reads, which hold no more than two thirds of the rows.
    fn found(
        segment: &Encoded,
        head: &Head,
        rows: &[Vec<f32>],
        queries: &[Vec<f32>],
        metric: Metric,
    ) -> usize {
        let mut found = 0;
        for query in queries {
            let wanted = exact(rows, query, metric, 10);
            let query = Query::new(query, metric).unwrap();
            let mut hits = Vec::new();
            for list in nearest_lists(head, &query, 10) {
                let range = head.range(list);
                let block = &segment.bytes[range.start as usize..range.end as usize];
                hits.extend(head.block(list, block).unwrap().hits(&query));
            }
            assert!(hits.len() < rows.len() * 2 / 3, "{}", hits.len());
            hits.sort_by(|a, b| a.score.total_cmp(&b.score));
            let candidates: Vec<u32> = hits.iter().take(40).map(|hit| hit.row).collect();
            found += wanted.iter().filter(|row| candidates.contains(row)).count();
        }
        found
    }

    #[test]
    fn the_nearest_rows_are_among_the_candidates() {
        let rows = clustered(3000, 24, 30);
        let queries = clustered(40, 24, 30);
        for metric in [Metric::Cosine, Metric::L2, Metric::InnerProduct] {
            let segment = segment(&rows, metric);
            let (head, _) = segment.bytes.split_at(segment.head_bytes as usize);
            let head = Head::decode(head).unwrap();
            let end = head.range(head.text.lists.len() as u32 - 1).end;
            assert_eq!(end, segment.bytes.len() as u64);
            let found = found(&segment, &head, &rows, &queries, metric);
            assert!(found >= 380, "{metric:?}: {found} of 400");
        }
    }

    #[test]
    fn vectors_without_clusters_are_found_by_reading_more_lists() {
        let random = |seed, rows: usize| -> Vec<Vec<f32>> {
            let mut random = StdRng::seed_from_u64(seed);
            let mut row = || (0..24).map(|_| random.random_range(-1.0..1.0)).collect();
            (0..rows).map(|_| row()).collect()
        };
        let rows = random(1, 4000);
        for metric in [Metric::Cosine, Metric::L2, Metric::InnerProduct] {
            let segment = segment(&rows, metric);
            let head = Head::decode(&segment.bytes[..segment.head_bytes as usize]).unwrap();
            assert!(head.text.probes.last() > Some(&TRIED_NEAREST), "{metric:?}");
            let found = found(&segment, &head, &rows, &random(2, 40), metric);
            assert!(found >= 340, "{metric:?}: {found} of 400");
        }
    }

    #[test]
    fn fewer_rows_of_a_segment_need_fewer_lists() {
        let segment = segment(&clustered(4000, 24, 60), Metric::Cosine);
        let head = Head::decode(&segment.bytes[..segment.head_bytes as usize]).unwrap();
        assert!(head.text.probes.is_sorted(), "{:?}", head.text.probes);
        assert!(head.enough(2) < head.enough(10));
        assert_eq!(head.enough(500), head.enough(10));
    }

    #[test]
    fn a_vector_without_a_distance_is_left_out() {
        let mut vectors = Vectors {
            dimensions: 2,
            ..Vectors::default()
        };
        vectors.push(Metric::Cosine, &[0.0, 0.0], (0, 0));
        vectors.push(Metric::Cosine, &[f32::NAN, 1.0], (0, 1));
        vectors.push(Metric::Cosine, &[3.0, 4.0], (0, 2));
        assert_eq!(vectors.places, [(0, 2)]);
        assert_eq!(vectors.values, [0.6, 0.8]);
        vectors.push(Metric::L2, &[0.0, 0.0], (0, 3));
        assert_eq!(vectors.places.len(), 2);
    }

    #[test]
    fn a_segment_that_is_cut_off_is_not_read() {
        let mut vectors = Vectors {
            dimensions: 4,
            ..Vectors::default()
        };
        for n in 0..50u8 {
            vectors.push(Metric::L2, &[f32::from(n), 1.0, 2.0, 3.0], (0, n.into()));
        }
        let segment = encode(&vectors, Metric::L2, Some(3)).unwrap();
        let whole = &segment.bytes[..segment.head_bytes as usize];
        let head = Head::decode(whole).unwrap();
        for end in 0..whole.len() {
            assert!(Head::decode(&whole[..end]).is_none(), "{end}");
        }
        let range = head.range(0);
        let block = &segment.bytes[range.start as usize..range.end as usize];
        assert!(head.block(0, block).is_some());
        assert!(head.block(0, &block[..block.len() - 1]).is_none());
        assert!(head.block(9, block).is_none());
    }
}
