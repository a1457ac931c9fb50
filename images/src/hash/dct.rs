//! The low frequencies of a square picture: the discrete cosine transform (type II) of both axes.

use std::f64::consts::PI;

/// A coefficient smaller than this is the rounding noise of a flat picture.
const NOISE: f64 = 1e-6;

/// The cosines that turn a picture of `side` x `side` into its `low` x `low` lowest frequencies.
#[derive(Debug)]
pub(super) struct Basis {
    side: usize,
    low: usize,
    /// The `low` lowest frequencies at each of `side` pixels, one pixel after the other.
    cosines: Vec<f64>,
}

impl Basis {
    pub(super) fn new(side: usize, low: usize) -> Self {
        let cosine = |at: usize, frequency: usize| {
            (PI * frequency as f64 * (2 * at + 1) as f64 / (2 * side) as f64).cos()
        };
        let cosines = (0..side)
            .flat_map(|at| (0..low).map(move |frequency| cosine(at, frequency)))
            .collect();
        Self { side, low, cosines }
    }

    /// The unscaled coefficients of `pixels`, row by row.
    pub(super) fn low_frequencies(&self, pixels: &[u8]) -> Vec<f64> {
        let mut frequencies = vec![0.0; self.low * self.low];
        let mut horizontal = vec![0.0; self.low];
        let rows = pixels.chunks_exact(self.side);
        for (row, vertical) in rows.zip(self.cosines.chunks_exact(self.low)) {
            horizontal.fill(0.0);
            for (pixel, cosines) in row.iter().zip(self.cosines.chunks_exact(self.low)) {
                add_scaled(&mut horizontal, cosines, f64::from(*pixel));
            }
            for (line, cosine) in frequencies.chunks_exact_mut(self.low).zip(vertical) {
                add_scaled(line, &horizontal, *cosine);
            }
        }
        for value in &mut frequencies {
            if value.abs() < NOISE {
                *value = 0.0;
            }
        }
        frequencies
    }
}

fn add_scaled(sums: &mut [f64], values: &[f64], factor: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value * factor;
    }
}
