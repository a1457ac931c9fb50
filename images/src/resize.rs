//! Resizing of eight-bit RGB pictures, with SIMD where the processor has it.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// How source pixels are weighted; the support grows with the reduction.
#[derive(Debug, Clone, Copy)]
pub enum Filter {
    /// Triangle: cheap, and smooth enough to compute features on.
    Triangle,
    /// Lanczos with three lobes: sharpest, for people to look at.
    Lanczos,
}

/// Scales `image` to `width` x `height`, whatever its proportions; `None` when either side of
/// source or target is zero.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Option<RgbImage> {
    let algorithm = ResizeAlg::Convolution(match filter {
        Filter::Triangle => FilterType::Bilinear,
        Filter::Lanczos => FilterType::Lanczos3,
    });
    let source = ImageRef::new(
        image.width(),
        image.height(),
        image.as_raw(),
        PixelType::U8x3,
    )
    .ok()?;
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    RgbImage::from_raw(width, height, target.into_vec())
}
