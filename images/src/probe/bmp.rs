//! BMP: reads the file and DIB headers and checks that the pixel rows fit into the file.

use super::reader::{u16_le, u32_le};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

const CORE_HEADER: u32 = 12;
/// BITMAPINFOHEADER and its successors, by size.
const INFO_HEADERS: [u32; 5] = [40, 52, 56, 108, 124];
/// First size whose header ends with a mask for alpha (BITMAPV3INFOHEADER).
const ALPHA_MASK_HEADER: u32 = 56;

/// Compressions: none, none with color masks, and none with color masks of which one is alpha's.
const RGB: u32 = 0;
const BIT_FIELDS: u32 = 3;
const ALPHA_BIT_FIELDS: u32 = 6;

/// `BM` alone starts many texts, so the DIB header's size must be one that exists.
pub(super) fn has_signature(content: &[u8]) -> bool {
    content.starts_with(b"BM")
        && u32_le(content, 14)
            .is_some_and(|size| size == CORE_HEADER || INFO_HEADERS.contains(&size))
}

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let header = Header::read(content)?;
    let pixel_bytes = match header.compression {
        RGB | BIT_FIELDS | ALPHA_BIT_FIELDS => header.row_bytes() * u64::from(header.height),
        _ => u64::from(u32_le(content, 34).ok_or_else(cut)?),
    };
    if (content.len() as u64) < u64::from(header.pixel_offset).saturating_add(pixel_bytes) {
        return Err(cut());
    }
    let has_alpha = header.bytes >= ALPHA_MASK_HEADER
        && header.bits == 32
        && matches!(header.compression, BIT_FIELDS | ALPHA_BIT_FIELDS)
        && u32_le(content, 66).ok_or_else(cut)? != 0;
    let channels = if has_alpha { 4 } else { 3 };
    Ok(ImageInfo::new(
        Format::Bmp,
        header.width,
        header.height,
        channels,
    ))
}

/// What the file header and the DIB header say about the pixel rows.
pub(crate) struct Header {
    pub(crate) pixel_offset: u32,
    /// Size of the DIB header.
    bytes: u32,
    width: u32,
    height: u32,
    pub(crate) top_down: bool,
    pub(crate) bits: u16,
    compression: u32,
}

impl Header {
    pub(crate) fn read(content: &[u8]) -> Result<Self, ImageError> {
        let word = |at| u16_le(content, at).ok_or_else(cut);
        let long = |at| u32_le(content, at).ok_or_else(cut);
        let pixel_offset = long(10)?;
        let bytes = long(14)?;
        let header = if bytes == CORE_HEADER {
            Self {
                pixel_offset,
                bytes,
                width: word(18)?.into(),
                height: word(20)?.into(),
                top_down: false,
                bits: word(24)?,
                compression: RGB,
            }
        } else {
            let width = u32::try_from(long(18)?.cast_signed())
                .map_err(|_| damaged(Format::Bmp, "its width is negative"))?;
            // A negative height says that rows run from top to bottom.
            let height = long(22)?.cast_signed();
            Self {
                pixel_offset,
                bytes,
                width,
                height: height.unsigned_abs(),
                top_down: height < 0,
                bits: word(28)?,
                compression: long(30)?,
            }
        };
        if !matches!(header.bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
            return Err(damaged(Format::Bmp, "its color depth does not exist"));
        }
        Ok(header)
    }

    /// Neither compressed nor with masks for its colors.
    pub(crate) fn is_plain(&self) -> bool {
        self.compression == RGB
    }

    /// Bytes of a row that is not compressed: padded to four.
    pub(crate) fn row_bytes(&self) -> u64 {
        (u64::from(self.width) * u64::from(self.bits)).div_ceil(32) * 4
    }
}

fn cut() -> ImageError {
    truncated(Format::Bmp, "the pixel rows reach beyond the end")
}
