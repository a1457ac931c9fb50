//! The perceptual hash of a picture: 64 bits that stay nearly the same when it is scaled,
//! recompressed or slightly recolored. Equal, bit for bit on the same pixels, to
//! `imagehash.phash(image)` of Python's imagehash with its defaults.
//!
//! Recipe: gray, 32 x 32 with a Lanczos filter, discrete cosine transform (type II) of both axes;
//! of its 8 x 8 lowest frequencies, row by row from the most significant bit, a bit is set where
//! the coefficient is above their median. The resize repeats Pillow's 22-bit fixed-point
//! arithmetic: SIMD resizers round coefficients more coarsely, which flips bits.

use std::f64::consts::PI;

use image::GrayImage;

const SIDE: usize = 32;
const LOW: usize = 8;
const LOBES: f64 = 3.0;
const PRECISION_BITS: u32 = 22;
/// A coefficient smaller than this is the rounding noise of a flat picture.
const NOISE: f64 = 1e-6;

/// The 64-bit perceptual hash of `gray`, which has at least one pixel.
pub fn perceptual_hash(gray: &GrayImage) -> u64 {
    let small = shrink(gray);
    let frequencies = low_frequencies(&small);
    let mut sorted = frequencies;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2.0;
    frequencies
        .iter()
        .fold(0, |hash, value| (hash << 1) | u64::from(*value > median))
}

/// The lowest frequencies of the unscaled two-dimensional DCT-II, row by row.
fn low_frequencies(pixels: &[u8]) -> [f64; LOW * LOW] {
    let cosine = |frequency: usize, at: usize| {
        (PI * frequency as f64 * (2 * at + 1) as f64 / (2 * SIDE) as f64).cos()
    };
    let basis: [[f64; SIDE]; LOW] =
        std::array::from_fn(|frequency| std::array::from_fn(|at| cosine(frequency, at)));
    // Rows of pixels against the horizontal basis first.
    let rows: Vec<[f64; LOW]> = pixels
        .chunks_exact(SIDE)
        .map(|row| {
            std::array::from_fn(|u| {
                row.iter()
                    .zip(&basis[u])
                    .map(|(p, c)| f64::from(*p) * c)
                    .sum()
            })
        })
        .collect();
    std::array::from_fn(|index| {
        let (v, u) = (index / LOW, index % LOW);
        let value: f64 = rows.iter().zip(&basis[v]).map(|(row, c)| row[u] * c).sum();
        if value.abs() < NOISE { 0.0 } else { value }
    })
}

/// `gray` at 32 x 32, row by row: columns first, rounded to eight bits, then rows.
fn shrink(gray: &GrayImage) -> Vec<u8> {
    let (width, height) = (gray.width() as usize, gray.height() as usize);
    let narrow: Vec<u8> = if width == SIDE {
        gray.as_raw().clone()
    } else {
        let windows = windows(width);
        gray.as_raw()
            .chunks_exact(width)
            .flat_map(|row| {
                windows
                    .iter()
                    .map(|window| window.apply(&row[window.start..]))
            })
            .collect()
    };
    if height == SIDE {
        return narrow;
    }
    let windows = windows(height);
    let mut small = Vec::with_capacity(SIDE * SIDE);
    let mut column_sums = [0; SIDE];
    for window in &windows {
        column_sums.fill(1 << (PRECISION_BITS - 1));
        let rows = narrow[window.start * SIDE..].chunks_exact(SIDE);
        for (row, weight) in rows.zip(&window.weights) {
            for (sum, pixel) in column_sums.iter_mut().zip(row) {
                *sum += i32::from(*pixel) * weight;
            }
        }
        small.extend(column_sums.map(to_pixel));
    }
    small
}

/// The source pixels that make up one target pixel.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

impl Window {
    fn apply(&self, pixels: &[u8]) -> u8 {
        let weighted = pixels
            .iter()
            .zip(&self.weights)
            .map(|(p, w)| i32::from(*p) * w);
        to_pixel(weighted.sum::<i32>() + (1 << (PRECISION_BITS - 1)))
    }
}

fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// One window per target pixel, for a line of `length` source pixels.
fn windows(length: usize) -> Vec<Window> {
    let scale = length as f64 / SIDE as f64;
    let stretch = scale.max(1.0);
    let support = LOBES * stretch;
    (0..SIDE)
        .map(|target| {
            let center = (target as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(length);
            let raw: Vec<f64> = (start..end)
                .map(|at| lanczos((at as f64 - center + 0.5) * (1.0 / stretch)))
                .collect();
            let total: f64 = raw.iter().sum();
            let unit = f64::from(1 << PRECISION_BITS);
            let weights = raw
                .iter()
                .map(|w| (w / total * unit).round() as i32)
                .collect();
            Window { start, weights }
        })
        .collect()
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (x * PI).sin() / (x * PI)
        }
    };
    if (-LOBES..LOBES).contains(&x) {
        sinc(x) * sinc(x / LOBES)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn a_flat_picture_has_only_the_average_bit() {
        let gray = GrayImage::from_pixel(57, 91, Luma([130]));
        assert_eq!(perceptual_hash(&gray), 1 << 63);
    }

    #[test]
    fn scaling_a_picture_keeps_its_hash_close() {
        // Every low frequency has an amplitude of its own, so that none lies at the median.
        let wave = |x: f64, y: f64| {
            let term = |n: usize| {
                let (u, v) = ((n % 8) as f64, (n / 8) as f64);
                let amplitude = 0.4 * (n as f64 - 31.5) / (1.0 + u + v);
                amplitude
                    * (std::f64::consts::PI * u * x).cos()
                    * (std::f64::consts::PI * v * y).cos()
            };
            (128.0 + (1..64).map(term).sum::<f64>()) as u8
        };
        let draw = |w: u32, h: u32| {
            GrayImage::from_fn(w, h, |x, y| {
                Luma([wave(
                    f64::from(x) / f64::from(w),
                    f64::from(y) / f64::from(h),
                )])
            })
        };
        let (small, large) = (draw(200, 150), draw(800, 600));
        let distance = (perceptual_hash(&small) ^ perceptual_hash(&large)).count_ones();
        assert!(distance <= 2, "{distance} bits differ");
    }
}
