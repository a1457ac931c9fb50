//! TIFF 6.0 and BigTIFF: reads the first image directory and checks that the strips or tiles it
//! lists lie inside the file. Later pages are not looked at.

use super::reader::{Endian, bytes_at, uint_at};
use super::{Format, ImageInfo, damaged, truncated};
use crate::error::ImageError;

const WIDTH: u64 = 256;
const HEIGHT: u64 = 257;
const PHOTOMETRIC: u64 = 262;
const STRIP_OFFSETS: u64 = 273;
const SAMPLES_PER_PIXEL: u64 = 277;
const STRIP_BYTE_COUNTS: u64 = 279;
const TILE_OFFSETS: u64 = 324;
const TILE_BYTE_COUNTS: u64 = 325;
/// Photometric interpretation whose one sample is an index into a color map.
const PALETTE: u64 = 3;

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::Tiff, "the image directory reaches beyond the end");
    let file = Layout::of(content);
    let directory = file
        .offset_at(content, file.directory_pointer)
        .ok_or_else(cut)?;
    let count = file
        .uint(content, directory, file.count_bytes)
        .ok_or_else(cut)?;
    let mut tags = Tags::default();
    for index in 0..count {
        let start = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_mul(file.entry_bytes))
            .and_then(|skip| skip.checked_add(directory)?.checked_add(file.count_bytes))
            .ok_or_else(cut)?;
        let entry = Entry::read(&file, content, start).ok_or_else(cut)?;
        tags.keep(entry);
    }
    // Behind the entries stands where the next directory is.
    usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(file.entry_bytes))
        .and_then(|skip| skip.checked_add(directory)?.checked_add(file.count_bytes))
        .and_then(|next| bytes_at(content, next, file.offset_bytes))
        .ok_or_else(cut)?;

    let first = |entry: Option<Entry>| entry.and_then(|e| e.values(&file, content)?.next());
    let required = |entry: Option<Entry>, name: &str| {
        first(entry)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| damaged(Format::Tiff, &format!("it has no valid {name}")))
    };
    let width = required(tags.width, "ImageWidth")?;
    let height = required(tags.height, "ImageLength")?;
    let samples = first(tags.samples).unwrap_or(1);
    let channels = match samples {
        1 if first(tags.photometric) == Some(PALETTE) => 3,
        1..=4 => samples as u8,
        _ => {
            return Err(damaged(
                Format::Tiff,
                "it has more than 4 samples per pixel",
            ));
        }
    };
    check_data(&file, content, &tags)?;
    Ok(ImageInfo {
        format: Format::Tiff,
        width,
        height,
        channels,
    })
}

/// Every strip or tile must lie inside the file.
fn check_data(file: &Layout, content: &[u8], tags: &Tags) -> Result<(), ImageError> {
    let cut = || truncated(Format::Tiff, "a strip or tile reaches beyond the end");
    let (Some(offsets), Some(sizes)) = (tags.data_offsets, tags.data_sizes) else {
        return Err(damaged(Format::Tiff, "it lists no strips or tiles"));
    };
    let offsets = offsets.values(file, content).ok_or_else(cut)?;
    let sizes = sizes.values(file, content).ok_or_else(cut)?;
    for (offset, size) in offsets.zip(sizes) {
        if offset.saturating_add(size) > content.len() as u64 {
            return Err(cut());
        }
    }
    Ok(())
}

/// Byte order and field widths, which differ between TIFF and BigTIFF.
struct Layout {
    endian: Endian,
    /// Where the offset of the first directory is kept.
    directory_pointer: usize,
    /// Width of the directory's entry count.
    count_bytes: usize,
    /// Width of one directory entry.
    entry_bytes: usize,
    /// Width of offsets and of an entry's value count.
    offset_bytes: usize,
}

impl Layout {
    /// `content` starts with one of the four TIFF signatures.
    fn of(content: &[u8]) -> Self {
        let endian = if content.starts_with(b"II") {
            Endian::Little
        } else {
            Endian::Big
        };
        let big = uint_at(content, 2, 2, endian) == Some(43);
        Self {
            endian,
            directory_pointer: if big { 8 } else { 4 },
            count_bytes: if big { 8 } else { 2 },
            entry_bytes: if big { 20 } else { 12 },
            offset_bytes: if big { 8 } else { 4 },
        }
    }

    fn uint(&self, content: &[u8], position: usize, width: usize) -> Option<u64> {
        uint_at(content, position, width, self.endian)
    }

    fn offset_at(&self, content: &[u8], position: usize) -> Option<usize> {
        let offset = self.uint(content, position, self.offset_bytes)?;
        usize::try_from(offset).ok()
    }
}

/// One directory entry: a tag and an array of unsigned integers.
#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    /// Width of one value in bytes; zero for types that are not unsigned integers.
    width: usize,
    count: usize,
    /// Position of the first value.
    values_at: usize,
}

impl Entry {
    fn read(file: &Layout, content: &[u8], start: usize) -> Option<Self> {
        let tag = file.uint(content, start, 2)?;
        // TIFF 6.0, "Types"; 16 to 18 are BigTIFF's. A type that is not known has no size.
        let (size, unsigned) = match file.uint(content, start.checked_add(2)?, 2)? {
            1 => (1, true),
            2 | 6 | 7 => (1, false),
            3 => (2, true),
            8 => (2, false),
            4 => (4, true),
            9 | 11 | 13 => (4, false),
            16 => (8, true),
            5 | 10 | 12 | 17 | 18 => (8, false),
            _ => (0, false),
        };
        let count_at = start.checked_add(4)?;
        let count = usize::try_from(file.uint(content, count_at, file.offset_bytes)?).ok()?;
        let inline_at = count_at.checked_add(file.offset_bytes)?;
        // Values that fit into the offset field stand in its place.
        let bytes = count.checked_mul(size)?;
        let values_at = if bytes <= file.offset_bytes {
            bytes_at(content, inline_at, file.offset_bytes)?;
            inline_at
        } else {
            let values_at = file.offset_at(content, inline_at)?;
            bytes_at(content, values_at, bytes)?;
            values_at
        };
        Some(Self {
            tag,
            width: if unsigned { size } else { 0 },
            count,
            values_at,
        })
    }

    /// The entry's values, or `None` when they reach beyond the end or are no unsigned integers.
    fn values<'a>(
        &self,
        file: &Layout,
        content: &'a [u8],
    ) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let bytes = bytes_at(content, self.values_at, self.count.checked_mul(self.width)?)?;
        let endian = file.endian;
        let width = if self.width == 0 {
            return None;
        } else {
            self.width
        };
        Some(
            bytes
                .chunks_exact(width)
                .filter_map(move |value| uint_at(value, 0, width, endian)),
        )
    }
}

/// The entries the probe needs.
#[derive(Default)]
struct Tags {
    width: Option<Entry>,
    height: Option<Entry>,
    photometric: Option<Entry>,
    samples: Option<Entry>,
    data_offsets: Option<Entry>,
    data_sizes: Option<Entry>,
}

impl Tags {
    fn keep(&mut self, entry: Entry) {
        let slot = match entry.tag {
            WIDTH => &mut self.width,
            HEIGHT => &mut self.height,
            PHOTOMETRIC => &mut self.photometric,
            SAMPLES_PER_PIXEL => &mut self.samples,
            STRIP_OFFSETS | TILE_OFFSETS => &mut self.data_offsets,
            STRIP_BYTE_COUNTS | TILE_BYTE_COUNTS => &mut self.data_sizes,
            _ => return,
        };
        *slot = Some(entry);
    }
}
