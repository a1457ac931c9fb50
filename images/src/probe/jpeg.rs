//! JPEG (ITU-T T.81): walks the marker segments from SOI to EOI.
//!
//! Size and channels come from the frame header; the file is whole when a scan was started and the
//! EOI marker is reached. Bytes after EOI (appended previews, trailing junk) are ignored.

use super::reader::{bytes_at, u16_be};
use super::{Format, ImageInfo, damaged, orientation, truncated};
use crate::error::ImageError;

/// How far from the end of the file the marker is looked for first.
const END_BYTES: usize = 4096;
/// What an APP1 segment with EXIF starts with.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const END: &str = "the end-of-image marker is missing";

pub(crate) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let mut position = 2; // after SOI
    let mut frame = None;
    let mut scan_seen = false;
    let mut exif = None;
    loop {
        let (marker, after) = next_marker(content, position)?;
        position = after;
        match marker {
            0xD9 => break,
            // No segment follows: RST0 to RST7, SOI, TEM, and a stuffed zero between segments.
            0xD0..=0xD8 | 0x00 | 0x01 => continue,
            _ => {}
        }
        let length = u16_be(content, position)
            .map(usize::from)
            .ok_or_else(|| truncated(Format::Jpeg, END))?;
        let segment = bytes_at(content, position, length)
            .ok_or_else(|| truncated(Format::Jpeg, END))?
            .get(2..)
            .ok_or_else(|| damaged(Format::Jpeg, "a segment is shorter than its length field"))?;
        position += length;
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && frame.is_none() => {
                frame = Some(frame_header(segment)?);
            }
            0xE1 if exif.is_none() => exif = segment.strip_prefix(EXIF_PREFIX),
            0xDA => {
                scan_seen = true;
                if ends_as_it_should(content, position) {
                    break;
                }
                position = after_entropy_coded_data(content, position);
            }
            _ => {}
        }
    }
    match frame {
        Some(mut info) if scan_seen => {
            info.orientation = orientation::of_exif(exif);
            Ok(info)
        }
        Some(_) => Err(damaged(Format::Jpeg, "it has no scan")),
        None => Err(damaged(Format::Jpeg, "it has no frame header")),
    }
}

/// The EXIF block of the first APP1 segment that holds one; it stands before the scan.
pub(super) fn exif_block(content: &[u8]) -> Option<&[u8]> {
    let mut position = 2;
    loop {
        let (marker, after) = next_marker(content, position).ok()?;
        position = after;
        match marker {
            0xD9 | 0xDA => return None,
            0xD0..=0xD8 | 0x00 | 0x01 => continue,
            _ => {}
        }
        let length = usize::from(u16_be(content, position)?);
        let segment = bytes_at(content, position, length)?.get(2..)?;
        if marker == 0xE1
            && let Some(block) = segment.strip_prefix(EXIF_PREFIX)
        {
            return Some(block);
        }
        position += length;
    }
}

/// The next marker code at or after `position`, and the position behind it.
fn next_marker(content: &[u8], position: usize) -> Result<(u8, usize), ImageError> {
    let end = || truncated(Format::Jpeg, END);
    let rest = content.get(position..).ok_or_else(end)?;
    // Decoders skip stray bytes between segments, so they are not an error here either.
    let start = rest.iter().position(|&b| b == 0xFF).ok_or_else(end)?;
    let rest = &rest[start..];
    let fill = rest.iter().position(|&b| b != 0xFF).ok_or_else(end)?;
    Ok((rest[fill], position + start + fill + 1))
}

/// Whether the end marker is where it is in nearly every file: at the end, but for a few bytes. Then the
/// entropy-coded data need not be searched, in which 0xFF occurs all the time, but never the marker.
fn ends_as_it_should(content: &[u8], scan: usize) -> bool {
    let tail = content.len().saturating_sub(END_BYTES).max(scan);
    let tail = content.get(tail..).unwrap_or_default();
    memchr::memmem::rfind(tail, &[0xFF, 0xD9]).is_some()
}

/// Where the entropy-coded data that starts at `position` ends: at a marker that is neither a
/// stuffed zero nor a restart marker, or at the end of the file.
fn after_entropy_coded_data(content: &[u8], mut position: usize) -> usize {
    while let Some(rest) = content.get(position..) {
        let Some(found) = memchr::memchr(0xFF, rest) else {
            break;
        };
        match rest.get(found + 1) {
            Some(0x00 | 0xD0..=0xD7) => position += found + 2,
            Some(0xFF) => position += found + 1,
            _ => return position + found,
        }
    }
    content.len()
}

fn frame_header(segment: &[u8]) -> Result<ImageInfo, ImageError> {
    let short = || damaged(Format::Jpeg, "the frame header is too short");
    let height = u16_be(segment, 1).ok_or_else(short)?;
    let width = u16_be(segment, 3).ok_or_else(short)?;
    let channels = *segment.get(5).ok_or_else(short)?;
    if !matches!(channels, 1 | 3 | 4) {
        return Err(damaged(
            Format::Jpeg,
            "it has neither 1, 3 nor 4 components",
        ));
    }
    let mut info = ImageInfo::new(Format::Jpeg, width.into(), height.into(), channels);
    info.bits_per_channel = *segment.first().ok_or_else(short)?;
    Ok(info)
}
