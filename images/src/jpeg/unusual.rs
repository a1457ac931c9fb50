//! JPEG of the unusual kinds, at full size, by `zune-jpeg`: four components, odd sampling, stray data.
//!
//! A picture whose data ends early is an error here. The decoder alone would not tell: behind a
//! marker it goes on with zeros, and the rest of the picture comes out gray. Not noticed are a cut within
//! the last row of blocks of a sequential file, and cuts in files of four components.

use image::{DynamicImage, GrayImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::outline::{MAX_SCANS, Outline, damaged};
use crate::error::ImageError;
use crate::probe::Format;

/// Decodes `content`, of which `outline` was made: one component as 8-bit gray, others as RGB.
///
/// # Errors
/// Pixels that cannot be decoded, or are not all there.
pub(super) fn decode(content: &[u8], outline: &Outline) -> Result<DynamicImage, ImageError> {
    // Without the end marker, a decoder that wants more data than there is says so.
    if let Some(end) = outline.only_scan_end
        && let Ok(image) = decode_by_zune(&content[..end], outline)
    {
        return Ok(image);
    }
    // With several scans it needs the marker, and then cannot tell: of three components, what our own
    // decoder did not find sound is not. It has no opinion of four.
    if outline.components <= 3 {
        return Err(damaged(
            "its data is damaged or ends before the picture does",
        ));
    }
    decode_by_zune(content, outline).map_err(refusal)
}

fn decode_by_zune(content: &[u8], outline: &Outline) -> Result<DynamicImage, DecodeErrors> {
    let color = match outline.components {
        1 => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(outline.width)
        .set_max_height(outline.height)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(color);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(content), options);
    let pixels = decoder.decode()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    let image = match color {
        ColorSpace::Luma => {
            GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    };
    image.ok_or(DecodeErrors::FormatStatic("pixels are missing"))
}

fn refusal(error: DecodeErrors) -> ImageError {
    match error {
        DecodeErrors::Unsupported(kind) => ImageError::Unsupported {
            format: Format::Jpeg,
            detail: format!("{kind:?}"),
        },
        // Its errors print as `Debug`, several of them on several lines.
        error => damaged(format!("{error:?}").trim()),
    }
}
