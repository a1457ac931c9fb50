//! Pictures to the numbers a model takes.

use image::imageops::crop_imm;
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use shoal_images::decode::{Least, decode_at_least, to_gray_on_white, to_rgb_on_white};
use shoal_images::geometry::Size;
use shoal_images::probe::Limits;
use shoal_images::resize::{Filter, resize};

use crate::spec::{Color, Fit, Layout, PictureInput};

/// A picture as a row gives it.
pub(crate) enum Picture<'a> {
    /// Bytes of a file.
    File(&'a [u8]),
    /// Pixels, upright.
    Image(DynamicImage),
}

/// The picture upright, on white, scaled with a triangle filter to the model's size, its channels scaled
/// to 0 … 1, less `mean`, divided by `std`, in the model's layout; `None` when it cannot be decoded.
///
/// A large JPEG may be decoded at reduced size, as long as no side gets shorter than twice the longest
/// side of the model's input.
pub(crate) fn row(picture: Picture<'_>, input: &PictureInput, limits: &Limits) -> Option<Vec<f32>> {
    let picture = match picture {
        Picture::File(content) => {
            let enough = Least::Sides(2 * input.width.max(input.height));
            let decoded = decode_at_least(content, limits, enough).ok()?;
            let whole = decoded.size.without_overhang(&decoded.image);
            let image = whole.unwrap_or(decoded.image);
            upright(to_rgb_on_white(image), decoded.orientation)
        }
        Picture::Image(image) => to_rgb_on_white(image),
    };
    let picture = match input.fit {
        Fit::Stretch => picture,
        Fit::Crop => cropped(picture, input.width, input.height),
    };
    let picture = if picture.dimensions() == (input.width, input.height) {
        picture
    } else {
        let size = Size::full(picture.width(), picture.height());
        resize(&picture, size, input.width, input.height, Filter::Triangle)?
    };
    Some(numbers(picture, input))
}

fn upright(picture: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return picture;
    }
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}

/// The largest part from the middle that has the proportions of `width` x `height`.
fn cropped(picture: RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = picture.dimensions();
    let (part_width, part_height) = largest_part((w, h), (width, height));
    if (part_width, part_height) == (w, h) {
        return picture;
    }
    let (x, y) = ((w - part_width) / 2, (h - part_height) / 2);
    crop_imm(&picture, x, y, part_width, part_height).to_image()
}

/// The largest width and height within `size` whose proportions are those of `shape`, rounded to whole
/// pixels, at least one.
fn largest_part(size: (u32, u32), shape: (u32, u32)) -> (u32, u32) {
    let scaled = |length: u32, numerator: u32, denominator: u32| {
        let denominator = u64::from(denominator.max(1));
        let rounded = (u64::from(length) * u64::from(numerator) + denominator / 2) / denominator;
        u32::try_from(rounded).unwrap_or(u32::MAX)
    };
    let width = scaled(size.1, shape.0, shape.1);
    if width <= size.0 {
        return (width.max(1), size.1);
    }
    (size.0, scaled(size.0, shape.1, shape.0).clamp(1, size.1))
}

/// Eight-bit pixels as the model's numbers.
fn numbers(picture: RgbImage, input: &PictureInput) -> Vec<f32> {
    let samples: Vec<u8> = match input.color {
        Color::Rgb | Color::Bgr => picture.into_raw(),
        Color::Gray => to_gray_on_white(DynamicImage::ImageRgb8(picture)).into_raw(),
    };
    let channels = input.color.channels();
    let of_channel = |channel: usize| {
        let (mean, std) = (
            channel_value(&input.mean, channel),
            channel_value(&input.std, channel),
        );
        let from = match input.color {
            Color::Bgr => channels - 1 - channel,
            Color::Rgb | Color::Gray => channel,
        };
        let table: Vec<f32> = (0..=u8::MAX)
            .map(|value| (f32::from(value) / 255.0 - mean) / std)
            .collect();
        (from, table)
    };
    let tables: Vec<(usize, Vec<f32>)> = (0..channels).map(of_channel).collect();
    let value = |pixel: &[u8], (from, table): &(usize, Vec<f32>)| table[usize::from(pixel[*from])];
    match input.layout {
        Layout::Hwc => samples
            .chunks_exact(channels)
            .flat_map(|pixel| tables.iter().map(move |table| value(pixel, table)))
            .collect(),
        Layout::Chw => tables
            .iter()
            .flat_map(|table| {
                samples
                    .chunks_exact(channels)
                    .map(move |pixel| value(pixel, table))
            })
            .collect(),
    }
}

/// The number for a channel; the options' parser gives one for each.
fn channel_value(values: &[f32], channel: usize) -> f32 {
    values.get(channel).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgb};

    use super::*;

    fn png(picture: RgbImage) -> Vec<u8> {
        let mut encoded = Cursor::new(Vec::new());
        picture.write_to(&mut encoded, ImageFormat::Png).unwrap();
        encoded.into_inner()
    }

    fn input(width: u32, height: u32) -> PictureInput {
        PictureInput {
            width,
            height,
            fit: Fit::Stretch,
            color: Color::Rgb,
            layout: Layout::Chw,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        }
    }

    /// Two pixels: (51, 102, 153) and (255, 0, 204), in fifths 1 2 3 and 5 0 4.
    fn two_pixels() -> Vec<u8> {
        let mut picture = RgbImage::new(2, 1);
        picture.put_pixel(0, 0, Rgb([51, 102, 153]));
        picture.put_pixel(1, 0, Rgb([255, 0, 204]));
        png(picture)
    }

    #[track_caller]
    fn fifths(content: &[u8], input: &PictureInput, expected: &[f32]) {
        let found = row(Picture::File(content), input, &Limits::default()).unwrap();
        let found: Vec<f32> = found.iter().map(|value| value * 5.0).collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn layout_color_mean_and_std_are_as_asked_for() {
        let content = two_pixels();
        fifths(&content, &input(2, 1), &[1.0, 5.0, 2.0, 0.0, 3.0, 4.0]);
        let hwc = PictureInput {
            layout: Layout::Hwc,
            ..input(2, 1)
        };
        fifths(&content, &hwc, &[1.0, 2.0, 3.0, 5.0, 0.0, 4.0]);
        let bgr = PictureInput {
            color: Color::Bgr,
            mean: vec![0.2, 0.4, 0.6],
            std: vec![1.0, 2.0, 0.5],
            ..input(2, 1)
        };
        fifths(&content, &bgr, &[2.0, 3.0, 0.0, -1.0, -4.0, 4.0]);
        let gray = PictureInput {
            color: Color::Gray,
            mean: vec![0.0],
            std: vec![1.0],
            ..input(2, 1)
        };
        // Pillow's `Image.new("RGB", (1, 1), pixel).convert("L")` gives 93 and 99.
        fifths(&content, &gray, &[93.0 / 51.0, 99.0 / 51.0]);
    }

    #[test]
    fn an_image_is_taken_as_it_is_and_laid_on_white() {
        let mut image = image::RgbaImage::from_pixel(2, 1, image::Rgba([51, 102, 153, 255]));
        image.put_pixel(1, 0, image::Rgba([0, 0, 0, 0]));
        let image = Picture::Image(DynamicImage::ImageRgba8(image));
        let found = row(image, &input(2, 1), &Limits::default()).unwrap();
        assert_eq!(found, [0.2, 1.0, 0.4, 1.0, 0.6, 1.0]);
    }

    #[test]
    fn crop_keeps_the_middle_and_stretch_keeps_all() {
        // Black, white, black, side by side, each a square.
        let bars = RgbImage::from_fn(30, 10, |x, _| {
            if (10..20).contains(&x) {
                Rgb([255; 3])
            } else {
                Rgb([0; 3])
            }
        });
        let content = png(bars);
        let crop = PictureInput {
            fit: Fit::Crop,
            ..input(1, 1)
        };
        assert_eq!(
            row(Picture::File(&content), &crop, &Limits::default()).unwrap(),
            [1.0; 3]
        );
        let whole = row(Picture::File(&content), &input(3, 1), &Limits::default()).unwrap();
        assert!(
            whole[0] < 0.5 && whole[1] > 0.5 && whole[2] < 0.5,
            "{whole:?}"
        );
    }

    #[test]
    fn the_largest_part_never_leaves_the_picture() {
        assert_eq!(largest_part((30, 10), (1, 1)), (10, 10));
        assert_eq!(largest_part((10, 30), (2, 1)), (10, 5));
        assert_eq!(largest_part((640, 480), (224, 224)), (480, 480));
        assert_eq!(largest_part((1, 4000), (4096, 1)), (1, 1));
        assert_eq!(largest_part((5, 3), (5, 3)), (5, 3));
    }

    #[test]
    fn bytes_that_are_no_picture_give_nothing() {
        assert_eq!(
            row(
                Picture::File(b"no picture"),
                &input(2, 1),
                &Limits::default()
            ),
            None
        );
        let cut = &two_pixels()[..40];
        assert_eq!(
            row(Picture::File(cut), &input(2, 1), &Limits::default()),
            None
        );
    }
}
