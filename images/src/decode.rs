//! The one way from encoded bytes to pixels.
//!
//! [`decode`] probes first, so a cut-short or oversized file never reaches a decoder; it bounds
//! what the decoder may allocate, and turns a decoder's panic into an [`ImageError`].
//!
//! The time limit is looked at while a decoder reads: after every 64 KiB of the file, before every
//! strip or tile of a TIFF, and after every row of a BMP and of blocks of a JPEG in each of its scans.
//! So all of these stop soon after it. WebP, and JPEG of four components, are read as a whole before
//! their pixels are computed, and cannot be stopped there; their work is bounded by the pixel limit
//! (and, for a progressive JPEG, by the number of its scans).
//!
//! Memory is computed from headers before a pixel is decoded, and for a lossless WebP from its prefix
//! codes, which a file of several megabytes made for the purpose could blow up to 1.3 GB.

mod bmp;
mod budget;
mod gif;
mod lzw;
mod png;
mod tiff;
mod webp;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use image::codecs::bmp::BmpDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageDecoder as _, RgbImage};

use crate::convert::{Mode, WHITE, convert};
use crate::error::ImageError;
use crate::geometry::Size;
use crate::jpeg;
use crate::probe::{Format, ImageInfo, Limits, probe};
pub(crate) use budget::{Deadline, check_memory};

/// What unpacking takes beside pixels: buffers and code tables.
const UNPACKING_BYTES: u64 = 256 * 1024;

/// Panics of decoders since the process started.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A decoded picture as stored, and how to turn it upright.
#[derive(Debug)]
pub struct Decoded {
    /// Pixels in the file's own orientation.
    pub image: DynamicImage,
    /// Its size, in that orientation too.
    pub size: Size,
    /// The transformation that EXIF asks for; `NoTransforms` without EXIF.
    pub orientation: Orientation,
}

/// How small a picture may come that is scaled down anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Least {
    /// Both sides keep at least so many pixels.
    Sides(u32),
    /// The longer side does: enough for a picture that is made to fit into a square and keeps its proportions.
    Longer(u32),
}

impl Least {
    /// Whether a picture may come with each of its sides divided by `factor`.
    pub(crate) fn allows(self, (width, height): (u32, u32), factor: u32) -> bool {
        let (side, least) = match self {
            Self::Sides(least) => (width.min(height), least),
            Self::Longer(least) => (width.max(height), least),
        };
        side / factor >= least
    }
}

/// Decodes the first frame or page of `content` at full size.
///
/// Depth and channels are kept: gray with or without alpha in 8 or 16 bits, RGB with or without
/// alpha in 8, 16 or floating-point 32 bits. Fewer than 8 bits are stretched to 8, palettes and CMYK
/// become RGB, and gray in floating point becomes RGB (three equal channels).
///
/// # Errors
/// Everything [`probe`] refuses, pixels that cannot be decoded or are not all there, and more memory
/// or time than `limits` allow.
pub fn decode(content: &[u8], limits: &Limits) -> Result<Decoded, ImageError> {
    decode_at_least(content, limits, Least::Sides(u32::MAX))
}

/// Like [`decode`], but the picture may come reduced where that is cheaper, as far as `least` allows.
/// For callers that scale down anyway.
///
/// A JPEG comes at a half, a quarter or an eighth of its size, the smallest that fits; its pixels are
/// then averages of those of the full picture, to within 1 of 255 in the mean.
///
/// # Errors
/// As [`decode`].
pub fn decode_at_least(
    content: &[u8],
    limits: &Limits,
    least: Least,
) -> Result<Decoded, ImageError> {
    let info = probe(content, limits)?;
    let decoded = contain_panics(info.format, || decode_probed(content, &info, limits, least));
    let (image, factor) = decoded?;
    let orientation = Orientation::from_exif(info.orientation);
    Ok(Decoded {
        size: Size {
            width: info.width,
            height: info.height,
            factor,
        },
        image,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
    })
}

/// The mode of the picture that [`decode`] makes of `content`, without decoding a pixel. `info` is what
/// [`probe`] said.
///
/// # Errors
/// A header that the decoder of its format does not take.
pub fn mode(content: &[u8], info: &ImageInfo) -> Result<Mode, ImageError> {
    let of_decoder = |color| {
        Mode::of_color(color).ok_or_else(|| ImageError::Unsupported {
            format: info.format,
            detail: format!("its pixels are {color:?}"),
        })
    };
    contain_panics(info.format, || match info.format {
        Format::Jpeg if info.channels == 1 => Ok(Mode::L),
        Format::Jpeg => Ok(Mode::Rgb),
        Format::Png | Format::Gif => Ok(match (info.channels, info.bits_per_channel) {
            (1, ..16) => Mode::L,
            (2, ..16) => Mode::La,
            (3, ..16) => Mode::Rgb,
            (_, ..16) => Mode::Rgba,
            (1, _) => Mode::L16,
            (2, _) => Mode::La16,
            (3, _) => Mode::Rgb16,
            _ => Mode::Rgba16,
        }),
        Format::Tiff => tiff::mode(content, info),
        Format::WebP => WebPDecoder::new(Cursor::new(content))
            .map_err(|error| refusal(Format::WebP, error))
            .and_then(|decoder| of_decoder(decoder.color_type())),
        Format::Bmp => BmpDecoder::new(Cursor::new(content))
            .map_err(|error| refusal(Format::Bmp, error))
            .and_then(|decoder| of_decoder(decoder.color_type())),
    })
}

/// What is wrong with a picture, found by decoding all of it: the first reason, or `None` for a
/// picture that decodes.
pub fn image_error(content: &[u8], limits: &Limits) -> Option<ImageError> {
    decode(content, limits).err()
}

/// How often a decoder has panicked in this process. Each time was an
/// [`ImageError::DecoderPanicked`] of one picture.
pub fn decoder_panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The picture, and how many pixels per side one of its pixels stands for.
fn decode_probed(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    least: Least,
) -> Result<(DynamicImage, u32), ImageError> {
    let full = |image| (image, 1);
    let deadline = Deadline::start(limits);
    check_memory(memory_needed(content, info), limits)?;
    let decoded = match info.format {
        Format::Gif => gif::decode(content, info, limits, deadline).map(full),
        Format::Tiff => tiff::decode(content, info, limits, deadline).map(full),
        Format::Jpeg => jpeg::decode(content, (info.width, info.height), least, deadline),
        Format::Png => png::decode(content, info, limits, deadline).map(full),
        Format::WebP => webp::decode(content, info, limits, deadline).map(full),
        Format::Bmp => bmp::decode(content, info, deadline).map(full),
    };
    // A decoder that could not read on because the time was over says so in words of its own.
    decoded.map_err(|error| deadline.check().err().unwrap_or(error))
}

/// Memory that decoding a picture takes, as far as the header tells. TIFF, GIF and WebP compute it
/// more closely where they allocate.
fn memory_needed(content: &[u8], info: &ImageInfo) -> u64 {
    let width = u64::from(info.width);
    let pixels = width * u64::from(info.height);
    let channels = u64::from(info.channels);
    match info.format {
        // The picture; a progressive one keeps 16-bit coefficients beside it, and a bit for each.
        Format::Jpeg => pixels * channels * 25 / 8,
        Format::WebP => webp::memory_needed(content, info),
        Format::Png => {
            let pixel = channels * u64::from(info.bits_per_channel.div_ceil(8));
            // A few rows are kept as they are unpacked, unfiltered and expanded.
            pixels * pixel + 4 * width * pixel + UNPACKING_BYTES
        }
        Format::Bmp => (pixels + width) * channels,
        Format::Gif | Format::Tiff => pixels * channels,
    }
}

/// Runs a decoder so that a panic inside it is an error of this one file.
pub(crate) fn contain_panics<T>(
    format: Format,
    work: impl FnOnce() -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    // Nothing outlives a panic here: the closure owns its decoder and only reads the content.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        Err(ImageError::DecoderPanicked { format })
    })
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

fn damaged(format: Format, detail: impl Into<String>) -> ImageError {
    let detail = detail.into();
    ImageError::Damaged { format, detail }
}

fn truncated(format: Format, missing: &'static str) -> ImageError {
    ImageError::Truncated { format, missing }
}

/// A picture of the size that `info` says from its samples of eight bits, row by row.
fn image_of(info: &ImageInfo, samples: Vec<u8>) -> Result<DynamicImage, ImageError> {
    let (width, height) = (info.width, info.height);
    let image = match info.channels {
        1 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        2 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8),
        3 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
        _ => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8),
    };
    image.ok_or_else(|| damaged(info.format, "its pixels are not all there"))
}

/// Eight-bit RGB as [`convert`] makes it: gray is spread, alpha is laid on white.
pub fn to_rgb_on_white(image: DynamicImage) -> RgbImage {
    convert(image, Mode::Rgb, WHITE).into_rgb8()
}

/// Eight-bit gray as [`convert`] makes it; alpha is laid on white first.
pub fn to_gray_on_white(image: DynamicImage) -> GrayImage {
    convert(image, Mode::L, WHITE).into_luma8()
}

#[cfg(test)]
mod tests;
