//! Column statistics of a written file, from its Parquet footer, in the JSON of
//! [`DataFile`](crate::data_file::DataFile).

use arrow::{
    array::{Array, ArrayRef},
    compute::concat,
    datatypes::Schema,
    temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime},
};
use datafusion::common::ScalarValue;
use datafusion_functions_aggregate_common::min_max::{max_batch, min_batch};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData,
};
use serde_json::{Map, Value, json};

use crate::error::Result;

/// The file's statistics: row count, and for each column at the top level its bounds and null count.
pub(crate) fn json_stats(schema: &Schema, metadata: &ParquetMetaData) -> Result<String> {
    let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
    let parquet_schema = metadata.file_metadata().schema_descr();
    for field in schema.fields() {
        if field.data_type().is_nested() {
            continue;
        }
        let converter = StatisticsConverter::try_new(field.name(), schema, parquet_schema)?;
        if let Some(count) = null_count(&converter, metadata)? {
            nulls.insert(field.name().clone(), json!(count));
        }
        let groups = || metadata.row_groups().iter();
        let min = bound(converter.row_group_mins(groups())?, min_batch)?;
        let max = bound(converter.row_group_maxes(groups())?, max_batch)?;
        if let (Some(min), Some(max)) = (min, max) {
            mins.insert(field.name().clone(), min);
            maxs.insert(field.name().clone(), max);
        }
    }
    Ok(json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": mins,
        "maxValues": maxs,
        "nullCount": nulls,
    })
    .to_string())
}

fn null_count(
    converter: &StatisticsConverter<'_>,
    metadata: &ParquetMetaData,
) -> Result<Option<u64>> {
    let counts = converter.row_group_null_counts(metadata.row_groups().iter())?;
    Ok((counts.null_count() == 0).then(|| counts.values().iter().sum()))
}

/// The bound over all row groups; `None` if a row group has none (all NULL, or not recorded).
fn bound(
    per_group: ArrayRef,
    combine: fn(&ArrayRef) -> datafusion::error::Result<ScalarValue>,
) -> Result<Option<Value>> {
    let per_group = concat(&[per_group.as_ref()])?;
    if per_group.is_empty() || per_group.null_count() > 0 {
        return Ok(None);
    }
    Ok(json_value(&combine(&per_group)?))
}

/// A bound as JSON (protocol section "Per-file Statistics"); `None` where JSON cannot say it exactly.
pub(crate) fn json_value(value: &ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => json!(v),
        ScalarValue::Int16(Some(v)) => json!(v),
        ScalarValue::Int32(Some(v)) => json!(v),
        ScalarValue::Int64(Some(v)) => json!(v),
        ScalarValue::Float32(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Float64(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Boolean(Some(v)) => json!(v),
        ScalarValue::Utf8(Some(v)) => json!(v),
        ScalarValue::Date32(Some(days)) => {
            json!(date32_to_datetime(*days)?.format("%Y-%m-%d").to_string())
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let time = timestamp_us_to_datetime(*micros)?;
            let text = time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
            json!(match zone {
                Some(_) => text + "Z",
                None => text,
            })
        }
        ScalarValue::Decimal128(Some(_), _, scale) if *scale >= 0 => exact_number(value)?,
        _ => return None,
    })
}

/// A decimal as a JSON number, if a double holds it without loss.
fn exact_number(decimal: &ScalarValue) -> Option<Value> {
    let text = decimal.to_string();
    let number: f64 = text.parse().ok()?;
    let plain = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text.as_str(),
    };
    (format!("{number}") == plain).then(|| json!(number))
}
