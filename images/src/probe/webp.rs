//! WebP: checks the RIFF length, reads the first chunk (`VP8 `, `VP8L` or `VP8X`) and, behind a
//! `VP8X`, walks the other chunks: they count frames, and what a decoder will decode must have the size
//! of its canvas or of its frame, because it allocates for the size that the data claim.

use super::reader::{Endian, bytes_at, u16_le, u32_le, uint_at};
use super::{Format, ImageInfo, damaged, orientation, truncated};
use crate::error::ImageError;

/// An `ANMF` chunk starts with position, size, duration and flags of its frame.
const FRAME_HEADER_BYTES: usize = 16;

/// The flag of a `VP8X` chunk that makes the file an animation: its `ANMF` chunks are decoded.
const ANIMATED: u8 = 2;

/// Width, height, and whether there is alpha.
type Size = (u32, u32, bool);

/// Data coded without loss that decoding the file reads.
pub(crate) struct LosslessData<'a> {
    pub(crate) bytes: &'a [u8],
    /// Width and height of what is coded, where the data themselves do not start with them.
    pub(crate) size: Option<(u32, u32)>,
}

/// The data coded without loss that a decoder may read for the first frame of a file that was probed:
/// the picture, or the alpha of a lossy one.
pub(crate) fn lossless_data<'a>(content: &'a [u8], info: &ImageInfo) -> Vec<LosslessData<'a>> {
    let first = |wanted: &[u8]| chunks_from(content, 12).find(|chunk| chunk.kind == wanted);
    if is_animated(content) {
        let frame = first(b"ANMF").and_then(|frame| Some((frame.body, frame_size(frame.body)?)));
        let picture = frame.and_then(|(body, size)| {
            let chunk = chunks_from(body, FRAME_HEADER_BYTES).next()?;
            chunk.lossless_data(size)
        });
        return picture.into_iter().collect();
    }
    // Decoders read on behind the container's end; what runs beyond the file's end is cut.
    [b"VP8L", b"ALPH"]
        .into_iter()
        .filter_map(|kind| first(kind)?.lossless_data((info.width, info.height)))
        .collect()
}

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

/// Whether the only picture is coded without loss, color and alpha in one.
pub(crate) fn is_lossless_still(content: &[u8]) -> bool {
    let picture = chunks_from(content, 12).find(|chunk| matches!(chunk.kind, b"VP8 " | b"VP8L"));
    !is_animated(content) && picture.is_some_and(|chunk| chunk.kind == b"VP8L")
}

/// Counts the frames and checks the size of the picture that will be decoded: the first frame of an
/// animation, else the only picture.
fn read_extended(content: &[u8], info: &mut ImageInfo) -> Result<(), ImageError> {
    let animated = is_animated(content);
    // A decoder would take what stands in the frame for the picture, or for its alpha.
    if !animated && chunks_from(content, 12).any(|chunk| chunk.kind == b"ANMF") {
        return Err(damaged(
            Format::WebP,
            "it has frames and is no animation by its header",
        ));
    }
    let mut frames = 0;
    let mut first = None;
    for (kind, body) in chunks(content) {
        match kind {
            b"VP8 " | b"VP8L" if !animated && first.is_none() => {
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

fn is_animated(content: &[u8]) -> bool {
    bytes_at(content, 12, 4) == Some(b"VP8X") && content.get(20).is_some_and(|f| f & ANIMATED != 0)
}

/// Whether the frame lies inside the canvas and starts with a picture of its size, or with alpha and
/// then such a picture.
fn frame_fits(frame: &[u8], info: &ImageInfo) -> bool {
    let field = |at| uint_at(frame, at, 3, Endian::Little).unwrap_or(u64::MAX / 4);
    let (x, y) = (2 * field(0), 2 * field(3));
    let Some((width, height)) = frame_size(frame) else {
        return false;
    };
    let inside = x + u64::from(width) <= u64::from(info.width)
        && y + u64::from(height) <= u64::from(info.height);
    let mut inner = whole_chunks(frame, FRAME_HEADER_BYTES);
    let picture = match inner.next() {
        Some((b"ALPH", _)) => inner.next().filter(|(kind, _)| *kind == b"VP8 "),
        other => other,
    };
    let size = picture.and_then(|(kind, body)| picture_size(kind, body));
    inside && size.is_some_and(|(w, h, _)| (w, h) == (width, height))
}

fn frame_size(frame: &[u8]) -> Option<(u32, u32)> {
    let side = |at| u32::try_from(uint_at(frame, at, 3, Endian::Little)? + 1).ok();
    Some((side(6)?, side(9)?))
}

/// A chunk of a container, of which the file may end before the body does.
struct Chunk<'a> {
    kind: &'a [u8],
    body: &'a [u8],
    is_whole: bool,
}

impl<'a> Chunk<'a> {
    /// What the chunk has that is coded without loss; alpha does not tell its size.
    fn lossless_data(&self, size: (u32, u32)) -> Option<LosslessData<'a>> {
        match (self.kind, self.body) {
            (b"VP8L", bytes) => Some(LosslessData { bytes, size: None }),
            (b"ALPH", [flags, bytes @ ..]) if flags & 3 == 1 => Some(LosslessData {
                bytes,
                size: Some(size),
            }),
            _ => None,
        }
    }
}

/// Type and body of the chunks inside the RIFF container; they end where it or the file ends.
fn chunks(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let riff_bytes = u32_le(content, 4).map_or(0, |bytes| bytes as usize);
    let end = riff_bytes.saturating_add(8).min(content.len());
    whole_chunks(&content[..end], 12)
}

fn whole_chunks(content: &[u8], start: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
    chunks_from(content, start)
        .filter(|chunk| chunk.is_whole)
        .map(|chunk| (chunk.kind, chunk.body))
}

fn chunks_from(content: &[u8], start: usize) -> impl Iterator<Item = Chunk<'_>> {
    let mut position = start;
    std::iter::from_fn(move || {
        let kind = bytes_at(content, position, 4)?;
        let length = u32_le(content, position + 4)? as usize;
        let rest = content.get(position + 8..)?;
        // Bodies are padded to an even length.
        position += 8 + length + length % 2;
        Some(Chunk {
            kind,
            body: rest.get(..length).unwrap_or(rest),
            is_whole: length <= rest.len(),
        })
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
