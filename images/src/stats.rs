//! Statistics of a picture's pixels: per channel, and of its gray.
//!
//! All follow from counts of the 256 values, so sums are exact. In numpy, for a channel `c`:
//! `c.mean()`, `c.std()`, `c.min()`, `c.max()`, `numpy.median(c)`; the entropy is
//! `skimage.measure.shannon_entropy(gray)`.

use image::RgbImage;

use crate::convert::luma;

/// What is measured of one channel; values are 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelStats {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub standard_deviation: f64,
    /// Lowest value.
    pub min: u8,
    /// Highest value.
    pub max: u8,
    /// Middle value, or the mean of the two in the middle.
    pub median: f64,
}

/// What is measured of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageStats {
    /// Red.
    pub red: ChannelStats,
    /// Green.
    pub green: ChannelStats,
    /// Blue.
    pub blue: ChannelStats,
    /// Mean of gray (ITU-R BT.601), 0 to 255.
    pub brightness: f64,
    /// Standard deviation of gray.
    pub contrast: f64,
    /// Entropy of the histogram of gray in bits, 0 to 8.
    pub entropy: f64,
}

/// Measures `image`; `None` when it has no pixels. A gray picture has three equal channels.
pub fn stats(image: &RgbImage) -> Option<ImageStats> {
    let [mut red, mut green, mut blue, mut gray] = [Counts([0; 256]); 4];
    for pixel in image.pixels() {
        let [r, g, b] = pixel.0;
        red.add(r);
        green.add(g);
        blue.add(b);
        gray.add(luma(pixel.0));
    }
    let of_gray = gray.stats()?;
    Some(ImageStats {
        red: red.stats()?,
        green: green.stats()?,
        blue: blue.stats()?,
        brightness: of_gray.mean,
        contrast: of_gray.standard_deviation,
        entropy: gray.entropy(),
    })
}

/// How often each value occurs.
#[derive(Clone, Copy)]
struct Counts([u32; 256]);

impl Counts {
    fn add(&mut self, value: u8) {
        self.0[usize::from(value)] += 1;
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    fn stats(&self) -> Option<ChannelStats> {
        let total = self.total();
        let first = self.0.iter().position(|count| *count > 0)?;
        let last = self.0.iter().rposition(|count| *count > 0)?;
        let power_sum = |power: u32| -> u128 {
            let counts = (0_u128..).zip(&self.0);
            counts
                .map(|(v, count)| v.pow(power) * u128::from(*count))
                .sum()
        };
        let (sum, squares, n) = (power_sum(1), power_sum(2), u128::from(total));
        // n² times the variance, exact.
        let variance = n * squares - sum * sum;
        let below = self.value_at((total - 1) / 2);
        let above = self.value_at(total / 2);
        Some(ChannelStats {
            mean: sum as f64 / n as f64,
            standard_deviation: (variance as f64).sqrt() / n as f64,
            min: first as u8,
            max: last as u8,
            median: (f64::from(below) + f64::from(above)) / 2.0,
        })
    }

    /// The value at `rank`, counted from zero, of all values in order.
    fn value_at(&self, rank: u64) -> u8 {
        let mut passed = 0;
        let value = self.0.iter().position(|count| {
            passed += u64::from(*count);
            passed > rank
        });
        value.unwrap_or_default() as u8
    }

    fn entropy(&self) -> f64 {
        let total = self.total() as f64;
        let present = self.0.iter().filter(|count| **count > 0);
        let bits = present.map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        });
        bits.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::colors;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// Numbers by numpy 2.4 and scikit-image 0.26, of `colors` at 60 x 40.
    #[test]
    fn statistics_equal_those_of_numpy() {
        let stats = stats(&colors(60, 40)).unwrap();
        let expected = [
            (stats.red, 120.24, 71.87611378847171, 114.0),
            (stats.green, 74.03083333333333, 65.83713402003632, 55.0),
            (stats.blue, 74.84333333333333, 61.63496401304124, 52.0),
        ];
        for (channel, mean, deviation, median) in expected {
            assert!(close(channel.mean, mean), "{channel:?}");
            assert!(close(channel.standard_deviation, deviation), "{channel:?}");
            assert_eq!((channel.min, channel.max), (0, 255));
            assert_eq!(channel.median, median);
        }
        assert!(close(stats.brightness, 87.94458333333333));
        assert!(close(stats.contrast, 43.960690914267055));
        assert!(close(stats.entropy, 7.370969135285303));
    }

    #[test]
    fn the_median_of_an_even_number_of_pixels_is_between_two() {
        let stats = stats(&RgbImage::from_raw(2, 1, vec![1, 2, 3, 2, 2, 9]).unwrap()).unwrap();
        let medians = [stats.red, stats.green, stats.blue].map(|channel| channel.median);
        assert_eq!(medians, [1.5, 2.0, 6.0]);
    }

    #[test]
    fn no_pixels_have_no_statistics() {
        assert_eq!(stats(&RgbImage::new(0, 3)), None);
    }
}
