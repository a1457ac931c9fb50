//! Decoding of Gif files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shoal_images::probe::Format;

fuzz_target!(|content: &[u8]| shoal_fuzz::decode_as(Format::Gif, content));
