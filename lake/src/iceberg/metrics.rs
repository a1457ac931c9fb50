//! What Iceberg's manifests say of a data file, from its Parquet footer: sizes, counts and bounds by
//! field id (table specification, "Data File Fields").

use std::collections::HashMap;

use iceberg::spec::{DataFileBuilder, Datum, PrimitiveType, Schema, Type};
use parquet::{
    basic::Repetition,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        statistics::Statistics,
    },
    schema::types::ColumnDescriptor,
};

use super::value::datum;

/// Fills in what the footer knows: row count, split offsets, and each column's metrics.
///
/// Columns are told apart by the field ids in the file. Bounds are given for columns that are not
/// inside a list or map, and only if every row group with a value has them.
pub(super) fn describe(builder: &mut DataFileBuilder, schema: &Schema, footer: &ParquetMetaData) {
    let mut metrics: HashMap<i32, ColumnMetrics> = HashMap::new();
    for group in footer.row_groups() {
        for chunk in group.columns() {
            let Some(id) = field_id(chunk.column_descr()) else {
                continue;
            };
            metrics
                .entry(id)
                .or_default()
                .add(chunk, primitive(schema, id));
        }
    }
    let mut split_offsets: Vec<i64> = footer
        .row_groups()
        .iter()
        .filter_map(|group| group.columns().first())
        .map(|chunk| {
            let data = chunk.data_page_offset();
            chunk.dictionary_page_offset().map_or(data, |d| d.min(data))
        })
        .collect();
    split_offsets.sort_unstable();

    let collect = |of: fn(&ColumnMetrics) -> Option<u64>| -> HashMap<i32, u64> {
        let columns = metrics.iter();
        columns.filter_map(|(id, m)| Some((*id, of(m)?))).collect()
    };
    let bounds = |of: fn(&ColumnMetrics) -> Option<&Datum>| -> HashMap<i32, Datum> {
        let columns = metrics.iter();
        columns
            .filter_map(|(id, m)| Some((*id, of(m)?.clone())))
            .collect()
    };
    builder
        .record_count(footer.file_metadata().num_rows().unsigned_abs())
        .split_offsets(Some(split_offsets))
        .column_sizes(collect(|m| Some(m.size)))
        .value_counts(collect(|m| Some(m.values)))
        .null_value_counts(collect(|m| m.nulls))
        .lower_bounds(bounds(|m| m.bounds.known().map(|(min, _)| min)))
        .upper_bounds(bounds(|m| m.bounds.known().map(|(_, max)| max)));
}

#[derive(Debug)]
struct ColumnMetrics {
    size: u64,
    values: u64,
    /// `None` once a row group did not count its NULLs.
    nulls: Option<u64>,
    bounds: Bounds,
}

impl Default for ColumnMetrics {
    fn default() -> Self {
        ColumnMetrics {
            size: 0,
            values: 0,
            nulls: Some(0),
            bounds: Bounds::NoValues,
        }
    }
}

#[derive(Debug)]
enum Bounds {
    /// Only NULLs so far.
    NoValues,
    /// Smallest and largest value so far.
    Known(Datum, Datum),
    /// A row group had values and no bounds.
    Unknown,
}

impl Bounds {
    fn known(&self) -> Option<(&Datum, &Datum)> {
        match self {
            Bounds::Known(min, max) => Some((min, max)),
            Bounds::NoValues | Bounds::Unknown => None,
        }
    }
}

impl ColumnMetrics {
    fn add(&mut self, chunk: &ColumnChunkMetaData, data_type: Option<&PrimitiveType>) {
        let values = chunk.num_values().unsigned_abs();
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
        self.size += chunk.compressed_size().unsigned_abs();
        self.values += values;
        self.nulls = self.nulls.zip(nulls).map(|(sum, more)| sum + more);
        if nulls == Some(values) {
            return;
        }
        let of_chunk = data_type
            .filter(|_| !is_repeated(chunk.column_descr()))
            .and_then(|t| bounds(t, chunk.statistics()?));
        let before = std::mem::replace(&mut self.bounds, Bounds::Unknown);
        self.bounds = match (before, of_chunk) {
            (Bounds::NoValues, Some((min, max))) => Bounds::Known(min, max),
            (Bounds::Known(min, max), Some((other_min, other_max))) => Bounds::Known(
                if other_min < min { other_min } else { min },
                if other_max > max { other_max } else { max },
            ),
            _ => Bounds::Unknown,
        };
    }
}

fn field_id(column: &ColumnDescriptor) -> Option<i32> {
    let column = column.self_type().get_basic_info();
    column.has_id().then(|| column.id())
}

fn is_repeated(column: &ColumnDescriptor) -> bool {
    column.max_rep_level() > 0
        || column.self_type().get_basic_info().repetition() == Repetition::REPEATED
}

fn primitive(schema: &Schema, id: i32) -> Option<&PrimitiveType> {
    match schema.field_by_id(id)?.field_type.as_ref() {
        Type::Primitive(primitive) => Some(primitive),
        _ => None,
    }
}

/// A row group's bounds; `None` if it has none or they are not numbers.
fn bounds(data_type: &PrimitiveType, statistics: &Statistics) -> Option<(Datum, Datum)> {
    let both = |min: &[u8], max: &[u8]| Some((datum(data_type, min)?, datum(data_type, max)?));
    match (statistics, data_type) {
        (Statistics::Boolean(s), PrimitiveType::Boolean) => {
            both(&[u8::from(*s.min_opt()?)], &[u8::from(*s.max_opt()?)])
        }
        // Iceberg keeps decimals big-endian, whatever Parquet's physical type is.
        (Statistics::Int32(s), PrimitiveType::Decimal { .. }) => {
            both(&s.min_opt()?.to_be_bytes(), &s.max_opt()?.to_be_bytes())
        }
        (Statistics::Int64(s), PrimitiveType::Decimal { .. }) => {
            both(&s.min_opt()?.to_be_bytes(), &s.max_opt()?.to_be_bytes())
        }
        (Statistics::Int32(s), _) => both(&s.min_opt()?.to_le_bytes(), &s.max_opt()?.to_le_bytes()),
        (Statistics::Int64(s), _) => both(&s.min_opt()?.to_le_bytes(), &s.max_opt()?.to_le_bytes()),
        (Statistics::Float(s), _) => {
            let (min, max) = (s.min_opt()?, s.max_opt()?);
            (!min.is_nan() && !max.is_nan())
                .then(|| both(&min.to_le_bytes(), &max.to_le_bytes()))?
        }
        (Statistics::Double(s), _) => {
            let (min, max) = (s.min_opt()?, s.max_opt()?);
            (!min.is_nan() && !max.is_nan())
                .then(|| both(&min.to_le_bytes(), &max.to_le_bytes()))?
        }
        (Statistics::ByteArray(_) | Statistics::FixedLenByteArray(_), _) => {
            both(statistics.min_bytes_opt()?, statistics.max_bytes_opt()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array,
            ListArray, RecordBatch, StringArray,
        },
        datatypes::{Field, Int32Type, Schema as ArrowSchema},
    };
    use bytes::Bytes;
    use iceberg::spec::{DataContentType, DataFileFormat};
    use parquet::{
        arrow::ArrowWriter,
        file::{metadata::ParquetMetaDataReader, properties::WriterProperties},
    };

    use super::*;
    use crate::iceberg::schema::{from_arrow, to_arrow};

    /// The metrics of a file with one row group per row.
    fn metrics_of(columns: Vec<(&str, ArrayRef)>) -> iceberg::spec::DataFile {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, values)| Field::new(*name, values.data_type().clone(), true))
            .collect();
        let schema = from_arrow("t", &ArrowSchema::new(fields)).unwrap();
        let arrow = to_arrow(&schema);
        let columns = columns
            .into_iter()
            .zip(arrow.fields())
            .map(|((_, values), field)| arrow::compute::cast(&values, field.data_type()).unwrap());
        let rows = RecordBatch::try_new(arrow.clone(), columns.collect()).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(1))
            .build();
        let mut file = vec![];
        let mut writer = ArrowWriter::try_new(&mut file, arrow, Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let footer = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(file))
            .unwrap();
        let mut builder = DataFileBuilder::default();
        builder
            .content(DataContentType::Data)
            .file_format(DataFileFormat::Parquet)
            .file_path(String::new())
            .file_size_in_bytes(0);
        describe(&mut builder, &schema, &footer);
        builder.build().unwrap()
    }

    fn bounds_of(file: &iceberg::spec::DataFile, id: i32) -> Option<(String, String)> {
        let text = |bounds: &HashMap<i32, Datum>| Some(bounds.get(&id)?.to_string());
        Some((text(file.lower_bounds())?, text(file.upper_bounds())?))
    }

    #[test]
    fn bounds_and_counts_are_taken_over_all_row_groups() {
        let decimals = |precision| {
            let values = Decimal128Array::from(vec![Some(150), None, Some(-225)]);
            Arc::new(values.with_precision_and_scale(precision, 2).unwrap()) as ArrayRef
        };
        let file = metrics_of(vec![
            (
                "i",
                Arc::new(Int32Array::from(vec![Some(3), None, Some(-7)])),
            ),
            ("s", Arc::new(StringArray::from(vec!["b", "ä", "a"]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("d9", decimals(9)),
            ("d18", decimals(18)),
            ("d38", decimals(38)),
            (
                "bytes",
                Arc::new(BinaryArray::from(vec![&[1u8, 2][..], &[0], &[1]])),
            ),
            ("nulls", Arc::new(Int32Array::from(vec![None, None, None]))),
        ]);
        let pair = |min: &str, max: &str| Some((min.to_owned(), max.to_owned()));
        assert_eq!(file.record_count(), 3);
        assert_eq!(file.split_offsets().unwrap().len(), 3);
        assert_eq!(bounds_of(&file, 1), pair("-7", "3"));
        assert_eq!(bounds_of(&file, 2), pair(r#""a""#, r#""ä""#));
        assert_eq!(bounds_of(&file, 3), pair("false", "true"));
        for decimal in [4, 5, 6] {
            assert_eq!(
                bounds_of(&file, decimal),
                pair("-2.25", "1.50"),
                "{decimal}"
            );
        }
        assert_eq!(bounds_of(&file, 7), pair("00", "0102"));
        assert_eq!(bounds_of(&file, 8), None);
        assert_eq!(file.null_value_counts()[&1], 1);
        assert_eq!(file.null_value_counts()[&8], 3);
        assert_eq!(file.value_counts()[&1], 3);
        assert!(file.column_sizes()[&2] > 0);
    }

    #[test]
    fn lists_and_columns_that_are_all_nan_have_no_bounds() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), Some(2)]),
            None,
        ]);
        let file = metrics_of(vec![
            ("l", Arc::new(lists)),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN, 1.0]))),
        ]);
        let (element, nan) = (2, 3);
        assert_eq!(bounds_of(&file, element), None);
        assert_eq!(file.value_counts()[&element], 3);
        assert_eq!(
            bounds_of(&file, nan),
            None,
            "a row group with NaN alone has no bounds"
        );
    }
}
