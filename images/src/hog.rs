//! Histograms of oriented gradients (Dalal and Triggs 2005), equal to `skimage.feature.hog` with
//! `block_norm="L2-Hys"` but for rounding (below 1e-5).

use image::GrayImage;

/// Keeps a block without edges from dividing by zero.
const EPSILON: f64 = 1e-5;
/// Largest share one bin may have of a block before it is normalized again.
const CLIP: f64 = 0.2;
/// Most orientations that can be told apart: one per degree.
pub const MAX_ORIENTATIONS: usize = 180;

/// How a picture is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HogOptions {
    /// Bins of the angle modulo 180 degrees, 1 to [`MAX_ORIENTATIONS`].
    pub orientations: usize,
    /// Width and height of a cell in pixels.
    pub cell: usize,
    /// Width and height of a block in cells; blocks overlap in all but one row or column.
    pub block: usize,
}

impl Default for HogOptions {
    /// Nine orientations, cells of 8 x 8 pixels, blocks of 2 x 2 cells.
    fn default() -> Self {
        Self {
            orientations: 9,
            cell: 8,
            block: 2,
        }
    }
}

impl HogOptions {
    /// Length of the vector for a picture of `width` x `height`: all orientations of all cells of
    /// all blocks. `None` when not one block fits, or an option is out of range.
    pub fn dimensions(&self, width: u32, height: u32) -> Option<usize> {
        let (across, down) = self.blocks(width, height)?;
        let block = self.block.checked_mul(self.block)?;
        across
            .checked_mul(down)?
            .checked_mul(block)?
            .checked_mul(self.orientations)
    }

    /// How many blocks fit side by side, and below each other.
    fn blocks(&self, width: u32, height: u32) -> Option<(usize, usize)> {
        let sensible =
            (1..=MAX_ORIENTATIONS).contains(&self.orientations) && self.cell > 0 && self.block > 0;
        let along = |pixels: u32| {
            let cells = pixels as usize / self.cell;
            (cells + 1)
                .checked_sub(self.block)
                .filter(|count| *count > 0)
        };
        if sensible {
            along(width).zip(along(height))
        } else {
            None
        }
    }
}

/// The vector of `gray`: block after block in rows, in each block cell after cell in rows, in each
/// cell its orientations. `None` as [`HogOptions::dimensions`].
pub fn hog(gray: &GrayImage, options: &HogOptions) -> Option<Vec<f32>> {
    let (across, down) = options.blocks(gray.width(), gray.height())?;
    let length = options.dimensions(gray.width(), gray.height())?;
    let cells = Cells::of(gray, options);
    let mut vector = Vec::with_capacity(length);
    let mut block = Vec::with_capacity(options.block * options.block * options.orientations);
    for y in 0..down {
        for x in 0..across {
            block.clear();
            for row in y..y + options.block {
                block.extend_from_slice(cells.row_of_block(row, x, options.block));
            }
            normalize(&mut block);
            for value in &mut block {
                *value = value.min(CLIP);
            }
            normalize(&mut block);
            vector.extend(block.iter().map(|value| *value as f32));
        }
    }
    Some(vector)
}

fn normalize(block: &mut [f64]) {
    let squares: f64 = block.iter().map(|value| value * value).sum();
    let norm = (squares + EPSILON * EPSILON).sqrt();
    for value in block {
        *value /= norm;
    }
}

/// The histogram of gradients of every cell.
struct Cells {
    across: usize,
    orientations: usize,
    /// Mean gradient magnitude per orientation, cell after cell in rows.
    histograms: Vec<f64>,
}

impl Cells {
    fn of(gray: &GrayImage, options: &HogOptions) -> Self {
        let HogOptions {
            orientations, cell, ..
        } = *options;
        let width = gray.width() as usize;
        let (across, down) = (width / cell, gray.height() as usize / cell);
        let rows: Vec<&[u8]> = gray.as_raw().chunks_exact(width.max(1)).collect();
        let mut histograms = vec![0.0; across * down * orientations];
        let bins_per_degree = orientations as f64 / 180.0;
        for (y, row) in rows.iter().enumerate().take(down * cell) {
            let line = y / cell * across * orientations;
            // No gradient across an edge of the picture.
            let (above, below) = match (y.checked_sub(1).and_then(|y| rows.get(y)), rows.get(y + 1))
            {
                (Some(above), Some(below)) => (*above, *below),
                _ => (*row, *row),
            };
            for x in 0..across * cell {
                let dy = f64::from(below[x]) - f64::from(above[x]);
                let dx = match (x.checked_sub(1).map(|x| row[x]), row.get(x + 1)) {
                    (Some(left), Some(right)) => f64::from(*right) - f64::from(left),
                    _ => 0.0,
                };
                let magnitude = (dx * dx + dy * dy).sqrt();
                let degrees = dy.atan2(dx).to_degrees().rem_euclid(180.0);
                let bin = ((degrees * bins_per_degree) as usize).min(orientations - 1);
                histograms[line + x / cell * orientations + bin] += magnitude;
            }
        }
        let pixels = (cell * cell) as f64;
        for value in &mut histograms {
            *value /= pixels;
        }
        Self {
            across,
            orientations,
            histograms,
        }
    }

    /// The histograms of `count` cells in a row, from column `x` on.
    fn row_of_block(&self, row: usize, x: usize, count: usize) -> &[f64] {
        let start = (row * self.across + x) * self.orientations;
        &self.histograms[start..start + count * self.orientations]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::rings;

    /// Numbers by scikit-image 0.26 with the same options, of `rings` at 32 x 24.
    #[test]
    fn the_vector_equals_that_of_scikit_image() {
        let vector = hog(&rings(32, 24), &HogOptions::default()).unwrap();
        assert_eq!(vector.len(), 216);
        let first = [
            0.0543768, 0.0, 0.0, 0.3636153, 0.3636153, 0.0, 0.0, 0.0, 0.0,
        ];
        for (value, expected) in vector.iter().zip(first) {
            assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
        }
        let sum: f32 = vector.iter().sum();
        assert!((sum - 20.356_647).abs() < 1e-4, "{sum}");
        let moment: f32 = (0..)
            .zip(&vector)
            .map(|(at, value)| at as f32 * value)
            .sum();
        assert!((moment - 2_243.242).abs() < 1e-2, "{moment}");
    }

    #[test]
    fn a_picture_without_room_for_a_block_has_no_vector() {
        let options = HogOptions::default();
        assert_eq!(hog(&rings(15, 100), &options), None);
        assert_eq!(hog(&rings(16, 16), &options).unwrap().len(), 36);
        assert_eq!(hog(&rings(0, 0), &options), None);
        for (orientations, cell, block) in [(0, 8, 2), (181, 8, 2), (9, 0, 2), (9, 8, 0)] {
            let options = HogOptions {
                orientations,
                cell,
                block,
            };
            assert_eq!(hog(&rings(64, 64), &options), None);
        }
    }

    #[test]
    fn dimensions_are_the_length_of_the_vector() {
        let options = HogOptions {
            orientations: 5,
            cell: 7,
            block: 3,
        };
        let vector = hog(&rings(64, 50), &options).unwrap();
        assert_eq!(options.dimensions(64, 50), Some(vector.len()));
    }
}
