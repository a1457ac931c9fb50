//! Writes query results in the format the user chose, batch by batch, so that
//! memory stays bounded whatever the size of the result.

mod delimited;
mod table;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, LineDelimited};
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::CliError;

/// A way to print rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people; shortens binary and nested values.
    Table,
    /// Comma-separated values with a header; nested values as JSON text.
    Csv,
    /// One JSON array of objects per statement.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A Parquet file; of one statement only.
    Parquet,
    /// An Arrow IPC stream; of one statement only.
    Arrow,
}

impl Format {
    /// Whether the results of several statements may follow each other.
    pub fn holds_several(self) -> bool {
        !matches!(self, Format::Parquet | Format::Arrow)
    }

    /// Whether the output is text that a terminal can show.
    pub fn is_text(self) -> bool {
        self.holds_several()
    }
}

/// Where results go. Remembers that the reader went away, so that `shoal … |
/// head` ends without a word however deep in a writer the error came up.
#[derive(Clone)]
pub struct Sink {
    target: Arc<parking_lot::Mutex<Box<dyn Write + Send>>>,
    closed: Arc<AtomicBool>,
}

impl Sink {
    /// A sink over `target`.
    pub fn new(target: impl Write + Send + 'static) -> Self {
        Self {
            target: Arc::new(parking_lot::Mutex::new(Box::new(target))),
            closed: Arc::default(),
        }
    }

    /// Whether the reader of the pipe has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.lock().write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.target.lock().flush();
        self.note(flushed)
    }
}

/// Writes the rows of one statement.
pub trait RowWriter {
    /// Writes a batch; it may be held back until the next call.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError>;

    /// Writes what is held back and what closes the format.
    fn finish(self: Box<Self>) -> Result<(), CliError>;
}

/// A writer of rows of `schema` in `format`.
pub fn writer(
    format: Format,
    schema: &SchemaRef,
    sink: Sink,
) -> Result<Box<dyn RowWriter>, CliError> {
    let nulls = WriterBuilder::new().with_explicit_nulls(true);
    Ok(match format {
        Format::Table => Box::new(table::TableWriter::new(schema, sink)),
        Format::Csv => Box::new(delimited::CsvWriter::new(schema, sink)?),
        Format::Json => Box::new(JsonWriter(nulls.build::<_, JsonArray>(sink))),
        Format::Ndjson => Box::new(NdjsonWriter(nulls.build::<_, LineDelimited>(sink))),
        Format::Parquet => {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .build();
            let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties))?;
            Box::new(ParquetWriter(writer))
        }
        Format::Arrow => Box::new(StreamWriter::try_new(sink, schema)?),
    })
}

struct JsonWriter(arrow::json::Writer<Sink, JsonArray>);

impl RowWriter for JsonWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        self.0.finish()?;
        let mut sink = self.0.into_inner();
        Ok(writeln!(sink)?)
    }
}

struct NdjsonWriter(arrow::json::Writer<Sink, LineDelimited>);

impl RowWriter for NdjsonWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        Ok(self.0.finish()?)
    }
}

/// Encoded bytes after which a row group is closed: images would otherwise
/// pile up by the million rows that a row group may hold.
const ROW_GROUP_BYTES: usize = 64 << 20;

struct ParquetWriter(ArrowWriter<Sink>);

impl RowWriter for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        self.0.write(batch)?;
        if self.0.in_progress_size() >= ROW_GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), CliError> {
        self.0.close()?;
        Ok(())
    }
}

impl RowWriter for StreamWriter<Sink> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        Ok(StreamWriter::write(self, batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        Ok(StreamWriter::finish(&mut self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, BinaryArray, Float32Array, Int64Array, ListArray, StringArray, StructArray,
    };
    use arrow::datatypes::{DataType, Field, Float32Type};
    use arrow::ipc::reader::StreamReader;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    /// A sink whose bytes the test can read afterwards.
    #[derive(Clone, Default)]
    struct Page(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn rows() -> RecordBatch {
        let size: ArrayRef = Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("width", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(640), None])) as ArrayRef,
        )]));
        let features: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(0.5), None]),
            None,
        ]));
        RecordBatch::try_from_iter_with_nullable([
            (
                "n",
                Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
                true,
            ),
            (
                "name",
                Arc::new(StringArray::from(vec!["a,\"b\"", "x\ny"])) as ArrayRef,
                true,
            ),
            (
                "content",
                Arc::new(BinaryArray::from(vec![&[0xff_u8, 0xd8][..], &[1; 40]])),
                true,
            ),
            ("size", size, true),
            ("features", features, true),
        ])
        .unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch], schema: &SchemaRef) -> Vec<u8> {
        let page = Page::default();
        let mut writer = writer(format, schema, Sink::new(page.clone())).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        page.0.lock().clone()
    }

    fn text(format: Format) -> String {
        let batch = rows();
        String::from_utf8(written(
            format,
            std::slice::from_ref(&batch),
            &batch.schema(),
        ))
        .unwrap()
    }

    #[test]
    fn a_table_aligns_columns_and_shortens_bytes_but_not_text() {
        assert_eq!(
            text(Format::Table),
            "\
+------+-------+--------------------------------------------+---------------+-------------+
|    n | name  | content                                    | size          | features    |
+------+-------+--------------------------------------------+---------------+-------------+
|    1 | a,\"b\" | ffd8                                       | {width: 640}  | [0.5, NULL] |
| NULL | x     | 01010101010101010101010101010101… 40 bytes | {width: NULL} | NULL        |
|      | y     |                                            |               |             |
+------+-------+--------------------------------------------+---------------+-------------+
"
        );
    }

    #[test]
    fn a_table_shows_mode_and_size_of_an_image_whose_parts_are_there() {
        let image = |width: Option<i32>| -> Vec<ArrayRef> {
            vec![
                Arc::new(BinaryArray::from(vec![&[0_u8; 6][..]])),
                Arc::new(arrow::array::Int32Array::from(vec![1])),
                Arc::new(arrow::array::Int32Array::from(vec![width])),
                Arc::new(arrow::array::Int32Array::from(vec![3])),
                Arc::new(StringArray::from(vec!["RGB"])),
            ]
        };
        let shown = |width, nulls| {
            let fields = shoal_udfs::types::image_fields();
            let images = StructArray::new(fields, image(width), nulls);
            let batch =
                RecordBatch::try_from_iter([("photo", Arc::new(images) as ArrayRef)]).unwrap();
            let schema = batch.schema();
            let page = written(Format::Table, &[batch], &schema);
            let page = String::from_utf8(page).unwrap();
            page.lines()
                .nth(3)
                .unwrap()
                .trim_matches(['|', ' '])
                .to_owned()
        };
        assert_eq!(shown(Some(2), None), "RGB 2×1");
        assert!(shown(None, None).starts_with("{data: "));
        assert_eq!(shown(Some(2), Some(vec![false].into())), "NULL");
    }

    #[test]
    fn csv_quotes_text_and_writes_nested_values_as_json() {
        assert_eq!(
            text(Format::Csv),
            "n,name,content,size,features\n\
             1,\"a,\"\"b\"\"\",ffd8,\"{\"\"width\"\":640}\",\"[0.5,null]\"\n\
             ,\"x\ny\","
                .to_owned()
                + &"01".repeat(40)
                + ",\"{\"\"width\"\":null}\",\n"
        );
    }

    #[test]
    fn json_is_one_array_with_explicit_nulls() {
        let parsed: serde_json::Value = serde_json::from_str(&text(Format::Json)).unwrap();
        assert_eq!(parsed[0]["features"], serde_json::json!([0.5, null]));
        assert_eq!(parsed[1]["n"], serde_json::Value::Null);
        assert!(parsed[1].as_object().unwrap().contains_key("n"));
    }

    #[test]
    fn ndjson_is_one_object_per_line() {
        let text = text(Format::Ndjson);
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn parquet_and_arrow_read_back_as_they_were() {
        let batch = rows();
        let schema = batch.schema();
        let batches = std::slice::from_ref(&batch);

        let parquet = bytes::Bytes::from(written(Format::Parquet, batches, &schema));
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(parquet)
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), batch);

        let stream = written(Format::Arrow, batches, &schema);
        let mut reader = StreamReader::try_new(stream.as_slice(), None).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), batch);
    }

    #[test]
    fn an_empty_result_still_says_its_columns() {
        let schema = rows().schema();
        let text = |format| String::from_utf8(written(format, &[], &schema)).unwrap();
        assert_eq!(text(Format::Csv), "n,name,content,size,features\n");
        assert_eq!(text(Format::Json), "[]\n");
        assert_eq!(text(Format::Ndjson), "");
        assert!(text(Format::Table).contains("| n | name | content | size | features |"));
    }

    #[test]
    fn a_reader_that_went_away_is_remembered() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let batch = RecordBatch::try_from_iter([(
            "x",
            Arc::new(Float32Array::from(vec![1.0])) as ArrayRef,
        )])
        .unwrap();
        for format in [Format::Csv, Format::Json, Format::Table] {
            let sink = Sink::new(Gone);
            let failed = writer(format, &batch.schema(), sink.clone()).and_then(|mut writer| {
                writer.write(&batch)?;
                writer.finish()
            });
            assert!(failed.is_err());
            assert!(sink.is_closed());
        }
    }
}
