//! The one way from encoded bytes to pixels.
//!
//! [`decode`] probes first, so a cut-short or oversized file never reaches a decoder; it bounds
//! what the decoder may allocate, and turns a decoder's panic into an [`ImageError`].

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::convert::{Mode, WHITE, convert};
use crate::error::ImageError;
use crate::jpeg;
use crate::probe::{Format, Limits, probe};

/// Widest pixel a decoder produces: four channels of 16 bits.
const MAX_BYTES_PER_PIXEL: u64 = 8;

/// A decoded picture as stored, and how to turn it upright.
#[derive(Debug)]
pub struct Decoded {
    /// Pixels in the file's own orientation.
    pub image: DynamicImage,
    /// The transformation that EXIF asks for; `NoTransforms` without EXIF.
    pub orientation: Orientation,
}

/// Decodes the first frame or page of `content` at full size.
///
/// # Errors
/// Everything [`probe`] refuses, and pixels that cannot be decoded.
pub fn decode(content: &[u8], limits: &Limits) -> Result<Decoded, ImageError> {
    decode_at_least(content, limits, u32::MAX)
}

/// Like [`decode`], but the picture may come reduced where that is cheaper, as long as both of its
/// sides keep at least `side` pixels. For callers that scale down anyway.
///
/// # Errors
/// As [`decode`].
pub fn decode_at_least(content: &[u8], limits: &Limits, side: u32) -> Result<Decoded, ImageError> {
    let info = probe(content, limits)?;
    let reducible =
        info.format == Format::Jpeg && info.width.min(info.height) / jpeg::REDUCTION >= side;
    contain_panics(info.format, || {
        decode_probed(content, info.format, limits, reducible)
    })
}

fn decode_probed(
    content: &[u8],
    format: Format,
    limits: &Limits,
    reducible: bool,
) -> Result<Decoded, ImageError> {
    let refused = |error| refusal(format, error);
    let mut reader = ImageReader::with_format(Cursor::new(content), image_format(format));
    let mut allowance = image::Limits::no_limits();
    allowance.max_alloc = Some(limits.max_pixels.saturating_mul(MAX_BYTES_PER_PIXEL));
    reader.limits(allowance);
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let reduced = if reducible {
        jpeg::decode_quarter(content)
    } else {
        None
    };
    let image = match reduced {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(refused)?,
    };
    Ok(Decoded { image, orientation })
}

/// Runs a decoder so that a panic inside it is an error of this one file.
fn contain_panics<T>(
    format: Format,
    work: impl FnOnce() -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    // Nothing outlives a panic here: the closure owns its decoder and only reads the content.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ImageError::Damaged {
            format,
            detail: "the decoder panicked".to_owned(),
        })
    })
}

fn image_format(format: Format) -> ImageFormat {
    match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Tiff => ImageFormat::Tiff,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
    }
}

fn refusal(format: Format, error: image::ImageError) -> ImageError {
    let detail = error.to_string();
    match error {
        image::ImageError::Unsupported(_) | image::ImageError::Limits(_) => {
            ImageError::Unsupported { format, detail }
        }
        _ => ImageError::Damaged { format, detail },
    }
}

/// Eight-bit RGB: gray is spread, 16 bits are rounded to 8, alpha is laid on white.
pub fn to_rgb_on_white(image: DynamicImage) -> RgbImage {
    convert(image, Mode::Rgb, WHITE).into_rgb8()
}

/// Eight-bit gray as [`convert`] makes it; alpha is laid on white first.
pub fn to_gray_on_white(image: DynamicImage) -> GrayImage {
    convert(image, Mode::L, WHITE).into_luma8()
}

#[cfg(test)]
mod tests;
