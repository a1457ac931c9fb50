//! Small upright copies of pictures, for lists and previews.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder};

use crate::decode::{Decoded, to_rgb_on_white};
use crate::resize::{Filter, resize};

/// Longest side a thumbnail may have, in pixels.
pub const MAX_SIDE: u32 = 4096;
const JPEG_QUALITY: u8 = 85;

/// The picture, upright and on white, scaled to fit `side` x `side` with its proportions kept and
/// never enlarged, as a baseline JPEG of quality 85; `None` when it cannot be encoded.
pub fn thumbnail(picture: Decoded, side: u32) -> Option<Vec<u8>> {
    let rgb = to_rgb_on_white(picture.image);
    let (width, height) = fit(rgb.width(), rgb.height(), side);
    let scaled = if (width, height) == rgb.dimensions() {
        rgb
    } else {
        resize(&rgb, width, height, Filter::Lanczos)?
    };
    let mut upright = DynamicImage::ImageRgb8(scaled);
    upright.apply_orientation(picture.orientation);
    let mut encoded = Vec::new();
    JpegEncoder::new_with_quality(&mut encoded, JPEG_QUALITY)
        .write_image(
            upright.as_bytes(),
            upright.width(),
            upright.height(),
            ExtendedColorType::Rgb8,
        )
        .ok()?;
    Some(encoded)
}

/// The largest size of the same proportions whose sides are at most `side`, at least one pixel.
fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let rounded =
            (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        (rounded as u32).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept_and_nothing_is_enlarged() {
        assert_eq!(fit(4000, 3000, 200), (200, 150));
        assert_eq!(fit(3000, 4000, 200), (150, 200));
        assert_eq!(fit(100, 50, 200), (100, 50));
        assert_eq!(fit(10_000, 1, 200), (200, 1));
    }
}
