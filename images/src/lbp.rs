//! Texture: the histogram of uniform local binary patterns (Ojala, Pietikäinen, Mäenpää 2002).
//!
//! Equal to `skimage.feature.local_binary_pattern(gray, P=8, R=1, method="uniform")` for every
//! pixel, its arithmetic included: diagonal neighbors are interpolated in double precision at
//! coordinates of five decimals, so that in even areas rounding decides as it does there.

use image::GrayImage;

/// Length of the histogram: patterns of 0 to 8 brighter neighbors, then all irregular ones.
pub const BINS: usize = 10;
const IRREGULAR: u8 = 9;
/// The cosine of 45 degrees, rounded as scikit-image rounds coordinates.
const DIAGONAL: f64 = 70_711.0 / 100_000.0;

/// How often each pattern occurs in `gray`, with sum 1; `None` without pixels.
pub fn lbp(gray: &GrayImage) -> Option<[f32; BINS]> {
    if gray.is_empty() {
        return None;
    }
    let mut counts = [0_u64; BINS];
    patterns(gray, |pattern| counts[usize::from(pattern)] += 1);
    let pixels = gray.len() as f64;
    Some(counts.map(|count| (count as f64 / pixels) as f32))
}

/// Calls `visit` with the pattern of every pixel, row by row.
fn patterns(gray: &GrayImage, mut visit: impl FnMut(u8)) {
    let (width, height) = (gray.width() as usize, gray.height() as usize);
    // Beyond its edges the picture is black. Three lines at a time, with a black pixel on each side.
    let mut lines = [(); 3].map(|()| vec![0.0; width + 2]);
    let columns: Vec<Between> = (0..width).map(Between::around).collect();
    load(gray, 0, &mut lines[2]);
    for y in 0..height {
        lines.rotate_left(1);
        load(gray, y + 1, &mut lines[2]);
        let rows = Between::around(y);
        let [above, center, below] = &lines;
        let triples = above
            .windows(3)
            .zip(center.windows(3))
            .zip(below.windows(3));
        for (((above, center), below), columns) in triples.zip(&columns) {
            visit(pattern(above, center, below, &rows, columns));
        }
    }
}

/// Copies row `y` between the first and the last place of `line`; black beyond the last row.
fn load(gray: &GrayImage, y: usize, line: &mut [f64]) {
    let width = gray.width() as usize;
    match gray.as_raw().chunks_exact(width).nth(y) {
        Some(row) => {
            for (place, pixel) in line.iter_mut().skip(1).zip(row) {
                *place = f64::from(*pixel);
            }
        }
        None => line.fill(0.0),
    }
}

/// How far the diagonal neighbors of a row or column are from the pixels before them; it depends
/// on the coordinate, because a sum is rounded.
struct Between {
    /// From the pixel before to the neighbor before this one.
    before: f64,
    /// From this pixel to the neighbor after it.
    after: f64,
}

impl Between {
    fn around(coordinate: usize) -> Self {
        let at = coordinate as f64;
        let fraction = |place: f64| place - place.floor();
        Self {
            before: fraction(at - DIAGONAL),
            after: fraction(at + DIAGONAL),
        }
    }
}

/// The pattern of the pixel in the middle of three lines of three.
#[inline]
fn pattern(above: &[f64], line: &[f64], below: &[f64], rows: &Between, columns: &Between) -> u8 {
    let center = line[1];
    let mix = |from: f64, to: f64, share: f64| (1.0 - share) * from + share * to;
    let corner = |upper: &[f64], lower: &[f64], x: usize, row: f64, column: f64| {
        let top = mix(upper[x], upper[x + 1], column);
        let bottom = mix(lower[x], lower[x + 1], column);
        mix(top, bottom, row)
    };
    // Counterclockwise from the right.
    let neighbors = [
        line[2],
        corner(above, line, 1, rows.before, columns.after),
        above[1],
        corner(above, line, 0, rows.before, columns.before),
        line[0],
        corner(line, below, 0, rows.after, columns.before),
        below[1],
        corner(line, below, 1, rows.after, columns.after),
    ];
    let brighter = neighbors
        .iter()
        .enumerate()
        .fold(0_u8, |bits, (at, value)| {
            bits | u8::from(value - center >= 0.0) << at
        });
    // scikit-image does not count the change from the last neighbor to the first.
    let changes = ((brighter ^ (brighter >> 1)) & 0x7F).count_ones();
    if changes <= 2 {
        brighter.count_ones() as u8
    } else {
        IRREGULAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    use crate::pictures::{blocks, rings};

    /// How many pixels of each pattern, by scikit-image 0.26.
    #[test]
    fn patterns_equal_those_of_scikit_image() {
        let flat = GrayImage::from_pixel(20, 15, Luma([77]));
        let cases = [
            (rings(30, 20), [9, 35, 40, 0, 275, 185, 26, 1, 10, 19]),
            (blocks(40, 30), [0, 0, 0, 14, 0, 210, 2, 5, 969, 0]),
            (flat, [0, 0, 0, 4, 0, 62, 0, 0, 234, 0]),
        ];
        for (gray, expected) in cases {
            let mut counts = [0; BINS];
            patterns(&gray, |pattern| counts[usize::from(pattern)] += 1);
            assert_eq!(counts, expected);
        }
    }

    #[test]
    fn shares_have_sum_one() {
        let shares = lbp(&rings(31, 17)).unwrap();
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(lbp(&rings(0, 17)), None);
        assert_eq!(lbp(&rings(1, 1)).unwrap().iter().sum::<f32>(), 1.0);
    }
}
