//! One data file of a table, and the form in which executors report the files they wrote.
//!
//! A file's column statistics are kept as JSON in the shape of Delta's
//! [per-file statistics](https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics):
//! `{"numRecords": n, "minValues": {…}, "maxValues": {…}, "nullCount": {…}}`, keyed by column name.
//! Every adapter translates to and from that shape, so that pruning is written once.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

use crate::error::{LakeError, Result};

/// A data file that belongs to a snapshot, or was just written and waits to be committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path relative to the table's directory, not URL-encoded; or an absolute URL.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, milliseconds since 1970.
    pub modified_ms: i64,
    /// Partition values in the text form of Delta's
    /// [partition value serialization](https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization),
    /// by partition field name; `None` is NULL.
    pub partition: BTreeMap<String, Option<String>>,
    /// Column statistics as JSON, see the module's page.
    pub stats: Option<String>,
    /// Rows in the file, if known.
    pub rows: Option<u64>,
}

/// Columns of the batches in which a writer node reports the files it wrote: one JSON text per file.
pub static WRITTEN_FILES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![Field::new(
        "data_file",
        DataType::Utf8,
        false,
    )]))
});

/// The batch that reports `files`.
pub fn encode_files(files: &[DataFile]) -> Result<RecordBatch> {
    let rows = files
        .iter()
        .map(|file| serde_json::to_string(file).map_err(|e| LakeError::Invalid(e.to_string())))
        .collect::<Result<Vec<String>>>()?;
    let column: ArrayRef = Arc::new(StringArray::from(rows));
    Ok(RecordBatch::try_new(
        WRITTEN_FILES_SCHEMA.clone(),
        vec![column],
    )?)
}

/// The files that a batch from a writer node reports.
pub fn decode_files(batch: &RecordBatch) -> Result<Vec<DataFile>> {
    let column = batch
        .columns()
        .first()
        .and_then(|c| c.as_any().downcast_ref::<StringArray>())
        .ok_or_else(|| {
            LakeError::Invalid(format!(
                "a writer reported {} where one text column of data files was expected",
                batch.schema()
            ))
        })?;
    (0..column.len())
        .map(|row| {
            serde_json::from_str(column.value(row)).map_err(|e| {
                LakeError::Invalid(format!(
                    "a writer reported a data file that is unreadable: {e}"
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_files_survive_the_way_from_executor_to_scheduler() {
        let file = DataFile {
            path: "d=2024-01-01/part.parquet".into(),
            size: 12,
            modified_ms: 3,
            partition: BTreeMap::from([("d".to_string(), Some("2024-01-01".to_string()))]),
            stats: Some(r#"{"numRecords":1}"#.into()),
            rows: Some(1),
        };
        let batch = encode_files(std::slice::from_ref(&file)).unwrap();
        assert_eq!(decode_files(&batch).unwrap(), vec![file]);
    }
}
