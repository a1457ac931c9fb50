//! Plans before and after the rule, and that both give the same answers.

use std::io::Cursor;

use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::*;
use crate::scalar_functions;

fn photo(seed: u32) -> Vec<u8> {
    let pixels = RgbImage::from_fn(300, 200, |x, y| {
        image::Rgb([(x * seed) as u8, (x + y * seed) as u8, (x * y / 50) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels)
        .write_to(&mut bytes, ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

fn context(fuse: bool) -> SessionContext {
    let context = SessionContext::new();
    for function in scalar_functions(Limits::default()) {
        context.register_udf(function.as_ref().clone());
    }
    if fuse {
        context.add_optimizer_rule(Arc::new(FuseImageCalls::new(Limits::default())));
    }
    let photos = [photo(1), photo(2), photo(3)];
    let contents = [
        Some(photos[0].as_slice()),
        None,
        Some(&photos[1]),
        Some(b"no"),
        Some(&photos[2]),
    ];
    let content: ArrayRef = Arc::new(BinaryArray::from_iter(contents));
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("content", content, true), ("id", id, false)])
            .unwrap();
    context.register_batch("photos", batch).unwrap();
    context
}

async fn answer(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// The plan of `sql`, of which it is checked that it changes no answer and no column name.
async fn plan(sql: &str) -> String {
    let (plain, fused) = (context(false), context(true));
    assert_eq!(
        answer(&plain, sql).await,
        answer(&fused, sql).await,
        "{sql}"
    );
    let physical = fused
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let text = datafusion::physical_plan::displayable(physical.as_ref()).indent(false);
    text.to_string()
}

fn calls(plan: &str, function: &str) -> usize {
    plan.matches(&format!("{function}(content@")).count()
}

#[tokio::test]
async fn several_functions_of_a_picture_are_one_call() {
    let plan = plan(
        "SELECT id, image_hash(content), image_features(content) AS features, image_width(content), \
         image_hash(content) + 1 AS next FROM photos ORDER BY id",
    )
    .await;
    assert_eq!(calls(&plan, "image_fused"), 1, "{plan}");
    for function in ["image_hash", "image_features", "image_width"] {
        assert_eq!(calls(&plan, function), 0, "{plan}");
    }
}

#[tokio::test]
async fn a_chain_makes_no_column_of_pixels() {
    let plan = plan(
        "SELECT id, image_hash(image_decode(content)) AS hash, \
         image_width(image_thumbnail(content, id * 10 + 1)) AS width FROM photos ORDER BY id",
    )
    .await;
    assert_eq!(calls(&plan, "image_fused"), 1, "{plan}");
    assert_eq!(calls(&plan, "image_decode"), 0, "{plan}");
}

#[tokio::test]
async fn arguments_of_aggregates_are_fused() {
    let plan = plan(
        "SELECT id % 2 AS part, max(image_hash(content)), min(image_width(image_decode(content))) \
         FROM photos GROUP BY id % 2 ORDER BY part",
    )
    .await;
    assert_eq!(calls(&plan, "image_fused"), 1, "{plan}");
}

#[tokio::test]
async fn what_may_not_be_evaluated_is_left_alone() {
    let plan = plan(
        "SELECT CASE WHEN id > 2 THEN image_hash(content) ELSE image_width(image_thumbnail(content, 9)) \
         END AS number, CASE WHEN id > 3 THEN image_features(content) END AS features \
         FROM photos ORDER BY id",
    )
    .await;
    for function in ["image_hash", "image_features", "image_fused"] {
        assert_eq!(calls(&plan, function), 1, "{plan}");
    }
    assert!(
        plan.contains("ELSE CAST(image_fused_answer(image_fused("),
        "{plan}"
    );
}

#[tokio::test]
async fn a_chain_in_a_condition_makes_no_column_of_pixels() {
    let plan = plan(
        "SELECT id FROM photos WHERE image_width(image_decode(content)) = 300 AND id > 0 ORDER BY id",
    )
    .await;
    assert_eq!(calls(&plan, "image_fused"), 1, "{plan}");
    assert_eq!(calls(&plan, "image_decode"), 0, "{plan}");
}

#[tokio::test]
async fn one_function_alone_stays_as_it_is() {
    let plan =
        plan("SELECT image_hash(content), image_width(content) FROM photos ORDER BY id").await;
    assert_eq!(calls(&plan, "image_fused"), 0, "{plan}");
}
