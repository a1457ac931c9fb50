//! The EXIF data of a picture as names and readable values.

use std::fmt::{self, Write};

use exif::{Field, In, Reader, Value};

use crate::decode::{check_memory, contain_panics};
use crate::error::ImageError;
use crate::probe::tiff::Directory;
use crate::probe::{Format, Limits, exif_block, probe};

/// Longest value that is kept whole, in characters; an ellipsis ends a longer one.
pub const MAX_VALUE_CHARACTERS: usize = 1000;
/// Most fields that are read; what cameras write has a tenth of them.
pub const MAX_FIELDS: usize = 1000;

const EXIF_DIRECTORY: u64 = 34_665;
const GPS_DIRECTORY: u64 = 34_853;
const INTEROPERABILITY_DIRECTORY: u64 = 40_965;
/// How many directories in a row the reader follows.
const MAX_DIRECTORIES: usize = 8;
/// Memory for an entry, and for a byte of its value: each NUL ends a text with a header of its own.
const ENTRY_BYTES: u64 = 128;
const BYTES_PER_BYTE: u64 = 32;

/// Name and value of every EXIF field of the picture itself (not of its embedded thumbnail), in the
/// order of the file. Empty when there is no EXIF data or none that can be read.
///
/// Names are those of the EXIF standard (`DateTimeOriginal`, `FNumber`), or `Tag(Exif, 0x1234)` for a
/// tag that it does not know. Values are as people write them, with their unit (`1/250 s`, `f/2.8`);
/// text is unquoted, binary data is in hexadecimal.
///
/// # Errors
/// Everything [`probe`] refuses, more memory than `limits` allow (in which case values overlap, for
/// what cameras write is small), and a panic of the EXIF reader.
pub fn exif(content: &[u8], limits: &Limits) -> Result<Vec<(String, String)>, ImageError> {
    let format = probe(content, limits)?.format;
    let Some(block) = exif_block(format, content) else {
        return Ok(Vec::new());
    };
    check_memory(memory_needed(block), limits)?;
    contain_panics(format, || Ok(read(format, block)))
}

/// Memory for a copy of the block and for all values of the directories that the reader visits. They
/// may be visited more than once, and values may overlap, so this can be far more than the block.
fn memory_needed(block: &[u8]) -> u64 {
    let mut needed = block.len() as u64;
    let mut next = Directory::first(block);
    for _ in 0..MAX_DIRECTORIES {
        let Some(directory) = next else {
            break;
        };
        let details = directory.child(EXIF_DIRECTORY);
        let interoperability = details.and_then(|d| d.child(INTEROPERABILITY_DIRECTORY));
        let children = [details, directory.child(GPS_DIRECTORY), interoperability];
        for visited in children.into_iter().flatten().chain([directory]) {
            let values = visited.entries().map(|entry| entry.bytes as u64);
            let values = values.fold(0, u64::saturating_add);
            needed = needed
                .saturating_add(ENTRY_BYTES * visited.count as u64)
                .saturating_add(values.saturating_mul(BYTES_PER_BYTE));
        }
        next = directory.next();
    }
    needed
}

fn read(format: Format, block: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::new();
    // What can be read of a damaged block is better than nothing.
    reader.continue_on_error(true);
    let result = reader
        .read_raw(block.to_vec())
        .or_else(|error| error.distill_partial_result(|_| {}));
    let Ok(data) = result else {
        return Vec::new();
    };
    data.fields()
        .filter(|field| field.ifd_num == In::PRIMARY && !describes_storage(format, field))
        .take(MAX_FIELDS)
        .map(|field| (field.tag.to_string(), value(field, &data)))
        .collect()
}

/// In a TIFF, the directory also lists where its strips and tiles are: long, and of no use to people.
fn describes_storage(format: Format, field: &Field) -> bool {
    /// Offsets and sizes of strips and tiles, color map, JPEG tables, ICC profile.
    const STORAGE: [u16; 7] = [273, 279, 320, 324, 325, 347, 34_675];
    format == Format::Tiff && STORAGE.contains(&field.tag.number())
}

fn value(field: &Field, data: &exif::Exif) -> String {
    let mut text = Capped::default();
    let written = match &field.value {
        // The crate would quote text and escape what is not ASCII.
        Value::Ascii(lines) => lines.iter().enumerate().try_for_each(|(index, line)| {
            let separator = if index == 0 { "" } else { "; " };
            let start = &line[..line.len().min(4 * MAX_VALUE_CHARACTERS + 4)];
            write!(text, "{separator}{}", String::from_utf8_lossy(start))
        }),
        _ => write!(text, "{}", field.display_value().with_unit(data)),
    };
    // It fails when the text is full, and what is in it then is what is wanted.
    if written.is_err() {
        text.0.push('…');
    }
    text.0
}

/// Text that takes no more than [`MAX_VALUE_CHARACTERS`], so that a value of megabytes is not spelled out.
#[derive(Default)]
struct Capped(String);

impl Write for Capped {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_VALUE_CHARACTERS.saturating_sub(self.0.chars().count());
        self.0.extend(part.chars().take(room));
        if part.chars().nth(room).is_some() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}
