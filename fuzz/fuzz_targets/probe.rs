//! Probing of any bytes: what it lets through has a size within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shoal_fuzz::LIMITS;
use shoal_images::probe::probe;

fuzz_target!(|content: &[u8]| {
    if let Ok(info) = probe(content, &LIMITS) {
        let pixels = u64::from(info.width) * u64::from(info.height);
        assert!((1..=LIMITS.max_pixels).contains(&pixels));
        assert!((1..=8).contains(&info.orientation));
        assert!((1..=4).contains(&info.channels) && info.frames > 0);
    }
});
