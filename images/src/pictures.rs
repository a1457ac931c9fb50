//! Small deterministic pictures for tests, which the Python expressions in the comments make too:
//! `y, x = numpy.mgrid[:height, :width]`.

use image::{GrayImage, Luma, Rgb, RgbImage};

/// Rings on a slope: `(x * 3 + y * 5 + (x - 20) ** 2 // 7 + (y - 30) ** 2 // 5) % 256`.
pub(crate) fn rings(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        Luma([(x * 3 + y * 5 + (x - 20).pow(2) / 7 + (y - 30).pow(2) / 5) as u8])
    })
}

/// Blocks of 8 x 8 that are white but for a few:
/// `numpy.where((x // 8 * 7 + y // 8 * 3) % 5 == 0, 10 + 20 * (x // 8 % 8), 255)`.
pub(crate) fn blocks(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        if (x / 8 * 7 + y / 8 * 3) % 5 == 0 {
            Luma([(10 + 20 * (x / 8 % 8)) as u8])
        } else {
            Luma([255])
        }
    })
}

/// Colors: `numpy.stack([x * 5 + y * 3, x * y // 7, (x - 20) ** 2 // 7 + y], -1) % 256`.
pub(crate) fn colors(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let channels = [x * 5 + y * 3, x * y / 7, (x - 20).pow(2) / 7 + y];
        Rgb(channels.map(|value| value as u8))
    })
}
