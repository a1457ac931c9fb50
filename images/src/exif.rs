//! The EXIF data of a picture as names and readable values.

use std::fmt::{self, Write};

use exif::{Field, In, Reader, Value};

use crate::decode::contain_panics;
use crate::error::ImageError;
use crate::probe::{Format, Limits, exif_block, probe};

/// Longest value that is kept whole, in characters; an ellipsis ends a longer one.
pub const MAX_VALUE_CHARACTERS: usize = 1000;
/// Most fields that are read; what cameras write has a tenth of them.
pub const MAX_FIELDS: usize = 1000;

/// Name and value of every EXIF field of the picture itself (not of its embedded thumbnail), in the
/// order of the file. Empty when there is no EXIF data or none that can be read.
///
/// Names are those of the EXIF standard (`DateTimeOriginal`, `FNumber`), or `Tag(Exif, 0x1234)` for a
/// tag that it does not know. Values are as people write them, with their unit (`1/250 s`, `f/2.8`);
/// text is unquoted, binary data is in hexadecimal.
///
/// # Errors
/// Everything [`probe`] refuses, and a panic of the EXIF reader.
pub fn exif(content: &[u8], limits: &Limits) -> Result<Vec<(String, String)>, ImageError> {
    let format = probe(content, limits)?.format;
    let Some(block) = exif_block(format, content) else {
        return Ok(Vec::new());
    };
    contain_panics(format, || Ok(read(format, block)))
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
