//! Hostile files: no panic gets out, memory and time stay within the limits, and each is either a
//! picture or has a reason with a code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// For the allocator that counts.
#![allow(unsafe_code)]

mod corpus;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use corpus::Sample;
use image::ImageFormat;
use shoal_images::decode::{Least, decode, decode_at_least, image_error};
use shoal_images::exif::exif;
use shoal_images::probe::{Format, Limits};

/// Counts what the current thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending allocates uncounted.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist side by side.
        count(size as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Small enough that a bomb would be noticed.
const LIMITS: Limits = Limits {
    max_file_bytes: 64 * 1024 * 1024,
    max_pixels: 4_000_000,
    max_alloc: 40 * 1024 * 1024,
    max_time: Duration::from_secs(5),
};

/// Beside the limit: code tables, error texts, directories, names. The EXIF reader and some decoders
/// keep a copy of parts of the file, so a file's own length comes on top.
const SLACK: usize = 2 * 1024 * 1024;

const CODES: [&str; 10] = [
    "empty",
    "too_many_bytes",
    "not_an_image",
    "unsupported",
    "truncated",
    "damaged",
    "too_many_pixels",
    "too_much_memory",
    "too_slow",
    "decoder_panicked",
];

/// The code of the first thing wrong with the file, after everything that must hold was checked.
fn examine(sample: &Sample) -> Option<&'static str> {
    let Sample { name, content } = sample;
    let held = HELD.get();
    PEAK.set(held);
    let start = Instant::now();
    let outcome = catch_unwind(|| {
        let _ = exif(content, &LIMITS);
        let _ = decode_at_least(content, &LIMITS, Least::Sides(1));
        image_error(content, &LIMITS)
    });
    let error = outcome.unwrap_or_else(|_| panic!("{name}: a panic got out"));
    // Debug builds and loaded machines are slower than the limit is exact.
    assert!(
        start.elapsed() < 3 * LIMITS.max_time,
        "{name}: {:?}",
        start.elapsed()
    );
    let peak = (PEAK.get() - held) as usize;
    let allowed = LIMITS.max_alloc as usize + 3 * content.len() + SLACK;
    assert!(
        peak <= allowed,
        "{name}: {peak} bytes of memory, allowed {allowed}"
    );
    let code = error.map(|error| error.code());
    assert!(
        code.is_none_or(|code| CODES.contains(&code)),
        "{name}: {code:?}"
    );
    code
}

/// Contained panics are no news here; only this test's own are printed.
fn without_panic_messages() {
    std::panic::set_hook(Box::new(|info| {
        let own = |at: &std::panic::Location<'_>| at.file().contains("tests/hostile");
        if info.location().is_some_and(own) {
            eprintln!("{info}");
        }
    }));
}

/// One small file of every variant of every format.
fn seeds() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<Sample> = fs::read_dir(root.join("tests/formats"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().unwrap_or_default();
            ["png", "tif", "gif", "webp", "bmp"]
                .iter()
                .any(|known| extension == *known)
        })
        .map(|path| {
            Sample::new(
                path.file_name().unwrap().to_string_lossy(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    let picture = corpus::picture();
    seeds.push(Sample::new(
        "color.jpg",
        corpus::encoded(&picture, ImageFormat::Jpeg),
    ));
    let gray = image::DynamicImage::ImageLuma8(picture.to_luma8());
    seeds.push(Sample::new(
        "gray.jpg",
        corpus::encoded(&gray, ImageFormat::Jpeg),
    ));
    seeds
}

/// Xorshift: the same files in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn files_made_to_hurt_do_not() {
    without_panic_messages();
    // Those that are odd but whole.
    let pictures = [
        "png bomb within limits",
        "png more data than pixels",
        "png twenty thousand texts",
        "png giant exif",
        "tiff sub-directory is itself",
        "tiff exif is itself",
        "tiff lzw bomb within limits",
        "tiff deflate bomb",
        "tiff jpeg of its size",
        "tiff five thousand pages",
        "webp giant exif",
        "jpeg giant exif, forty times",
        "gif bomb within limits",
    ];
    for sample in corpus::all() {
        let code = examine(&sample);
        assert_ne!(code, Some("decoder_panicked"), "{}", sample.name);
        if pictures.contains(&sample.name.as_str()) {
            assert_eq!(code, None, "{}", sample.name);
        }
        let must_fail = [
            "beyond",
            "no width",
            "no height",
            "squared",
            "loop",
            "too short",
            "magic",
        ];
        let exceptions = [
            "bmp runs beyond",
            "bmp jumps beyond",
            "with data for less",
            "in runs",
        ];
        if must_fail.iter().any(|word| sample.name.contains(word))
            && !exceptions.iter().any(|word| sample.name.contains(word))
        {
            assert!(code.is_some(), "{}", sample.name);
        }
    }
}

/// Nothing in a header tells what they take: it is found in compressed data.
#[test]
fn prefix_codes_beyond_the_cap_are_refused() {
    without_panic_messages();
    for sample in corpus::webp_bombs() {
        assert_eq!(examine(&sample), Some("too_much_memory"), "{}", sample.name);
    }
    // 20 MiB and 41 MiB of tables.
    for (groups, code) in [(1000, None), (2000, Some("too_much_memory"))] {
        let content = corpus::webp_of_groups(groups);
        let sample = Sample::new(format!("webp of {groups} groups"), content);
        assert_eq!(examine(&sample), code, "{}", sample.name);
    }
}

#[test]
fn a_file_cut_at_every_sixteenth_is_no_picture() {
    without_panic_messages();
    for seed in seeds() {
        for sixteenth in 0..16 {
            let part = &seed.content[..seed.content.len() * sixteenth / 16];
            let cut = Sample::new(
                format!("{} cut at {sixteenth}/16", seed.name),
                part.to_vec(),
            );
            assert!(examine(&cut).is_some(), "{}", cut.name);
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    without_panic_messages();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut panics = 0;
    for seed in seeds() {
        // 104 variants and JPEG: thousands of files for every format.
        let rounds = if seed.name.ends_with("jpg") {
            1500
        } else {
            250
        };
        for round in 0..rounds {
            let mut content = seed.content.clone();
            for _ in 0..1 + random.below(8) {
                // Headers are where harm is done.
                let end = if random.below(2) == 0 {
                    content.len()
                } else {
                    content.len().min(200)
                };
                let at = random.below(end);
                content[at] = random.below(256) as u8;
            }
            let flipped = Sample::new(format!("{} round {round}", seed.name), content);
            panics += u32::from(examine(&flipped) == Some("decoder_panicked"));
        }
    }
    println!("{panics} panics of decoders were contained");
}

/// The container is whole and says so; what is missing is the end of the compressed pixels. It may be
/// so little (a checksum, an end code) that all pixels are there; then they must be the right ones.
#[test]
fn pixels_that_end_early_are_an_error() {
    without_panic_messages();
    for seed in seeds() {
        for sixteenth in 1..15 {
            let Some(content) = cut_inside(&seed.content, sixteenth) else {
                continue;
            };
            let name = format!("{} cut inside at {sixteenth}/16", seed.name);
            let cut = Sample::new(name, content);
            match examine(&cut) {
                Some(code) => assert!(["truncated", "damaged"].contains(&code), "{}", cut.name),
                None => {
                    let pixels = |content| decode(content, &LIMITS).unwrap().image;
                    let same = pixels(&cut.content) == pixels(&seed.content);
                    assert!(same, "{}: part of the picture", cut.name);
                }
            }
        }
    }
}

/// The file with that share of its compressed pixels; `None` for what this test cannot cut.
fn cut_inside(content: &[u8], sixteenth: usize) -> Option<Vec<u8>> {
    let keep = |length: usize| length * sixteenth / 16;
    match Format::sniff(content)? {
        Format::Png => {
            let start = content.windows(4).position(|kind| kind == b"IDAT")? - 4;
            let length = u32::from_be_bytes(*content[start..].first_chunk()?) as usize;
            let data = &content[start + 8..start + 8 + keep(length)];
            let chunk = corpus::png_chunk(b"IDAT", data);
            Some([&content[..start], &chunk, &content[start + 12 + length..]].concat())
        }
        Format::WebP if content[12..16] != *b"VP8X" => {
            let body = &content[20..20 + keep(content.len() - 20)];
            let mut chunk = content[12..16].to_vec();
            chunk.extend((body.len() as u32).to_le_bytes());
            chunk.extend_from_slice(body);
            chunk.resize(chunk.len().next_multiple_of(2), 0);
            Some(corpus::webp(&[chunk]))
        }
        Format::Gif => cut_frame(content, keep),
        Format::Tiff => cut_strip(content, keep),
        _ => None,
    }
}

/// A GIF of one frame, with its blocks filled anew.
fn cut_frame(content: &[u8], keep: impl Fn(usize) -> usize) -> Option<Vec<u8>> {
    let table = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            6 << (flags & 7)
        }
    };
    let unpacked = |mut position: usize| {
        let mut data = Vec::new();
        while *content.get(position)? > 0 {
            let end = position + 1 + usize::from(content[position]);
            data.extend_from_slice(content.get(position + 1..end)?);
            position = end;
        }
        Some((data, position + 1))
    };
    let mut position = 13 + table(content[10]);
    while content[position] == 0x21 {
        (_, position) = unpacked(position + 2)?;
    }
    let start = position + 11 + table(content[position + 9]);
    let (data, end) = unpacked(start)?;
    let mut file = content[..start].to_vec();
    for block in data[..keep(data.len())].chunks(255) {
        file.push(block.len() as u8);
        file.extend_from_slice(block);
    }
    file.extend_from_slice(&[0, 0x3B]);
    (content[end] == 0x3B).then_some(file)
}

/// A TIFF of one strip, with the cut strip appended at its end.
fn cut_strip(content: &[u8], keep: impl Fn(usize) -> usize) -> Option<Vec<u8>> {
    if !content.starts_with(b"II*\0") {
        return None;
    }
    let word = |at: usize| Some(u32::from_le_bytes(*content.get(at..)?.first_chunk()?) as usize);
    let directory = word(4)?;
    let count = word(directory)? & 0xFFFF;
    let entry = |tag: usize| {
        (0..count)
            .map(|index| directory + 2 + 12 * index)
            .find(|at| word(*at).is_some_and(|word| word & 0xFFFF == tag))
    };
    let (offset, size) = (entry(273)?, entry(279)?);
    if word(offset + 4)? != 1 || word(size + 4)? != 1 {
        return None;
    }
    let (start, length) = (word(offset + 8)?, word(size + 8)?);
    // Types are LONG, or SHORT whose upper half is zero.
    let mut file = content.to_vec();
    let end = file.len() as u32;
    file[offset + 2..offset + 4].copy_from_slice(&[4, 0]);
    file[offset + 8..offset + 12].copy_from_slice(&end.to_le_bytes());
    file[size + 2..size + 4].copy_from_slice(&[4, 0]);
    file[size + 8..size + 12].copy_from_slice(&(keep(length) as u32).to_le_bytes());
    file.extend_from_slice(&content[start..start + keep(length)]);
    Some(file)
}
