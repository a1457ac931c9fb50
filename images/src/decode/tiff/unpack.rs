//! Unpacks strips and tiles: LZW here, all else by the crate `tiff`.

use tiff::decoder::{Decoder, TiffCodingUnit};
use tiff::{ColorType, TiffError};

use super::super::budget::{Deadline, TimedReader};
use super::super::lzw::{Flavor, Unpacker};
use super::super::{damaged, truncated};
use super::page::{Page, Unit};
use crate::error::ImageError;
use crate::probe::Format;

/// Strips or tiles, to be unpacked one after the other.
pub(super) struct Units<'a> {
    page: &'a Page<'a>,
    deadline: Deadline,
    decoder: Decoder<TimedReader<'a>>,
    /// Of a page that is unpacked here.
    lzw: Option<(Unpacker, Vec<Streams<'a>>)>,
}

/// The strips or tiles of one plane.
type Streams<'a> = Box<dyn Iterator<Item = &'a [u8]> + 'a>;

impl<'a> Units<'a> {
    pub(super) fn new(
        content: &'a [u8],
        page: &'a Page<'a>,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let stream = |plane: usize| -> Option<Streams<'a>> {
            let data = page.data(content)?;
            Some(Box::new(data.skip(plane * page.units())))
        };
        let streams = || (0..page.planes()).map(stream).collect::<Option<_>>();
        let lzw = page.is_lzw_of_bytes().then(streams).flatten();
        Ok(Self {
            page,
            deadline,
            decoder: open(content, page, deadline)?,
            lzw: lzw.map(|streams| (Unpacker::new(Flavor::Tiff), streams)),
        })
    }

    /// The bytes of a strip or tile, of all planes, once it is unpacked.
    pub(super) fn bytes(&mut self, index: usize) -> Result<usize, ImageError> {
        let layout = self
            .decoder
            .image_coding_unit_layout(TiffCodingUnit(index as u32));
        Ok(layout.map_err(refusal)?.complete_len)
    }

    /// Unpacks the next one, `unit` at `index`, to `target`.
    pub(super) fn next(
        &mut self,
        index: usize,
        unit: &Unit,
        target: &mut [u8],
    ) -> Result<(), ImageError> {
        let Some((unpacker, planes)) = &mut self.lzw else {
            return self
                .decoder
                .read_coding_unit_bytes(TiffCodingUnit(index as u32), target)
                .map_err(refusal);
        };
        let row_bytes = self.page.packed_row_bytes();
        let plane_bytes = row_bytes * self.page.packed_rows(unit);
        for (streams, target) in planes.iter_mut().zip(target.chunks_mut(plane_bytes)) {
            let stream = streams.next().unwrap_or_default();
            unpacker.unpack(stream, target, self.deadline)?;
            if self.page.is_differences() {
                let rows = target.chunks_mut(row_bytes);
                rows.for_each(|row| add_up(row, self.page.samples_per_plane()));
            }
        }
        Ok(())
    }
}

/// Makes samples of differences to the sample `samples` before.
fn add_up(row: &mut [u8], samples: usize) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
}

/// A decoder that sees plain samples, and sees them in the sizes that were checked.
fn open<'a>(
    content: &'a [u8],
    page: &Page<'_>,
    deadline: Deadline,
) -> Result<Decoder<TimedReader<'a>>, ImageError> {
    let reader = TimedReader::with_patches(content, deadline, page.patches());
    let mut limits = tiff::decoder::Limits::unlimited();
    limits.ifd_value_size = content.len();
    let mut decoder = Decoder::new(reader).map_err(refusal)?.with_limits(limits);
    let size = decoder.dimensions().map_err(refusal)?;
    let color = decoder.colortype().map_err(refusal)?;
    let bit_depth = page.bits;
    let expected = match page.samples {
        1 => ColorType::Gray(bit_depth),
        samples => ColorType::Multiband {
            bit_depth,
            num_samples: samples as u16,
        },
    };
    let (across, down) = decoder.chunk_dimensions();
    let (width, height) = page.padded_size();
    let same = size == (width as u32, height as u32)
        && color == expected
        && (across as usize, down as usize) == (page.unit_width, page.unit_height);
    if !same {
        return Err(damaged(Format::Tiff, "its directory contradicts itself"));
    }
    Ok(decoder)
}

fn refusal(error: TiffError) -> ImageError {
    let format = Format::Tiff;
    let detail = error.to_string();
    match error {
        TiffError::UnsupportedError(_) => ImageError::Unsupported { format, detail },
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated(format, "a strip or tile holds too few pixels")
        }
        _ => ImageError::Damaged { format, detail },
    }
}
