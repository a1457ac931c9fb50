//! WebP: checks the RIFF length and reads the first chunk (`VP8 `, `VP8L` or `VP8X`).

use super::reader::{Endian, bytes_at, u16_le, u32_le, uint_at};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::WebP, "it is shorter than its RIFF header says");
    let riff_bytes = u32_le(content, 4).ok_or_else(cut)?;
    if (content.len() as u64) < 8 + u64::from(riff_bytes) {
        return Err(cut());
    }
    let kind = bytes_at(content, 12, 4).ok_or_else(cut)?;
    let body = content.get(20..).ok_or_else(cut)?;
    let size = match kind {
        b"VP8 " => lossy_size(body),
        b"VP8L" => lossless_size(body),
        b"VP8X" => extended_size(body),
        _ => None,
    };
    let (width, height, alpha) =
        size.ok_or_else(|| damaged(Format::WebP, "its first chunk has no valid picture header"))?;
    Ok(ImageInfo {
        format: Format::WebP,
        width,
        height,
        channels: if alpha { 4 } else { 3 },
    })
}

/// Key frame header of RFC 6386 section 9.1: tag, start code, 14-bit sizes.
fn lossy_size(body: &[u8]) -> Option<(u32, u32, bool)> {
    if bytes_at(body, 3, 3)? != [0x9D, 0x01, 0x2A] {
        return None;
    }
    let width = u32::from(u16_le(body, 6)? & 0x3FFF);
    let height = u32::from(u16_le(body, 8)? & 0x3FFF);
    Some((width, height, false))
}

/// Signature byte, then 14 bits width - 1, 14 bits height - 1, 1 bit alpha.
fn lossless_size(body: &[u8]) -> Option<(u32, u32, bool)> {
    if *body.first()? != 0x2F {
        return None;
    }
    let bits = u32_le(body, 1)?;
    let alpha = (bits >> 28) & 1 == 1;
    Some(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1, alpha))
}

/// Flags (bit 4 is alpha), three reserved bytes, 24 bits width - 1, 24 bits height - 1.
fn extended_size(body: &[u8]) -> Option<(u32, u32, bool)> {
    let alpha = body.first()? & 0x10 != 0;
    let width = u32::try_from(uint_at(body, 4, 3, Endian::Little)?).ok()? + 1;
    let height = u32::try_from(uint_at(body, 7, 3, Endian::Little)?).ok()? + 1;
    Some((width, height, alpha))
}
