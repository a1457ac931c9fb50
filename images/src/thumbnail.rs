//! Small upright copies of pictures, for lists and previews.

use image::DynamicImage;

use crate::decode::{Decoded, to_rgb_on_white};
use crate::encode::{Encoding, encode};
use crate::resize::{Filter, fit_within, resize};

/// Longest side a thumbnail may have, in pixels.
pub const MAX_SIDE: u32 = 4096;
/// How pictures are scaled to thumbnails.
pub const FILTER: Filter = Filter::Lanczos;
const JPEG_QUALITY: u8 = 85;

/// The picture, upright and on white, scaled to fit `side` x `side` with its proportions kept and
/// never enlarged, as a baseline JPEG of quality 85; `None` when it cannot be encoded.
pub fn thumbnail(picture: Decoded, side: u32) -> Option<Vec<u8>> {
    let size = picture.size;
    let rgb = to_rgb_on_white(picture.image);
    let scaled = if size.width.max(size.height) <= side {
        rgb
    } else {
        let (width, height) = fit_within(size.width, size.height, side, side);
        resize(&rgb, size, width, height, FILTER)?
    };
    let mut upright = DynamicImage::ImageRgb8(scaled);
    upright.apply_orientation(picture.orientation);
    let quality = JPEG_QUALITY;
    encode(&upright, Encoding::Jpeg { quality }).ok()
}

#[cfg(test)]
mod tests {
    use image::metadata::Orientation;

    use super::*;
    use crate::geometry::Size;
    use crate::pictures::colors;

    #[test]
    fn nothing_is_enlarged() {
        let image = DynamicImage::ImageRgb8(colors(40, 30));
        let picture = Decoded {
            size: Size::full(40, 30),
            image,
            orientation: Orientation::Rotate90,
        };
        let small = image::load_from_memory(&thumbnail(picture, 200).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (30, 40));
    }
}
