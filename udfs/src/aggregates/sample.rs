//! A bounded sample of vectors that does not depend on their order or on how they are spread over
//! partitions.
//!
//! Every vector has a rank, a hash of its elements; the sample holds the vectors of the lowest
//! ranks, each with how often it came. A vector among the lowest of all is among the lowest of
//! every part that holds it, so samples of parts merge into exactly the sample of the whole, counts
//! included: a sample of the *different* vectors, all equally likely, in bounded memory.

use std::collections::BTreeMap;

use datafusion::common::{Result, exec_err};

/// How many bytes of elements a sample holds at most.
const MOST_BYTES: usize = 32 << 20;

/// The vectors of the lowest ranks.
#[derive(Debug)]
pub(super) struct Sample {
    size: SampleSize,
    /// The length of all vectors; unknown until the first.
    dimension: Option<usize>,
    points: BTreeMap<u64, Point>,
    /// The vector at hand, as FLOAT.
    buffer: Vec<f32>,
}

/// A vector and how often it came.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) vector: Box<[f32]>,
    pub(super) weight: i64,
}

impl Sample {
    pub(super) fn new(size: SampleSize) -> Self {
        Self {
            size,
            dimension: None,
            points: BTreeMap::new(),
            buffer: Vec::new(),
        }
    }

    /// # Errors
    /// When it has another length than the vectors before, or an element is no finite FLOAT.
    pub(super) fn add(
        &mut self,
        function: &str,
        vector: impl Iterator<Item = f64>,
        weight: i64,
    ) -> Result<()> {
        self.buffer.clear();
        // Adding 0 makes 0 of -0, which is equal but has other bits.
        self.buffer.extend(vector.map(|x| x as f32 + 0.0));
        let length = self.buffer.len();
        let dimension = *self.dimension.get_or_insert(length);
        if dimension != length {
            return exec_err!(
                "{function} takes vectors of the same length in a group, not of {dimension} and \
                 {length} elements"
            );
        }
        if !self.buffer.iter().all(|x| x.is_finite()) {
            return exec_err!(
                "{function} takes finite FLOATs, and there is a vector with NaN, infinity or an \
                 element beyond FLOAT; leave it out with FILTER (WHERE vector_norm(v) < 3e38)"
            );
        }
        self.keep(rank(&self.buffer), weight, self.size.capacity(dimension));
        Ok(())
    }

    fn keep(&mut self, rank: u64, weight: i64, capacity: usize) {
        if let Some(point) = self.points.get_mut(&rank) {
            point.weight = point.weight.saturating_add(weight);
            return;
        }
        if self.points.len() >= capacity {
            match self.points.last_key_value() {
                Some((highest, _)) if rank < *highest => self.points.pop_last(),
                _ => return,
            };
        }
        let vector = self.buffer.as_slice().into();
        self.points.insert(rank, Point { vector, weight });
    }

    /// The sample, in order of rank.
    pub(super) fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.values()
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        let dimension = self.dimension.unwrap_or(0);
        let entry = size_of::<u64>() + size_of::<Point>() + dimension * size_of::<f32>();
        size_of_val(self) + self.points.len() * entry + self.buffer.capacity() * size_of::<f32>()
    }
}

/// How many vectors a sample may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleSize {
    /// In any case.
    pub(super) least: usize,
    /// Where they are not too long for 32 MiB.
    pub(super) most: usize,
}

impl SampleSize {
    fn capacity(&self, dimension: usize) -> usize {
        let fitting = MOST_BYTES / size_of::<f32>() / dimension.max(1);
        fitting.min(self.most).max(self.least)
    }
}

/// A hash of the elements that is the same in every process and every release.
fn rank(vector: &[f32]) -> u64 {
    const LANES: usize = 4;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut lanes = [0xcbf2_9ce4_8422_2325_u64, 1, 2, 3];
    for chunk in vector.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane ^ u64::from(x.to_bits())).wrapping_mul(PRIME);
        }
    }
    lanes
        .iter()
        .fold(vector.len() as u64, |hash, lane| scrambled(hash ^ lane))
}

/// The output function of SplitMix64: every bit of `x` changes half of the bits.
pub(super) fn scrambled(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
