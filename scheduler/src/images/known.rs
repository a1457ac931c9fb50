//! Which objects the tables hold already.

use std::collections::HashSet;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::StreamExt;
use shoal_lake::{ImageObject, UNREADABLE};

use super::Run;
use crate::error::{Result, StatementError};

impl Run {
    /// Objects that some run has taken in or rejected. One that could not be read is tried again.
    pub(super) async fn known(&self) -> Result<HashSet<u128>> {
        let sql = format!(
            "SELECT filename, size, created_at FROM {} UNION ALL \
             SELECT path, size, created_at FROM {} WHERE reason <> '{UNREADABLE}'",
            self.images.to_sql(),
            self.rejected.to_sql()
        );
        self.fingerprints(&sql).await
    }

    /// The objects whose name, size and time the query answers with.
    pub(super) async fn fingerprints(&self, sql: &str) -> Result<HashSet<u128>> {
        let execution = self
            .by
            .statements
            .execute(&self.by.session, sql, None)
            .await?;
        let mut rows = execution.rows;
        let mut found = HashSet::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(StatementError::from_stream)?;
            let names = batch.column(0).as_string_opt::<i32>();
            let sizes = batch.column(1).as_primitive_opt::<Int64Type>();
            let times = batch
                .column(2)
                .as_primitive_opt::<TimestampMicrosecondType>();
            let (Some(names), Some(sizes), Some(times)) = (names, sizes, times) else {
                return Err(StatementError::Invalid(format!(
                    "COPY INTO needs the columns filename STRING, size BIGINT and created_at TIMESTAMP, \
                     but the table has {}",
                    batch.schema()
                )));
            };
            found.extend(
                (0..batch.num_rows())
                    .map(|row| fingerprint(names.value(row), sizes.value(row), times.value(row))),
            );
        }
        Ok(found)
    }
}

/// What stands for the object in a set of known ones.
pub(super) fn fingerprint_of(object: &ImageObject) -> u128 {
    fingerprint(&object.url(), object.size(), object.modified_micros())
}

/// Of an object's name, size and time.
fn fingerprint(name: &str, size: i64, micros: i64) -> u128 {
    crate::append::fingerprint(&[name.as_bytes(), &size.to_le_bytes(), &micros.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_size_and_time_each_tell_objects_apart() {
        let all = [
            fingerprint("a", 1, 1),
            fingerprint("b", 1, 1),
            fingerprint("a", 2, 1),
            fingerprint("a", 1, 2),
        ];
        assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 4);
    }
}
