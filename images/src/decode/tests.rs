//! Decoding: hostile bytes never panic, and what is shown is what the file means.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbaImage};

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
fn damaged_bytes_never_panic() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for format in FORMATS {
        let whole = encoded(&picture(), format);
        for _ in 0..150 {
            let mut damaged = whole.clone();
            for _ in 0..1 + random(8) {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
            // Either answer is right; both sizes must come back.
            let _ = decode(&damaged, &Limits::default());
            let _ = decode_at_least(&damaged, &Limits::default(), 1);
        }
        // The signature alone, followed by garbage.
        let mut garbage = whole[..12].to_vec();
        garbage.extend((0..4000).map(|_| random(256) as u8));
        assert!(decode(&garbage, &Limits::default()).is_err(), "{format:?}");
    }
}

#[test]
fn a_panic_in_a_decoder_is_an_error_of_the_file() {
    let error = contain_panics(Format::Gif, || -> Result<(), ImageError> { panic!("bug") });
    assert_eq!(error.unwrap_err().code(), "damaged");
}

#[test]
fn alpha_is_laid_on_white() {
    let half_black = RgbaImage::from_pixel(2, 2, image::Rgba([0, 0, 0, 128]));
    let png = encoded(&DynamicImage::ImageRgba8(half_black), ImageFormat::Png);
    let decoded = decode(&png, &Limits::default()).unwrap();
    let rgb = to_rgb_on_white(decoded.image);
    assert_eq!(rgb.get_pixel(0, 0).0, [127, 127, 127]);
}

#[test]
fn sixteen_bits_become_eight() {
    let gray = image::ImageBuffer::from_pixel(3, 3, image::Luma([0x8080_u16]));
    let png = encoded(&DynamicImage::ImageLuma16(gray), ImageFormat::Png);
    let decoded = decode(&png, &Limits::default()).unwrap();
    assert_eq!(to_gray_on_white(decoded.image).get_pixel(1, 1).0, [0x80]);
}

#[test]
fn only_a_jpeg_with_pixels_to_spare_comes_reduced() {
    let picture = DynamicImage::new_rgb8(80, 40);
    let size = |format, side| {
        let content = encoded(&picture, format);
        let decoded = decode_at_least(&content, &Limits::default(), side).unwrap();
        (decoded.image.width(), decoded.image.height())
    };
    assert_eq!(size(ImageFormat::Jpeg, 10), (20, 10));
    assert_eq!(size(ImageFormat::Jpeg, 11), (80, 40));
    assert_eq!(size(ImageFormat::Png, 10), (80, 40));
}
