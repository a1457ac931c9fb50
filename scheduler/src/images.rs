//! `COPY INTO … FILEFORMAT = IMAGE`: the objects below a prefix become rows of an images table.
//!
//! Objects are taken in chunks, one commit each, so a run that is killed loses at most the chunk it was
//! at, and the next run goes on from there. What an earlier run has taken in or rejected is left out
//! by name, size and time of last change. An object that is no usable picture becomes a row of
//! the table's `…_rejected` neighbour, with the reason; it never stops the run.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::StreamExt;
use shoal_config::Placement;
use shoal_engine::parser::{CopyImages, Name};
use shoal_engine::{Session, copy_schema, location_url};
use shoal_lake::{ImageFiles, ImageObject, UNREADABLE, image_limits, list_images};
use shoal_udfs::probe::Limits;
use url::Url;

use crate::error::{Result, StatementError};
use crate::queries::RunningQuery;
use crate::statement::{CopyProgress, Execution};
use crate::statements::Statements;

/// Objects and bytes of one commit. The objects' names travel inside a plan, so their number is bounded.
const CHUNK_OBJECTS: usize = 5_000;
const CHUNK_BYTES: u64 = 4 << 30;

/// Columns of the images table, in the order they are written.
const IMAGE_COLUMNS: &str = "id STRING, filename STRING, content BINARY, mime_type STRING, size BIGINT, \
     created_at TIMESTAMP, metadata STRUCT<width: INT, height: INT, channels: INT, format: STRING>, \
     ingestion_time TIMESTAMP";
/// Columns of the table of rejected objects.
const REJECTED_COLUMNS: &str = "path STRING, size BIGINT, created_at TIMESTAMP, reason STRING, \
     detail STRING, ingestion_time TIMESTAMP";

impl Statements {
    /// Starts a `COPY INTO`; it answers with one row of totals.
    pub(crate) fn start_copy(
        &self,
        session: &Arc<Session>,
        sql: &str,
        copy: CopyImages,
    ) -> Execution {
        let distributed = session.query_settings().placement != Placement::Local;
        let query = self.begin(session, sql, distributed);
        let (statements, session) = (self.clone(), Arc::clone(session));
        self.in_background(query, copy_schema(), |query| async move {
            let prepared = tokio::select! {
                prepared = Copy::prepare(&statements, &session, &copy) => prepared?,
                () = query.cancel.cancelled() => {
                    return Err(StatementError::Cancelled { id: query.id.clone() });
                }
            };
            prepared.run(&statements, &session, &query).await
        })
    }
}

/// One run, once its objects are known.
struct Copy {
    source: Url,
    images: Name,
    rejected: Name,
    limits: Limits,
    started: DateTime<Utc>,
    fresh: Vec<ImageObject>,
    totals: CopyProgress,
}

impl Copy {
    /// Makes the tables if they are missing, lists the objects, and leaves out those already taken in.
    async fn prepare(
        statements: &Statements,
        session: &Arc<Session>,
        copy: &CopyImages,
    ) -> Result<Self> {
        if let Some(option) = copy.options.keys().next() {
            return Err(StatementError::Invalid(format!(
                "COPY INTO {} has no option {option:?} for FILEFORMAT = IMAGE; leave OPTIONS out",
                copy.table
            )));
        }
        let engine = statements.engine();
        let source = location_url(&copy.source)?;
        let rejected = copy.table.with_suffix("_rejected");
        for (table, columns) in [(&copy.table, IMAGE_COLUMNS), (&rejected, REJECTED_COLUMNS)] {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} ({columns}) USING DELTA \
                 PARTITIONED BY (date_partition STRING)",
                table.to_sql()
            );
            statements
                .execute(session, &sql, None)
                .await?
                .affected()
                .await?;
        }
        let listed = list_images(engine.lake().stores(), &source)
            .await
            .map_err(shoal_engine::EngineError::from)?;
        let files = listed.len() as u64;
        let known = known(statements, session, &copy.table, &rejected).await?;
        let fresh: Vec<ImageObject> = listed
            .into_iter()
            .filter(|object| !known.contains(&fingerprint_of(object)))
            .collect();
        Ok(Copy {
            source,
            images: copy.table.clone(),
            rejected,
            limits: image_limits(&engine.settings().images),
            started: Utc::now(),
            totals: CopyProgress {
                files,
                done: files - fresh.len() as u64,
                unchanged: files - fresh.len() as u64,
                total_bytes: fresh.iter().map(|object| object.meta.size).sum(),
                ..CopyProgress::default()
            },
            fresh,
        })
    }

    /// Takes the objects in, chunk by chunk, and answers with the totals.
    async fn run(
        mut self,
        statements: &Statements,
        session: &Arc<Session>,
        query: &RunningQuery,
    ) -> Result<RecordBatch> {
        query.progress.set_copy(self.totals);
        for chunk in chunks(std::mem::take(&mut self.fresh)) {
            let bytes: u64 = chunk.iter().map(|object| object.meta.size).sum();
            let objects = chunk.len() as u64;
            let ingested = self
                .write_images(statements, session, query, &chunk)
                .await?;
            self.totals.ingested += ingested;
            if ingested < objects {
                let rest = self.not_taken_in(statements, session, chunk).await?;
                self.totals.rejected += self
                    .write_rejected(statements, session, query, rest)
                    .await?;
            }
            self.totals.done += objects;
            self.totals.bytes += bytes;
            query.progress.set_copy(self.totals);
        }
        let count = |n: u64| {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            Arc::new(Int64Array::from(vec![n])) as arrow::array::ArrayRef
        };
        let totals = &self.totals;
        let columns = vec![
            count(totals.files),
            count(totals.ingested),
            count(totals.rejected),
            count(totals.unchanged),
            count(totals.bytes),
        ];
        RecordBatch::try_new(copy_schema(), columns)
            .map_err(|error| StatementError::Invalid(error.to_string()))
    }

    async fn write_images(
        &self,
        statements: &Statements,
        session: &Arc<Session>,
        query: &RunningQuery,
        chunk: &[ImageObject],
    ) -> Result<u64> {
        let columns = [
            col("id"),
            col("filename"),
            col("content"),
            col("mime_type"),
            col("size"),
            col("created_at"),
            col("metadata"),
        ];
        let rows = self.rows(chunk.to_vec(), col("reason").is_null(), columns)?;
        let write = session.plan_append(&self.images, rows).await?;
        statements.write(query, write).await
    }

    async fn write_rejected(
        &self,
        statements: &Statements,
        session: &Arc<Session>,
        query: &RunningQuery,
        objects: Vec<ImageObject>,
    ) -> Result<u64> {
        let columns = [
            col("filename").alias("path"),
            col("size"),
            col("created_at"),
            col("reason"),
            col("detail"),
        ];
        let rows = self.rows(objects, col("reason").is_not_null(), columns)?;
        let write = session.plan_append(&self.rejected, rows).await?;
        statements.write(query, write).await
    }

    /// The objects as rows of a table, those for which the condition is true.
    fn rows<const N: usize>(
        &self,
        objects: Vec<ImageObject>,
        condition: Expr,
        columns: [Expr; N],
    ) -> Result<LogicalPlan> {
        let files = ImageFiles::new(self.source.clone(), objects, self.limits);
        let now = ScalarValue::TimestampMicrosecond(
            Some(self.started.timestamp_micros()),
            Some("UTC".into()),
        );
        let today = self.started.format("%Y-%m-%d").to_string();
        let mut selected = columns.to_vec();
        selected.push(lit(now).alias("ingestion_time"));
        selected.push(lit(today).alias("date_partition"));
        LogicalPlanBuilder::scan("objects", provider_as_source(Arc::new(files)), None)
            .and_then(|plan| plan.filter(condition))
            .and_then(|plan| plan.project(selected))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| StatementError::Invalid(error.strip_backtrace()))
    }

    /// The objects of the chunk that are not in the images table now.
    async fn not_taken_in(
        &self,
        statements: &Statements,
        session: &Arc<Session>,
        chunk: Vec<ImageObject>,
    ) -> Result<Vec<ImageObject>> {
        let sql = format!(
            "SELECT filename, size, created_at FROM {} WHERE date_partition = '{}' AND \
             ingestion_time = TIMESTAMP '{}'",
            self.images.to_sql(),
            self.started.format("%Y-%m-%d"),
            self.started.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
        );
        let taken = fingerprints(statements, session, &sql).await?;
        Ok(chunk
            .into_iter()
            .filter(|object| !taken.contains(&fingerprint_of(object)))
            .collect())
    }
}

/// Objects that an earlier run has taken in or rejected. One that could not be read is tried again.
async fn known(
    statements: &Statements,
    session: &Arc<Session>,
    images: &Name,
    rejected: &Name,
) -> Result<HashSet<u128>> {
    let sql = format!(
        "SELECT filename, size, created_at FROM {} UNION ALL \
         SELECT path, size, created_at FROM {} WHERE reason <> '{UNREADABLE}'",
        images.to_sql(),
        rejected.to_sql()
    );
    fingerprints(statements, session, &sql).await
}

async fn fingerprints(
    statements: &Statements,
    session: &Arc<Session>,
    sql: &str,
) -> Result<HashSet<u128>> {
    let mut rows = statements.execute(session, sql, None).await?.rows;
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

fn fingerprint_of(object: &ImageObject) -> u128 {
    let size = i64::try_from(object.meta.size).unwrap_or(i64::MAX);
    fingerprint(&object.url, size, object.modified_micros())
}

/// 128 bits that stand for an object's name, size and time: millions of them fit into memory.
fn fingerprint(name: &str, size: i64, micros: i64) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&size.to_le_bytes());
    hasher.update(&micros.to_le_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

fn chunks(objects: Vec<ImageObject>) -> Vec<Vec<ImageObject>> {
    let mut chunks: Vec<Vec<ImageObject>> = Vec::new();
    let mut bytes = 0;
    for object in objects {
        let full = chunks.last().is_none_or(|chunk| {
            chunk.len() >= CHUNK_OBJECTS || bytes + object.meta.size > CHUNK_BYTES
        });
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += object.meta.size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(object);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectMeta, path::Path};

    use super::*;

    fn object(name: &str, size: u64) -> ImageObject {
        ImageObject {
            url: format!("file:///{name}"),
            meta: ObjectMeta {
                location: Path::from(name),
                last_modified: DateTime::UNIX_EPOCH,
                size,
                e_tag: None,
                version: None,
            },
        }
    }

    #[test]
    fn a_chunk_is_bounded_by_bytes_and_by_number() {
        let big = vec![object("a", CHUNK_BYTES - 1), object("b", 1), object("c", 1)];
        let lengths: Vec<usize> = chunks(big).iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
        let many = (0..CHUNK_OBJECTS + 1).map(|n| object(&n.to_string(), 1));
        let lengths: Vec<usize> = chunks(many.collect()).iter().map(Vec::len).collect();
        assert_eq!(lengths, [CHUNK_OBJECTS, 1]);
    }

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
