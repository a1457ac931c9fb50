//! `CALL classify_features`: classes of feature vectors, by labelled neighbors or by k-means.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat;
use chrono::Utc;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ParamValues, ScalarValue};
use shoal_engine::{Classifier, ClassifyFeatures, Planned};

use super::work::{Output, RowsAt, Work};
use super::{literal, texts, timestamp};
use crate::append::Conductor;
use crate::error::{Result, StatementError};
use crate::statement::CopyProgress;

/// Vectors and bytes of one commit.
const PART: (u64, u64) = (100_000, 1 << 30);
/// Most numbers in all labelled vectors together, which travel to every task.
const MOST_NUMBERS: u64 = 4 << 20;

const CLASS_COLUMNS: &str = "image_id STRING, classification STRING, confidence DOUBLE, \
     processing_time DOUBLE, created_at TIMESTAMP";

/// Runs the procedure.
pub(super) async fn run(by: &Conductor, classify: &ClassifyFeatures) -> Result<CopyProgress> {
    let version = version(by, classify).await?;
    // The vectors that count, one per image.
    let vectors = format!(
        "(SELECT image_id, first_value(feature_vector ORDER BY date_partition) AS vector, \
         min(date_partition) AS date_partition \
         FROM {} WHERE model_version = {} AND image_id IS NOT NULL AND feature_vector IS NOT NULL \
         GROUP BY image_id)",
        classify.source.to_sql(),
        literal(&version)
    );
    by.make_table(&classify.target, CLASS_COLUMNS).await?;
    match &classify.method {
        Classifier::Nearest { labels, k } => {
            let examples = format!(
                "(SELECT v.image_id, v.vector, CAST(l.label AS STRING) AS label \
                 FROM {vectors} AS v \
                 JOIN (SELECT image_id, min(label) AS label FROM {} WHERE label IS NOT NULL GROUP BY image_id) AS l \
                 ON l.image_id = v.image_id)",
                labels.to_sql()
            );
            let numbers = format!(
                "SELECT CAST(coalesce(sum(cardinality(vector)), 0) AS STRING) FROM {examples}"
            );
            let numbers = texts(&by.select(&numbers).await?)?;
            match numbers.first().and_then(|n| n.parse().ok()).unwrap_or(0) {
                0 => {
                    return Err(StatementError::Invalid(format!(
                        "no image in {labels} with a label has a vector of version {version} in {}",
                        classify.source
                    )));
                }
                numbers if numbers > MOST_NUMBERS => {
                    return Err(StatementError::Invalid(format!(
                        "the vectors of images with a label in {labels} have {numbers} numbers together, and at \
                         most {MOST_NUMBERS} can be compared with; name fewer images there"
                    )));
                }
                _ => {}
            }
            let examples = format!("SELECT vector, label FROM {examples} ORDER BY image_id");
            let examples = parameters(&by.select(&examples).await?)?;
            nearest(by, classify, &vectors, *k, examples).await
        }
        Classifier::Kmeans { clusters } => kmeans(by, classify, &vectors, *clusters).await,
    }
}

/// The version of the vectors that count.
async fn version(by: &Conductor, classify: &ClassifyFeatures) -> Result<String> {
    if let Some(version) = &classify.model_version {
        return Ok(version.clone());
    }
    let source = &classify.source;
    let sql = format!(
        "SELECT DISTINCT model_version FROM {} WHERE model_version IS NOT NULL",
        source.to_sql()
    );
    let mut found = texts(&by.select(&sql).await?)?;
    found.sort();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(StatementError::Invalid(format!(
            "{source} holds no vectors; CALL extract_features first"
        ))),
        several => Err(StatementError::Invalid(format!(
            "{source} holds vectors of several versions; say which with model_version => '{}'",
            several.join("' or '")
        ))),
    }
}

/// The two columns of labelled vectors as the parameters `$1` and `$2` of a query.
fn parameters(rows: &[RecordBatch]) -> Result<ParamValues> {
    let column = |index: usize| -> Result<ScalarAndMetadata> {
        let columns: Vec<&dyn Array> = rows.iter().map(|b| b.column(index).as_ref()).collect();
        let column = concat(&columns);
        let column = column.map_err(|error| StatementError::Invalid(error.to_string()))?;
        Ok(ScalarAndMetadata::from(list(column)))
    };
    Ok(ParamValues::List(vec![column(0)?, column(1)?]))
}

/// A column as one value.
fn list(column: ArrayRef) -> ScalarValue {
    SingleRowListArrayBuilder::new(column).build_list_scalar()
}

/// What `call` finds about each of `vectors`, as columns. Unnested, because DataFusion moves the fields that a
/// query takes of a struct down to where it is made, and then makes it anew for each of them.
fn classes(call: &str, vectors: &str) -> String {
    format!(
        "(SELECT image_id, date_partition, unnest({call}) FROM {vectors}) \
         AS classes(image_id, date_partition, classification, confidence, processing_time)"
    )
}

async fn nearest(
    by: &Conductor,
    classify: &ClassifyFeatures,
    vectors: &str,
    k: usize,
    examples: ParamValues,
) -> Result<CopyProgress> {
    let rows: RowsAt = {
        let vectors = vectors.to_owned();
        Box::new(move |moment| {
            format!(
                "SELECT image_id, classification, confidence, processing_time, {moment} AS created_at, \
                 date_partition FROM {} WHERE classification IS NOT NULL",
                classes(&format!("vector_classify(vector, $1, $2, {k})"), &vectors)
            )
        })
    };
    let work = Work {
        source: by.session.whole(&classify.source).await?,
        id: "image_id",
        ids: format!("SELECT image_id FROM {vectors}"),
        size: PART,
        done: format!("SELECT image_id FROM {}", classify.target.to_sql()),
        taken: Output {
            table: classify.target.clone(),
            rows,
            moment: "created_at",
        },
        parameters: Some(examples),
        rejects: None,
    };
    work.run(by).await
}

/// Classes by k-means mean nothing beyond the run that found them, so they replace those of an earlier run,
/// in one commit.
async fn kmeans(
    by: &Conductor,
    classify: &ClassifyFeatures,
    vectors: &str,
    clusters: usize,
) -> Result<CopyProgress> {
    let found = by
        .select(&format!(
            "SELECT vector_kmeans(vector, {clusters}) AS centroids, \
             CAST(count(*) AS STRING) AS images FROM {vectors}"
        ))
        .await?;
    let centroids = found.first().and_then(|batch| {
        let centroids = batch.column(0).as_list_opt::<i32>()?;
        centroids.is_valid(0).then(|| centroids.value(0))
    });
    let Some(centroids) = centroids else {
        return Err(StatementError::Invalid(format!(
            "{} holds no vectors; CALL extract_features first",
            classify.source
        )));
    };
    let images = found.first().map(|batch| Arc::clone(batch.column(1)));
    let images = images.and_then(|n| n.as_string_opt::<i32>()?.value(0).parse().ok());
    let mut totals = CopyProgress {
        files: images.unwrap_or(0),
        ..CopyProgress::default()
    };
    by.query.progress.set_copy(totals);
    let sql = format!(
        "INSERT OVERWRITE {} BY NAME \
         SELECT image_id, concat('cluster ', classification) AS classification, confidence, \
         processing_time, {} AS created_at, date_partition \
         FROM {} WHERE classification IS NOT NULL",
        classify.target.to_sql(),
        timestamp(&Utc::now()),
        classes("vector_cluster(vector, $1)", vectors)
    );
    let centroids = ParamValues::List(vec![ScalarAndMetadata::from(list(centroids))]);
    let planned = by.statements.plan(&by.session, &sql, Some(centroids));
    let Planned::Write(write) = planned.await? else {
        return Err(StatementError::Invalid(format!("{sql} writes nothing")));
    };
    let files = by.statements.write_files(&by.query, &write).await?;
    totals.ingested = write.finish(files).await?;
    totals.rejected = totals.files.saturating_sub(totals.ingested);
    totals.done = totals.files;
    by.query.progress.set_copy(totals);
    Ok(totals)
}
