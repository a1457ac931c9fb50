//! EXIF data: the input is the block inside a PNG, so that every one reaches the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shoal_fuzz::LIMITS;
use shoal_images::exif::{MAX_FIELDS, MAX_VALUE_CHARACTERS, exif};

fn png_with(block: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    let chunks: [(&[u8], &[u8]); 4] = [
        (b"IHDR", &header),
        (b"eXIf", block),
        (b"IDAT", b"not read"),
        (b"IEND", b""),
    ];
    for (kind, body) in chunks {
        file.extend((body.len() as u32).to_be_bytes());
        file.extend_from_slice(kind);
        file.extend_from_slice(body);
        // Checksums are not looked at here.
        file.extend([0; 4]);
    }
    file
}

fuzz_target!(|block: &[u8]| {
    let fields = exif(&png_with(block), &LIMITS).unwrap_or_default();
    assert!(fields.len() <= MAX_FIELDS);
    for (_, value) in fields {
        assert!(value.chars().count() <= MAX_VALUE_CHARACTERS + 1);
    }
});
