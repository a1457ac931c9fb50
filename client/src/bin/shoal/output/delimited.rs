//! Comma-separated values. CSV has no nested values: lists, structs and maps
//! are written as JSON text, which every CSV reader takes and every JSON
//! parser reads back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::{RowWriter, Sink};
use crate::error::CliError;

/// Writes CSV with a header.
pub struct CsvWriter {
    writer: Writer<Sink>,
    /// The columns as written: nested ones are text.
    flat: SchemaRef,
}

impl CsvWriter {
    /// Starts the output with the header of `schema`.
    pub fn new(schema: &SchemaRef, sink: Sink) -> Result<Self, CliError> {
        let flat: Vec<FieldRef> = schema
            .fields()
            .iter()
            .map(|field| match field.data_type().is_nested() {
                true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
                false => Arc::clone(field),
            })
            .collect();
        let flat = Arc::new(Schema::new(flat));
        let mut writer = WriterBuilder::new().with_header(true).build(sink);
        writer.write(&RecordBatch::new_empty(Arc::clone(&flat)))?;
        Ok(Self { writer, flat })
    }
}

impl RowWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns
            .map(|(field, column)| match field.data_type().is_nested() {
                true => json_text(field, column),
                false => Ok(Arc::clone(column)),
            })
            .collect::<Result<Vec<ArrayRef>, CliError>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.flat), columns)?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(self: Box<Self>) -> Result<(), CliError> {
        Ok(())
    }
}

/// The values of `column` as JSON, NULL where they are NULL.
fn json_text(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, CliError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let mut text = StringBuilder::new();
    let mut value = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            text.append_null();
            continue;
        }
        value.clear();
        encoder.encode(row, &mut value);
        text.append_value(String::from_utf8_lossy(&value));
    }
    Ok(Arc::new(text.finish()))
}
