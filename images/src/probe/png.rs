//! PNG: reads IHDR and walks the chunks to IEND.

use super::reader::{bytes_at, u32_be};
use super::{Format, ImageInfo, damaged, orientation, truncated};
use crate::error::ImageError;

/// Color type of a picture whose samples are indices into a palette.
const INDEXED: u8 = 3;
/// A chunk ends in a checksum of its type and body.
const CRC_BYTES: usize = 4;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let mut header = None;
    let mut transparent = false;
    let mut indexed = false;
    let (mut colors, mut alphas) = (0, 0);
    let mut data_seen = false;
    let mut animated = false;
    let mut frames = 0;
    let mut exif = None;
    for chunk in chunks(content) {
        let (kind, body) = chunk?;
        match kind {
            b"IHDR" if header.is_none() => {
                header = Some(image_header(body)?);
                indexed = body.get(9) == Some(&INDEXED);
            }
            // The decoder panics at a palette of another length than whole colors have.
            b"PLTE" if !body.len().is_multiple_of(3) || body.len() > 3 * 256 => {
                return Err(damaged(Format::Png, "its palette has no valid length"));
            }
            b"PLTE" => colors = body.len() / 3,
            b"tRNS" => {
                transparent = true;
                alphas = body.len();
            }
            b"IDAT" => data_seen = true,
            b"acTL" => animated = true,
            b"fcTL" => frames += 1,
            b"eXIf" if exif.is_none() => exif = Some(body),
            _ => {}
        }
        if header.is_none() {
            return Err(damaged(Format::Png, "its first chunk is not IHDR"));
        }
    }
    let mut info = header.ok_or_else(|| damaged(Format::Png, "it has no IHDR chunk"))?;
    if !data_seen {
        return Err(damaged(Format::Png, "it has no IDAT chunk"));
    }
    if indexed && alphas > colors {
        return Err(damaged(
            Format::Png,
            "its palette has more alpha values than colors",
        ));
    }
    if transparent && matches!(info.channels, 1 | 3) {
        info.channels += 1;
    }
    if animated {
        info.frames = frames.max(1);
    }
    info.orientation = orientation::of_exif(exif);
    Ok(info)
}

pub(super) fn exif_block(content: &[u8]) -> Option<&[u8]> {
    let mut chunks = chunks(content).map_while(Result::ok);
    chunks.find_map(|(kind, body)| (kind == b"eXIf").then_some(body))
}

/// Type and body of every chunk up to and without IEND; an error ends them when the file does.
fn chunks(content: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), ImageError>> {
    let mut position = Some(8); // after the signature
    std::iter::from_fn(move || {
        let at = position.take()?;
        let Some((kind, body)) = chunk_at(content, at) else {
            return Some(Err(truncated(Format::Png, "the IEND chunk is missing")));
        };
        if kind == b"IEND" {
            return None;
        }
        position = Some(at + 8 + body.len() + CRC_BYTES);
        Some(Ok((kind, body)))
    })
}

fn chunk_at(content: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let length = u32_be(content, at)? as usize;
    let kind = bytes_at(content, at + 4, 4)?;
    let body = bytes_at(content, at + 8, length)?;
    bytes_at(content, at + 8 + length, CRC_BYTES)?;
    Some((kind, body))
}

fn image_header(body: &[u8]) -> Result<ImageInfo, ImageError> {
    let short = || damaged(Format::Png, "the IHDR chunk is too short");
    let width = u32_be(body, 0).ok_or_else(short)?;
    let height = u32_be(body, 4).ok_or_else(short)?;
    let bits = *body.get(8).ok_or_else(short)?;
    let (channels, bits) = match body.get(9).ok_or_else(short)? {
        0 => (1, bits),
        2 => (3, bits),
        &INDEXED => (3, 8),
        4 => (2, bits),
        6 => (4, bits),
        _ => return Err(damaged(Format::Png, "its color type does not exist")),
    };
    let mut info = ImageInfo::new(Format::Png, width, height, channels);
    info.bits_per_channel = bits;
    Ok(info)
}
