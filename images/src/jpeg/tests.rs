//! The quarter-size decoder against the full one, averaged over squares of 4 x 4 pixels.

use image::{ImageFormat, Rgb};

use super::*;

fn example(path: &str) -> Vec<u8> {
    std::fs::read(format!("../examples/photos/{path}")).unwrap()
}

/// Largest and mean difference per sample to the averages of the full picture.
fn difference(content: &[u8]) -> (f64, f64) {
    let quarter = decode_quarter(content).unwrap().into_rgb8();
    let full = image::load_from_memory_with_format(content, ImageFormat::Jpeg)
        .unwrap()
        .into_rgb8();
    assert_eq!(quarter.width(), full.width() / REDUCTION);
    assert_eq!(quarter.height(), full.height() / REDUCTION);
    let (mut largest, mut total) = (0.0_f64, 0.0);
    for (x, y, pixel) in quarter.enumerate_pixels() {
        for channel in 0..3 {
            let average: f64 = (0..16)
                .map(|at| {
                    let Rgb(values) = full.get_pixel(4 * x + at % 4, 4 * y + at / 4);
                    f64::from(values[channel])
                })
                .sum::<f64>()
                / 16.0;
            let off = (average - f64::from(pixel[channel])).abs();
            largest = largest.max(off);
            total += off;
        }
    }
    (
        largest,
        total / f64::from(quarter.width() * quarter.height() * 3),
    )
}

#[test]
fn pixels_are_the_averages_of_the_full_picture() {
    let cases = [
        // Full chroma, no rounding but the decoders' own.
        ("2024/04/01/astronaut-03.jpg", 1.0, 12.0),
        ("scans/museum/coins-02.jpg", 1.0, 12.0),
        // Chroma at half resolution is repeated here and interpolated in the full decoder.
        ("2024/04/01/rocket-01.jpg", 2.0, 80.0),
        // With restart markers.
        ("scans/eye/retina-03.jpg", 2.0, 80.0),
    ];
    for (path, mean_limit, limit) in cases {
        let (largest, mean) = difference(&example(path));
        assert!(
            mean < mean_limit && largest < limit,
            "{path}: {mean}, {largest}"
        );
    }
}

#[test]
fn other_kinds_of_jpeg_are_left_to_the_full_decoder() {
    let progressive = example("2024/03/07/astronaut-01.jpg");
    let cmyk = example("2024/03/07/coffee-03.jpg");
    assert!(decode_quarter(&progressive).is_none());
    assert!(decode_quarter(&cmyk).is_none());
    assert!(decode_quarter(b"\xFF\xD8\xFF").is_none());
}

#[test]
fn a_cut_scan_is_left_to_the_full_decoder() {
    let whole = example("scans/museum/coins-02.jpg");
    for sixteenth in 0..16 {
        assert!(decode_quarter(&whole[..whole.len() * sixteenth / 16]).is_none());
    }
}
