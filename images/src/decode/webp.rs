//! WebP: the first frame, by `image-webp`, once the memory that it will take is known.

mod prefix_codes;

use image::DynamicImage;
use image::codecs::webp::WebPDecoder;

use super::budget::{Deadline, TimedReader, check_memory};
use super::{UNPACKING_BYTES, damaged, refusal};
use crate::error::ImageError;
use crate::probe::webp::{is_lossless_still, lossless_data};
use crate::probe::{Format, ImageInfo, Limits};

pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    for data in lossless_data(content, info) {
        let codes = prefix_codes::memory(&data).ok_or_else(|| {
            damaged(
                Format::WebP,
                "its lossless data end or contradict themselves before the pixels",
            )
        })?;
        check_memory(memory_needed(content, info) + codes, limits)?;
    }
    WebPDecoder::new(TimedReader::new(content, deadline))
        .and_then(DynamicImage::from_decoder)
        .map_err(|error| refusal(Format::WebP, error))
}

/// Memory that decoding takes beside prefix codes.
pub(super) fn memory_needed(content: &[u8], info: &ImageInfo) -> u64 {
    let pixels = u64::from(info.width) * u64::from(info.height);
    let bytes_of_pixel = if is_lossless_still(content) {
        // RGBA, from which RGB is made, and the small images of transforms and codes.
        8
    } else if info.frames == 1 {
        // The picture, planes of luminance and chroma, and alpha that passes through RGBA.
        12
    } else {
        // A canvas besides.
        20
    };
    pixels * bytes_of_pixel + UNPACKING_BYTES
}
