//! What the fuzz targets share: small limits, and one check per input.

use std::time::Duration;

use shoal_images::decode::{Least, decode, decode_at_least, decoder_panics};
use shoal_images::probe::{Format, Limits};

/// Small, so that an input which takes more than it may is noticed at once.
pub const LIMITS: Limits = Limits {
    max_file_bytes: 1024 * 1024,
    max_pixels: 1_000_000,
    max_alloc: 32 * 1024 * 1024,
    max_time: Duration::from_secs(5),
};

/// Decodes the input if it is of this format, in full and reduced. libFuzzer's hook ends the process
/// at a decoder's panic, before it is contained; its memory limit at an allocation beyond the cap.
pub fn decode_as(format: Format, content: &[u8]) {
    if Format::sniff(content) != Some(format) {
        return;
    }
    let _ = decode(content, &LIMITS);
    let _ = decode_at_least(content, &LIMITS, Least::Sides(1));
    assert_eq!(decoder_panics(), 0);
}
