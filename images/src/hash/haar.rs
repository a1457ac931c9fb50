//! Bits of the wavelet hash: which blocks of a square picture are brighter than their median.
//!
//! imagehash takes the whole Haar decomposition of the picture, drops its mean, composes it again
//! and decomposes it once more down to one coefficient per block (`pywt.wavedec2`, `waverec2`).
//! In exact numbers that coefficient is the sum of the block's pixels less a constant, so sums of
//! pixels decide, unless a block equals the median: then the rounding of each step decides, as in a
//! picture on a white background. Only for those the steps are repeated in the same arithmetic,
//! block by block, which needs no more memory than one block.

use std::f64::consts::FRAC_1_SQRT_2;

use super::median;

/// One bit per block of the picture of `side` x `side`, in `blocks` x `blocks` blocks, row by row.
/// Both are powers of two, and `blocks` is not above `side`.
pub(super) fn bits(pixels: &[u8], side: usize, blocks: usize) -> Vec<bool> {
    let block = side / blocks;
    let sums = block_sums(pixels, side, block);
    let middle = median(&sums);
    if !sums.contains(&middle) {
        return sums.iter().map(|sum| *sum > middle).collect();
    }
    let coefficients = coefficients(pixels, side, block);
    let middle = median(&coefficients);
    coefficients.iter().map(|value| *value > middle).collect()
}

/// Sums of pixels, exact: they stay far below 2^53.
fn block_sums(pixels: &[u8], side: usize, block: usize) -> Vec<f64> {
    let blocks = side / block;
    let mut sums = vec![0_u64; blocks * blocks];
    let bands = pixels.chunks_exact(side * block);
    for (band, sums) in bands.zip(sums.chunks_exact_mut(blocks)) {
        for row in band.chunks_exact(side) {
            for (part, sum) in row.chunks_exact(block).zip(sums.iter_mut()) {
                *sum += u64::from(part.iter().map(|p| u32::from(*p)).sum::<u32>());
            }
        }
    }
    sums.into_iter().map(|sum| sum as f64).collect()
}

/// The coefficients that imagehash compares, with its rounding.
fn coefficients(pixels: &[u8], side: usize, block: usize) -> Vec<f64> {
    let blocks = side / block;
    let block_at = |index: usize| {
        let corner = index / blocks * block * side + index % blocks * block;
        let rows = pixels[corner..].chunks(side).take(block);
        rows.flat_map(|row| &row[..block])
            .map(|pixel| f64::from(*pixel) / 255.0)
            .collect::<Vec<_>>()
    };
    let averages =
        (0..blocks * blocks).map(|index| Decomposed::new(block_at(index), block).average);
    let mut whole = Decomposed::new(averages.collect(), blocks);
    whole.average = 0.0;
    let without_mean = whole.compose();
    let again = without_mean
        .into_iter()
        .enumerate()
        .map(|(index, average)| {
            let mut decomposed = Decomposed::new(block_at(index), block);
            decomposed.average = average;
            Decomposed::new(decomposed.compose(), block).average
        });
    again.collect()
}

/// A square of numbers as its Haar wavelet coefficients.
struct Decomposed {
    average: f64,
    /// Details of each level, finest first.
    levels: Vec<Vec<Details>>,
}

/// What two by two numbers have beside their average.
struct Details {
    horizontal: f64,
    vertical: f64,
    diagonal: f64,
}

impl Decomposed {
    fn new(mut square: Vec<f64>, mut side: usize) -> Self {
        let mut levels = Vec::new();
        while side > 1 {
            let (averages, details) = decompose(&square, side);
            levels.push(details);
            square = averages;
            side /= 2;
        }
        let average = square.first().copied().unwrap_or_default();
        Self { average, levels }
    }

    fn compose(&self) -> Vec<f64> {
        let coarsest = vec![self.average];
        let (square, _) = self
            .levels
            .iter()
            .rev()
            .fold((coarsest, 1), |(averages, side), details| {
                (compose(&averages, details, side), 2 * side)
            });
        square
    }
}

/// One level down. The order of operations is that of PyWavelets: columns first, then rows.
fn decompose(square: &[f64], side: usize) -> (Vec<f64>, Vec<Details>) {
    const C: f64 = FRAC_1_SQRT_2;
    let mut averages = Vec::with_capacity(square.len() / 4);
    let mut details = Vec::with_capacity(square.len() / 4);
    for pair in square.chunks_exact(2 * side) {
        let (upper, lower) = pair.split_at(side);
        for (top, bottom) in upper.chunks_exact(2).zip(lower.chunks_exact(2)) {
            let [left_sum, right_sum] = [0, 1].map(|x| C * bottom[x] + C * top[x]);
            let [left_step, right_step] = [0, 1].map(|x| -C * bottom[x] + C * top[x]);
            averages.push(C * right_sum + C * left_sum);
            details.push(Details {
                horizontal: -C * right_sum + C * left_sum,
                vertical: C * right_step + C * left_step,
                diagonal: -C * right_step + C * left_step,
            });
        }
    }
    (averages, details)
}

/// One level up: a square of twice the `side` of `averages`. Rows first, then columns.
fn compose(averages: &[f64], details: &[Details], side: usize) -> Vec<f64> {
    const C: f64 = FRAC_1_SQRT_2;
    let mut square = Vec::with_capacity(averages.len() * 4);
    let mut lower = Vec::with_capacity(2 * side);
    for (averages, details) in averages.chunks_exact(side).zip(details.chunks_exact(side)) {
        lower.clear();
        for (average, detail) in averages.iter().zip(details) {
            let left_sum = C * average + C * detail.horizontal;
            let right_sum = C * average - C * detail.horizontal;
            let left_step = C * detail.vertical + C * detail.diagonal;
            let right_step = C * detail.vertical - C * detail.diagonal;
            square.push(C * left_sum + C * left_step);
            square.push(C * right_sum + C * right_step);
            lower.push(C * left_sum - C * left_step);
            lower.push(C * right_sum - C * right_step);
        }
        square.append(&mut lower);
    }
    square
}
