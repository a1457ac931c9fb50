//! The functions through SQL: argument types, NULLs, broken pictures, errors.

use std::io::Cursor;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray,
    FixedSizeListArray, Float32Array, LargeBinaryArray, LargeListArray, ListArray, RecordBatch,
};
use datafusion::arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use image::{DynamicImage, ImageFormat};

use super::*;

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(40, 30)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

pub(crate) fn context() -> SessionContext {
    let context = SessionContext::new();
    for function in scalar_functions(Limits::default()) {
        context.register_udf(function.as_ref().clone());
    }
    for function in crate::aggregate_functions() {
        context.register_udaf(function.as_ref().clone());
    }
    context
}

pub(crate) async fn run(
    context: &SessionContext,
    sql: &str,
) -> datafusion::error::Result<Vec<RecordBatch>> {
    context.sql(sql).await?.collect().await
}

/// The rows of a query, one string per row, columns parted by a comma.
pub(crate) async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = run(context, sql).await.unwrap();
    let table = pretty_format_batches(&batches).unwrap().to_string();
    table
        .lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join(",")
        })
        .collect()
}

pub(crate) async fn error(sql: &str) -> String {
    run(&context(), sql).await.unwrap_err().to_string()
}

#[tokio::test]
async fn every_binary_type_is_accepted_and_broken_pictures_are_null() {
    let png = png();
    let broken = &png[..png.len() / 2];
    let values: Vec<Option<&[u8]>> = vec![Some(&png), None, Some(broken), Some(b""), Some(b"text")];
    let padded = |value: &[u8]| {
        let mut fixed = value.to_vec();
        fixed.resize(png.len(), 0);
        fixed
    };
    let fixed: Vec<Option<Vec<u8>>> = values.iter().map(|value| value.map(padded)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BinaryArray::from(values.clone())),
        Arc::new(LargeBinaryArray::from(values.clone())),
        Arc::new(BinaryViewArray::from(values.clone())),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                fixed.into_iter(),
                png.len() as i32,
            )
            .unwrap(),
        ),
    ];
    for column in columns {
        let kind = column.data_type().clone();
        let context = context();
        let batch = RecordBatch::try_from_iter_with_nullable([("content", column, true)]).unwrap();
        context.register_batch("pictures", batch).unwrap();
        let answers = rows(
            &context,
            "SELECT image_info(content), image_width(content), image_height(content), \
             image_format(content), image_hash(content), \
             cardinality(image_features(content)), \
             image_width(image_thumbnail(content, 20)), image_height(image_thumbnail(content, 20)) \
             FROM pictures",
        )
        .await;
        let whole = "{width: 40, height: 30, channels: 3, format: png, mime_type: image/png, \
                     bits_per_channel: 8, frames: 1, orientation: 1},40,30,png,0,192,20,15";
        assert_eq!(
            answers,
            [whole, ",,,,,,,", ",,,,,,,", ",,,,,,,", ",,,,,,,"],
            "{kind}"
        );
    }
}

#[tokio::test]
async fn constants_and_untyped_nulls_are_accepted() {
    let answers = rows(
        &context(),
        "SELECT image_info(NULL), image_features(NULL), image_hash(X'00'), \
         image_thumbnail(NULL, 10), image_thumbnail(X'00', NULL), vector_normalize(NULL), \
         vector_l2_distance([1.0], NULL)",
    )
    .await;
    assert_eq!(answers, [",,,,,,"]);
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    assert!(
        error("SELECT image_info('x')")
            .await
            .contains("takes an encoded picture as BINARY")
    );
    assert!(
        error("SELECT image_thumbnail(X'00', 0)")
            .await
            .contains("from 1 to 4096 pixels, not 0")
    );
    assert!(
        error("SELECT image_thumbnail(X'00', 'a')")
            .await
            .contains("as an integer")
    );
    assert!(
        error("SELECT vector_normalize(['a'])")
            .await
            .contains("arrays of numbers")
    );
    assert!(
        error("SELECT vector_normalize(7)")
            .await
            .contains("arrays of numbers")
    );
    assert!(
        error("SELECT vector_l2_distance([1, 2, 3], [1, 2])")
            .await
            .contains("not of 3 and 2 elements")
    );
}

#[tokio::test]
async fn limits_of_the_session_apply() {
    let context = SessionContext::new();
    let limits = Limits {
        max_pixels: 100,
        ..Limits::default()
    };
    for function in scalar_functions(limits) {
        context.register_udf(function.as_ref().clone());
    }
    let content: ArrayRef = Arc::new(BinaryArray::from(vec![png().as_slice()]));
    let batch = RecordBatch::try_from_iter([("content", content)]).unwrap();
    context.register_batch("pictures", batch).unwrap();
    let answers = rows(
        &context,
        "SELECT image_info(content), image_hash(content) FROM pictures",
    )
    .await;
    assert_eq!(answers, [","]);
}

pub(crate) fn vector_columns() -> Vec<ArrayRef> {
    let values = || {
        vec![
            Some(vec![Some(3.0), Some(4.0)]),
            None,
            Some(vec![Some(0.0), Some(0.0)]),
            Some(vec![Some(1.0), None]),
        ]
    };
    let singles = || {
        values().into_iter().map(|row| {
            row.map(|row: Vec<Option<f64>>| row.into_iter().map(|v| v.map(|v| v as f32)))
        })
    };
    vec![
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(
            singles(),
        )),
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(values())),
        Arc::new(LargeListArray::from_iter_primitive::<Float32Type, _, _>(
            singles(),
        )),
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(singles(), 2)),
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(values(), 2)),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            values()
                .into_iter()
                .map(|row| row.map(|row| row.into_iter().map(|v| v.map(|v| v as i32)))),
        )),
        // A slice: its first row is not the first row of its buffers.
        Arc::new(
            ListArray::from_iter_primitive::<Float64Type, _, _>(
                [Some(vec![Some(9.0)])].into_iter().chain(values()),
            )
            .slice(1, 4),
        ),
    ]
}

#[tokio::test]
async fn every_list_type_is_a_vector() {
    for column in vector_columns() {
        let kind = column.data_type().clone();
        let context = context();
        let batch = RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap();
        context.register_batch("vectors", batch).unwrap();
        let answers = rows(
            &context,
            "SELECT vector_cosine_similarity(v, [3.0, 4.0]), vector_cosine_similarity([-6, -8], v), \
             vector_l2_distance(v, v), vector_l2_distance(v, [0, 0]) FROM vectors",
        )
        .await;
        assert_eq!(
            answers,
            ["1.0,-1.0,0.0,5.0", ",,,", ",,0.0,0.0", ",,,"],
            "{kind}"
        );
        let units = run(&context, "SELECT vector_normalize(v) AS unit FROM vectors")
            .await
            .unwrap();
        let unit = units[0].column(0);
        assert_eq!(unit.null_count(), 3, "{kind}");
        let same_kind = std::mem::discriminant(unit.data_type()) == std::mem::discriminant(&kind);
        assert!(same_kind, "{} of {kind}", unit.data_type());
        let list = DataType::new_list(super::vectors::element_type(unit.data_type()), true);
        let unit = arrow::compute::cast(unit, &list).unwrap();
        let unit = unit.as_list::<i32>();
        let expected = [0.6, 0.8];
        let row = unit.value(0);
        if let Some(row) = row.as_primitive_opt::<Float32Type>() {
            assert_eq!(row.values(), &expected.map(|v| v as f32), "{kind}");
        } else {
            assert_eq!(
                row.as_primitive::<Float64Type>().values(),
                &expected,
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn long_vectors_are_summed_in_double_precision() {
    let values: Vec<f32> = (0..1003).map(|i| (i as f32 * 0.37).sin()).collect();
    let expected: f64 = values
        .iter()
        .map(|v| f64::from(*v) * f64::from(*v))
        .sum::<f64>()
        .sqrt();
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let list = FixedSizeListArray::new(field, 1003, Arc::new(Float32Array::from(values)), None);
    let context = context();
    let batch = RecordBatch::try_from_iter([("v", Arc::new(list) as ArrayRef)]).unwrap();
    context.register_batch("vectors", batch).unwrap();
    let answer = run(
        &context,
        "SELECT vector_l2_distance(v, array_resize([0.0], 1003, 0.0)) FROM vectors",
    )
    .await
    .unwrap();
    let distance = answer[0].column(0).as_primitive::<Float64Type>().value(0);
    assert!((distance - expected).abs() < 1e-9, "{distance} {expected}");
}

#[tokio::test]
async fn near_duplicates_have_hashes_that_differ_in_few_bits() {
    let picture = image::RgbImage::from_fn(200, 150, |x, y| {
        image::Rgb([(x + y / 2) as u8, (x * y / 100) as u8, (y * 2) as u8])
    });
    let jpeg = |width, height, format| {
        let scaled = DynamicImage::ImageRgb8(picture.clone()).resize_exact(
            width,
            height,
            image::imageops::FilterType::Triangle,
        );
        let mut bytes = Cursor::new(Vec::new());
        scaled.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let pair = [
        jpeg(200, 150, ImageFormat::Png),
        jpeg(120, 90, ImageFormat::Jpeg),
    ];
    let content: ArrayRef = Arc::new(BinaryArray::from_iter_values(pair));
    let context = context();
    let batch = RecordBatch::try_from_iter([("content", content)]).unwrap();
    context.register_batch("pictures", batch).unwrap();
    let answer = run(&context, "SELECT image_hash(content) FROM pictures")
        .await
        .unwrap();
    let hashes = answer[0].column(0).as_primitive::<Int64Type>();
    let distance = (hashes.value(0) ^ hashes.value(1)).count_ones();
    assert!(distance <= 6, "{distance} bits differ");
}
