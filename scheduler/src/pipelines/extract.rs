//! `CALL extract_features`: feature vectors of images that have none of this model's version.

use shoal_engine::ExtractFeatures;

use super::literal;
use super::work::{Output, RowsAt, Work};
use crate::append::Conductor;
use crate::error::Result;
use crate::statement::CopyProgress;

/// Batches of images (`processing.batch_size`) and bytes of one commit: what a killed run loses at most, and
/// what progress is reported by.
const PART_BATCHES: u64 = 5;
const PART_BYTES: u64 = 1 << 30;

const FEATURE_COLUMNS: &str = "image_id STRING, feature_vector ARRAY<FLOAT>, model_version STRING, \
     extracted_at TIMESTAMP, confidence DOUBLE";
const REJECTED_COLUMNS: &str = "image_id STRING, model_version STRING, reason STRING, detail STRING, \
     rejected_at TIMESTAMP";
/// Why a picture that can be decoded has no vector.
const MODEL_FAILED: &str = "model_failed: the model gave no answer for the picture";
/// Why there is no picture at all.
const NO_CONTENT: &str = "no_content: the image has no bytes";
/// Why a picture that can be decoded now could not be decoded before.
const WAS_TOO_SLOW: &str = "too_slow: decoding took longer than images.max_seconds";
/// The reason of pictures that are tried again, because a machine that has less to do may be in time.
const TOO_SLOW: &str = "too_slow";

/// Runs the procedure.
pub(super) async fn run(by: &Conductor, extract: &ExtractFeatures) -> Result<CopyProgress> {
    let extractor = by.session.extractor(extract).await?;
    let rejected = extract.target.with_suffix("_rejected");
    by.make_table(&extract.target, FEATURE_COLUMNS).await?;
    by.make_table(&rejected, REJECTED_COLUMNS).await?;
    let (source, version) = (extract.source.to_sql(), literal(&extractor.version));
    let done = format!(
        "SELECT image_id FROM {} WHERE model_version = {version} UNION ALL \
         SELECT image_id FROM {} WHERE model_version = {version} AND reason <> '{TOO_SLOW}'",
        extract.target.to_sql(),
        rejected.to_sql()
    );
    let expression = extractor.expression;
    // Grouped, because an image may be there twice, and so that NULLs are known without a second look.
    let rows: RowsAt = {
        let (source, version) = (source.clone(), version.clone());
        Box::new(move |moment| {
            format!(
                "SELECT image_id, first_value(vector ORDER BY date_partition) AS feature_vector, {version} AS model_version, \
                 {moment} AS extracted_at, min(date_partition) AS date_partition \
                 FROM (SELECT id AS image_id, {expression} AS vector, date_partition FROM {source} \
                 WHERE id IS NOT NULL) \
                 GROUP BY image_id HAVING first_value(vector ORDER BY date_partition) IS NOT NULL"
            )
        })
    };
    let ids = format!("SELECT DISTINCT id FROM {source} WHERE id IS NOT NULL");
    let otherwise = match extract.model {
        Some(_) => MODEL_FAILED,
        None => WAS_TOO_SLOW,
    };
    let rejects: RowsAt = Box::new(move |moment| {
        format!(
            "SELECT image_id, {version} AS model_version, split_part(why, ': ', 1) AS reason, \
             substr(why, strpos(why, ': ') + 2) AS detail, {moment} AS rejected_at, date_partition \
             FROM (SELECT id AS image_id, min(date_partition) AS date_partition, \
             min(CASE WHEN content IS NULL THEN '{NO_CONTENT}' \
             ELSE coalesce(image_error(content), '{otherwise}') END) AS why \
             FROM {source} WHERE id IS NOT NULL GROUP BY id)"
        )
    });
    let batch = by.statements.engine().settings().processing.batch_size as u64;
    let work = Work {
        source: by.session.whole(&extract.source).await?,
        id: "id",
        ids,
        size: (PART_BATCHES * batch, PART_BYTES),
        done,
        taken: Output {
            table: extract.target.clone(),
            rows,
            moment: "extracted_at",
        },
        parameters: None,
        rejects: Some(Output {
            table: rejected,
            rows: rejects,
            moment: "rejected_at",
        }),
    };
    work.run(by).await
}
