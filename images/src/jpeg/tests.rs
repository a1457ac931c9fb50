//! Full pictures against Pillow's, reduced ones against averages of full ones, and broken files.
//!
//! The fixtures are one part of a photograph (examples/photos/2024/03/07/astronaut-02.png) as Pillow
//! and, where it lacks the sampling, libjpeg-turbo encode it; its sides, 133 and 101, are multiples of nothing.

use std::time::Duration;

use image::Rgb;
use image::metadata::Orientation;

use super::*;
use crate::decode::{Least, decode_at_least};
use crate::probe::Limits;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("src/jpeg/fixtures/{name}.jpg")).unwrap()
}

fn example(path: &str) -> Vec<u8> {
    std::fs::read(format!("../examples/photos/{path}")).unwrap()
}

fn full(content: &[u8]) -> Result<DynamicImage, ImageError> {
    let info = crate::probe::probe(content, &Limits::default())?;
    decode(
        content,
        (info.width, info.height),
        Least::Sides(u32::MAX),
        open(),
    )
    .map(|(image, _)| image)
}

/// A deadline that is far away.
fn open() -> Deadline {
    Deadline::start(&Limits::default())
}

fn usual(content: &[u8], reduction: Reduction) -> Option<DynamicImage> {
    decode_usual(content, reduction, open())
}

/// Mean and largest difference per channel to the averages of the full picture, which continues with
/// its last row and column, as encoders pad it.
fn difference(content: &[u8], reduction: Reduction) -> (f64, f64) {
    let reduced = usual(content, reduction).unwrap().into_rgb8();
    let full = full(content).unwrap().into_rgb8();
    let (width, height) = full.dimensions();
    assert_eq!(reduced.width(), reduction.of(width));
    assert_eq!(reduced.height(), reduction.of(height));
    let factor = reduction.factor();
    let (mut total, mut largest) = (0.0, 0.0_f64);
    for (x, y, pixel) in reduced.enumerate_pixels() {
        let mut sums = [0.0; 3];
        for at in 0..factor * factor {
            let (dx, dy) = (at % factor, at / factor);
            let (x, y) = (factor * x + dx, factor * y + dy);
            let Rgb(values) = full.get_pixel(x.min(width - 1), y.min(height - 1));
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += f64::from(*value);
            }
        }
        for (sum, value) in sums.into_iter().zip(pixel.0) {
            let off = (sum / f64::from(factor * factor) - f64::from(value)).abs();
            largest = largest.max(off);
            total += off;
        }
    }
    (
        total / f64::from(reduced.width() * reduced.height() * 3),
        largest,
    )
}

fn assert_close(name: &str, content: &[u8], limit: f64) {
    for reduction in Reduction::ALL {
        let (mean, largest) = difference(content, reduction);
        assert!(
            mean < 0.8 && largest <= limit,
            "{name} {reduction:?}: {mean}, {largest}"
        );
    }
}

/// The CRC-32 of the pixels as Pillow 13.0.0 with libjpeg-turbo 3.2.0 has them.
#[test]
fn full_pictures_are_those_of_pillow_to_the_bit() {
    for (name, expected) in [
        ("444", 0x17CF_3E97),
        ("444-progressive", 0x17CF_3E97),
        ("422", 0x56C0_FD5B),
        ("422-progressive", 0x56C0_FD5B),
        ("420", 0xA2E1_6740),
        ("420-progressive", 0xA2E1_6740),
        ("420-restarts", 0xA2E1_6740),
        ("420-restarts-progressive", 0xA2E1_6740),
        ("440", 0x852D_88FC),
        ("411", 0xEF24_A3B5),
        ("gray", 0x84B4_F90F),
        ("gray-progressive", 0x84B4_F90F),
        ("rgb", 0xAAD2_1C8B),
    ] {
        let picture = usual(&fixture(name), Reduction::Whole).unwrap();
        assert_eq!(crc32fast::hash(picture.as_bytes()), expected, "{name}");
    }
}

#[test]
fn every_sampling_gives_the_averages_of_the_full_picture() {
    for name in [
        "444",
        "444-progressive",
        "422",
        "422-progressive",
        "420",
        "420-progressive",
        "420-restarts",
        "420-restarts-progressive",
        "440",
        "411",
        "gray",
        "gray-progressive",
        "rgb",
    ] {
        assert_close(name, &fixture(name), 16.0);
    }
}

#[test]
fn photographs_give_the_averages_of_the_full_picture() {
    for (path, limit) in [
        ("2024/04/02/photographer-01.jpg", 8.0),
        ("scans/museum/coins-02.jpg", 8.0),
        ("2024/04/01/astronaut-03.jpg", 16.0),
        ("2024/03/05/cat-01.jpg", 40.0),
        ("2024/03/05/cat-02.jpg", 40.0),
        ("2024/03/07/astronaut-01.jpg", 40.0),
        ("2024/04/01/rocket-01.jpg", 40.0),
        ("scans/eye/retina-03.jpg", 40.0),
    ] {
        assert_close(path, &example(path), limit);
    }
}

#[test]
fn progressive_and_sequential_files_of_the_same_coefficients_give_the_same_pixels() {
    for (sequential, progressive) in [
        ("444", "444-progressive"),
        ("422", "422-progressive"),
        ("420", "420-progressive"),
        ("420-restarts", "420-restarts-progressive"),
        ("gray", "gray-progressive"),
    ] {
        for reduction in Reduction::ALL {
            let pixels = |name| usual(&fixture(name), reduction).unwrap();
            assert!(pixels(sequential) == pixels(progressive), "{sequential}");
        }
    }
}

#[test]
fn sides_are_rounded_up() {
    assert_eq!([1, 2, 3, 4].map(|n| Reduction::Half.of(n)), [1, 1, 2, 2]);
    assert_eq!([1, 4, 5, 8].map(|n| Reduction::Quarter.of(n)), [1, 1, 2, 2]);
    assert_eq!([3, 8, 9].map(|n| Reduction::Eighth.of(n)), [1, 1, 2]);
}

#[test]
fn four_inks_have_the_colors_that_pillow_shows() {
    let expected = [
        ("cmyk", [[157, 144, 125], [220, 216, 225], [8, 2, 7]]),
        ("ycck", [[157, 143, 130], [221, 216, 222], [8, 4, 0]]),
    ];
    for (name, colors) in expected {
        assert!(usual(&fixture(name), Reduction::Half).is_none());
        let picture = full(&fixture(name)).unwrap().into_rgb8();
        for ((x, y), expected) in [(5, 5), (100, 80), (20, 90)].into_iter().zip(colors) {
            for (got, expected) in picture.get_pixel(x, y).0.into_iter().zip(expected) {
                assert!(u8::abs_diff(got, expected) <= 3, "{name} {x} {y}");
            }
        }
    }
}

#[test]
fn a_picture_whose_data_ends_early_is_refused_even_with_an_end_marker() {
    for name in [
        "444",
        "420",
        "411",
        "gray",
        "420-restarts",
        "420-progressive",
    ] {
        let whole = fixture(name);
        for sixteenth in 1..15 {
            let mut part = whole[..whole.len() * sixteenth / 16].to_vec();
            part.extend([0xFF, END_OF_IMAGE]);
            // At an eighth, the last scan of a progressive file is not read.
            let smallest = if name.contains("progressive") { 20 } else { 1 };
            for side in [smallest, 20, 50, 101] {
                let picture = decode(&part, (133, 101), Least::Sides(side), open());
                assert!(picture.is_err(), "{name} {sixteenth} {side}");
            }
        }
    }
}

#[test]
fn a_progressive_picture_without_its_last_scan_is_refused() {
    let mut content = fixture("420-progressive");
    let last_scan = memchr::memmem::rfind(&content, &[0xFF, 0xDA]).unwrap();
    content.truncate(last_scan);
    content.extend([0xFF, END_OF_IMAGE]);
    let message = full(&content).unwrap_err().to_string();
    assert!(message.contains("scans are missing"), "{message}");
}

#[test]
fn stray_bytes_where_files_have_them_do_no_harm() {
    for name in ["420", "420-progressive"] {
        let whole = fixture(name);
        let at_end = whole.len() - 2;
        let first_segment = 2;
        let header_end = 20; // behind JFIF's segment of 18 bytes
        for (at, bytes) in [
            (whole.len(), &b"appended by a camera"[..]),
            (at_end, b"abcd"),
            (first_segment, b"\xFF\xFF"),
            (header_end, b"stray bytes"),
        ] {
            let mut content = whole.clone();
            content.splice(at..at, bytes.iter().copied());
            assert!(
                full(&content).unwrap() == full(&whole).unwrap(),
                "{name} {at}"
            );
            let reduced = |content: &[u8]| usual(content, Reduction::Quarter).unwrap();
            assert!(reduced(&content) == reduced(&whole), "{name} {at}");
        }
    }
}

#[test]
fn thousands_of_scans_are_refused() {
    for name in ["420-progressive", "420"] {
        let mut content = fixture(name);
        let last_scan = memchr::memmem::rfind(&content, &[0xFF, 0xDA]).unwrap();
        let scan = content[last_scan..content.len() - 2].to_vec();
        content.truncate(last_scan);
        (0..2000).for_each(|_| content.extend(&scan));
        content.extend([0xFF, END_OF_IMAGE]);
        let message = full(&content).unwrap_err().to_string();
        assert!(message.contains("more than 200 scans"), "{message}");
        assert!(usual(&content, Reduction::Eighth).is_none());
    }
}

#[test]
fn a_picture_is_left_at_the_next_row_when_the_time_is_over() {
    let over = Deadline::start(&Limits {
        max_time: Duration::ZERO,
        ..Limits::default()
    });
    for name in ["420", "420-restarts", "420-progressive", "gray", "cmyk"] {
        let content = fixture(name);
        assert!(decode_usual(&content, Reduction::Whole, over).is_none());
        for side in [1, 20, 50, u32::MAX] {
            let late = decode(&content, (133, 101), Least::Sides(side), over).unwrap_err();
            assert_eq!(late.code(), "too_slow", "{name} {side}");
        }
    }
}

#[test]
fn kinds_that_are_not_decoded_are_refused_by_name() {
    let whole = fixture("420");
    let frame = memchr::memmem::find(&whole, &[0xFF, 0xC0]).unwrap();
    for (at, byte, words) in [
        (frame + 4, 12, "12 bits per sample"),
        (frame + 1, 0xC3, "lossless coding"),
        (frame + 1, 0xC6, "a hierarchy of frames"),
        (frame + 1, 0xC9, "arithmetic coding"),
    ] {
        let mut content = whole.clone();
        content[at] = byte;
        let error = full(&content).unwrap_err();
        assert_eq!(error.code(), "unsupported");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn orientation_is_read_at_every_size() {
    let exif =
        b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut content = fixture("420");
    content.splice(2..2, exif.iter().copied());
    for side in [10, u32::MAX] {
        let decoded = decode_at_least(&content, &Limits::default(), Least::Sides(side)).unwrap();
        assert_eq!(decoded.orientation, Orientation::Rotate90);
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in [
        "411",
        "420-restarts",
        "420-progressive",
        "420-restarts-progressive",
    ] {
        let whole = fixture(name);
        let frame = [0xC0, 0xC2].map(|marker| memchr::memmem::find(&whole, &[0xFF, marker, 0]));
        let frame = frame.into_iter().flatten().min().unwrap();
        for _ in 0..100 {
            let mut damaged = whole.clone();
            for _ in 0..1 + random(4) {
                // Headers first: that is where a byte changes most.
                let end = if random(2) == 0 { 700 } else { damaged.len() };
                damaged[random(end)] = random(256) as u8;
            }
            // The sides stay: a huge picture would only take time.
            damaged[frame + 5..frame + 9].copy_from_slice(&[0, 101, 0, 133]);
            let _ = usual(&damaged, Reduction::Whole);
            for reduction in Reduction::ALL {
                let _ = usual(&damaged, reduction);
            }
        }
    }
}
