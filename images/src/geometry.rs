//! Cutting and turning pictures of any pixel type.

use image::DynamicImage;

/// The part of `image` from column `x` and row `y` on, `width` x `height`, as far as it lies within
/// the picture; `None` when nothing does. Negative positions begin outside.
pub fn crop(image: &DynamicImage, x: i64, y: i64, width: i64, height: i64) -> Option<DynamicImage> {
    let (x, width) = overlap(x, width, image.width())?;
    let (y, height) = overlap(y, height, image.height())?;
    Some(image.crop_imm(x, y, width, height))
}

/// Where `start .. start + length` lies within `0 .. limit`, as start and length.
fn overlap(start: i64, length: i64, limit: u32) -> Option<(u32, u32)> {
    let limit = i64::from(limit);
    let end = start.saturating_add(length.max(0)).min(limit);
    let start = start.max(0);
    if start >= end {
        return None;
    }
    Some((start as u32, (end - start) as u32))
}

/// `image` turned clockwise; `None` when `degrees` is not a multiple of 90. Negative angles turn
/// counterclockwise.
pub fn rotate(image: DynamicImage, degrees: i64) -> Option<DynamicImage> {
    match degrees.rem_euclid(360) {
        0 => Some(image),
        90 => Some(image.rotate90()),
        180 => Some(image.rotate180()),
        270 => Some(image.rotate270()),
        _ => None,
    }
}

/// `image` with left and right exchanged.
pub fn flip_horizontal(image: &DynamicImage) -> DynamicImage {
    image.fliph()
}

/// `image` with top and bottom exchanged.
pub fn flip_vertical(image: &DynamicImage) -> DynamicImage {
    image.flipv()
}
