//! Decoding: hostile bytes never panic, and what is shown is what the file means.

use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, Luma, Rgb, RgbImage};

use super::*;

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Tiff,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Bmp,
];

fn picture() -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(64, 48, |x, y| {
        Rgb([(x * 4) as u8, (y * 5) as u8, ((x * y) % 251) as u8])
    }))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_file_cut_at_every_sixteenth_is_refused() {
    for format in FORMATS {
        let whole = encoded(&picture(), format);
        for sixteenth in 0..16 {
            let part = &whole[..whole.len() * sixteenth / 16];
            assert!(
                decode(part, &Limits::default()).is_err(),
                "{format:?} {sixteenth}"
            );
        }
    }
}

#[test]
fn a_panic_in_a_decoder_is_counted_and_an_error_of_the_file() {
    let before = decoder_panics();
    let error = contain_panics(Format::Gif, || -> Result<(), ImageError> { panic!("bug") });
    assert_eq!(error.unwrap_err().code(), "decoder_panicked");
    assert!(decoder_panics() > before);
}

#[test]
fn the_mode_is_told_by_the_header_of_a_jpeg() {
    for image in [DynamicImage::new_luma8(9, 9), DynamicImage::new_rgb8(9, 9)] {
        let content = encoded(&image, ImageFormat::Jpeg);
        let info = probe(&content, &Limits::default()).unwrap();
        assert_eq!(mode(&content, &info).ok(), Mode::of(&image));
    }
}

#[test]
fn the_first_reason_is_told() {
    let limits = Limits::default();
    let whole = encoded(&picture(), ImageFormat::Png);
    assert_eq!(image_error(&whole, &limits), None);
    let cut = image_error(&whole[..whole.len() / 2], &limits).unwrap();
    assert_eq!(cut.code(), "truncated");
}

#[test]
fn memory_is_refused_before_it_is_taken() {
    let limits = Limits {
        max_alloc: 1000,
        ..Limits::default()
    };
    for format in FORMATS {
        let error = image_error(&encoded(&picture(), format), &limits).unwrap();
        assert_eq!(error.code(), "too_much_memory", "{format:?}");
        assert!(error.to_string().contains("images.max_alloc"));
    }
}

#[test]
fn decoding_stops_when_the_time_is_over() {
    let limits = Limits {
        max_time: Duration::ZERO,
        ..Limits::default()
    };
    // Large enough that the clock is looked at while the file is read.
    let noise = DynamicImage::ImageRgb8(RgbImage::from_fn(400, 300, |x, y| {
        let mixed = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        Rgb([(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8])
    }));
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Tiff,
        ImageFormat::Gif,
        ImageFormat::Bmp,
    ] {
        let error = image_error(&encoded(&noise, format), &limits).unwrap();
        assert_eq!(error.code(), "too_slow", "{format:?}");
    }
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    for value in 0..=u16::MAX {
        let deep = ImageBuffer::from_pixel(1, 1, Luma([value]));
        let gray = to_gray_on_white(DynamicImage::ImageLuma16(deep));
        let expected = (f64::from(value) / 257.0).round() as u8;
        assert_eq!(gray.get_pixel(0, 0).0, [expected], "{value}");
    }
}

#[test]
fn floats_run_from_zero_to_one_and_are_clamped() {
    let values = [
        (-1.0, 0),
        (0.0, 0),
        (0.5, 128),
        (1.0, 255),
        (7.5, 255),
        (f32::INFINITY, 255),
        (f32::NEG_INFINITY, 0),
    ];
    for (value, expected) in values {
        let float = ImageBuffer::from_pixel(1, 1, Rgb([value; 3]));
        let rgb = to_rgb_on_white(DynamicImage::ImageRgb32F(float));
        assert_eq!(rgb.get_pixel(0, 0).0, [expected; 3], "{value}");
    }
    // What is no number is some color, and no panic.
    let none = ImageBuffer::from_pixel(1, 1, Rgb([f32::NAN; 3]));
    to_rgb_on_white(DynamicImage::ImageRgb32F(none));
}

#[test]
fn only_a_jpeg_with_pixels_to_spare_comes_reduced() {
    let picture = DynamicImage::new_rgb8(80, 40);
    let reduced = |format, least| {
        let content = encoded(&picture, format);
        let decoded = decode_at_least(&content, &Limits::default(), least).unwrap();
        (decoded.image.width(), decoded.image.height())
    };
    assert_eq!(reduced(ImageFormat::Jpeg, Least::Longer(10)), (10, 5));
    assert_eq!(reduced(ImageFormat::Jpeg, Least::Longer(11)), (20, 10));
    let size = |format, side| reduced(format, Least::Sides(side));
    assert_eq!(size(ImageFormat::Jpeg, 5), (10, 5));
    assert_eq!(size(ImageFormat::Jpeg, 6), (20, 10));
    assert_eq!(size(ImageFormat::Jpeg, 20), (40, 20));
    assert_eq!(size(ImageFormat::Jpeg, 21), (80, 40));
    assert_eq!(size(ImageFormat::Png, 10), (80, 40));
}
