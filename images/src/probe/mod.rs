//! What a picture is, from its bytes alone and without decoding a pixel.
//!
//! [`probe`] recognises the format by content (a file's name proves nothing), reads size, channels
//! and EXIF orientation from the headers, and walks the container far enough to count its frames
//! and to notice that its end is missing.
//! It allocates nothing that grows with the input and never panics. What it lets through may still
//! fail to decode: entropy-coded data is stepped over, not read.

pub(crate) mod bmp;
mod foreign;
pub(crate) mod gif;
pub(crate) mod jpeg;
mod orientation;
mod png;
mod reader;
pub(crate) mod tiff;
pub(crate) mod webp;

use std::fmt;
use std::time::Duration;

use crate::error::ImageError;

/// Upper bounds that keep one picture from taking a process down.
///
/// Bytes, pixels and memory are known from headers, so a picture beyond them is refused before it is
/// decoded; the time is looked at while decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Largest encoded file, in bytes.
    pub max_file_bytes: u64,
    /// Largest picture, in pixels (width times height).
    pub max_pixels: u64,
    /// Most memory that decoding one picture may take, in bytes: its pixels and what the decoder
    /// keeps beside them, without the encoded file.
    pub max_alloc: u64,
    /// Longest time that decoding one picture may take. [`crate::decode`] says where it is looked at.
    pub max_time: Duration,
}

impl Default for Limits {
    /// 256 MiB, 89 million pixels (the size at which Pillow starts to warn), 1 GiB, 30 seconds.
    fn default() -> Self {
        Self {
            max_file_bytes: 256 * 1024 * 1024,
            max_pixels: 89_000_000,
            max_alloc: 1024 * 1024 * 1024,
            max_time: Duration::from_secs(30),
        }
    }
}

/// A file format Shoal decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG / JFIF / Exif.
    Jpeg,
    /// Portable Network Graphics.
    Png,
    /// TIFF and BigTIFF; the first page counts.
    Tiff,
    /// GIF; the first frame counts.
    Gif,
    /// WebP, lossy or lossless.
    WebP,
    /// Windows bitmap.
    Bmp,
}

impl Format {
    /// Lower-case short name: `jpeg`, `png`, `tiff`, `gif`, `webp` or `bmp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Tiff => "tiff",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
        }
    }

    /// IANA media type, such as `image/jpeg`.
    pub fn mime_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Tiff => "image/tiff",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
        }
    }

    /// The format whose signature `content` starts with, if any.
    pub fn sniff(content: &[u8]) -> Option<Self> {
        const TIFF_SIGNATURES: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        if content.starts_with(b"\xFF\xD8\xFF") {
            Some(Self::Jpeg)
        } else if content.starts_with(b"\x89PNG\r\n\x1A\n") {
            Some(Self::Png)
        } else if TIFF_SIGNATURES.iter().any(|s| content.starts_with(s)) {
            Some(Self::Tiff)
        } else if content.starts_with(b"GIF87a") || content.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if content.starts_with(b"RIFF") && content.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else if bmp::has_signature(content) {
            Some(Self::Bmp)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
        })
    }
}

/// What the header says about a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// Format by content.
    pub format: Format,
    /// Width in pixels as stored, before any EXIF orientation.
    pub width: u32,
    /// Height in pixels as stored, before any EXIF orientation.
    pub height: u32,
    /// Channels of the picture: 1 gray, 2 gray with alpha, 3 color, 4 color with alpha or CMYK.
    /// A palette counts as the colors it holds.
    pub channels: u8,
    /// Bits of one channel as stored: 1, 2, 4, 8, 12, 16, 32 …; 8 for a palette's colors.
    pub bits_per_channel: u8,
    /// Frames of an animation or pages of a document, 1 for a single picture. In a PNG, frames of
    /// the animation; a default picture that is no part of it does not count.
    pub frames: u32,
    /// EXIF orientation, 1 to 8; 1 (as stored) where the file says nothing or nothing valid.
    pub orientation: u8,
}

impl ImageInfo {
    /// A single upright picture of eight bits per channel.
    fn new(format: Format, width: u32, height: u32, channels: u8) -> Self {
        Self {
            format,
            width,
            height,
            channels,
            bits_per_channel: 8,
            frames: 1,
            orientation: 1,
        }
    }
}

/// Reads what the headers of `content` say and checks that the file is whole.
///
/// # Errors
/// The first thing found wrong, as [`ImageError`]: empty, too many bytes, not a picture or one of a
/// format that is not decoded, cut short, damaged header, too many pixels.
pub fn probe(content: &[u8], limits: &Limits) -> Result<ImageInfo, ImageError> {
    if content.is_empty() {
        return Err(ImageError::Empty);
    }
    let bytes = content.len() as u64;
    if bytes > limits.max_file_bytes {
        return Err(ImageError::TooManyBytes {
            bytes,
            limit: limits.max_file_bytes,
        });
    }
    let format = Format::sniff(content).ok_or_else(|| match foreign::name(content) {
        Some(name) => ImageError::UnsupportedFormat { name },
        None => ImageError::NotAnImage,
    })?;
    let info = match format {
        Format::Jpeg => jpeg::probe(content),
        Format::Png => png::probe(content),
        Format::Tiff => tiff::probe(content),
        Format::Gif => gif::probe(content),
        Format::WebP => webp::probe(content),
        Format::Bmp => bmp::probe(content),
    }?;
    if info.width == 0 || info.height == 0 {
        return Err(damaged(format, "its width or height is zero"));
    }
    if u64::from(info.width) * u64::from(info.height) > limits.max_pixels {
        return Err(ImageError::TooManyPixels {
            width: info.width,
            height: info.height,
            limit: limits.max_pixels,
        });
    }
    Ok(info)
}

/// The EXIF block of `content` as a TIFF stream: for a TIFF, the file itself.
pub(crate) fn exif_block(format: Format, content: &[u8]) -> Option<&[u8]> {
    match format {
        Format::Jpeg => jpeg::exif_block(content),
        Format::Png => png::exif_block(content),
        Format::WebP => webp::exif_block(content),
        Format::Tiff => Some(content),
        Format::Gif | Format::Bmp => None,
    }
}

fn truncated(format: Format, missing: &'static str) -> ImageError {
    ImageError::Truncated { format, missing }
}

fn damaged(format: Format, detail: &str) -> ImageError {
    ImageError::Damaged {
        format,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
