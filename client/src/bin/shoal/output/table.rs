//! Aligned columns for people.
//!
//! Column widths come from the first [`BLOCK`] rows, so a result of any size is
//! printed as it arrives; a later, wider value pushes its own line only. Text
//! is never cut, and its line breaks are kept; binary values are shortened to
//! their first bytes and their length, images to their mode and size, nested
//! ones to [`NESTED_WIDTH`] characters. Control characters are shown, not sent: data cannot drive the
//! terminal.

use std::fmt::Write as _;
use std::io::Write as _;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use shoal_udfs::types::is_image;
use unicode_width::UnicodeWidthStr;

use super::{RowWriter, Sink};
use crate::error::CliError;

/// Rows looked at before the first is printed.
const BLOCK: usize = 1000;
/// Characters of a list, struct or map that are shown.
const NESTED_WIDTH: usize = 80;
/// Bytes of a binary value that are shown.
const BINARY_BYTES: usize = 16;

/// A value as printed: one entry per line.
type Cell = Vec<String>;

/// Prints a table.
pub struct TableWriter {
    sink: Sink,
    names: Vec<String>,
    right_aligned: Vec<bool>,
    pending: Vec<Vec<Cell>>,
    /// Known once the header is printed.
    widths: Option<Vec<usize>>,
}

impl TableWriter {
    /// A table with the columns of `schema`.
    pub fn new(schema: &SchemaRef, sink: Sink) -> Self {
        let fields = schema.fields();
        Self {
            sink,
            names: fields.iter().map(|f| visible(f.name())).collect(),
            right_aligned: fields.iter().map(|f| f.data_type().is_numeric()).collect(),
            pending: Vec::new(),
            widths: None,
        }
    }

    fn flush(&mut self) -> Result<(), CliError> {
        let mut page = String::new();
        let widths = match self.widths.take() {
            Some(widths) => widths,
            None => {
                let widths = self.fitting_widths();
                let names: Vec<Cell> = self.names.iter().map(|n| vec![n.clone()]).collect();
                page.push_str(&rule(&widths));
                self.push_row(&mut page, &widths, &names);
                page.push_str(&rule(&widths));
                widths
            }
        };
        for row in &self.pending {
            self.push_row(&mut page, &widths, row);
        }
        self.pending.clear();
        self.widths = Some(widths);
        Ok(self.sink.write_all(page.as_bytes())?)
    }

    fn fitting_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.width()).collect();
        for row in &self.pending {
            for (width, cell) in widths.iter_mut().zip(row) {
                let widest = cell.iter().map(|line| line.width()).max();
                *width = widest.unwrap_or_default().max(*width);
            }
        }
        widths
    }

    /// Appends one row, which takes as many lines as its tallest cell.
    fn push_row(&self, page: &mut String, widths: &[usize], row: &[Cell]) {
        let height = row.iter().map(Vec::len).max().unwrap_or_default();
        for line in 0..height {
            for ((cell, width), right) in row.iter().zip(widths).zip(&self.right_aligned) {
                let text = cell.get(line).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(text.width()));
                page.push_str("| ");
                if *right {
                    page.push_str(&padding);
                    page.push_str(text);
                } else {
                    page.push_str(text);
                    page.push_str(&padding);
                }
                page.push(' ');
            }
            page.push_str("|\n");
        }
    }
}

impl RowWriter for TableWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.columns().iter();
        let formatters = columns
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(formatters.len());
            for (column, formatter) in batch.columns().iter().zip(&formatters) {
                cells.push(cell(column.as_ref(), formatter, row)?);
            }
            self.pending.push(cells);
            if self.pending.len() >= BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        self.flush()?;
        let widths = self.widths.take().unwrap_or_default();
        self.sink.write_all(rule(&widths).as_bytes())?;
        Ok(())
    }
}

/// The value in `row` of `column` as printed.
fn cell(column: &dyn Array, formatter: &ArrayFormatter<'_>, row: usize) -> Result<Cell, CliError> {
    if column.is_valid(row)
        && let Some(bytes) = binary_value(column, row)
    {
        return Ok(vec![short_binary(bytes)]);
    }
    if column.is_valid(row)
        && let Some(text) = image_text(column, row)
    {
        return Ok(vec![text]);
    }
    let text = formatter.value(row).try_to_string()?;
    if column.data_type().is_nested() {
        return Ok(vec![shortened(&visible(&text.replace('\n', " ")))]);
    }
    Ok(text.split('\n').map(visible).collect())
}

/// An IMAGE as `RGB 640×480`; none for any other value.
fn image_text(column: &dyn Array, row: usize) -> Option<String> {
    if !is_image(column.data_type()) {
        return None;
    }
    let parts = column.as_struct();
    let number = |name| {
        let numbers = parts.column_by_name(name)?;
        let numbers = numbers.as_primitive_opt::<Int32Type>()?;
        numbers.is_valid(row).then(|| numbers.value(row))
    };
    let modes = parts.column_by_name("mode")?.as_string_opt::<i32>()?;
    let mode = modes.is_valid(row).then(|| modes.value(row))?;
    Some(format!(
        "{} {}×{}",
        visible(mode),
        number("width")?,
        number("height")?
    ))
}

fn binary_value(column: &dyn Array, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        _ => None,
    }
}

fn short_binary(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(BINARY_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > BINARY_BYTES {
        let _ = write!(text, "… {} bytes", bytes.len());
    }
    text
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(NESTED_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `text` with its control characters written as escapes.
fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn rule(widths: &[usize]) -> String {
    let mut line = String::new();
    for width in widths {
        line.push('+');
        line.push_str(&"-".repeat(width + 2));
    }
    line.push_str("+\n");
    line
}
