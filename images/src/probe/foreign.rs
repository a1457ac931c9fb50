//! Picture formats that Shoal knows by sight but does not decode, so that the refusal can name them.
//!
//! AVIF and HEIC are among them because no decoder in Rust alone is both well kept and under a
//! permissive license; the others need renderers (SVG, PDF) or are rarely met.

use super::reader::bytes_at;

/// How far into a file the root element of an SVG is looked for: past declaration and comments.
const SVG_SEARCH_BYTES: usize = 1024;

/// Brands of an ISO base media file that hold pictures, with the name of what they hold.
const BRANDS: [(&[u8; 4], &str); 10] = [
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"hevc", "HEIC"),
    (b"hevx", "HEIC"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
];

/// The usual name of the format of `content`, if it is one that people would expect to work.
pub(super) fn name(content: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 10] = [
        (b"\xFF\x0A", "JPEG XL"),
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
        (b"8BPS", "PSD"),
        (b"%PDF-", "PDF"),
        (b"%!PS", "PostScript"),
        (b"\0\0\x01\0", "ICO"),
        (b"\x76\x2F\x31\x01", "OpenEXR"),
        (b"II\xBC\x01", "JPEG XR"),
    ];
    let signature = SIGNATURES
        .iter()
        .find(|(signature, _)| content.starts_with(signature));
    if let Some((_, name)) = signature {
        return Some(name);
    }
    brand(content).or_else(|| is_svg(content).then_some("SVG"))
}

/// The `ftyp` box that such a file starts with: major brand, version, compatible brands. The major
/// brand may be a general one (`mif1`), so the first brand that names a coding counts.
fn brand(content: &[u8]) -> Option<&'static str> {
    if bytes_at(content, 4, 4)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(*content.first_chunk()?) as usize;
    let end = length.min(content.len()).min(256);
    let brands = content.get(8..end)?.chunks_exact(4);
    let names = brands.filter_map(|brand| {
        let known = BRANDS.iter().find(|(known, _)| known.as_slice() == brand);
        known.map(|(_, name)| *name)
    });
    names.reduce(|first, next| if first == "HEIF" { next } else { first })
}

fn is_svg(content: &[u8]) -> bool {
    let text = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    let start = &text[..text.len().min(SVG_SEARCH_BYTES)];
    start.trim_ascii_start().starts_with(b"<") && memchr::memmem::find(start, b"<svg").is_some()
}
