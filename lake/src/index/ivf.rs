//! One segment of an index: vectors in inverted lists, quantized to 8 bits.
//!
//! Layout, little-endian, without padding: a [`Head`] as JSON with its length (u32) in front; the centroids
//! (`lists` x `dimensions` f32); then each list as one block of `n` entries: file numbers (u32), row numbers
//! (u32), scales (f32), squared lengths (f32), codes (`n` x `dimensions` i8). A vector is about its
//! code times its scale.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::index::sample};
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::error::{LakeError, Result};

/// Rows looked at per list when centroids are found; more hardly move them.
const TRAINING_ROWS_PER_LIST: usize = 40;
const TRAINING_ROUNDS: usize = 8;
const MAX_LISTS: usize = 4096;
/// Share of the lists that a search reads, and the least it reads.
const PROBED_SHARE: f64 = 0.04;
const MIN_PROBED: usize = 8;

/// Vectors on their way into a segment.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    pub(super) dimensions: usize,
    /// Row after row.
    pub(super) values: Vec<f32>,
    /// File and number of each row.
    pub(super) places: Vec<(u32, u32)>,
}

impl Vectors {
    fn row(&self, row: usize) -> &[f32] {
        let start = row * self.dimensions;
        self.values
            .get(start..start + self.dimensions)
            .unwrap_or_default()
    }

    /// Adds a vector. One that has no distance under the metric is left out.
    pub(super) fn push(&mut self, metric: Metric, vector: &[f32], place: (u32, u32)) {
        let length = dot(vector, vector).sqrt();
        if !length.is_finite() || (metric == Metric::Cosine && length == 0.0) {
            return;
        }
        match metric {
            Metric::Cosine => self.values.extend(vector.iter().map(|x| x / length)),
            Metric::L2 | Metric::InnerProduct => self.values.extend_from_slice(vector),
        }
        self.places.push(place);
    }
}

/// What stands in front of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HeadText {
    metric: Metric,
    dimensions: usize,
    /// Rows of each list.
    lists: Vec<u32>,
}

/// A segment without its lists.
#[derive(Debug)]
pub(super) struct Head {
    text: HeadText,
    centroids: Vec<f32>,
    /// Where each list's block begins; one more for the end.
    starts: Vec<u64>,
}

/// One list of a segment.
#[derive(Debug)]
pub(super) struct Block {
    files: Vec<u32>,
    rows: Vec<u32>,
    scales: Vec<f32>,
    squares: Vec<f32>,
    codes: Vec<i8>,
}

/// The vector that is searched for, quantized as those in the lists are.
pub(super) struct Query {
    exact: Vec<f32>,
    code: Vec<i8>,
    scale: f32,
    metric: Metric,
}

/// A row that may be near.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) score: f32,
    pub(super) file: u32,
    pub(super) row: u32,
}

/// Bytes of a segment, and how many of them are before its lists.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) head_bytes: u64,
}

/// Makes a segment of the vectors, in `lists` lists or in about √rows.
pub(super) fn encode(vectors: &Vectors, metric: Metric, lists: Option<usize>) -> Result<Encoded> {
    let rows = vectors.places.len();
    let wanted = lists.unwrap_or_else(|| (rows as f64).sqrt() as usize);
    let wanted = wanted.clamp(1, MAX_LISTS).min(rows.max(1));
    let centroids = train(vectors, wanted);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); wanted];
    let halves = half_squares(&centroids, vectors.dimensions);
    for row in 0..rows {
        let list = nearest(vectors.row(row), &centroids, &halves, vectors.dimensions);
        if let Some(list) = members.get_mut(list) {
            list.push(row);
        }
    }
    let text = HeadText {
        metric,
        dimensions: vectors.dimensions,
        lists: members.iter().map(|list| list.len() as u32).collect(),
    };
    let text = serde_json::to_vec(&text).map_err(|e| LakeError::Invalid(e.to_string()))?;
    let mut bytes = Vec::with_capacity(rows * (vectors.dimensions + 16) + (1 << 20));
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(&text);
    bytes.extend(centroids.iter().flat_map(|x| x.to_le_bytes()));
    let head_bytes = bytes.len() as u64;
    for list in &members {
        let quantized: Vec<(f32, Vec<i8>)> =
            list.iter().map(|&row| quantize(vectors.row(row))).collect();
        let places = list.iter().filter_map(|&row| vectors.places.get(row));
        bytes.extend(places.clone().flat_map(|(file, _)| file.to_le_bytes()));
        bytes.extend(places.flat_map(|(_, row)| row.to_le_bytes()));
        bytes.extend(quantized.iter().flat_map(|(scale, _)| scale.to_le_bytes()));
        let squares = list.iter().map(|&row| square(vectors.row(row)));
        bytes.extend(squares.flat_map(f32::to_le_bytes));
        for (_, code) in &quantized {
            bytes.extend(code.iter().map(|c| c.cast_unsigned()));
        }
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
            end += u64::from(*rows) * (text.dimensions as u64 + 16);
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

    /// The lists that a search reads: those nearest to the query.
    pub(super) fn probed(&self, query: &Query, probes: Option<usize>) -> Vec<u32> {
        let dimensions = self.text.dimensions.max(1);
        let mut lists: Vec<(f32, u32)> = self
            .centroids
            .chunks_exact(dimensions)
            .zip(&self.text.lists)
            .enumerate()
            .filter(|(_, (_, rows))| **rows > 0)
            .map(|(list, (centroid, _))| (query.centroid_score(centroid), list as u32))
            .collect();
        let share = (lists.len() as f64 * PROBED_SHARE).ceil() as usize;
        let count = probes.unwrap_or(share.max(MIN_PROBED));
        lists.sort_by(|a, b| a.0.total_cmp(&b.0));
        lists.truncate(count.max(1));
        lists.into_iter().map(|(_, list)| list).collect()
    }

    /// Reads a list from its block.
    pub(super) fn block(&self, list: u32, bytes: &[u8]) -> Option<Block> {
        let rows = *self.text.lists.get(list as usize)? as usize;
        let (files, rest) = bytes.split_at_checked(4 * rows)?;
        let (numbers, rest) = rest.split_at_checked(4 * rows)?;
        let (scales, rest) = rest.split_at_checked(4 * rows)?;
        let (squares, codes) = rest.split_at_checked(4 * rows)?;
        if codes.len() != rows * self.text.dimensions {
            return None;
        }
        let integers = |bytes: &[u8]| -> Vec<u32> {
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|word| u32::from_le_bytes(*word)).collect()
        };
        Some(Block {
            files: integers(files),
            rows: integers(numbers),
            scales: floats(scales),
            squares: floats(squares),
            codes: codes.iter().map(|code| code.cast_signed()).collect(),
        })
    }
}

impl Block {
    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.codes.len() + 16 * self.rows.len()
    }

    /// Its rows with their scores.
    pub(super) fn hits<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = Hit> + 'a {
        let places = self.files.iter().zip(&self.rows);
        let codes = self.codes.chunks_exact(query.code.len().max(1));
        let lengths = self.scales.iter().zip(&self.squares);
        places
            .zip(codes)
            .zip(lengths)
            .map(|(((file, row), code), (scale, square))| Hit {
                score: query.score(code, *scale, *square),
                file: *file,
                row: *row,
            })
    }
}

impl Query {
    /// The query for a vector; nothing for one that is near to nothing.
    pub(super) fn new(vector: &[f32], metric: Metric) -> Option<Self> {
        let length = dot(vector, vector).sqrt();
        if !length.is_finite() || (metric == Metric::Cosine && length == 0.0) {
            return None;
        }
        let exact: Vec<f32> = match metric {
            Metric::Cosine => vector.iter().map(|x| x / length).collect(),
            Metric::L2 | Metric::InnerProduct => vector.to_vec(),
        };
        let (scale, code) = quantize(&exact);
        Some(Query {
            exact,
            code,
            scale,
            metric,
        })
    }

    /// Numbers in the vector.
    pub(super) fn dimensions(&self) -> usize {
        self.exact.len()
    }

    fn centroid_score(&self, centroid: &[f32]) -> f32 {
        let product = dot(&self.exact, centroid);
        match self.metric {
            Metric::L2 | Metric::Cosine => square(centroid) - 2.0 * product,
            Metric::InnerProduct => -product,
        }
    }

    /// The smaller, the nearer; about the distance, up to terms that all rows share.
    fn score(&self, code: &[i8], scale: f32, square: f32) -> f32 {
        let product = code_dot(&self.code, code) as f32 * self.scale * scale;
        match self.metric {
            Metric::Cosine | Metric::InnerProduct => -product,
            Metric::L2 => square - 2.0 * product,
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// The scale and the code of a vector.
fn quantize(vector: &[f32]) -> (f32, Vec<i8>) {
    let largest = vector.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let code = vector.iter().map(|x| (x / scale).round() as i8).collect();
    (scale, code)
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
    let each = centroids.chunks_exact(dimensions.max(1)).zip(halves);
    let scores = each.map(|(centroid, half)| dot(vector, centroid) - half);
    let mut best = (f32::NEG_INFINITY, 0);
    for (list, score) in scores.enumerate() {
        if score > best.0 {
            best = (score, list);
        }
    }
    best.1
}

fn square(vector: &[f32]) -> f32 {
    dot(vector, vector)
}

/// In lanes that the compiler turns into SIMD.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

fn code_dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(x, y)| i32::from(i16::from(*x) * i16::from(*y)))
        .sum()
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

    #[test]
    fn the_nearest_rows_are_among_the_candidates() {
        let rows = clustered(3000, 24, 30);
        let queries = clustered(40, 24, 30);
        for metric in [Metric::Cosine, Metric::L2, Metric::InnerProduct] {
            let mut vectors = Vectors {
                dimensions: 24,
                ..Vectors::default()
            };
            for (n, row) in (0u32..).zip(&rows) {
                vectors.push(metric, row, (7, n));
            }
            let segment = encode(&vectors, metric, None).unwrap();
            let (head, _) = segment.bytes.split_at(segment.head_bytes as usize);
            let head = Head::decode(head).unwrap();
            let end = head.range(head.text.lists.len() as u32 - 1).end;
            assert_eq!(end, segment.bytes.len() as u64);
            let mut found = 0;
            for query in &queries {
                let wanted = exact(&rows, query, metric, 10);
                let query = Query::new(query, metric).unwrap();
                let mut hits = Vec::new();
                for list in head.probed(&query, None) {
                    let range = head.range(list);
                    let block = &segment.bytes[range.start as usize..range.end as usize];
                    hits.extend(head.block(list, block).unwrap().hits(&query));
                }
                assert!(hits.len() < rows.len() / 2, "{}", hits.len());
                hits.sort_by(|a, b| a.score.total_cmp(&b.score));
                let candidates: Vec<u32> = hits.iter().take(40).map(|hit| hit.row).collect();
                found += wanted.iter().filter(|row| candidates.contains(row)).count();
            }
            assert!(found >= 380, "{metric:?}: {found} of 400");
        }
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
