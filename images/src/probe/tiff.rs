//! TIFF 6.0 and BigTIFF: reads the first image directory, checks that the strips or tiles it lists
//! lie inside the file, and follows the chain of directories to count the pages.

use super::reader::{Endian, bytes_at, uint_at};
use super::{Format, ImageInfo, damaged, orientation, truncated};
use crate::error::ImageError;

pub(crate) const WIDTH: u64 = 256;
pub(crate) const HEIGHT: u64 = 257;
pub(crate) const BITS_PER_SAMPLE: u64 = 258;
pub(crate) const PHOTOMETRIC: u64 = 262;
pub(crate) const STRIP_OFFSETS: u64 = 273;
pub(crate) const SAMPLES_PER_PIXEL: u64 = 277;
pub(crate) const STRIP_BYTE_COUNTS: u64 = 279;
pub(crate) const TILE_OFFSETS: u64 = 324;
pub(crate) const TILE_BYTE_COUNTS: u64 = 325;
pub(crate) const EXTRA_SAMPLES: u64 = 338;

/// Photometric interpretations, TIFF 6.0 part 1 section 8 and part 2.
pub(crate) mod photometric {
    pub(crate) const WHITE_IS_ZERO: u64 = 0;
    pub(crate) const BLACK_IS_ZERO: u64 = 1;
    pub(crate) const RGB: u64 = 2;
    /// The one sample is an index into a color map.
    pub(crate) const PALETTE: u64 = 3;
    pub(crate) const CMYK: u64 = 5;
    pub(crate) const YCBCR: u64 = 6;
}

pub(super) fn probe(content: &[u8]) -> Result<ImageInfo, ImageError> {
    let cut = || truncated(Format::Tiff, "the image directory reaches beyond the end");
    let directory = Directory::first(content).ok_or_else(cut)?;
    let mut tags = Tags::default();
    for index in 0..directory.count {
        tags.keep(directory.entry(index).ok_or_else(cut)?);
    }
    let first = |entry: Option<Entry>| entry.and_then(|e| directory.values(&e)?.next());
    let required = |entry: Option<Entry>, name: &str| {
        first(entry)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| damaged(Format::Tiff, &format!("it has no valid {name}")))
    };
    let width = required(tags.width, "ImageWidth")?;
    let height = required(tags.height, "ImageLength")?;
    let photometric = first(tags.photometric);
    let is_palette = photometric == Some(photometric::PALETTE);
    let samples = first(tags.samples).unwrap_or(1);
    let extra = tags.extra_samples.and_then(|e| directory.values(&e));
    let channels = channels(
        photometric,
        samples,
        extra.and_then(|mut kinds| kinds.next()),
    )
    .ok_or_else(|| ImageError::Unsupported {
        format: Format::Tiff,
        detail: format!("it has {samples} samples per pixel"),
    })?;
    check_data(&directory, &tags)?;
    let mut info = ImageInfo::new(Format::Tiff, width, height, channels);
    if !is_palette {
        let bits = first(tags.bits).unwrap_or(1);
        info.bits_per_channel =
            u8::try_from(bits).map_err(|_| damaged(Format::Tiff, "it has no valid bit depth"))?;
    }
    info.frames = count_pages(content, directory)?;
    info.orientation = orientation::of_directory(&directory);
    Ok(info)
}

/// Channels of the picture. A sample beyond the colors is alpha unless its kind says that it means
/// nothing; it counts as alpha, too, when a file forgets to tell.
fn channels(photometric: Option<u64>, samples: u64, extra: Option<u64>) -> Option<u8> {
    let (colors, channels) = match photometric {
        Some(photometric::PALETTE) => (1, 3),
        Some(photometric::RGB | photometric::YCBCR) => (3, 3),
        Some(photometric::CMYK) => (4, 4),
        _ if samples >= 3 => (3, 3),
        _ => (1, 1),
    };
    match samples.checked_sub(colors)? {
        0 => Some(channels),
        1 if channels == 4 => None,
        1 if extra == Some(0) => Some(channels),
        1 => Some(channels + 1),
        _ => None,
    }
}

/// Every strip or tile must lie inside the file.
fn check_data(directory: &Directory<'_>, tags: &Tags) -> Result<(), ImageError> {
    let cut = || truncated(Format::Tiff, "a strip or tile reaches beyond the end");
    let (Some(offsets), Some(sizes)) = (tags.data_offsets, tags.data_sizes) else {
        return Err(damaged(Format::Tiff, "it lists no strips or tiles"));
    };
    let offsets = directory.values(&offsets).ok_or_else(cut)?;
    let sizes = directory.values(&sizes).ok_or_else(cut)?;
    for (offset, size) in offsets.zip(sizes) {
        if offset.saturating_add(size) > directory.content.len() as u64 {
            return Err(cut());
        }
    }
    Ok(())
}

/// Directories in the chain that starts with `first`. A chain that comes back to where it was is
/// damage, found without keeping a list: a second pointer stays behind and is caught up with (Brent).
fn count_pages(content: &[u8], first: Directory<'_>) -> Result<u32, ImageError> {
    let mut pages = 1_u32;
    let (mut behind, mut next_stop) = (first.start, 1_u32);
    let mut current = first;
    loop {
        let cut = || truncated(Format::Tiff, "a page's directory reaches beyond the end");
        let next = current.next_at().ok_or_else(cut)?;
        if next == 0 {
            return Ok(pages);
        }
        if next == behind {
            return Err(damaged(Format::Tiff, "its pages form a loop"));
        }
        if pages == next_stop {
            (behind, next_stop) = (next, next_stop.saturating_mul(2));
        }
        current = Directory::at(content, next).ok_or_else(cut)?;
        pages = pages.saturating_add(1);
    }
}

/// Byte order and field widths, which differ between TIFF and BigTIFF.
#[derive(Clone, Copy)]
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
    /// `None` without one of the byte order marks.
    fn of(content: &[u8]) -> Option<Self> {
        let endian = match content.get(..2)? {
            b"II" => Endian::Little,
            b"MM" => Endian::Big,
            _ => return None,
        };
        let big = uint_at(content, 2, 2, endian)? == 43;
        Some(Self {
            endian,
            directory_pointer: if big { 8 } else { 4 },
            count_bytes: if big { 8 } else { 2 },
            entry_bytes: if big { 20 } else { 12 },
            offset_bytes: if big { 8 } else { 4 },
        })
    }
}

/// A directory whose entries all lie inside the file; what they point to may not.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'a> {
    content: &'a [u8],
    layout: Layout,
    start: usize,
    /// Entries.
    pub(crate) count: usize,
}

impl<'a> Directory<'a> {
    /// The first directory of a TIFF stream.
    pub(crate) fn first(content: &'a [u8]) -> Option<Self> {
        let layout = Layout::of(content)?;
        let start = uint_at(
            content,
            layout.directory_pointer,
            layout.offset_bytes,
            layout.endian,
        )?;
        Self::at(content, usize::try_from(start).ok()?)
    }

    fn at(content: &'a [u8], start: usize) -> Option<Self> {
        let layout = Layout::of(content)?;
        let count = uint_at(content, start, layout.count_bytes, layout.endian)?;
        let directory = Self {
            content,
            layout,
            start,
            count: usize::try_from(count).ok()?,
        };
        // Behind the entries stands where the next directory is.
        let end = directory.entry_start(directory.count)?;
        bytes_at(content, end, layout.offset_bytes)?;
        Some(directory)
    }

    fn entry_start(&self, index: usize) -> Option<usize> {
        let skip = index.checked_mul(self.layout.entry_bytes)?;
        skip.checked_add(self.start)?
            .checked_add(self.layout.count_bytes)
    }

    /// The directory that the first value with this tag points to.
    pub(crate) fn child(&self, tag: u64) -> Option<Self> {
        let start = usize::try_from(self.first_value(tag)?).ok()?;
        Self::at(self.content, start)
    }

    /// The directory behind this one.
    pub(crate) fn next(&self) -> Option<Self> {
        let start = self.next_at().filter(|start| *start != 0)?;
        Self::at(self.content, start)
    }

    /// Where the next directory starts; 0 after the last.
    fn next_at(&self) -> Option<usize> {
        let next = self.uint(self.entry_start(self.count)?, self.layout.offset_bytes)?;
        usize::try_from(next).ok()
    }

    fn uint(&self, position: usize, width: usize) -> Option<u64> {
        uint_at(self.content, position, width, self.layout.endian)
    }

    /// The entries whose values lie inside the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..self.count).filter_map(|index| self.entry(index))
    }

    /// The entry with this tag, the last one should there be several.
    pub(crate) fn find(&self, tag: u64) -> Option<Entry> {
        self.entries().filter(|entry| entry.tag == tag).last()
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        let start = self.entry_start(index)?;
        let tag = self.uint(start, 2)?;
        // TIFF 6.0, "Types"; 16 to 18 are BigTIFF's. A type that is not known has no size.
        let (size, unsigned) = match self.uint(start.checked_add(2)?, 2)? {
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
        let offset_bytes = self.layout.offset_bytes;
        let count = usize::try_from(self.uint(count_at, offset_bytes)?).ok()?;
        let inline_at = count_at.checked_add(offset_bytes)?;
        // Values that fit into the offset field stand in its place.
        let bytes = count.checked_mul(size)?;
        let values_at = if bytes <= offset_bytes {
            bytes_at(self.content, inline_at, offset_bytes)?;
            inline_at
        } else {
            let values_at = usize::try_from(self.uint(inline_at, offset_bytes)?).ok()?;
            bytes_at(self.content, values_at, bytes)?;
            values_at
        };
        Some(Entry {
            tag,
            bytes,
            width: if unsigned { size } else { 0 },
            count,
            values_at,
        })
    }

    /// The values of an entry, or `None` when they are no unsigned integers.
    pub(crate) fn values(&self, entry: &Entry) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let width = entry.width;
        if width == 0 {
            return None;
        }
        let bytes = bytes_at(
            self.content,
            entry.values_at,
            entry.count.checked_mul(width)?,
        )?;
        let endian = self.layout.endian;
        Some(
            bytes
                .chunks_exact(width)
                .filter_map(move |value| uint_at(value, 0, width, endian)),
        )
    }

    /// The first value with this tag.
    pub(crate) fn first_value(&self, tag: u64) -> Option<u64> {
        self.values(&self.find(tag)?)?.next()
    }

    /// Where the first value of an entry stands, and the bytes that would make it `value`.
    pub(crate) fn replacement(&self, entry: &Entry, value: u64) -> (usize, Vec<u8>) {
        let bytes = match self.layout.endian {
            Endian::Little => value.to_le_bytes()[..entry.width].to_vec(),
            Endian::Big => value.to_be_bytes()[8 - entry.width..].to_vec(),
        };
        (entry.values_at, bytes)
    }
}

/// One directory entry: a tag and an array of values.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) tag: u64,
    /// All values together.
    pub(crate) bytes: usize,
    /// Width of one value in bytes, at most 8; zero for types that are not unsigned integers.
    width: usize,
    count: usize,
    /// Position of the first value.
    values_at: usize,
}

/// The entries the probe needs.
#[derive(Default)]
struct Tags {
    width: Option<Entry>,
    height: Option<Entry>,
    bits: Option<Entry>,
    photometric: Option<Entry>,
    samples: Option<Entry>,
    extra_samples: Option<Entry>,
    data_offsets: Option<Entry>,
    data_sizes: Option<Entry>,
}

impl Tags {
    fn keep(&mut self, entry: Entry) {
        let slot = match entry.tag {
            WIDTH => &mut self.width,
            HEIGHT => &mut self.height,
            BITS_PER_SAMPLE => &mut self.bits,
            PHOTOMETRIC => &mut self.photometric,
            SAMPLES_PER_PIXEL => &mut self.samples,
            EXTRA_SAMPLES => &mut self.extra_samples,
            STRIP_OFFSETS | TILE_OFFSETS => &mut self.data_offsets,
            STRIP_BYTE_COUNTS | TILE_BYTE_COUNTS => &mut self.data_sizes,
            _ => return,
        };
        *slot = Some(entry);
    }
}
