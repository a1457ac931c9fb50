//! Files made to hurt, built in memory: each has a name that says what is wrong with it.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use shoal_images::encode::{Encoding, encode};

/// A file and what it is.
pub struct Sample {
    pub name: String,
    pub content: Vec<u8>,
}

impl Sample {
    pub fn new(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            content,
        }
    }
}

pub fn picture() -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(64, 48, |x, y| {
        Rgb([(x * 4) as u8, (y * 5) as u8, ((x * y) % 251) as u8])
    }))
}

pub fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A deflate stream of that many zeros.
fn zeros(count: usize) -> Vec<u8> {
    deflated(&vec![0; count])
}

// ---- PNG

pub fn png_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(kind);
    checksum.update(body);
    let mut chunk = (body.len() as u32).to_be_bytes().to_vec();
    chunk.extend_from_slice(kind);
    chunk.extend_from_slice(body);
    chunk.extend_from_slice(&checksum.finalize().to_be_bytes());
    chunk
}

/// An RGBA picture of the given size with this compressed data and further chunks before it.
pub fn png(width: u32, height: u32, data: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 6, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    file.extend(png_chunk(b"IHDR", &header));
    file.extend(chunks.concat());
    file.extend(png_chunk(b"IDAT", data));
    file.extend(png_chunk(b"IEND", b""));
    file
}

fn png_samples() -> Vec<Sample> {
    let named_zeros = |kind, count| {
        let mut body = b"name\0\0".to_vec();
        body.extend(zeros(count));
        png_chunk(kind, &body)
    };
    let small = deflated(&[0; 5 * 17]);
    let mut samples = vec![
        Sample::new(
            "png bomb beyond memory",
            png(8000, 8000, &zeros(30_000_000), &[]),
        ),
        Sample::new(
            "png bomb within limits",
            png(1500, 1500, &zeros(1500 * 6001), &[]),
        ),
        Sample::new(
            "png profile bomb",
            png(4, 5, &small, &[named_zeros(b"iCCP", 200_000_000)]),
        ),
        Sample::new(
            "png text bomb",
            png(4, 5, &small, &[named_zeros(b"zTXt", 200_000_000)]),
        ),
        Sample::new(
            "png more data than pixels",
            png(4, 5, &zeros(50_000_000), &[]),
        ),
        Sample::new(
            "png one very wide row",
            png(3_999_999, 1, &zeros(16_000_000), &[]),
        ),
    ];
    for (colors, alphas) in [(49, 0), (0, 0), (769, 0), (48, 17), (771, 0)] {
        let header = [0, 0, 0, 4, 0, 0, 0, 5, 8, 3, 0, 0, 0];
        let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
        file.extend(png_chunk(b"IHDR", &header));
        file.extend(png_chunk(b"PLTE", &vec![9; colors]));
        file.extend(png_chunk(b"tRNS", &vec![9; alphas]));
        file.extend(png_chunk(b"IDAT", &small));
        file.extend(png_chunk(b"IEND", b""));
        samples.push(Sample::new(
            format!("png palette of {colors} bytes and {alphas} alphas, beyond what is valid"),
            file,
        ));
    }
    let mut many = Vec::new();
    for _ in 0..20_000 {
        many.push(png_chunk(b"tEXt", b"key\0value"));
    }
    samples.push(Sample::new(
        "png twenty thousand texts",
        png(4, 5, &small, &many),
    ));
    let giant = giant_exif(1_000_000);
    let chunk = png_chunk(b"eXIf", &giant);
    samples.push(Sample::new("png giant exif", png(4, 5, &small, &[chunk])));
    samples
}

// ---- TIFF and EXIF

/// A little-endian TIFF whose directory at 8 has these entries (tag, type, count, value) and is
/// followed by the pointer `next` and then by `data`, which starts at the returned position.
pub fn tiff(entries: &[(u16, u16, u32, u32)], next: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(next.to_le_bytes());
    file.extend_from_slice(data);
    file
}

/// Where `data` starts in a [`tiff`] of that many entries.
fn data_start(entries: usize) -> u32 {
    8 + 2 + 12 * entries as u32 + 4
}

/// A gray picture in one strip, with this compression.
pub fn tiff_strip(
    width: u32,
    height: u32,
    compression: u32,
    data: &[u8],
    more: &[(u16, u16, u32, u32)],
    next: u32,
) -> Vec<u8> {
    let mut entries = vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, data_start(9 + more.len())),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, data.len() as u32),
    ];
    entries.extend_from_slice(more);
    tiff(&entries, next, data)
}

/// EXIF with a text of that many bytes, thousands of entries, and directories that point to themselves.
pub fn giant_exif(bytes: usize) -> Vec<u8> {
    let count = 5000;
    let start = data_start(count);
    let mut entries = vec![
        (270, 2, bytes as u32, start),
        (34_665, 4, 1, 8),
        (34_853, 4, 1, 8),
        (330, 4, 1, 8),
    ];
    while entries.len() < count {
        // Every one spells out the same megabyte.
        entries.push((40_000 + entries.len() as u16, 1, bytes as u32, start));
    }
    tiff(&entries, 8, &vec![b'x'; bytes])
}

fn tiff_samples() -> Vec<Sample> {
    let plain = [7; 64];
    let tiles = |width, length, compression, data: &[u8]| {
        let entries = [
            (256, 4, 1, 100),
            (257, 4, 1, 100),
            (258, 3, 1, 8),
            (259, 3, 1, compression),
            (262, 3, 1, 1),
            (277, 3, 1, 1),
            (322, 4, 1, width),
            (323, 4, 1, length),
            (324, 4, 1, data_start(10)),
            (325, 4, 1, data.len() as u32),
        ];
        tiff(&entries, 0, data)
    };
    // An LZW stream of runs that double: a few bytes for each four thousand.
    let lzw = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .encode(&vec![0; 3_000_000])
        .unwrap();
    let mut bilevel = vec![0; 300];
    bilevel.fill(0xAA);
    let mut samples = vec![
        Sample::new(
            "tiff pages loop to themselves",
            tiff_strip(8, 8, 1, &plain, &[], 8),
        ),
        Sample::new(
            "tiff sub-directory is itself",
            tiff_strip(8, 8, 1, &plain, &[(330, 4, 1, 8)], 0),
        ),
        Sample::new(
            "tiff exif is itself",
            tiff_strip(8, 8, 1, &plain, &[(34_665, 4, 1, 8), (34_853, 4, 1, 8)], 0),
        ),
        Sample::new(
            "tiff lzw bomb beyond memory",
            tiff_strip(60_000, 60_000, 5, &lzw, &[], 0),
        ),
        Sample::new(
            "tiff lzw bomb within limits",
            tiff_strip(2000, 1500, 5, &lzw, &[], 0),
        ),
        Sample::new(
            "tiff lzw too short",
            tiff_strip(2000, 1900, 5, &lzw, &[], 0),
        ),
        Sample::new(
            "tiff deflate bomb",
            tiff_strip(1900, 2000, 8, &zeros(40_000_000), &[], 0),
        ),
        Sample::new(
            "tiff deflate too short",
            tiff_strip(1900, 2000, 8, &zeros(1000), &[], 0),
        ),
        Sample::new(
            "tiff tile wider than memory",
            tiles(1 << 31, 100, 8, &zeros(10_000)),
        ),
        Sample::new(
            "tiff tile higher than memory",
            tiles(100, u32::MAX, 8, &zeros(10_000)),
        ),
        Sample::new("tiff tile of no width", tiles(0, 16, 1, &plain)),
        Sample::new(
            "tiff fax of nonsense",
            tiff_strip(2000, 1000, 4, &bilevel, &[], 0),
        ),
        Sample::new(
            "tiff strip beyond the end",
            tiff_strip(8, 8, 1, &plain[..9], &[], 0),
        ),
        Sample::new("tiff one row per strip of a million", {
            tiff_strip(1, 3_000_000, 1, &plain, &[(278, 4, 1, 1)], 0)
        }),
        Sample::new("tiff giant exif", giant_exif(1_000_000)),
        Sample::new(
            "tiff of 65,535 samples",
            tiff_strip(8, 8, 1, &plain, &[(277, 3, 1, 65_535)], 0),
        ),
        Sample::new(
            "tiff bits of zero",
            tiff_strip(8, 8, 1, &plain, &[(258, 3, 1, 0)], 0),
        ),
    ];
    // A JPEG strip whose own header claims another size than its place has.
    let mut jpeg = encoded(&DynamicImage::new_luma8(64, 48), ImageFormat::Jpeg);
    samples.push(Sample::new(
        "tiff jpeg of its size",
        tiff_strip(64, 48, 7, &jpeg, &[], 0),
    ));
    let size = jpeg.windows(4).position(|w| w == [0, 48, 0, 64]).unwrap();
    jpeg[size..size + 4].copy_from_slice(&[0x3F, 0xFF, 0x3F, 0xFF]);
    samples.push(Sample::new(
        "tiff jpeg of 16,383 squared in a tiny page",
        tiff_strip(64, 48, 7, &jpeg, &[], 0),
    ));
    // Two pages that point to each other; a thousand pages in a row; a directory far away.
    let mut pair = tiff_strip(8, 8, 1, &plain, &[], 200);
    pair.resize(200, 0);
    pair.extend_from_slice(&[0, 0, 8, 0, 0, 0]);
    samples.push(Sample::new("tiff two pages in a loop", pair));
    let mut pages = tiff_strip(8, 8, 1, &plain, &[], 200);
    pages.resize(200, 0);
    for page in 0..5000_u32 {
        let next = if page == 4999 { 0 } else { 206 + 6 * page };
        pages.extend_from_slice(&[0, 0]);
        pages.extend(next.to_le_bytes());
    }
    samples.push(Sample::new("tiff five thousand pages", pages));
    samples.push(Sample::new(
        "tiff next page beyond the end",
        tiff_strip(8, 8, 1, &plain, &[], 70_000),
    ));
    samples
}

// ---- The others

fn gif(width: u16, height: u16, frame: (u16, u16, u16, u16), frames: usize) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend_from_slice(&[0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    for _ in 0..frames {
        file.push(0x2C);
        for value in [frame.0, frame.1, frame.2, frame.3] {
            file.extend(value.to_le_bytes());
        }
        // Code size 2; a clear code, one pixel, the end code.
        file.extend_from_slice(&[0, 2, 2, 0x44, 0x01, 0]);
    }
    file.push(0x3B);
    file
}

fn gif_bomb(side: u16) -> Vec<u8> {
    let pixels = vec![0_u8; usize::from(side) * usize::from(side)];
    let data = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 2)
        .encode(&pixels)
        .unwrap();
    let mut file = gif(side, side, (0, 0, side, side), 1);
    file.truncate(file.len() - 6);
    file.push(2);
    for block in data.chunks(255) {
        file.push(block.len() as u8);
        file.extend_from_slice(block);
    }
    file.extend_from_slice(&[0, 0x3B]);
    file
}

fn webp_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = kind.to_vec();
    chunk.extend((body.len() as u32).to_le_bytes());
    chunk.extend_from_slice(body);
    if !body.len().is_multiple_of(2) {
        chunk.push(0);
    }
    chunk
}

pub fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut file = b"RIFF".to_vec();
    file.extend((4 + body.len() as u32).to_le_bytes());
    file.extend_from_slice(b"WEBP");
    file.extend(body);
    file
}

/// The canvas chunk: flags, then sides less one in 24 bits.
fn canvas(flags: u8, side: u32) -> Vec<u8> {
    let mut body = vec![flags, 0, 0, 0];
    for _ in 0..2 {
        body.extend_from_slice(&(side - 1).to_le_bytes()[..3]);
    }
    webp_chunk(b"VP8X", &body)
}

/// Bits from the lowest of each byte on, as lossless WebP has them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: usize) {
        for bit in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
    }

    /// A prefix code of one symbol.
    fn put_symbol(&mut self, symbol: u32) {
        self.put(0b101, 3);
        self.put(symbol, 8);
    }

    /// A prefix code in 93 bits of which a table of 4 KiB is made: symbols of 1 to 9 bits and two of 10.
    fn put_code(&mut self) {
        self.put(0, 1);
        // The lengths 1 to 6 have codes of three bits, 7 to 10 of four; between them stand others.
        self.put(14 - 4, 4);
        for length in [0, 0, 0, 3, 3, 3, 3, 3, 0, 3, 4, 4, 4, 4] {
            self.put(length, 3);
        }
        // Eleven lengths follow: two, and 9 in four bits.
        self.put(0b0011, 4);
        self.put(9, 4);
        for length in (1..=10).chain([10]) {
            let (code, bits) = if length < 7 {
                (length - 1, 3)
            } else {
                (length - 7 + 0b1100, 4)
            };
            // Codes have their highest bit first.
            self.put(u32::reverse_bits(code) >> (32 - bits), bits);
        }
    }
}

/// A lossless picture of 64 x 64 pixels, all of which are coded with the last of so many groups of prefix
/// codes. From its sixth byte on it is the same as alpha.
fn of_groups(count: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    for (value, count) in [(0x2F, 8), (63, 14), (63, 14), (0, 4)] {
        bits.put(value, count);
    }
    // No transform, no cache of colors; a group for each block of 4 x 4 pixels.
    bits.put(0b100, 3);
    bits.put(0, 3);
    // The image that says which, in green and red: all of one color, without a cache.
    bits.put(0, 1);
    for symbol in [(count - 1) & 255, (count - 1) >> 8, 0, 0, 0] {
        bits.put_symbol(symbol);
    }
    for _ in 0..5 * count {
        bits.put_code();
    }
    // Four symbols of a bit for each pixel.
    bits.bytes.resize(bits.bytes.len() + 64 * 64 / 2 + 1, 0);
    bits.bytes
}

/// A frame of these chunks that fills a canvas of 64 x 64 pixels.
fn frame(chunks: &[Vec<u8>]) -> Vec<u8> {
    let place = [0, 0, 0, 0, 0, 0, 63, 0, 0, 63, 0, 0, 100, 0, 0, 0];
    webp_chunk(b"ANMF", &[&place[..], &chunks.concat()].concat())
}

/// An animation of one frame; `before` is what stands between the header and the animation.
fn animation(before: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let start = webp_chunk(b"ANIM", &[0; 6]);
    webp(&[canvas(0x12, 64), before.to_vec(), start, frame(chunks)])
}

/// A lossy picture of 64 x 64 pixels.
fn lossy() -> Vec<u8> {
    let image = DynamicImage::new_rgb8(64, 64);
    let file = encode(&image, Encoding::WebP { quality: Some(80) }).unwrap();
    file[12..].to_vec()
}

/// A picture of so many groups of prefix codes, whose tables take 20 KiB each.
pub fn webp_of_groups(count: u32) -> Vec<u8> {
    webp(&[webp_chunk(b"VP8L", &of_groups(count))])
}

/// Files of 3.8 MB that are whole but for the memory that their prefix codes take, 1.3 GB: pictures,
/// alpha, frames.
pub fn webp_bombs() -> Vec<Sample> {
    let picture = of_groups(65_536);
    let alpha = webp_chunk(b"ALPH", &[&[1], &picture[5..]].concat());
    let picture = webp_chunk(b"VP8L", &picture);
    let still = webp(&[canvas(0x10, 64), lossy()]);
    vec![
        Sample::new("webp codes", webp_of_groups(65_536)),
        Sample::new(
            "webp codes of a canvas",
            webp(&[canvas(0, 64), picture.clone()]),
        ),
        Sample::new(
            "webp codes of alpha",
            webp(&[canvas(0x10, 64), alpha.clone(), lossy()]),
        ),
        Sample::new(
            "webp codes of alpha behind the end",
            [still, alpha.clone()].concat(),
        ),
        Sample::new("webp codes of a frame", animation(&[], &[picture])),
        Sample::new(
            "webp codes of a frame's alpha",
            animation(&[], &[alpha, lossy()]),
        ),
    ]
}

fn webp_samples() -> Vec<Sample> {
    let whole = encoded(&picture(), ImageFormat::WebP);
    let lossless = webp_chunk(b"VP8L", &whole[20..]);
    let mut huge_lossless = whole.clone();
    // 14 bits of width less one, 14 of height less one, all set.
    huge_lossless[21..25].copy_from_slice(&0x0FFF_FFFF_u32.to_le_bytes());
    let huge_lossy = {
        let mut body = vec![0x30, 0x01, 0x00, 0x9D, 0x01, 0x2A, 0xFF, 0x3F, 0xFF, 0x3F];
        body.resize(400, 0x55);
        webp_chunk(b"VP8 ", &body)
    };
    vec![
        Sample::new("webp lossless of 16,384 squared", huge_lossless),
        Sample::new(
            "webp lossy of 16,383 squared",
            webp(std::slice::from_ref(&huge_lossy)),
        ),
        Sample::new(
            "webp huge picture on a small canvas",
            webp(&[canvas(0, 64), huge_lossy.clone()]),
        ),
        Sample::new(
            "webp frame beyond its canvas, beside a picture",
            animation(&lossy(), std::slice::from_ref(&huge_lossy)),
        ),
        Sample::new(
            "webp frame beyond its canvas, in a chunk of no type",
            animation(
                &[],
                &[
                    webp_chunk(b"ALPH", &[0; 1 + 64 * 64]),
                    [b"none", &huge_lossy[4..]].concat(),
                    lossy(),
                ],
            ),
        ),
        Sample::new(
            "webp canvas of 16,777,216 squared",
            webp(&[canvas(0, 1 << 24), lossless]),
        ),
        Sample::new(
            "webp frame beyond the end of a still picture",
            [
                webp(&[canvas(0x10, 64), lossy()]),
                frame(&[webp_chunk(b"VP8L", &of_groups(65_536))]),
            ]
            .concat(),
        ),
        Sample::new("webp canvas and nothing else", webp(&[canvas(0x10, 64)])),
        Sample::new("webp giant exif", {
            let exif = webp_chunk(b"EXIF", &giant_exif(500_000));
            let picture = webp_chunk(b"VP8L", &whole[20..]);
            let size = [63, 0, 0, 47, 0, 0];
            let canvas = webp_chunk(b"VP8X", &[&[8, 0, 0, 0][..], &size].concat());
            webp(&[canvas, picture, exif])
        }),
    ]
}

fn bmp(width: i32, height: i32, bits: u16, compression: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    let start = 14 + 40 + 1024;
    for value in [start + data.len() as u32, 0, start, 40] {
        file.extend(value.to_le_bytes());
    }
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(bits.to_le_bytes());
    for value in [compression, data.len() as u32, 2835, 2835, 256, 0] {
        file.extend(value.to_le_bytes());
    }
    file.resize(start as usize, 0x33);
    file.extend_from_slice(data);
    file
}

fn jpeg_with_size(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = encoded(&picture(), ImageFormat::Jpeg);
    let size = jpeg.windows(4).position(|w| w == [0, 48, 0, 64]).unwrap();
    jpeg[size..size + 2].copy_from_slice(&height.to_be_bytes());
    jpeg[size + 2..size + 4].copy_from_slice(&width.to_be_bytes());
    jpeg
}

fn other_samples() -> Vec<Sample> {
    let mut exif = b"Exif\0\0".to_vec();
    exif.extend(giant_exif(1000));
    exif.truncate(65_533);
    let mut jpeg = vec![0xFF, 0xD8];
    for _ in 0..40 {
        jpeg.extend_from_slice(&[0xFF, 0xE1]);
        jpeg.extend((exif.len() as u16 + 2).to_be_bytes());
        jpeg.extend_from_slice(&exif);
    }
    jpeg.extend_from_slice(&encoded(&picture(), ImageFormat::Jpeg)[2..]);
    let png = encoded(&picture(), ImageFormat::Png);
    let wrong = |magic: &[u8]| [magic, &png[magic.len()..]].concat();
    vec![
        Sample::new("jpeg giant exif, forty times", jpeg),
        Sample::new("jpeg of 65,535 squared", jpeg_with_size(65_535, 65_535)),
        Sample::new(
            "jpeg of 2,000 squared with data for less",
            jpeg_with_size(2000, 2000),
        ),
        Sample::new("jpeg of no width", jpeg_with_size(0, 48)),
        Sample::new("jpeg of no height", jpeg_with_size(64, 0)),
        Sample::new(
            "gif of 65,535 squared",
            gif(65_535, 65_535, (0, 0, 65_535, 65_535), 1),
        ),
        Sample::new(
            "gif frame of 65,535 squared on a small canvas",
            gif(8, 8, (0, 0, 65_535, 65_535), 1),
        ),
        Sample::new(
            "gif frame outside of its canvas",
            gif(8, 8, (60_000, 60_000, 1, 1), 1),
        ),
        Sample::new("gif frame of nothing", gif(8, 8, (0, 0, 0, 0), 1)),
        Sample::new("gif of no width", gif(0, 8, (0, 0, 1, 1), 1)),
        Sample::new(
            "gif of twenty thousand frames",
            gif(8, 8, (0, 0, 1, 1), 20_000),
        ),
        Sample::new("gif bomb within limits", gif_bomb(1900)),
        Sample::new("gif bomb beyond memory", gif_bomb(6000)),
        Sample::new(
            "bmp of 65,535 squared in runs",
            bmp(65_535, 65_535, 8, 1, &[0, 1]),
        ),
        Sample::new(
            "bmp of 1,900 squared in runs",
            bmp(1900, 1900, 8, 1, &[255, 7, 0, 1]),
        ),
        Sample::new(
            "bmp runs beyond the picture",
            bmp(16, 16, 8, 1, &[255; 4000]),
        ),
        Sample::new(
            "bmp jumps beyond the picture",
            bmp(16, 16, 8, 1, &[0, 2, 255, 255].repeat(500)),
        ),
        Sample::new(
            "bmp of the least height",
            bmp(16, i32::MIN, 24, 0, &[0; 100]),
        ),
        Sample::new("bmp of no width", bmp(0, 16, 24, 0, &[0; 100])),
        Sample::new("bmp of negative width", bmp(-16, 16, 24, 0, &[0; 1000])),
        Sample::new("png behind a jpeg's magic", wrong(b"\xFF\xD8\xFF")),
        Sample::new("png behind a gif's magic", wrong(b"GIF89a")),
        Sample::new("png behind a tiff's magic", wrong(b"II*\0")),
        Sample::new("png behind a bmp's magic", wrong(b"BM")),
        Sample::new("nothing", Vec::new()),
        Sample::new("zeros", vec![0; 100_000]),
        Sample::new(
            "an svg of entities",
            b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg>&a;</svg>".to_vec(),
        ),
    ]
}

/// Everything above.
pub fn all() -> Vec<Sample> {
    let mut samples = png_samples();
    samples.push(Sample::new(
        "png of 65,535 squared",
        png(65_535, 65_535, &zeros(1000), &[]),
    ));
    samples.push(Sample::new(
        "png of all the width there is",
        png(u32::MAX, u32::MAX, &zeros(1000), &[]),
    ));
    samples.push(Sample::new(
        "png of no height",
        png(5, 0, &zeros(1000), &[]),
    ));
    samples.extend(tiff_samples());
    samples.extend(webp_samples());
    samples.extend(other_samples());
    samples
}
