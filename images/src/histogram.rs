//! Histograms of a picture's colors.

use image::RgbImage;

/// Most bins per channel: one for each value.
pub const MAX_BINS: usize = 256;

/// How much of `image` falls into each of `bins` equal ranges of 0 to 255, per channel: all bins of
/// red, then of green, then of blue, each channel with sum 1. `None` unless `bins` is 1 to 256 and
/// there are pixels. In numpy, for a channel `c`:
/// `numpy.histogram(c, bins, range=(0, 256))[0] / c.size`.
pub fn histogram(image: &RgbImage, bins: usize) -> Option<Vec<f32>> {
    if !(1..=MAX_BINS).contains(&bins) || image.is_empty() {
        return None;
    }
    let mut counts = [[0_u32; 256]; 3];
    for pixel in image.pixels() {
        for (counts, value) in counts.iter_mut().zip(pixel.0) {
            counts[usize::from(value)] += 1;
        }
    }
    let mut sums = vec![0_u32; 3 * bins];
    for (counts, sums) in counts.iter().zip(sums.chunks_exact_mut(bins)) {
        for (value, count) in counts.iter().enumerate() {
            sums[value * bins / 256] += count;
        }
    }
    let pixels = f64::from(image.width()) * f64::from(image.height());
    let share = |sum: u32| (f64::from(sum) / pixels) as f32;
    Some(sums.into_iter().map(share).collect())
}
