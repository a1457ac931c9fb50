//! Expected hashes are those of imagehash 4.3.2 with Pillow 13.0.0 and PyWavelets 1.9.0:
//! `str(average_hash(Image.fromarray(rings), 8))`, and so on for the pictures of `pictures.rs`.

use image::Luma;

use super::*;
use crate::pictures::{blocks, rings};

fn hex(gray: &GrayImage, method: HashMethod, size: i64) -> String {
    let hash = Hasher::new(method, size).unwrap().hash(gray);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn check(method: HashMethod, size: i64, expected: [&str; 4]) {
    let pictures = [rings(61, 47), rings(47, 61), rings(9, 23), blocks(64, 72)];
    let hashes = pictures.map(|picture| hex(&picture, method, size));
    assert_eq!(hashes, expected);
}

#[test]
fn average_hashes_equal_imagehash() {
    check(HashMethod::Average, 3, ["0130", "01b0", "01c0", "00eb"]);
    check(
        HashMethod::Average,
        8,
        [
            "f2f3fbfbf3f2c604",
            "f8fcfcfcf0030ef0",
            "ffffffc000000000",
            "3b9dcee773399ecf",
        ],
    );
}

#[test]
fn difference_hashes_equal_imagehash() {
    check(HashMethod::Difference, 3, ["016b", "0121", "0000", "01ae"]);
    check(
        HashMethod::Difference,
        8,
        [
            "6666737366668ebd",
            "33393939838f7c81",
            "0000000000000000",
            "e371984dc661389a",
        ],
    );
}

#[test]
fn perceptual_hashes_equal_imagehash() {
    check(HashMethod::Perceptual, 3, ["01b0", "01b0", "01a4", "0152"]);
    check(
        HashMethod::Perceptual,
        8,
        [
            "e5ed32e71a71c610",
            "cadac52de99d24c4",
            "ff80808080808080",
            "9b0f1b0fe1f5a150",
        ],
    );
    assert_eq!(
        hex(&rings(61, 47), HashMethod::Perceptual, 16),
        "e555ed55322ae76a1a95712acf7230a9e31b1eb5f188173938caf39c0c39f184"
    );
    assert_eq!(perceptual_hash(&rings(61, 47)), 0xe5ed_32e7_1a71_c610);
}

#[test]
fn wavelet_hashes_equal_imagehash() {
    check(HashMethod::Wavelet, 4, ["cdd0", "ee0c", "ff00", "4b5a"]);
    check(
        HashMethod::Wavelet,
        8,
        [
            "f2f0f1f1f1f24204",
            "f8fcfcf8f00106e0",
            "fffffff8c0000080",
            "391c8ce773198cce",
        ],
    );
}

#[test]
fn sizes_a_method_does_not_have_are_refused() {
    for (method, size) in [
        (HashMethod::Average, 1),
        (HashMethod::Difference, 33),
        (HashMethod::Perceptual, -8),
        (HashMethod::Wavelet, 12),
    ] {
        let error = Hasher::new(method, size).unwrap_err();
        assert_eq!(error, HashError::Size { method, size });
    }
    assert!("phash".parse::<HashMethod>().is_err());
    assert_eq!("Wavelet".parse(), Ok(HashMethod::Wavelet));
}

#[test]
fn pictures_of_any_shape_have_hashes_of_all_methods() {
    for (width, height) in [(0, 0), (1, 1), (1, 300), (300, 1)] {
        for method in HashMethod::ALL {
            for size in [2, 32] {
                let hasher = Hasher::new(method, size).unwrap();
                assert_eq!(hasher.hash(&rings(width, height)).len(), hasher.bytes());
            }
        }
    }
}

#[test]
fn a_flat_picture_has_only_the_average_bit() {
    let gray = GrayImage::from_pixel(57, 91, Luma([130]));
    assert_eq!(perceptual_hash(&gray), 1 << 63);
}

#[test]
fn scaling_a_picture_keeps_its_hash_close() {
    // Every low frequency has an amplitude of its own, so that none lies at the median.
    let wave = |x: f64, y: f64| {
        let term = |n: usize| {
            let (u, v) = ((n % 8) as f64, (n / 8) as f64);
            let amplitude = 0.4 * (n as f64 - 31.5) / (1.0 + u + v);
            amplitude * (std::f64::consts::PI * u * x).cos() * (std::f64::consts::PI * v * y).cos()
        };
        (128.0 + (1..64).map(term).sum::<f64>()) as u8
    };
    let draw = |w: u32, h: u32| {
        GrayImage::from_fn(w, h, |x, y| {
            Luma([wave(
                f64::from(x) / f64::from(w),
                f64::from(y) / f64::from(h),
            )])
        })
    };
    let (small, large) = (draw(200, 150), draw(800, 600));
    let distance = (perceptual_hash(&small) ^ perceptual_hash(&large)).count_ones();
    assert!(distance <= 2, "{distance} bits differ");
}
