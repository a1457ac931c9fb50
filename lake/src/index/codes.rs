//! Vectors quantized to 8 bits, as the segments of both kinds of index hold them.
//!
//! Layout of `n` entries, little-endian, without padding: file numbers (u32), row numbers (u32), scales
//! (f32), squared lengths (f32), codes (`n` x dimensions i8). A vector is about its code times its scale.

use std::sync::LazyLock;

use fearless_simd::{Level, dispatch};

use super::Metric;

/// Instructions that this processor has.
pub(super) static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

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
    /// The vector of a row.
    pub(super) fn row(&self, row: usize) -> &[f32] {
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

/// Rows of a segment.
#[derive(Debug)]
pub(super) struct Entries {
    files: Vec<u32>,
    rows: Vec<u32>,
    scales: Vec<f32>,
    squares: Vec<f32>,
    codes: Vec<i8>,
}

/// The vector that is searched for, quantized as those in the lists are.
pub(super) struct Query {
    exact: Vec<f32>,
    /// Widened once, not in every product.
    code: Vec<i16>,
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

/// Bytes of an entry.
pub(super) fn entry_bytes(dimensions: usize) -> usize {
    dimensions + 16
}

/// Appends the entries of `chosen` rows to `bytes`.
pub(super) fn encode_entries(vectors: &Vectors, chosen: &[usize], bytes: &mut Vec<u8>) {
    let quantized: Vec<(f32, Vec<i8>)> = chosen
        .iter()
        .map(|&row| quantize(vectors.row(row)))
        .collect();
    let places = chosen.iter().filter_map(|&row| vectors.places.get(row));
    bytes.extend(places.clone().flat_map(|(file, _)| file.to_le_bytes()));
    bytes.extend(places.flat_map(|(_, row)| row.to_le_bytes()));
    bytes.extend(quantized.iter().flat_map(|(scale, _)| scale.to_le_bytes()));
    let squares = chosen.iter().map(|&row| square(vectors.row(row)));
    bytes.extend(squares.flat_map(f32::to_le_bytes));
    for (_, code) in &quantized {
        bytes.extend(code.iter().map(|c| c.cast_unsigned()));
    }
}

impl Entries {
    /// Reads `rows` entries; nothing if there are not as many.
    pub(super) fn decode(rows: usize, dimensions: usize, bytes: &[u8]) -> Option<Self> {
        let column = rows.checked_mul(4)?;
        let (files, rest) = bytes.split_at_checked(column)?;
        let (numbers, rest) = rest.split_at_checked(column)?;
        let (scales, rest) = rest.split_at_checked(column)?;
        let (squares, codes) = rest.split_at_checked(column)?;
        if codes.len() != rows.checked_mul(dimensions)? {
            return None;
        }
        Some(Entries {
            files: integers(files),
            rows: integers(numbers),
            scales: floats(scales),
            squares: floats(squares),
            codes: codes.iter().map(|code| code.cast_signed()).collect(),
        })
    }

    /// One entry with its score.
    pub(super) fn hit(&self, entry: usize, query: &Query) -> Option<Hit> {
        dispatch!(*LEVEL, _simd => self.scored_at(entry, query))
    }

    #[inline(always)]
    fn scored_at(&self, entry: usize, query: &Query) -> Option<Hit> {
        let dimensions = query.code.len();
        let code = self
            .codes
            .get(entry * dimensions..(entry + 1) * dimensions)?;
        Some(Hit {
            score: query.score(code, *self.scales.get(entry)?, *self.squares.get(entry)?),
            file: *self.files.get(entry)?,
            row: *self.rows.get(entry)?,
        })
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.codes.len() + 16 * self.rows.len()
    }

    /// Its rows with their scores.
    pub(super) fn hits(&self, query: &Query) -> Vec<Hit> {
        dispatch!(*LEVEL, _simd => self.scored(query))
    }

    /// A loop, because the closure of a `map` would be compiled without the instructions of [`LEVEL`].
    #[inline(always)]
    fn scored(&self, query: &Query) -> Vec<Hit> {
        let mut hits = Vec::with_capacity(self.rows.len());
        let places = self.files.iter().zip(&self.rows);
        let codes = self.codes.chunks_exact(query.code.len().max(1));
        let lengths = self.scales.iter().zip(&self.squares);
        for (((file, row), code), (scale, square)) in places.zip(codes).zip(lengths) {
            hits.push(Hit {
                score: query.score(code, *scale, *square),
                file: *file,
                row: *row,
            });
        }
        hits
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
            code: code.into_iter().map(i16::from).collect(),
            scale,
            metric,
        })
    }

    /// Numbers in the vector.
    pub(super) fn dimensions(&self) -> usize {
        self.exact.len()
    }

    /// How near a vector of single precision is: the smaller, the nearer.
    pub(super) fn centroid_score(&self, centroid: &[f32]) -> f32 {
        let product = dot(&self.exact, centroid);
        match self.metric {
            Metric::L2 | Metric::Cosine => square(centroid) - 2.0 * product,
            Metric::InnerProduct => -product,
        }
    }

    /// The smaller, the nearer; about the distance, up to terms that all rows share.
    #[inline(always)]
    fn score(&self, code: &[i8], scale: f32, square: f32) -> f32 {
        let product = code_dot(&self.code, code) as f32 * self.scale * scale;
        match self.metric {
            Metric::Cosine | Metric::InnerProduct => -product,
            Metric::L2 => square - 2.0 * product,
        }
    }
}

/// Little-endian numbers, one after the other.
pub(super) fn integers(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// Little-endian numbers, one after the other.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
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

pub(super) fn square(vector: &[f32]) -> f32 {
    dot(vector, vector)
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    dispatch!(*LEVEL, _simd => inlined_dot(a, b))
}

/// In lanes that the compiler turns into SIMD, of whatever instructions its caller may use.
#[inline(always)]
pub(super) fn inlined_dot(a: &[f32], b: &[f32]) -> f32 {
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

/// As [`inlined_dot`].
#[inline(always)]
fn code_dot(a: &[i16], b: &[i8]) -> i32 {
    const LANES: usize = 32;
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0i32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += i32::from(*x) * i32::from(*y);
        }
    }
    let mut total: i32 = sums.iter().sum();
    for (x, y) in a_rest.iter().zip(b_rest) {
        total += i32::from(*x) * i32::from(*y);
    }
    total
}
