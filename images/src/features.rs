//! The feature vector of a picture: 192 numbers that say which colors it has and where its edges
//! run. The recipe is part of the public contract of `image_features` (the reference in numpy is
//! `tests/reference_features.py`); change it only under a new function name.
//!
//! 1. Decode, lay alpha on white, stretch to 128 x 128 RGB with a triangle filter whose support
//!    grows with the reduction (Pillow's `BILINEAR`), turn upright as EXIF says.
//! 2. Numbers 0 to 63, color: each pixel adds 1 to a 4 x 4 x 4 RGB histogram, shared among the
//!    eight nearest bins (trilinear; bin centers at 0, 85, 170, 255; index `16 r + 4 g + b`).
//! 3. Numbers 64 to 191, edges: gray is `0.299 R + 0.587 G + 0.114 B`; for every pixel not on the
//!    border, `gx` and `gy` are the differences of its right and left, lower and upper neighbors.
//!    Its magnitude is added to the histogram of its cell (4 x 4 cells of 32 x 32 pixels), shared
//!    between the two nearest of 8 orientation bins (angle modulo 180 degrees, bin centers at
//!    multiples of 22.5; index `64 + 8 (4 cell_y + cell_x) + bin`).
//! 4. Each of the two parts is divided by its L2 norm; a part that is all zero stays so.
//!
//! Shared bins make the vector continuous in the pixels, so decoders that round differently agree
//! closely, and the cosine of two vectors is the mean of the cosines of their parts.

use std::f32::consts::PI;

use image::RgbImage;

/// Side of the square picture that features are computed on, in pixels.
pub const SIDE: u32 = 128;
/// Length of the feature vector.
pub const DIMENSIONS: usize = COLOR_BINS + EDGE_BINS;

const LEVELS: usize = 4;
const COLOR_BINS: usize = LEVELS * LEVELS * LEVELS;
const CELLS: usize = 4;
const CELL_SIDE: usize = SIDE as usize / CELLS;
const ORIENTATIONS: usize = 8;
const EDGE_BINS: usize = CELLS * CELLS * ORIENTATIONS;

/// The feature vector of an upright [`SIDE`] x [`SIDE`] picture.
pub fn features(square: &RgbImage) -> [f32; DIMENSIONS] {
    let mut histogram = [0.0_f32; DIMENSIONS];
    let (color, edges) = histogram.split_at_mut(COLOR_BINS);
    add_colors(square, color);
    add_edges(square, edges);
    normalize(color);
    normalize(edges);
    histogram
}

fn add_colors(square: &RgbImage, histogram: &mut [f32]) {
    const LAST: f32 = (LEVELS - 1) as f32;
    // For each channel value: the bin below it and how far it is on the way to the next.
    let shares: [(usize, f32); 256] = std::array::from_fn(|value| {
        let position = value as f32 / 255.0 * LAST;
        let below = (position as usize).min(LEVELS - 2);
        (below, position - below as f32)
    });
    for pixel in square.pixels() {
        let [(r, fr), (g, fg), (b, fb)] = pixel.0.map(|value| shares[usize::from(value)]);
        for (dr, wr) in [(0, 1.0 - fr), (1, fr)] {
            for (dg, wg) in [(0, 1.0 - fg), (1, fg)] {
                let row = ((r + dr) * LEVELS + g + dg) * LEVELS + b;
                histogram[row] += wr * wg * (1.0 - fb);
                histogram[row + 1] += wr * wg * fb;
            }
        }
    }
}

fn add_edges(square: &RgbImage, histogram: &mut [f32]) {
    let side = SIDE as usize;
    let gray: Vec<f32> = square
        .pixels()
        .map(|pixel| {
            let [r, g, b] = pixel.0.map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        })
        .collect();
    for y in 1..side - 1 {
        for x in 1..side - 1 {
            let at = y * side + x;
            let gx = gray[at + 1] - gray[at - 1];
            let gy = gray[at + side] - gray[at - side];
            let magnitude = gx.hypot(gy);
            let position = gy.atan2(gx).rem_euclid(PI) / PI * ORIENTATIONS as f32;
            let below = position as usize;
            let share = position - below as f32;
            let cell = (y / CELL_SIDE * CELLS + x / CELL_SIDE) * ORIENTATIONS;
            histogram[cell + below % ORIENTATIONS] += magnitude * (1.0 - share);
            histogram[cell + (below + 1) % ORIENTATIONS] += magnitude * share;
        }
    }
}

fn normalize(part: &mut [f32]) {
    let norm = part
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt();
    if norm > 0.0 {
        for value in part {
            *value = (f64::from(*value) / norm) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn square(color: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb(color(x, y)))
    }

    #[test]
    fn a_flat_picture_has_one_color_and_no_edges() {
        let vector = features(&square(|_, _| [255, 0, 170]));
        let red_purple = 16 * 3 + 2;
        for (index, value) in vector.iter().enumerate() {
            let expected = if index == red_purple { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-6, "{index}: {value}");
        }
    }

    #[test]
    fn vertical_stripes_have_horizontal_gradients_in_every_cell() {
        let vector = features(&square(|x, _| [(x % 8 * 30) as u8; 3]));
        for cell in vector[COLOR_BINS..].chunks(ORIENTATIONS) {
            assert!(cell[0] > 0.2, "{cell:?}");
            assert!(cell[1..].iter().all(|v| v.abs() < 1e-6), "{cell:?}");
        }
    }

    #[test]
    fn both_parts_have_unit_length() {
        let vector = features(&square(|x, y| {
            [(x * 2) as u8, (y * 2) as u8, (x ^ y) as u8]
        }));
        let (color, edges) = vector.split_at(COLOR_BINS);
        for part in [color, edges] {
            let norm: f32 = part.iter().map(|v| v * v).sum();
            assert!((norm - 1.0).abs() < 1e-5, "{norm}");
        }
    }
}
