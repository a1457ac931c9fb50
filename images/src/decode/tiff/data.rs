//! The packed data of strips and tiles, and what must be known of it before it is unpacked.

use super::super::{damaged, truncated};
use super::page::{JPEG, Page, UNCOMPRESSED, Unit};
use crate::error::ImageError;
use crate::probe::tiff::{STRIP_BYTE_COUNTS, STRIP_OFFSETS, TILE_BYTE_COUNTS, TILE_OFFSETS};
use crate::probe::{Format, Limits, jpeg};

impl<'a> Page<'a> {
    /// The data of all strips or tiles, plane by plane; `None` if the page lists none. What is not in
    /// `content` is empty.
    pub(super) fn data(
        &self,
        content: &'a [u8],
    ) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let list = |strips, tiles| {
            let entry = self
                .directory
                .find(if self.tiled { tiles } else { strips })?;
            self.directory.values(&entry)
        };
        let offsets = list(STRIP_OFFSETS, TILE_OFFSETS)?;
        let sizes = list(STRIP_BYTE_COUNTS, TILE_BYTE_COUNTS)?;
        Some(offsets.zip(sizes).map(|(offset, size)| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let data = content.get(start..start.saturating_add(size));
            data.unwrap_or_default()
        }))
    }

    /// Checks what the unpacking itself would take without a word: strips or tiles without enough
    /// bytes, and JPEG streams of another size than their place.
    pub(super) fn check_data(&self, content: &'a [u8], limits: &Limits) -> Result<(), ImageError> {
        let pixels = (self.unit_width as u64).saturating_mul(self.unit_height as u64);
        if pixels > limits.max_pixels {
            return Err(ImageError::TooManyPixels {
                width: self.unit_width as u32,
                height: self.unit_height as u32,
                limit: limits.max_pixels,
            });
        }
        let data = self
            .data(content)
            .ok_or_else(|| damaged(Format::Tiff, "it lists no strips or tiles"))?;
        let units = self.units();
        let mut seen = 0;
        for data in data {
            self.check_unit(&self.unit(seen % units), data)?;
            seen += 1;
        }
        if seen != units * self.planes() {
            return Err(damaged(
                Format::Tiff,
                "its strips or tiles do not make up the picture",
            ));
        }
        Ok(())
    }

    fn check_unit(&self, unit: &Unit, data: &[u8]) -> Result<(), ImageError> {
        match self.compression {
            UNCOMPRESSED => {
                if data.len() < self.packed_row_bytes() * self.packed_rows(unit) {
                    return Err(cut("a strip or tile holds too few pixels"));
                }
                Ok(())
            }
            JPEG => self.check_jpeg(unit, data),
            _ => Ok(()),
        }
    }

    fn check_jpeg(&self, unit: &Unit, data: &[u8]) -> Result<(), ImageError> {
        let info = jpeg::probe(data).map_err(|error| match error {
            ImageError::Truncated { .. } => cut("a JPEG strip or tile has no end"),
            other => damaged(Format::Tiff, format!("in a strip or tile, {other}")),
        })?;
        let heights = unit.height..=self.unit_height;
        if info.width as usize != self.unit_width
            || !heights.contains(&(info.height as usize))
            || usize::from(info.channels) != self.samples_per_plane()
            || info.bits_per_channel != 8
        {
            return Err(damaged(
                Format::Tiff,
                "a JPEG strip or tile is not of the size of its place",
            ));
        }
        Ok(())
    }
}

fn cut(missing: &'static str) -> ImageError {
    truncated(Format::Tiff, missing)
}
