//! How sharp a picture is: the variance of its Laplacian, which is low where edges are blurred.

use image::GrayImage;

/// Variance of the picture convolved with `[[0, 1, 0], [1, -4, 1], [0, 1, 0]]`, mirrored at its
/// edges without repeating them: `cv2.Laplacian(gray, cv2.CV_64F).var()`, or
/// `scipy.ndimage.laplace(gray.astype(float), mode="mirror").var()`. `None` without pixels.
pub fn sharpness(gray: &GrayImage) -> Option<f64> {
    let width = gray.width() as usize;
    if gray.is_empty() {
        return None;
    }
    let rows: Vec<&[u8]> = gray.as_raw().chunks_exact(width).collect();
    let row = |y: usize| rows.get(y).copied();
    let (mut sum, mut squares) = (0_i64, 0_u64);
    for (y, center) in rows.iter().enumerate() {
        let above = y.checked_sub(1).and_then(row);
        let below = row(y + 1);
        let (above, below) = match (above, below) {
            (Some(above), Some(below)) => (above, below),
            (Some(only), None) | (None, Some(only)) => (only, only),
            (None, None) => (*center, *center),
        };
        let (row_sum, row_squares) = row_moments(above, center, below);
        sum += row_sum;
        squares += row_squares;
    }
    let pixels = i128::from(gray.width()) * i128::from(gray.height());
    let sum = i128::from(sum);
    // n² times the variance, exact.
    let variance = pixels * i128::from(squares) - sum * sum;
    Some(variance as f64 / pixels as f64 / pixels as f64)
}

/// Sum of one row of the Laplacian, and of its squares.
fn row_moments(above: &[u8], center: &[u8], below: &[u8]) -> (i64, u64) {
    let (mut sum, mut squares) = (0_i64, 0_u64);
    let mut add = |value: i32| {
        sum += i64::from(value);
        squares += u64::from((value * value).unsigned_abs());
    };
    let at = |line: &[u8], x: usize| line.get(x).copied().map_or(0, i32::from);
    let width = center.len();
    let edge = |x: usize, neighbor: usize| {
        at(above, x) + at(below, x) + 2 * at(center, neighbor) - 4 * at(center, x)
    };
    add(edge(0, 1.min(width - 1)));
    if width > 1 {
        add(edge(width - 1, width - 2));
    }
    let inner = center
        .windows(3)
        .zip(above.iter().skip(1))
        .zip(below.iter().skip(1));
    for ((line, up), down) in inner {
        let [left, middle, right] = [line[0], line[1], line[2]].map(i32::from);
        add(left + right + i32::from(*up) + i32::from(*down) - 4 * middle);
    }
    (sum, squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::rings;

    /// Numbers by scipy 1.17: `ndimage.laplace(gray.astype(float), mode="mirror").var()`.
    #[test]
    fn sharpness_equals_that_of_scipy() {
        for ((width, height), expected) in [
            ((30, 20), 4562.791822222222),
            ((1, 20), 10.24),
            ((20, 1), 3.81),
            ((1, 1), 0.0),
        ] {
            let sharpness = sharpness(&rings(width, height)).unwrap();
            assert!(
                (sharpness - expected).abs() < 1e-9,
                "{width} x {height}: {sharpness}"
            );
        }
        assert_eq!(sharpness(&rings(0, 0)), None);
    }
}
