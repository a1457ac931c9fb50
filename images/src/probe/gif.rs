//! GIF: reads the logical screen and walks the blocks to the trailer.

use super::reader::{bytes_at, u16_le};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let mut frames = Frames::new(content)?;
    let first = frames
        .next()?
        .ok_or_else(|| damaged(Format::Gif, "it has no frame"))?;
    let (width, height) = (frames.width, frames.height);
    // What a frame leaves free of the screen is transparent.
    let covers =
        first.left == 0 && first.top == 0 && first.width >= width && first.height >= height;
    let channels = match first.transparent.is_none() && covers {
        true => 3,
        false => 4,
    };
    let mut info = ImageInfo::new(Format::Gif, width.into(), height.into(), channels);
    while frames.next()?.is_some() {
        info.frames += 1;
    }
    Ok(info)
}

/// A frame as it is stored.
pub(crate) struct Frame<'a> {
    pub(crate) left: u16,
    pub(crate) top: u16,
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) interlaced: bool,
    /// Which color is none.
    pub(crate) transparent: Option<u8>,
    /// Red, green and blue of its colors, or else of the screen's; empty if there are neither.
    pub(crate) colors: &'a [u8],
    /// Bits of a color as LZW has it.
    pub(crate) literal_bits: u8,
    /// LZW in sub-blocks, each behind its length; one without a length ends them.
    pub(crate) data: &'a [u8],
}

/// Walks over the frames of a file.
pub(crate) struct Frames<'a> {
    content: &'a [u8],
    position: usize,
    width: u16,
    height: u16,
    /// The screen's.
    colors: &'a [u8],
}

impl<'a> Frames<'a> {
    /// # Errors
    /// Too few bytes for a header.
    pub(crate) fn new(content: &'a [u8]) -> Result<Self, ImageError> {
        let header = bytes_at(content, 0, 13).ok_or_else(cut)?;
        let colors = color_table(content, 13, header[10]).ok_or_else(cut)?;
        Ok(Self {
            content,
            position: 13 + colors.len(),
            width: u16_le(content, 6).ok_or_else(cut)?,
            height: u16_le(content, 8).ok_or_else(cut)?,
            colors,
        })
    }

    /// The next frame; `None` at the trailer.
    ///
    /// # Errors
    /// The end of the bytes comes before the trailer, or there is a block of unknown kind.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'a>>, ImageError> {
        let content = self.content;
        let mut transparent = None;
        loop {
            let position = self.position;
            match content.get(position).ok_or_else(cut)? {
                0x3B => return Ok(None),
                0x21 => {
                    // The graphic control extension belongs to the frame behind it.
                    if let [0xF9, 4, flags, _, _, color, ..] = content[position + 1..] {
                        transparent = (flags & 1 == 1).then_some(color);
                    }
                    let blocks = sub_blocks(content, position + 2).ok_or_else(cut)?;
                    self.position = position + 2 + blocks.len();
                }
                0x2C => {
                    let frame = self.frame(transparent).ok_or_else(cut)?;
                    return Ok(Some(frame));
                }
                _ => return Err(damaged(Format::Gif, "a block of unknown kind")),
            }
        }
    }

    /// Reads the frame that starts here; `None` if it is not all there.
    fn frame(&mut self, transparent: Option<u8>) -> Option<Frame<'a>> {
        let content = self.content;
        let field = |at| u16_le(content, self.position + at);
        let flags = *content.get(self.position + 9)?;
        let own_colors = color_table(content, self.position + 10, flags)?;
        let at_data = self.position + 10 + own_colors.len();
        let frame = Frame {
            left: field(1)?,
            top: field(3)?,
            width: field(5)?,
            height: field(7)?,
            interlaced: flags & 0x40 != 0,
            transparent,
            colors: match own_colors.is_empty() {
                true => self.colors,
                false => own_colors,
            },
            literal_bits: *content.get(at_data)?,
            data: sub_blocks(content, at_data + 1)?,
        };
        self.position = at_data + 1 + frame.data.len();
        Some(frame)
    }
}

fn cut() -> ImageError {
    truncated(Format::Gif, "the trailer is missing")
}

/// The table at `position` whose size `flags` tell; empty if they say that there is none.
fn color_table(content: &[u8], position: usize, flags: u8) -> Option<&[u8]> {
    let bytes = match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    };
    bytes_at(content, position, bytes)
}

/// The chain of length-prefixed sub-blocks at `position`, with the zero length that ends it.
fn sub_blocks(content: &[u8], position: usize) -> Option<&[u8]> {
    let mut end = position;
    loop {
        let length = usize::from(*content.get(end)?);
        end += 1 + length;
        if length == 0 {
            return content.get(position..end);
        }
    }
}
