//! Which partition each row belongs to, and the directory of a partition.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array},
    compute::{CastOptions, cast_with_options, take_record_batch},
    util::display::FormatOptions,
};

use datafusion::common::ScalarValue;

use crate::{
    error::{LakeError, Result},
    table::{Format, PartitionField, Transform},
    write::spec::WriteSpec,
};

/// Partition values in text form by field name; `None` is NULL.
pub(crate) type PartitionKey = Vec<(String, Option<String>)>;

/// Name that Hive, Spark and Delta give to the directory of NULL.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

/// Splits the rows by partition. An unpartitioned table has one partition with no values.
pub(crate) fn split(
    spec: &WriteSpec,
    batch: &RecordBatch,
) -> Result<Vec<(PartitionKey, RecordBatch)>> {
    if spec.partition_by.is_empty() {
        return Ok(vec![(vec![], batch.clone())]);
    }
    let values = spec
        .partition_by
        .iter()
        .map(|field| partition_texts(spec, field, batch))
        .collect::<Result<Vec<StringArray>>>()?;
    let mut rows_of: BTreeMap<Vec<Option<&str>>, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let key = values
            .iter()
            .map(|v| v.is_valid(row).then(|| v.value(row)))
            .collect();
        rows_of.entry(key).or_default().push(row as u32);
    }
    let single = rows_of.len() == 1;
    rows_of
        .into_iter()
        .map(|(key, rows)| {
            let key = spec
                .partition_by
                .iter()
                .zip(key)
                .map(|(field, value)| (field.name.clone(), value.map(str::to_string)))
                .collect();
            let rows = match single {
                true => batch.clone(),
                false => take_record_batch(batch, &UInt32Array::from(rows))?,
            };
            Ok((key, rows))
        })
        .collect()
}

/// A partition field's values as text, one per row.
fn partition_texts(
    spec: &WriteSpec,
    field: &PartitionField,
    batch: &RecordBatch,
) -> Result<StringArray> {
    let position = spec.schema.index_of(&field.source)?;
    let source = batch.column(position);
    let values = match field.transform {
        Transform::Identity => source.clone(),
        _ => crate::transform::apply(field.transform, source)?,
    };
    let texts = to_text(&values)?;
    Ok(match spec.format {
        // The protocol has no empty text: it means NULL.
        Format::Delta => texts
            .iter()
            .map(|text| text.filter(|t| !t.is_empty()))
            .collect(),
        Format::Iceberg => texts,
    })
}

/// Values in the text form of Delta's "Partition Value Serialization": timestamps in UTC with
/// microseconds.
pub(crate) fn to_text(values: &ArrayRef) -> Result<StringArray> {
    let options = CastOptions {
        safe: false,
        format_options: FormatOptions::new()
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
            .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f")),
    };
    let texts = cast_with_options(values, &arrow::datatypes::DataType::Utf8, &options)?;
    let texts: Arc<dyn Array> = texts;
    let texts = texts
        .as_any()
        .downcast_ref::<StringArray>()
        .ok_or_else(|| LakeError::Invalid("partition values are not text".into()))?;
    Ok(texts.clone())
}

/// One partition value in the text form of [`WriteMode::OverwritePartition`](crate::WriteMode), where
/// empty text means NULL.
pub fn partition_text(value: &ScalarValue) -> Result<Option<String>> {
    let texts = to_text(&value.to_array()?)?;
    let text = texts.iter().next().flatten();
    Ok(text.filter(|t| !t.is_empty()).map(str::to_string))
}

/// The directory of a partition below the table's, with a slash at the end; empty when unpartitioned.
pub(crate) fn directory(key: &PartitionKey) -> String {
    key.iter()
        .map(|(name, value)| {
            let value = value.as_deref().map_or(NULL_DIRECTORY.into(), escape);
            format!("{}={value}/", escape(name))
        })
        .collect()
}

/// Hive's escaping of directory names, as Spark does it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || "\"#%'*/:=?\\{[]^".contains(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    #[test]
    fn directories_are_escaped_as_spark_does() {
        let key = vec![
            ("d".to_string(), Some("2024/01 é:x".to_string())),
            ("e".to_string(), None),
        ];
        assert_eq!(
            directory(&key),
            "d=2024%2F01 é%3Ax/e=__HIVE_DEFAULT_PARTITION__/"
        );
    }

    #[test]
    fn partition_texts_follow_the_delta_protocol() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None]));
        let texts = to_text(&dates).unwrap();
        assert_eq!(texts.value(0), "1970-01-01");
        assert!(texts.is_null(1));
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"));
        assert_eq!(
            to_text(&times).unwrap().value(0),
            "1970-01-01 00:00:01.500000"
        );
    }
}
