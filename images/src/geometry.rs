//! Sizes of pictures; cutting and turning those of any pixel type.

use image::DynamicImage;
use image::metadata::Orientation;

/// How large a picture is, and how much of it a pixel stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns of the full picture.
    pub width: u32,
    /// Rows of the full picture.
    pub height: u32,
    /// Pixels of the full picture, per side, that one of the picture at hand stands for.
    pub factor: u32,
}

impl Size {
    /// That of a picture that is not reduced.
    pub fn full(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            factor: 1,
        }
    }

    /// Width and height of the full picture in pixels of the one at hand, which has as many or, where its
    /// last ones stand for fewer pixels than the others, a part of one more.
    pub fn covered(self) -> (f64, f64) {
        let factor = f64::from(self.factor.max(1));
        (
            f64::from(self.width) / factor,
            f64::from(self.height) / factor,
        )
    }

    /// The same in whole pixels, the nearest, halves up, at least 1.
    fn nearest(self) -> (u32, u32) {
        let (width, height) = self.covered();
        let nearest = |side: f64| (side.round() as u32).max(1);
        (nearest(width), nearest(height))
    }

    /// `image`, which is of this size, without last pixels that stand for few.
    pub fn without_overhang(self, image: &DynamicImage) -> Option<DynamicImage> {
        let (width, height) = self.nearest();
        let overhangs = width < image.width() || height < image.height();
        overhangs.then(|| image.crop_imm(0, 0, width, height))
    }
}

/// Whether turning a picture upright exchanges its width and height.
pub fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    use crate::pictures::colors;

    #[test]
    fn a_crop_is_clamped_to_the_picture() {
        let rgb = colors(10, 8);
        let image = DynamicImage::ImageRgb8(rgb.clone());
        let part = crop(&image, -3, 6, 5, 100).unwrap().into_rgb8();
        assert_eq!(
            part,
            RgbImage::from_fn(2, 2, |x, y| *rgb.get_pixel(x, y + 6))
        );
        assert_eq!(crop(&image, i64::MIN, 0, i64::MAX, 4), None);
        assert_eq!(crop(&image, 0, 0, i64::MAX, i64::MAX), Some(image.clone()));
        for (x, y, width, height) in [(10, 0, 1, 1), (0, 0, 0, 4), (0, -4, 4, 4), (1, 1, -1, 2)] {
            assert_eq!(crop(&image, x, y, width, height), None);
        }
    }

    #[test]
    fn quarter_turns_are_clockwise() {
        let image = DynamicImage::ImageRgb8(colors(3, 2));
        let right = rotate(image.clone(), 90).unwrap().into_rgb8();
        assert_eq!(right.dimensions(), (2, 3));
        assert_eq!(right.get_pixel(1, 0), colors(3, 2).get_pixel(0, 0));
        assert_eq!(rotate(image.clone(), -270).unwrap().into_rgb8(), right);
        assert_eq!(rotate(image.clone(), 360), Some(image.clone()));
        assert_eq!(rotate(image, 45), None);
    }

    #[test]
    fn flips_exchange_sides() {
        let image = DynamicImage::ImageRgb8(colors(3, 2));
        let across = flip_horizontal(&image).into_rgb8();
        assert_eq!(across.get_pixel(2, 1), colors(3, 2).get_pixel(0, 1));
        let over = flip_vertical(&image).into_rgb8();
        assert_eq!(over.get_pixel(2, 1), colors(3, 2).get_pixel(2, 0));
    }
}
