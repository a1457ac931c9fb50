//! BMP. The crate `image` knows all its variants. What nearly all files are, uncompressed pixels of 24 or
//! 32 bits, is not decoded but only put into another order: here, several times as fast.

use fearless_simd::{Level, dispatch};
use image::DynamicImage;
use image::codecs::bmp::BmpDecoder;

use super::budget::{Deadline, TimedReader};
use super::{image_of, refusal};
use crate::error::ImageError;
use crate::probe::bmp::Header;
use crate::probe::{Format, ImageInfo};

pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    // It also says what is wrong with a header.
    let decoder = BmpDecoder::new(TimedReader::new(content, deadline))
        .map_err(|error| refusal(Format::Bmp, error))?;
    let header = Header::read(content)?;
    let samples = match (header.is_plain(), header.bits) {
        (true, 24) => read_rows::<3>(content, &header, info, deadline)?,
        (true, 32) => read_rows::<4>(content, &header, info, deadline)?,
        _ => {
            return DynamicImage::from_decoder(decoder)
                .map_err(|error| refusal(Format::Bmp, error));
        }
    };
    image_of(info, samples)
}

/// The samples of pixels of `BYTES` bytes: blue, green, red and perhaps one that means nothing.
fn read_rows<const BYTES: usize>(
    content: &[u8],
    header: &Header,
    info: &ImageInfo,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let (width, height) = (info.width as usize, info.height as usize);
    let row_bytes = header.row_bytes() as usize;
    // What was probed has all its rows.
    let rows = content.get(header.pixel_offset as usize..);
    let mut rows = rows
        .unwrap_or_default()
        .chunks_exact(row_bytes)
        .take(height);
    let level = Level::new();
    let mut samples = Vec::with_capacity(width * height * 3);
    let mut row = vec![0; width * 3];
    let mut add = |stored: &[u8]| -> Result<(), ImageError> {
        deadline.check()?;
        dispatch!(level, _ => to_rgb::<BYTES>(stored, &mut row));
        samples.extend_from_slice(&row);
        Ok(())
    };
    match header.top_down {
        true => rows.try_for_each(&mut add)?,
        false => rows.rev().try_for_each(&mut add)?,
    }
    Ok(samples)
}

/// Fills `row` with red, green and blue. In line, to be compiled for each kind of processor.
#[inline(always)]
fn to_rgb<const BYTES: usize>(stored: &[u8], row: &mut [u8]) {
    let pixels = stored.as_chunks::<BYTES>().0;
    for (target, pixel) in row.as_chunks_mut().0.iter_mut().zip(pixels) {
        *target = [pixel[2], pixel[1], pixel[0]];
    }
}
