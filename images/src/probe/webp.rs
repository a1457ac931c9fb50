//! WebP: checks the RIFF length, reads the first chunk (`VP8 `, `VP8L` or `VP8X`) and, behind a
//! `VP8X`, walks the other chunks: they count frames and must hold pictures of the canvas's size.

use super::reader::{Endian, bytes_at, u16_le, u32_le, uint_at};
use super::{Format, ImageInfo, damaged, orientation, truncated};
use crate::error::ImageError;

/// An `ANMF` chunk starts with position, size, duration and flags of its frame.
const FRAME_HEADER_BYTES: usize = 16;

/// Width, height, and whether there is alpha.
type Size = (u32, u32, bool);

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::WebP, "it is shorter than its RIFF header says");
    let riff_bytes = u32_le(content, 4).ok_or_else(cut)?;
    if (content.len() as u64) < 8 + u64::from(riff_bytes) {
        return Err(cut());
    }
    let kind = bytes_at(content, 12, 4).ok_or_else(cut)?;
    let body = content.get(20..).ok_or_else(cut)?;
    let size = match kind {
        b"VP8X" => extended_size(body),
        _ => picture_size(kind, body),
    };
    let (width, height, alpha) =
        size.ok_or_else(|| damaged(Format::WebP, "its first chunk has no valid picture header"))?;
    let channels = if alpha { 4 } else { 3 };
    let mut info = ImageInfo::new(Format::WebP, width, height, channels);
    if kind == b"VP8X" {
        read_extended(content, &mut info)?;
    }
    Ok(info)
}

pub(super) fn exif_block(content: &[u8]) -> Option<&[u8]> {
    let (_, body) = chunks(content).find(|(kind, _)| kind == b"EXIF")?;
    // Some writers put the prefix of JPEG's APP1 before the block.
    Some(body.strip_prefix(b"Exif\0\0").unwrap_or(body))
}

/// Counts the frames and checks that the first one fits its canvas: a decoder allocates for the size
/// that the frame claims.
fn read_extended(content: &[u8], info: &mut ImageInfo) -> Result<(), ImageError> {
    let mut frames = 0;
    let mut first = None;
    for (kind, body) in chunks(content) {
        match kind {
            b"VP8 " | b"VP8L" if first.is_none() => {
                let size = picture_size(kind, body);
                first = Some(size.is_some_and(|(w, h, _)| (w, h) == (info.width, info.height)));
            }
            b"ANMF" => {
                frames += 1;
                first = first.or_else(|| Some(frame_fits(body, info)));
            }
            _ => {}
        }
    }
    match first {
        Some(true) => {}
        Some(false) => return Err(damaged(Format::WebP, "its frame does not fit its canvas")),
        None => return Err(truncated(Format::WebP, "it has no picture chunk")),
    }
    info.frames = frames.max(1);
    info.orientation = orientation::of_exif(exif_block(content));
    Ok(())
}

/// Whether the frame and the picture in it have one size, and lie inside the canvas.
fn frame_fits(frame: &[u8], info: &ImageInfo) -> bool {
    let field = |at| uint_at(frame, at, 3, Endian::Little).unwrap_or(u64::MAX / 4);
    let (x, y) = (2 * field(0), 2 * field(3));
    let (width, height) = (field(6) + 1, field(9) + 1);
    let inside = x + width <= u64::from(info.width) && y + height <= u64::from(info.height);
    let pictures = chunks_from(frame, FRAME_HEADER_BYTES);
    let mut sizes = pictures.filter_map(|(kind, body)| picture_size(kind, body));
    let same = |(w, h, _)| (u64::from(w), u64::from(h)) == (width, height);
    inside && sizes.next().is_some_and(same)
}

/// Type and body of the chunks inside the RIFF container; they end where it or the file ends.
fn chunks(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let riff_bytes = u32_le(content, 4).map_or(0, |bytes| bytes as usize);
    let end = riff_bytes.saturating_add(8).min(content.len());
    chunks_from(&content[..end], 12)
}

fn chunks_from(content: &[u8], start: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut position = start;
    std::iter::from_fn(move || {
        let kind = bytes_at(content, position, 4)?;
        let length = u32_le(content, position + 4)? as usize;
        let body = bytes_at(content, position + 8, length)?;
        // Bodies are padded to an even length.
        position += 8 + length + length % 2;
        Some((kind, body))
    })
}

fn picture_size(kind: &[u8], body: &[u8]) -> Option<Size> {
    match kind {
        b"VP8 " => lossy_size(body),
        b"VP8L" => lossless_size(body),
        _ => None,
    }
}

/// Key frame header of RFC 6386 section 9.1: tag, start code, 14-bit sizes.
fn lossy_size(body: &[u8]) -> Option<Size> {
    if bytes_at(body, 3, 3)? != [0x9D, 0x01, 0x2A] {
        return None;
    }
    let width = u32::from(u16_le(body, 6)? & 0x3FFF);
    let height = u32::from(u16_le(body, 8)? & 0x3FFF);
    Some((width, height, false))
}

/// Signature byte, then 14 bits width - 1, 14 bits height - 1, 1 bit alpha.
fn lossless_size(body: &[u8]) -> Option<Size> {
    if *body.first()? != 0x2F {
        return None;
    }
    let bits = u32_le(body, 1)?;
    let alpha = (bits >> 28) & 1 == 1;
    Some(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1, alpha))
}

/// Flags (bit 4 is alpha), three reserved bytes, 24 bits width - 1, 24 bits height - 1.
fn extended_size(body: &[u8]) -> Option<Size> {
    let alpha = body.first()? & 0x10 != 0;
    let width = u32::try_from(uint_at(body, 4, 3, Endian::Little)?).ok()? + 1;
    let height = u32::try_from(uint_at(body, 7, 3, Endian::Little)?).ok()? + 1;
    Some((width, height, alpha))
}
