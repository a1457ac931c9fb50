//! Probing: every format is recognized, sized and found whole; everything else is refused by code.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use super::*;

const FORMATS: [(Format, ImageFormat); 6] = [
    (Format::Jpeg, ImageFormat::Jpeg),
    (Format::Png, ImageFormat::Png),
    (Format::Tiff, ImageFormat::Tiff),
    (Format::Gif, ImageFormat::Gif),
    (Format::WebP, ImageFormat::WebP),
    (Format::Bmp, ImageFormat::Bmp),
];

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(37, 23)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

fn code(content: &[u8]) -> &'static str {
    probe(content, &Limits::default()).unwrap_err().code()
}

#[test]
fn every_format_is_recognized_by_content() {
    for (format, encoder) in FORMATS {
        let info = probe(&encoded(encoder), &Limits::default()).unwrap();
        assert_eq!(info.format, format);
        assert_eq!((info.width, info.height), (37, 23), "{format}");
        assert!(matches!(info.channels, 3 | 4), "{format}: {info:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    for (format, encoder) in FORMATS {
        let whole = encoded(encoder);
        for length in 20..whole.len() {
            assert_eq!(code(&whole[..length]), "truncated", "{format} at {length}");
        }
        for length in 1..20 {
            assert!(matches!(
                code(&whole[..length]),
                "truncated" | "not_an_image"
            ));
        }
    }
}

#[test]
fn bytes_after_the_end_are_ignored() {
    for (format, encoder) in FORMATS {
        let mut longer = encoded(encoder);
        longer.extend_from_slice(b"trailing bytes of a camera");
        assert!(probe(&longer, &Limits::default()).is_ok(), "{format}");
    }
}

#[test]
fn what_is_not_a_picture_is_refused() {
    assert_eq!(code(b""), "empty");
    assert_eq!(code(b"Remember the pictures"), "not_an_image");
    assert_eq!(code(b"BMW is a car maker, not a bitmap"), "not_an_image");
    assert_eq!(code(b"RIFF\x10\0\0\0WAVEfmt \0\0\0\0"), "not_an_image");
    assert_eq!(code(&[0; 4096]), "not_an_image");
}

#[test]
fn pictures_of_other_formats_are_refused_by_name() {
    let named: [(&[u8], &str); 12] = [
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "HEIF"),
        (b"\xFF\x0A\xFA\x1F", "JPEG XL"),
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\x01", "PSD"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (
            b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- a --><svg/>",
            "SVG",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
    ];
    for (content, name) in named {
        let error = probe(content, &Limits::default()).unwrap_err();
        assert_eq!(error, ImageError::UnsupportedFormat { name });
        assert_eq!(error.code(), "unsupported");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert_eq!(code(b"\0\0\0\x18ftypisom\0\0\0\0mp42avc1"), "not_an_image");
    assert_eq!(code(b"<html>not a drawing</html>"), "not_an_image");
}

#[test]
fn limits_are_checked_before_decoding() {
    let png = encoded(ImageFormat::Png);
    let small_file = Limits {
        max_file_bytes: 10,
        ..Limits::default()
    };
    let error = probe(&png, &small_file).unwrap_err();
    assert_eq!(error.code(), "too_many_bytes");
    assert!(error.to_string().contains("images.max_file_bytes"));
    let few_pixels = Limits {
        max_pixels: 37 * 23 - 1,
        ..Limits::default()
    };
    assert_eq!(
        probe(&png, &few_pixels).unwrap_err().code(),
        "too_many_pixels"
    );

    let mut huge = png;
    huge[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    assert_eq!(code(&huge), "too_many_pixels");
}

#[test]
fn a_size_of_zero_is_damage() {
    let mut png = encoded(ImageFormat::Png);
    png[16..20].fill(0);
    assert_eq!(code(&png), "damaged");
}

#[test]
fn transparency_counts_as_a_channel() {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::new_luma_a8(5, 5)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    let info = probe(bytes.get_ref(), &Limits::default()).unwrap();
    assert_eq!(info.channels, 2);
}
