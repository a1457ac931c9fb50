//! `COPY INTO … FILEFORMAT = IMAGE`: the objects below a prefix become rows of an images table.
//!
//! Objects are taken in chunks, one commit each, so a run that is killed loses at most the chunk it was
//! at, and the next run goes on from there. What an earlier run has taken in or rejected is left out
//! by name, size and time of last change, and so is what another run takes in at the same time. An object that is no usable picture becomes a row of
//! the table's `…_rejected` neighbour, with the reason; it never stops the run.

mod known;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use shoal_config::Placement;
use shoal_engine::parser::{CopyImages, Name};
use shoal_engine::{EngineError, Session, WritePlan, copy_schema, location_url};
use shoal_images::probe::Limits;
use shoal_lake::{ImageFiles, ImageObject, Wanted, image_limits, list_images};
use url::Url;

use self::known::fingerprint_of;
use crate::append::{Conductor, Items, Target};
use crate::error::{Result, StatementError};
use crate::statement::{CopyProgress, Execution};
use crate::statements::Statements;

/// Objects and bytes of one commit: what a killed run loses at most, and what progress is reported by.
/// The objects' names travel inside a plan.
const CHUNK_OBJECTS: usize = 5_000;
const CHUNK_BYTES: u64 = 1 << 30;

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
            let run = Run {
                images: copy.table.clone(),
                rejected: copy.table.with_suffix("_rejected"),
                by: Conductor {
                    statements,
                    session,
                    query,
                },
            };
            let query = &run.by.query;
            let prepared = tokio::select! {
                prepared = Copy::prepare(&run, &copy) => prepared?,
                () = query.cancel.cancelled() => {
                    return Err(StatementError::Cancelled { id: query.id.clone() });
                }
            };
            prepared.run(&run).await
        })
    }
}

/// On whose behalf a run happens, and where it puts what it finds.
struct Run {
    by: Conductor,
    images: Name,
    rejected: Name,
}

/// A run once its objects are known.
struct Copy {
    source: Url,
    images: Target,
    rejected: Target,
    limits: Limits,
    started: DateTime<Utc>,
    fresh: Vec<ImageObject>,
    totals: CopyProgress,
}

impl Copy {
    /// Makes the tables if they are missing, lists the objects, and leaves out those already taken in.
    async fn prepare(run: &Run, copy: &CopyImages) -> Result<Self> {
        if let Some(option) = copy.options.keys().next() {
            return Err(StatementError::Invalid(format!(
                "COPY INTO {} has no option {option:?} for FILEFORMAT = IMAGE; leave OPTIONS out",
                copy.table
            )));
        }
        let engine = run.by.statements.engine();
        let source = location_url(&copy.source)?;
        for (table, columns) in [
            (&run.images, IMAGE_COLUMNS),
            (&run.rejected, REJECTED_COLUMNS),
        ] {
            run.by.make_table(table, columns).await?;
        }
        let images = Target::open(&run.by.session, run.images.clone()).await?;
        let rejected = Target::open(&run.by.session, run.rejected.clone()).await?;
        let known = run.known().await?;
        let (mut files, mut fresh) = (0, Vec::new());
        list_images(engine.lake().stores(), &source, None, |object| {
            files += 1;
            if !known.contains(&fingerprint_of(&object)) {
                fresh.push(object);
            }
            Ok::<(), EngineError>(())
        })
        .await?;
        fresh.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
        Ok(Copy {
            source,
            images,
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
    async fn run(mut self, run: &Run) -> Result<RecordBatch> {
        run.by.query.progress.set_copy(self.totals);
        for chunk in chunks(std::mem::take(&mut self.fresh)) {
            let bytes: u64 = chunk.iter().map(|object| object.meta.size).sum();
            let objects = chunk.len() as u64;
            let (ingested, considered) = self.append_images(run, chunk).await?;
            let mut rejected = 0;
            if ingested < considered.len() as u64 {
                let rest = self.not_taken_in(run, considered).await?;
                (rejected, _) = self.append_rejected(run, rest).await?;
            }
            self.totals.ingested += ingested;
            self.totals.rejected += rejected;
            self.totals.unchanged += objects - ingested - rejected;
            self.totals.done += objects;
            self.totals.bytes += bytes;
            run.by.query.progress.set_copy(self.totals);
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

    async fn append_images(
        &mut self,
        run: &Run,
        objects: Vec<ImageObject>,
    ) -> Result<(u64, Vec<ImageObject>)> {
        let columns = [
            col("id"),
            col("filename"),
            col("content"),
            col("mime_type"),
            col("size"),
            col("created_at"),
            col("metadata"),
        ];
        let rows = Rows::of(self, run, Wanted::Pictures, columns.to_vec());
        self.images.append(&run.by, &rows, objects).await
    }

    async fn append_rejected(
        &mut self,
        run: &Run,
        objects: Vec<ImageObject>,
    ) -> Result<(u64, Vec<ImageObject>)> {
        let columns = [
            col("filename").alias("path"),
            col("size"),
            col("created_at"),
            col("reason"),
            col("detail"),
        ];
        let rows = Rows::of(self, run, Wanted::Rejects, columns.to_vec());
        self.rejected.append(&run.by, &rows, objects).await
    }

    /// The objects of the chunk that are not in the images table now.
    async fn not_taken_in(&self, run: &Run, chunk: Vec<ImageObject>) -> Result<Vec<ImageObject>> {
        let sql = format!(
            "SELECT filename, size, created_at FROM {} WHERE date_partition = '{}' AND \
             ingestion_time = TIMESTAMP '{}'",
            run.images.to_sql(),
            self.started.format("%Y-%m-%d"),
            self.started.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
        );
        let taken = run.fingerprints(&sql).await?;
        Ok(chunk
            .into_iter()
            .filter(|object| !taken.contains(&fingerprint_of(object)))
            .collect())
    }
}

/// Objects as rows of one of the two tables.
struct Rows<'a> {
    run: &'a Run,
    source: Url,
    limits: Limits,
    wanted: Wanted,
    columns: Vec<Expr>,
}

impl<'a> Rows<'a> {
    /// Those that are wanted. Time and day of the run are added to the columns.
    fn of(copy: &Copy, run: &'a Run, wanted: Wanted, mut columns: Vec<Expr>) -> Self {
        let now = ScalarValue::TimestampMicrosecond(
            Some(copy.started.timestamp_micros()),
            Some("UTC".into()),
        );
        let today = copy.started.format("%Y-%m-%d").to_string();
        columns.push(lit(now).alias("ingestion_time"));
        columns.push(lit(today).alias("date_partition"));
        Self {
            run,
            source: copy.source.clone(),
            limits: copy.limits,
            wanted,
            columns,
        }
    }

    fn rows(&self, objects: Vec<ImageObject>) -> Result<LogicalPlan> {
        let files = ImageFiles::new(self.source.clone(), objects, self.limits, self.wanted);
        LogicalPlanBuilder::scan("objects", provider_as_source(Arc::new(files)), None)
            .and_then(|plan| plan.project(self.columns.clone()))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| StatementError::Invalid(error.strip_backtrace()))
    }
}

impl Items for Rows<'_> {
    type Item = ImageObject;

    fn fingerprint(object: &ImageObject) -> u128 {
        fingerprint_of(object)
    }

    async fn plan(&self, target: &Name, objects: &[ImageObject]) -> Result<WritePlan> {
        let rows = self.rows(objects.to_vec())?;
        Ok(self.run.by.session.plan_append(target, rows).await?)
    }

    async fn known(&self) -> Result<HashSet<u128>> {
        self.run.known().await
    }
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
        let meta = ObjectMeta {
            location: Path::from(name),
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        };
        ImageObject::new("file://".into(), meta)
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
}
