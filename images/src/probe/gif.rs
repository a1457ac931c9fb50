//! GIF: reads the logical screen and walks the blocks to the trailer.

use super::reader::{bytes_at, u16_le};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::Gif, "the trailer is missing");
    let width = u16_le(content, 6).ok_or_else(cut)?;
    let height = u16_le(content, 8).ok_or_else(cut)?;
    let screen_flags = *content.get(10).ok_or_else(cut)?;
    let mut position = 13 + color_table_bytes(screen_flags);
    let mut frames = 0;
    let mut transparent = false;
    loop {
        match content.get(position).ok_or_else(cut)? {
            0x3B => break,
            0x21 => {
                let label = *content.get(position + 1).ok_or_else(cut)?;
                // Graphic control extension: bit 0 of its flags says that one color is transparent.
                if label == 0xF9 && frames == 0 {
                    let flags = *content.get(position + 3).ok_or_else(cut)?;
                    transparent = flags & 1 == 1;
                }
                position = after_sub_blocks(content, position + 2).ok_or_else(cut)?;
            }
            0x2C => {
                let descriptor = bytes_at(content, position, 10).ok_or_else(cut)?;
                if frames == 0 && !covers(descriptor, width, height) {
                    transparent = true;
                }
                frames += 1;
                let data = position + 10 + color_table_bytes(descriptor[9]) + 1;
                position = after_sub_blocks(content, data).ok_or_else(cut)?;
            }
            _ => return Err(damaged(Format::Gif, "a block of unknown kind")),
        }
    }
    if frames == 0 {
        return Err(damaged(Format::Gif, "it has no frame"));
    }
    let channels = if transparent { 4 } else { 3 };
    let mut info = ImageInfo::new(Format::Gif, width.into(), height.into(), channels);
    info.frames = frames;
    Ok(info)
}

/// Whether a frame leaves nothing of the screen free. What it leaves free is transparent.
fn covers(descriptor: &[u8], width: u16, height: u16) -> bool {
    let field = |at| u16_le(descriptor, at).unwrap_or(0);
    field(1) == 0 && field(3) == 0 && field(5) >= width && field(7) >= height
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Position after the chain of length-prefixed sub-blocks at `position`, which a zero length ends.
fn after_sub_blocks(content: &[u8], mut position: usize) -> Option<usize> {
    loop {
        let length = usize::from(*content.get(position)?);
        position += 1 + length;
        if length == 0 {
            return Some(position);
        }
    }
}
