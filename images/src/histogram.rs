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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::colors;

    /// Numbers by numpy 2.4, of `colors` at 60 x 40.
    #[test]
    fn histograms_equal_those_of_numpy() {
        let expected = [
            0.269_166_68,
            0.289_583_33,
            0.227_916_67,
            0.213_333_34,
            0.544_166_7,
            0.238_75,
            0.140_416_67,
            0.076_666_67,
            0.581_666_65,
            0.218_333_33,
            0.120_416_66,
            0.079_583_33,
        ];
        assert_eq!(histogram(&colors(60, 40), 4).unwrap(), expected);
    }

    #[test]
    fn every_channel_has_sum_one_for_any_number_of_bins() {
        for bins in 1..=MAX_BINS {
            let shares = histogram(&colors(31, 17), bins).unwrap();
            assert_eq!(shares.len(), 3 * bins);
            for channel in shares.chunks(bins) {
                assert!((channel.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
        assert_eq!(histogram(&colors(31, 17), 0), None);
        assert_eq!(histogram(&colors(31, 17), 257), None);
        assert_eq!(histogram(&colors(0, 17), 4), None);
    }
}
