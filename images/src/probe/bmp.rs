//! BMP: reads the file and DIB headers and checks that the pixel rows fit into the file.

use super::reader::{u16_le, u32_le};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

const CORE_HEADER: u32 = 12;
/// BITMAPINFOHEADER and its successors, by size.
const INFO_HEADERS: [u32; 5] = [40, 52, 56, 108, 124];
/// First size whose header ends with a mask for alpha (BITMAPV3INFOHEADER).
const ALPHA_MASK_HEADER: u32 = 56;

/// `BM` alone starts many texts, so the DIB header's size must be one that exists.
pub(super) fn has_signature(content: &[u8]) -> bool {
    content.starts_with(b"BM")
        && u32_le(content, 14)
            .is_some_and(|size| size == CORE_HEADER || INFO_HEADERS.contains(&size))
}

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::Bmp, "the pixel rows reach beyond the end");
    let pixel_offset = u64::from(u32_le(content, 10).ok_or_else(cut)?);
    let header_bytes = u32_le(content, 14).ok_or_else(cut)?;
    let core = header_bytes == CORE_HEADER;
    let (width, height, bits) = if core {
        let width = u16_le(content, 18).ok_or_else(cut)?;
        let height = u16_le(content, 20).ok_or_else(cut)?;
        let bits = u16_le(content, 24).ok_or_else(cut)?;
        (u32::from(width), u32::from(height), bits)
    } else {
        let width = u32_le(content, 18).ok_or_else(cut)?.cast_signed();
        // A negative height says that rows run from top to bottom.
        let height = u32_le(content, 22).ok_or_else(cut)?.cast_signed();
        let bits = u16_le(content, 28).ok_or_else(cut)?;
        let width =
            u32::try_from(width).map_err(|_| damaged(Format::Bmp, "its width is negative"))?;
        (width, height.unsigned_abs(), bits)
    };
    if !matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
        return Err(damaged(Format::Bmp, "its color depth does not exist"));
    }
    let compression = if core {
        0
    } else {
        u32_le(content, 30).ok_or_else(cut)?
    };
    let pixel_bytes = match compression {
        // Uncompressed, with or without color masks: rows padded to four bytes.
        0 | 3 | 6 => (u64::from(width) * u64::from(bits)).div_ceil(32) * 4 * u64::from(height),
        _ => u64::from(u32_le(content, 34).ok_or_else(cut)?),
    };
    if (content.len() as u64) < pixel_offset.saturating_add(pixel_bytes) {
        return Err(cut());
    }
    let has_alpha = header_bytes >= ALPHA_MASK_HEADER
        && bits == 32
        && matches!(compression, 3 | 6)
        && u32_le(content, 66).ok_or_else(cut)? != 0;
    let channels = if has_alpha { 4 } else { 3 };
    Ok(ImageInfo::new(Format::Bmp, width, height, channels))
}
