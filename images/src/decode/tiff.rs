//! TIFF: the first page.
//!
//! The crate `tiff` unpacks strips and tiles (but for LZW, which is unpacked here in a third of the
//! time); what their samples mean (palette, inverted gray, CMYK, YCbCr, alpha) is decided here. It is
//! shown a header that claims plain samples, so that it hands them out as they are stored, whatever they
//! mean.

mod data;
mod page;
mod samples;
mod unpack;

use image::{DynamicImage, ImageBuffer};

use super::budget::{Deadline, check_memory};
use super::{UNPACKING_BYTES, damaged};
use crate::convert::Mode;
use crate::error::ImageError;
use crate::probe::{Format, ImageInfo, Limits};
use page::{Depth, Page, Unit};
use samples::{Converter, Sample};
use unpack::Units;

/// The mode of the first page, decoded.
pub(super) fn mode(content: &[u8], info: &ImageInfo) -> Result<Mode, ImageError> {
    let page = Page::read(content, info)?;
    Ok(match (page.depth, page.channels()) {
        (Depth::Bits(_), 1) => Mode::L,
        (Depth::Bits(_), 2) => Mode::La,
        (Depth::Bits(_), 3) => Mode::Rgb,
        (Depth::Bits(_), _) => Mode::Rgba,
        (Depth::Int16 | Depth::Int32, 1) => Mode::L16,
        (Depth::Int16 | Depth::Int32, 2) => Mode::La16,
        (Depth::Int16 | Depth::Int32, 3) => Mode::Rgb16,
        (Depth::Int16 | Depth::Int32, _) => Mode::Rgba16,
        (Depth::Float(_), 1 | 3) => Mode::Rgb32F,
        (Depth::Float(_), _) => Mode::Rgba32F,
    })
}

/// Decodes the first page. Up to 8 bits become 8, integers of 32 bits become 16 by rounding
/// `v / 65537`, and floating point of any width becomes 32 bits.
pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    let page = Page::read(content, info)?;
    let (width, height) = (info.width, info.height);
    let image = match (page.depth, page.channels()) {
        (Depth::Bits(_), 1) => {
            let samples = read::<u8>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
        }
        (Depth::Bits(_), 2) => {
            let samples = read::<u8>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
        }
        (Depth::Bits(_), 3) => {
            let samples = read::<u8>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
        }
        (Depth::Bits(_), _) => {
            let samples = read::<u8>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8)
        }
        (Depth::Int16 | Depth::Int32, 1) => {
            let samples = read::<u16>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma16)
        }
        (Depth::Int16 | Depth::Int32, 2) => {
            let samples = read::<u16>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA16)
        }
        (Depth::Int16 | Depth::Int32, 3) => {
            let samples = read::<u16>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb16)
        }
        (Depth::Int16 | Depth::Int32, _) => {
            let samples = read::<u16>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba16)
        }
        (Depth::Float(_), 1 | 3) => {
            let samples = read::<f32>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb32F)
        }
        (Depth::Float(_), _) => {
            let samples = read::<f32>(content, &page, limits, deadline)?;
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba32F)
        }
    };
    image.ok_or_else(|| damaged(Format::Tiff, "its pixels are not all there"))
}

/// All samples of the picture, pixel by pixel, row by row.
fn read<S: Sample>(
    content: &[u8],
    page: &Page<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<S>, ImageError> {
    let channels = match page.depth {
        // There is no picture type of one or two floating-point channels.
        Depth::Float(_) => 3 + usize::from(page.alpha.is_some()),
        _ => page.channels(),
    };
    let total = page.width * page.height * channels;
    let unit_bytes = page.unit_bytes();
    check_memory(
        ((total * size_of::<S>()) as u64)
            .saturating_add(unit_bytes.saturating_mul(2))
            .saturating_add(UNPACKING_BYTES),
        limits,
    )?;
    page.check_data(content, limits)?;

    let mut units = Units::new(content, page, deadline)?;
    let mut picture = vec![S::zeroed(); total];
    let mut packed = Vec::new();
    let mut converter = Converter::<S>::new(page, channels);
    for index in 0..page.units() {
        deadline.check()?;
        let unit = page.unit(index);
        let bytes = units.bytes(index)?;
        let in_place = converter.in_place(&unit, &mut picture);
        if let Some(target) = in_place.filter(|target| target.len() == bytes) {
            units.next(index, &unit, target)?;
            continue;
        }
        packed.resize(bytes, 0);
        units.next(index, &unit, &mut packed)?;
        place(&packed, &unit, page, &mut converter, &mut picture);
    }
    Ok(picture)
}

/// Converts the rows of a strip or tile and puts them where they belong.
fn place<S: Sample>(
    packed: &[u8],
    unit: &Unit,
    page: &Page<'_>,
    converter: &mut Converter<'_, S>,
    picture: &mut [S],
) {
    let channels = converter.channels();
    let row_bytes = page.packed_row_bytes();
    let plane_bytes = row_bytes * page.packed_rows(unit);
    let target_rows = picture
        .chunks_exact_mut(page.width * channels)
        .skip(unit.y)
        .take(unit.height);
    for (y, target) in target_rows.enumerate() {
        let planes = packed.chunks_exact(plane_bytes);
        let rows = planes.filter_map(|plane| plane.get(y * row_bytes..(y + 1) * row_bytes));
        let target = &mut target[unit.x * channels..(unit.x + unit.width) * channels];
        converter.convert_row(rows, target);
    }
}
