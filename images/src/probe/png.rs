//! PNG: reads IHDR and walks the chunks to IEND.

use super::reader::{bytes_at, u32_be};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

/// A chunk ends in a checksum of its type and body.
const CRC_BYTES: usize = 4;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::Png, "the IEND chunk is missing");
    let mut position = 8; // after the signature
    let mut header = None;
    let mut transparent = false;
    let mut data_seen = false;
    loop {
        let length = u32_be(content, position).ok_or_else(cut)? as usize;
        let kind = bytes_at(content, position + 4, 4).ok_or_else(cut)?;
        let body = bytes_at(content, position + 8, length).ok_or_else(cut)?;
        bytes_at(content, position + 8 + length, CRC_BYTES).ok_or_else(cut)?;
        position += 8 + length + CRC_BYTES;
        match kind {
            b"IHDR" if header.is_none() => header = Some(image_header(body)?),
            b"tRNS" => transparent = true,
            b"IDAT" => data_seen = true,
            b"IEND" => break,
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
    if transparent && matches!(info.channels, 1 | 3) {
        info.channels += 1;
    }
    Ok(info)
}

fn image_header(body: &[u8]) -> Result<ImageInfo, ImageError> {
    let short = || damaged(Format::Png, "the IHDR chunk is too short");
    let width = u32_be(body, 0).ok_or_else(short)?;
    let height = u32_be(body, 4).ok_or_else(short)?;
    let channels = match body.get(9).ok_or_else(short)? {
        0 => 1,
        2 | 3 => 3,
        4 => 2,
        6 => 4,
        _ => return Err(damaged(Format::Png, "its color type does not exist")),
    };
    Ok(ImageInfo {
        format: Format::Png,
        width,
        height,
        channels,
    })
}
