//! PNG: the default picture, with palettes and transparent colors resolved.

use image::{DynamicImage, ImageBuffer};
use png::{Decoder, DecodingError, Transformations};

use super::budget::{Deadline, TimedReader};
use super::{damaged, image_of};
use crate::error::ImageError;
use crate::probe::{Format, ImageInfo, Limits};

/// Eight or sixteen bits per channel; profiles and texts, which may unpack to anything, are skipped.
pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    let bytes = usize::try_from(limits.max_alloc).unwrap_or(usize::MAX);
    let reader = TimedReader::new(content, deadline);
    let mut decoder = Decoder::new_with_limits(reader, png::Limits { bytes });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(refusal)?;
    let (color, _) = reader.output_color_type();
    let samples = info.width as usize * info.height as usize * usize::from(info.channels);
    if color.samples() != usize::from(info.channels) {
        return Err(damaged(
            Format::Png,
            "its color type contradicts its chunks",
        ));
    }
    if info.bits_per_channel < 16 {
        let mut pixels = vec![0; samples];
        reader.next_frame(&mut pixels).map_err(refusal)?;
        return image_of(info, pixels);
    }
    let mut pixels = vec![0_u16; samples];
    reader
        .next_frame(bytemuck::cast_slice_mut(&mut pixels))
        .map_err(refusal)?;
    // The file has the higher byte first.
    pixels
        .iter_mut()
        .for_each(|sample| *sample = u16::from_be(*sample));
    let (width, height) = (info.width, info.height);
    let image = match info.channels {
        1 => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLuma16),
        2 => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLumaA16),
        3 => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb16),
        _ => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgba16),
    };
    image.ok_or_else(|| damaged(Format::Png, "its pixels are not all there"))
}

fn refusal(error: DecodingError) -> ImageError {
    damaged(Format::Png, error.to_string())
}
