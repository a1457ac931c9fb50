//! Pictures in memory, and the same as IMAGE values.

use datafusion::arrow::array::{Array, AsArray, StructArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::{Result, internal_err};
use image::{DynamicImage, ImageBuffer};
use shoal_images::convert::Mode;

use super::extent::Extent;
use crate::functions::content;

/// The mode of an IMAGE that holds `image`.
pub(super) fn mode_of(image: &DynamicImage) -> Result<&'static str> {
    match Mode::of(image) {
        Some(mode) => Ok(mode.name()),
        None => internal_err!("pixels of type {:?}", image.color()),
    }
}

/// The samples of `image` as an IMAGE keeps them: little-endian, row by row, channels interleaved.
/// Those of eight bits are not copied.
pub(super) fn into_samples(image: DynamicImage) -> Vec<u8> {
    let words = |samples: &[u16]| samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let floats = |samples: &[f32]| samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    match image {
        DynamicImage::ImageLuma16(pixels) => words(&pixels),
        DynamicImage::ImageLumaA16(pixels) => words(&pixels),
        DynamicImage::ImageRgb16(pixels) => words(&pixels),
        DynamicImage::ImageRgba16(pixels) => words(&pixels),
        DynamicImage::ImageRgb32F(pixels) => floats(&pixels),
        DynamicImage::ImageRgba32F(pixels) => floats(&pixels),
        eight_bits => eight_bits.into_bytes(),
    }
}

/// The picture of an IMAGE; `None` when its data are not what its size and mode ask for.
fn image_of(width: u32, height: u32, mode: &str, data: &[u8]) -> Option<DynamicImage> {
    if width == 0 || height == 0 {
        return None;
    }
    let words = || {
        let (pairs, rest) = data.as_chunks::<2>();
        rest.is_empty()
            .then(|| pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
    };
    let floats = || {
        let (quads, rest) = data.as_chunks::<4>();
        rest.is_empty()
            .then(|| quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect())
    };
    let bytes = || data.to_vec();
    let (w, h) = (width, height);
    let image = match mode {
        "L" => DynamicImage::ImageLuma8(ImageBuffer::from_raw(w, h, bytes())?),
        "LA" => DynamicImage::ImageLumaA8(ImageBuffer::from_raw(w, h, bytes())?),
        "RGB" => DynamicImage::ImageRgb8(ImageBuffer::from_raw(w, h, bytes())?),
        "RGBA" => DynamicImage::ImageRgba8(ImageBuffer::from_raw(w, h, bytes())?),
        "L16" => DynamicImage::ImageLuma16(ImageBuffer::from_raw(w, h, words()?)?),
        "LA16" => DynamicImage::ImageLumaA16(ImageBuffer::from_raw(w, h, words()?)?),
        "RGB16" => DynamicImage::ImageRgb16(ImageBuffer::from_raw(w, h, words()?)?),
        "RGBA16" => DynamicImage::ImageRgba16(ImageBuffer::from_raw(w, h, words()?)?),
        "RGB32F" => DynamicImage::ImageRgb32F(ImageBuffer::from_raw(w, h, floats()?)?),
        "RGBA32F" => DynamicImage::ImageRgba32F(ImageBuffer::from_raw(w, h, floats()?)?),
        _ => return None,
    };
    // More samples than the size asks for are as wrong as fewer.
    let samples = u64::from(w) * u64::from(h) * u64::from(image.color().bytes_per_pixel());
    (samples == data.len() as u64).then_some(image)
}

/// The parts of an IMAGE, of row `row`, which is not NULL; `None` where one is missing.
fn parts_at(images: &StructArray, row: usize) -> Option<(u32, u32, &str, &[u8])> {
    let [data, height, width, _, mode] = images.columns() else {
        return None;
    };
    let size = |column: &dyn Array| {
        let column = column.as_primitive_opt::<Int32Type>()?;
        let size = column.is_valid(row).then(|| column.value(row))?;
        u32::try_from(size).ok()
    };
    let data = content::row(data, row).ok()??;
    Some((size(width)?, size(height)?, content::text(mode, row)?, data))
}

/// The picture of row `row` of a column of IMAGEs; `None` when it is NULL or its parts contradict each other.
pub fn image_at(images: &StructArray, row: usize) -> Option<DynamicImage> {
    if !images.is_valid(row) {
        return None;
    }
    let (width, height, mode, data) = parts_at(images, row)?;
    image_of(width, height, mode, data)
}

/// What the picture of row `row` takes; `None` when it has no pixels or no mode.
pub(super) fn extent_at(images: &StructArray, row: usize) -> Option<Extent> {
    let (width, height, mode, _) = parts_at(images, row)?;
    let pixel = Extent {
        pixels: 1,
        bytes_per_pixel: 0,
    };
    Some(pixel.in_mode(mode.parse().ok()?).scaled(width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_comes_back_as_it_went() {
        let images = [
            DynamicImage::new_luma8(3, 2),
            DynamicImage::new_luma_a8(3, 2),
            DynamicImage::new_rgb8(3, 2),
            DynamicImage::new_rgba8(3, 2),
            DynamicImage::new_luma16(3, 2),
            DynamicImage::new_luma_a16(3, 2),
            DynamicImage::new_rgb16(3, 2),
            DynamicImage::new_rgba16(3, 2),
            DynamicImage::new_rgb32f(3, 2),
            DynamicImage::new_rgba32f(3, 2),
        ];
        for image in images {
            let mode = mode_of(&image).unwrap();
            let data = into_samples(image.clone());
            assert_eq!(image_of(3, 2, mode, &data), Some(image), "{mode}");
            assert_eq!(image_of(3, 2, mode, &data[1..]), None, "{mode}");
            let longer = [data.as_slice(), &[0; 4]].concat();
            assert_eq!(image_of(3, 2, mode, &longer), None, "{mode}");
        }
        assert_eq!(image_of(3, 2, "CMYK", &[0; 24]), None);
        assert_eq!(image_of(0, 0, "L", &[]), None);
        assert_eq!(image_of(u32::MAX, u32::MAX, "RGBA", &[0; 16]), None);
    }
}
