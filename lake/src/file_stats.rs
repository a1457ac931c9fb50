//! The statistics of all files of a snapshot as columns: what pruning and the optimizer read.
//!
//! Built once per snapshot from the files' JSON statistics by Arrow's JSON reader, so that
//! pruning fifty thousand files is a handful of vectorised comparisons. A file whose statistics are
//! missing or unreadable has NULL everywhere, which means "may contain anything".

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, StructArray, UInt64Array,
    },
    compute::{CastOptions, cast_with_options, kernels::zip::zip},
    datatypes::{DataType, Field, Fields, Int64Type, Schema, TimeUnit, TimestampMicrosecondType},
    json::ReaderBuilder,
};
use datafusion::common::{
    Column, ColumnStatistics, ScalarValue, Statistics, pruning::PruningStatistics, stats::Precision,
};
use datafusion_functions_aggregate_common::min_max::{max_batch, min_batch};

use crate::{data_file::DataFile, snapshot::Snapshot};

/// Delta truncates timestamps in statistics to milliseconds, so a maximum may be short by this much.
const TIMESTAMP_SLACK_MICROS: i64 = 999;

/// Per-file minimum, maximum and null count of each column; row `i` of every array is file `i`.
#[derive(Debug)]
pub(crate) struct FileStats {
    files: usize,
    rows: UInt64Array,
    columns: HashMap<String, ColumnFileStats>,
}

#[derive(Debug, Clone)]
struct ColumnFileStats {
    min: ArrayRef,
    max: ArrayRef,
    null_count: UInt64Array,
    /// Minimum and maximum are values that occur, not just bounds.
    exact: bool,
}

impl FileStats {
    /// Reads the statistics of all of the snapshot's files.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let files = snapshot.files();
        let outside = snapshot.columns_outside_files();
        let fields: Vec<&Arc<Field>> = snapshot
            .schema()
            .fields()
            .iter()
            .filter(|f| !outside.contains(&f.name().as_str()))
            .collect();
        let parsed = parse(files, &fields);
        let rows = row_counts(files, &parsed);
        let mut columns = HashMap::new();
        for field in &fields {
            if let Some(stats) = column_stats(&parsed, field) {
                columns.insert(field.name().clone(), stats);
            }
        }
        for partition in snapshot.partition_by() {
            let values =
                partition_array(files, &partition.name, &snapshot.partition_type(partition));
            let own = columns.remove(&partition.name);
            let stats = partition_stats(files, &partition.name, values, &rows, own);
            columns.insert(partition.name.clone(), stats);
        }
        FileStats {
            files: files.len(),
            rows,
            columns,
        }
    }

    /// Statistics of the chosen files taken together, one [`ColumnStatistics`] per field of `schema`.
    pub(crate) fn summary(&self, schema: &Schema, chosen: &[usize], bytes: u64) -> Statistics {
        let all_rows_known = chosen.iter().all(|&i| self.rows.is_valid(i));
        let num_rows = match all_rows_known {
            true => {
                Precision::Exact(chosen.iter().map(|&i| self.rows.value(i)).sum::<u64>() as usize)
            }
            false => Precision::Absent,
        };
        let indices = UInt64Array::from_iter_values(chosen.iter().map(|&i| i as u64));
        let column_statistics = schema
            .fields()
            .iter()
            .map(|field| match self.columns.get(field.name()) {
                Some(stats) => stats.summary(&indices).unwrap_or_default(),
                None => ColumnStatistics::new_unknown(),
            })
            .collect();
        Statistics {
            num_rows,
            total_byte_size: Precision::Inexact(bytes as usize),
            column_statistics,
        }
    }

    /// How many rows a file has, if that is known.
    pub(crate) fn row_count(&self, file: usize) -> Option<u64> {
        let known = file < self.rows.len() && self.rows.is_valid(file);
        known.then(|| self.rows.value(file))
    }

    /// The values of a partition field, one per file.
    pub(crate) fn partition_values(&self, field: &str) -> Option<&ArrayRef> {
        self.columns.get(field).map(|c| &c.min)
    }
}

impl ColumnFileStats {
    fn summary(&self, chosen: &UInt64Array) -> Option<ColumnStatistics> {
        let take = |array: &dyn Array| arrow::compute::take(array, chosen, None).ok();
        let null_count = take(&self.null_count)?;
        let null_count = null_count.as_primitive_opt::<arrow::datatypes::UInt64Type>()?;
        let nulls = match null_count.null_count() {
            0 => Precision::Exact(null_count.values().iter().sum::<u64>() as usize),
            _ => Precision::Absent,
        };
        let (min, max) = (take(&self.min)?, take(&self.max)?);
        // A file without bounds may hold anything, unless it is known to hold only NULLs there.
        if min.null_count() > 0 || max.null_count() > 0 || min.is_empty() {
            return Some(ColumnStatistics {
                null_count: nulls,
                ..ColumnStatistics::new_unknown()
            });
        }
        let precision = |value: ScalarValue| match self.exact {
            true => Precision::Exact(value),
            false => Precision::Inexact(value),
        };
        Some(ColumnStatistics {
            null_count: nulls,
            min_value: precision(min_batch(&min).ok()?),
            max_value: precision(max_batch(&max).ok()?),
            ..ColumnStatistics::new_unknown()
        })
    }
}

impl PruningStatistics for FileStats {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(&column.name).map(|c| c.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(&column.name).map(|c| c.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.files
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.columns
            .get(&column.name)
            .map(|c| Arc::new(c.null_count.clone()) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows.clone()))
    }

    fn contained(
        &self,
        _column: &Column,
        _values: &std::collections::HashSet<ScalarValue>,
    ) -> Option<BooleanArray> {
        None
    }
}

/// Types whose minimum and maximum stand in file statistics.
fn has_bounds(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(_, _)
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::Boolean
    )
}

/// Whether the bounds of that type are values that occur: text may be cut, timestamps are rounded,
/// and floating-point bounds say nothing of NaN and negative zero.
fn has_exact_bounds(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Decimal128(_, _)
            | DataType::Date32
            | DataType::Boolean
    )
}

/// The schema of the JSON statistics: `numRecords`, `minValues`, `maxValues`, `nullCount`.
fn stats_schema(fields: &[&Arc<Field>]) -> Arc<Schema> {
    let bounds: Fields = fields
        .iter()
        .filter(|f| has_bounds(f.data_type()))
        .map(|f| Field::new(f.name(), f.data_type().clone(), true))
        .collect();
    let nulls: Fields = fields
        .iter()
        .filter(|f| !f.data_type().is_nested())
        .map(|f| Field::new(f.name(), DataType::Int64, true))
        .collect();
    Arc::new(Schema::new(vec![
        Field::new("numRecords", DataType::Int64, true),
        Field::new("minValues", DataType::Struct(bounds.clone()), true),
        Field::new("maxValues", DataType::Struct(bounds), true),
        Field::new("nullCount", DataType::Struct(nulls), true),
    ]))
}

fn parse(files: &[Arc<DataFile>], fields: &[&Arc<Field>]) -> StructArray {
    let schema = stats_schema(fields);
    let texts: Vec<&str> = files
        .iter()
        .map(|f| f.stats.as_deref().unwrap_or("{}"))
        .collect();
    if let Some(parsed) = decode(&schema, &texts) {
        return parsed;
    }
    // Some file's statistics are unreadable: find out which, and go on without those.
    let readable: Vec<&str> = texts
        .iter()
        .map(|text| match decode(&schema, &[*text]) {
            Some(_) => *text,
            None => "{}",
        })
        .collect();
    decode(&schema, &readable)
        .unwrap_or_else(|| StructArray::new_null(schema.fields().clone(), files.len()))
}

/// One row per text, or `None` if any is not statistics of that schema.
fn decode(schema: &Arc<Schema>, texts: &[&str]) -> Option<StructArray> {
    if texts.is_empty() {
        return Some(StructArray::new_null(schema.fields().clone(), 0));
    }
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(texts.len())
        .build_decoder()
        .ok()?;
    for text in texts {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let read = decoder.decode(rest).ok()?;
            if read == 0 {
                break;
            }
            rest = &rest[read..];
        }
        decoder.decode(b"\n").ok()?;
    }
    let batch = decoder.flush().ok()??;
    (batch.num_rows() == texts.len()).then(|| batch.into())
}

fn row_counts(files: &[Arc<DataFile>], parsed: &StructArray) -> UInt64Array {
    let recorded: Option<&Int64Array> = parsed
        .column_by_name("numRecords")
        .and_then(|c| c.as_primitive_opt::<Int64Type>());
    files
        .iter()
        .enumerate()
        .map(|(i, file)| {
            file.rows.or_else(|| {
                recorded
                    .filter(|r| r.is_valid(i))
                    .and_then(|r| u64::try_from(r.value(i)).ok())
            })
        })
        .collect()
}

fn column_stats(parsed: &StructArray, field: &Field) -> Option<ColumnFileStats> {
    let member = |group: &str| {
        parsed
            .column_by_name(group)?
            .as_struct_opt()?
            .column_by_name(field.name())
            .cloned()
    };
    let null_count: UInt64Array = member("nullCount")?
        .as_primitive_opt::<Int64Type>()?
        .iter()
        .map(|n| n.and_then(|n| u64::try_from(n).ok()))
        .collect();
    let none = || arrow::array::new_null_array(field.data_type(), parsed.len());
    let max = member("maxValues").unwrap_or_else(none);
    let max = match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let rounded_up = max
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .unary::<_, TimestampMicrosecondType>(|t| {
                t.saturating_add(TIMESTAMP_SLACK_MICROS)
            });
            Arc::new(rounded_up.with_timezone_opt(zone.clone())) as ArrayRef
        }
        _ => max,
    };
    Some(ColumnFileStats {
        min: member("minValues").unwrap_or_else(none),
        max,
        null_count,
        exact: has_exact_bounds(field.data_type()),
    })
}

/// Statistics of a partition field, exact since a file's rows share its value.
///
/// A file that was written before the table was partitioned by this field has no value for it: it
/// keeps the statistics it has `own`, if the field is a column of the files.
fn partition_stats(
    files: &[Arc<DataFile>],
    field: &str,
    values: ArrayRef,
    rows: &UInt64Array,
    own: Option<ColumnFileStats>,
) -> ColumnFileStats {
    let has_value: BooleanArray = files
        .iter()
        .map(|file| Some(file.partition.contains_key(field)))
        .collect();
    let of_partition = |i: usize| match values.is_null(i) {
        true => rows.is_valid(i).then(|| rows.value(i)),
        false => Some(0),
    };
    let own_nulls = |i: usize| {
        let counts = &own.as_ref()?.null_count;
        counts.is_valid(i).then(|| counts.value(i))
    };
    let null_count = (0..files.len())
        .map(|i| match has_value.value(i) {
            true => of_partition(i),
            false => own_nulls(i),
        })
        .collect();
    let or_own = |own: Option<&ArrayRef>| {
        own.and_then(|own| zip(&has_value, &values, own).ok())
            .unwrap_or_else(|| values.clone())
    };
    ColumnFileStats {
        min: or_own(own.as_ref().map(|own| &own.min)),
        max: or_own(own.as_ref().map(|own| &own.max)),
        null_count,
        exact: has_value.false_count() == 0 || own.as_ref().is_some_and(|own| own.exact),
    }
}

/// A partition field's values as an array of its type; a value that is not of that type is NULL.
fn partition_array(files: &[Arc<DataFile>], name: &str, data_type: &DataType) -> ArrayRef {
    let texts: StringArray = files
        .iter()
        .map(|f| f.partition.get(name).and_then(|v| v.as_deref()))
        .collect();
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(&texts, data_type, &options)
        .unwrap_or_else(|_| arrow::array::new_null_array(data_type, files.len()))
}
