//! The colors a picture mostly consists of: clusters of its pixels.
//!
//! The picture is reduced to fit 64 x 64 pixels, and its distinct colors, weighted by how often
//! they occur, are clustered by k-means in RGB: starts are drawn by k-means++ (Arthur and
//! Vassilvitskii 2007), each draw the best of several, from a fixed seed, and the best of a few
//! starts counts. So the result depends on the picture alone.

use image::RgbImage;

use crate::geometry::Size;
use crate::resize::{Filter, fit_within, resize};

/// Most colors that can be asked for.
pub const MAX_COLORS: usize = 64;

const SIDE: u32 = 64;
const STARTS: u64 = 4;
const MAX_ROUNDS: usize = 100;

/// A color and how much of the picture is closest to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DominantColor {
    /// Red, green and blue: the mean of the cluster, rounded.
    pub rgb: [u8; 3],
    /// Share of the picture's pixels, above 0 to 1.
    pub share: f32,
}

/// At most `count` colors of `image`, the most common first; fewer when the picture has fewer, none
/// without pixels. `count` is bounded by [`MAX_COLORS`].
pub fn dominant_colors(image: &RgbImage, count: usize) -> Vec<DominantColor> {
    if count == 0 {
        return Vec::new();
    }
    let (width, height) = fit_within(image.width(), image.height(), SIDE, SIDE);
    let points = if image.width() <= width && image.height() <= height {
        Points::of(image)
    } else {
        let size = Size::full(image.width(), image.height());
        match resize(image, size, width, height, Filter::Triangle) {
            Some(small) => Points::of(&small),
            None => return Vec::new(),
        }
    };
    let count = count.min(MAX_COLORS);
    let clusters = if points.weights.len() <= count {
        points.each_alone()
    } else {
        let starts = (0..STARTS).map(|seed| points.cluster(count, seed));
        let best = starts.min_by(|a, b| a.inertia.total_cmp(&b.inertia));
        best.map(|best| best.clusters).unwrap_or_default()
    };
    let total: f32 = points.weights.iter().sum();
    let mut colors: Vec<DominantColor> = clusters
        .into_iter()
        .filter(|cluster| cluster.weight > 0.0)
        .map(|cluster| DominantColor {
            rgb: cluster.center.map(|value| value.round() as u8),
            share: cluster.weight / total,
        })
        .collect();
    colors.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.rgb.cmp(&b.rgb)));
    colors
}

/// The distinct colors of a picture, and how many pixels have each.
struct Points {
    colors: Vec<[f32; 3]>,
    weights: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Cluster {
    center: [f32; 3],
    weight: f32,
}

struct Clustering {
    clusters: Vec<Cluster>,
    /// Sum of squared distances of all pixels to their centers.
    inertia: f32,
}

impl Points {
    fn of(image: &RgbImage) -> Self {
        let mut pixels: Vec<[u8; 3]> = image.pixels().map(|pixel| pixel.0).collect();
        pixels.sort_unstable();
        let groups = pixels.chunk_by(|a, b| a == b);
        let (colors, weights) = groups
            .filter_map(|group| Some((group.first()?.map(f32::from), group.len() as f32)))
            .unzip();
        Self { colors, weights }
    }

    fn each_alone(&self) -> Vec<Cluster> {
        let both = self.colors.iter().zip(&self.weights);
        both.map(|(center, weight)| Cluster {
            center: *center,
            weight: *weight,
        })
        .collect()
    }

    /// K-means from a start drawn with `seed`, until no point changes its cluster.
    fn cluster(&self, count: usize, seed: u64) -> Clustering {
        let mut centers = self.start(count, seed);
        let mut nearest = Nearest::to(&centers, self);
        for _ in 0..MAX_ROUNDS {
            let clusters = self.means(&centers, &nearest.center);
            centers = clusters.iter().map(|cluster| cluster.center).collect();
            let next = Nearest::to(&centers, self);
            let settled = next.center == nearest.center;
            nearest = next;
            if settled {
                break;
            }
        }
        Clustering {
            clusters: self.means(&centers, &nearest.center),
            inertia: nearest.inertia(&self.weights),
        }
    }

    /// The mean of the points of each center; a center without points stays.
    fn means(&self, centers: &[[f32; 3]], nearest: &[u32]) -> Vec<Cluster> {
        let mut sums = vec![([0.0_f32; 3], 0.0_f32); centers.len()];
        for ((color, weight), center) in self.colors.iter().zip(&self.weights).zip(nearest) {
            let (sum, total) = &mut sums[*center as usize];
            for (sum, value) in sum.iter_mut().zip(color) {
                *sum += value * weight;
            }
            *total += weight;
        }
        let both = sums.into_iter().zip(centers);
        both.map(|((sum, weight), center)| Cluster {
            center: if weight > 0.0 {
                sum.map(|value| value / weight)
            } else {
                *center
            },
            weight,
        })
        .collect()
    }

    /// `count` points far from each other: each is drawn with a probability that grows with its
    /// squared distance to those before it, the best of a few draws.
    fn start(&self, count: usize, seed: u64) -> Vec<[f32; 3]> {
        let mut random = Random(seed);
        let draws = 2 + count.ilog2();
        let mut centers = Vec::with_capacity(count);
        let mut distances = vec![f32::INFINITY; self.colors.len()];
        let mut shares = self.weights.clone();
        while centers.len() < count {
            let candidates = (0..draws).map(|_| {
                let center = self.colors[random.pick(&shares)];
                let mut closer = distances.clone();
                shorten(&mut closer, center, &self.colors);
                let rest: f32 = closer.iter().zip(&self.weights).map(|(d, w)| d * w).sum();
                (rest, center, closer)
            });
            let Some((_, center, closer)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                break;
            };
            centers.push(center);
            distances = closer;
            let both = distances.iter().zip(&self.weights);
            shares = both.map(|(distance, weight)| distance * weight).collect();
        }
        centers
    }
}

/// The nearest center of each point, and the squared distance to it.
struct Nearest {
    center: Vec<u32>,
    distance: Vec<f32>,
}

impl Nearest {
    fn to(centers: &[[f32; 3]], points: &Points) -> Self {
        let mut center = vec![0_u32; points.colors.len()];
        let mut distance = vec![f32::INFINITY; points.colors.len()];
        for (index, at) in (0_u32..).zip(centers) {
            let places = center.iter_mut().zip(&mut distance);
            for ((center, distance), color) in places.zip(&points.colors) {
                let here = squared_distance(*color, *at);
                let closer = here < *distance;
                *center = if closer { index } else { *center };
                *distance = if closer { here } else { *distance };
            }
        }
        Self { center, distance }
    }

    fn inertia(&self, weights: &[f32]) -> f32 {
        self.distance.iter().zip(weights).map(|(d, w)| d * w).sum()
    }
}

fn shorten(distances: &mut [f32], center: [f32; 3], colors: &[[f32; 3]]) {
    for (distance, color) in distances.iter_mut().zip(colors) {
        *distance = distance.min(squared_distance(*color, center));
    }
}

fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// An index, drawn with the probability of its share; `shares` is not empty.
    fn pick(&mut self, shares: &[f32]) -> usize {
        let total: f64 = shares.iter().map(|share| f64::from(*share)).sum();
        let mut rest = (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let found = shares.iter().position(|share| {
            rest -= f64::from(*share);
            rest < 0.0
        });
        found.unwrap_or(shares.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    use crate::pictures::colors;

    #[test]
    fn a_picture_of_few_colors_has_just_these() {
        let image = RgbImage::from_fn(20, 10, |x, _| {
            Rgb(if x < 15 {
                [250, 250, 250]
            } else {
                [10, 20, 30]
            })
        });
        let found = dominant_colors(&image, 5);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].rgb, found[0].share), ([250; 3], 0.75));
        assert_eq!((found[1].rgb, found[1].share), ([10, 20, 30], 0.25));
    }

    #[test]
    fn one_color_is_the_mean() {
        let image = RgbImage::from_raw(2, 1, vec![0, 10, 20, 100, 30, 60]).unwrap();
        let found = dominant_colors(&image, 1);
        assert_eq!((found[0].rgb, found[0].share), ([50, 20, 40], 1.0));
    }

    #[test]
    fn noisy_groups_are_found_with_their_shares() {
        let image = RgbImage::from_fn(60, 60, |x, y| {
            let noise = ((x * 7 + y * 13) % 5) as u8;
            let group = [[200, 40, 40], [40, 200, 40], [40, 40, 200]][(x / 20) as usize];
            Rgb(group.map(|value| value + noise))
        });
        let found = dominant_colors(&image, 3);
        assert_eq!(found.len(), 3);
        for color in found {
            assert!((color.share - 1.0 / 3.0).abs() < 1e-6, "{color:?}");
            assert_eq!(color.rgb.iter().filter(|value| **value == 42).count(), 2);
        }
    }

    #[test]
    fn shares_fall_and_add_up() {
        let found = dominant_colors(&colors(200, 100), 8);
        assert_eq!(found.len(), 8);
        assert!(found.is_sorted_by(|a, b| a.share >= b.share));
        assert!((found.iter().map(|color| color.share).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(found, dominant_colors(&colors(200, 100), 8));
    }

    #[test]
    fn nothing_comes_from_nothing() {
        assert!(dominant_colors(&RgbImage::new(0, 0), 3).is_empty());
        assert!(dominant_colors(&colors(4, 4), 0).is_empty());
    }
}
