use datafusion::arrow::array::BinaryArray;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::object_store::DefaultObjectStoreRegistry;
use datafusion::prelude::SessionContext;
use shoal_config::ModelSettings;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::models::options;
use crate::test_networks::{mean_of_channels, sum_and_product};

/// A session with the functions, and a folder of models.
struct Bench {
    folder: TempDir,
    models: Models,
    context: SessionContext,
}

impl Bench {
    fn new() -> Self {
        let stores = Arc::new(DefaultObjectStoreRegistry::new());
        let models = Models::new(stores, &ModelSettings::default()).unwrap();
        let context = SessionContext::new();
        for function in scalar_functions(&models, Limits::default()) {
            context.register_udf(function.as_ref().clone());
        }
        Self {
            folder: tempfile::tempdir().unwrap(),
            models,
            context,
        }
    }

    /// What the engine puts in the place of the model's name.
    async fn spec(&self, network: Vec<u8>, pairs: &[(&str, &str)]) -> String {
        let path = self.folder.path().join("m.onnx");
        std::fs::write(&path, network).unwrap();
        let location = Url::from_file_path(path).unwrap();
        let (spec, _) = self
            .models
            .inspect("lake.default.m", &location, &options(pairs))
            .await
            .unwrap();
        serde_json::to_string(&spec).unwrap()
    }

    async fn vector_spec(&self) -> String {
        self.spec(
            sum_and_product(None),
            &[("input", "vector"), ("output", "product")],
        )
        .await
    }

    async fn picture_spec(&self) -> String {
        self.spec(
            mean_of_channels(),
            &[("input", "image"), ("width", "2"), ("height", "2")],
        )
        .await
    }

    async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let batches = self.context.sql(sql).await?.collect().await?;
        let table = pretty_format_batches(&batches)?.to_string();
        let rows = table.lines().skip(3).filter(|line| !line.starts_with('+'));
        Ok(rows
            .map(|line| line.trim_matches('|').trim().to_owned())
            .collect())
    }

    async fn error(&self, sql: &str) -> String {
        self.rows(sql).await.unwrap_err().strip_backtrace()
    }
}

#[tokio::test]
async fn vectors_of_every_kind_are_predicted_and_those_that_do_not_fit_are_null() {
    let bench = Bench::new();
    let m = bench.vector_spec().await;
    let rows = bench
        .rows(&format!(
            "SELECT model_predict(v, '{m}') FROM (VALUES ([2.0, 3.5]), ([1.0]), (NULL), ([NULL, 2.0]), ([4.0, 5.0])) AS t (v)"
        ))
        .await
        .unwrap();
    assert_eq!(rows, ["[7.0]", "", "", "", "[20.0]"]);
    let integers = bench
        .rows(&format!("SELECT model_predict([2, 3], '{m}')"))
        .await
        .unwrap();
    assert_eq!(integers, ["[6.0]"]);
    let fixed =
        format!("SELECT model_predict(arrow_cast([2, 3], 'FixedSizeList(2, Float64)'), '{m}')");
    assert_eq!(bench.rows(&fixed).await.unwrap(), ["[6.0]"]);
}

#[tokio::test]
async fn the_type_is_known_at_planning_and_the_column_is_named_by_the_model() {
    let bench = Bench::new();
    let m = bench.vector_spec().await;
    let frame = bench
        .context
        .sql(&format!("SELECT model_predict([2, 3], '{m}')"))
        .await
        .unwrap();
    let field = frame.schema().field(0);
    assert_eq!(field.data_type(), &DataType::FixedSizeList(element(), 1));
    assert!(
        field.name().ends_with("lake.default.m@1)"),
        "{}",
        field.name()
    );
}

#[tokio::test]
async fn pictures_are_embedded_and_bad_ones_are_null() {
    let bench = Bench::new();
    let m = bench.picture_spec().await;
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(5, 3, image::Rgb([255, 0, 51]));
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let contents = BinaryArray::from_opt_vec(vec![Some(png.get_ref()), Some(b"no picture"), None]);
    let batch = datafusion::arrow::array::RecordBatch::try_from_iter([(
        "content",
        Arc::new(contents) as ArrayRef,
    )]);
    bench.context.register_batch("t", batch.unwrap()).unwrap();
    let rows = bench
        .rows(&format!("SELECT image_embed(content, '{m}') FROM t"))
        .await
        .unwrap();
    assert_eq!(rows, ["[1.0, 0.0, 0.2]", "", ""]);
    for function in shoal_udfs::scalar_functions(Limits::default()) {
        bench.context.register_udf(function.as_ref().clone());
    }
    let images = format!("SELECT image_embed(image_decode(content), '{m}') FROM t");
    assert_eq!(bench.rows(&images).await.unwrap(), rows);
    let other = format!("SELECT image_embed(named_struct('data', content), '{m}') FROM t");
    let message = bench.error(&other).await;
    assert!(message.contains("BINARY or IMAGE"), "{message}");
}

#[tokio::test]
async fn a_version_is_a_constant_of_the_plan() {
    let bench = Bench::new();
    let m = bench.vector_spec().await;
    let plan = bench
        .context
        .sql(&format!(
            "SELECT model_version('{m}') AS v FROM (VALUES (1))"
        ))
        .await
        .unwrap();
    let plan = plan.into_optimized_plan().unwrap().to_string();
    assert!(plan.contains("Utf8(\"m@1:"), "{plan}");
}

#[tokio::test]
async fn what_does_not_fit_the_model_fails_before_anything_runs() {
    let bench = Bench::new();
    let (pictures, vectors) = (bench.picture_spec().await, bench.vector_spec().await);
    for (sql, wrong) in [
        (
            format!("model_predict([1, 2], '{pictures}')"),
            "takes pictures; use image_embed",
        ),
        (
            format!("image_embed('x'::BYTEA, '{vectors}')"),
            "takes vectors; use model_predict",
        ),
        (
            format!("image_embed(1, '{pictures}')"),
            "picture as BINARY or IMAGE, not Int64",
        ),
        (
            format!("model_predict(['a'], '{vectors}')"),
            "arrays of numbers",
        ),
        (
            format!(
                "model_predict(arrow_cast([1, 2, 3], 'FixedSizeList(3, Float32)'), '{vectors}')"
            ),
            "vectors of 2 numbers, not of 3",
        ),
        (
            "image_embed('x'::BYTEA, 'm')".to_owned(),
            "cannot be looked up here",
        ),
        (
            "image_embed('x'::BYTEA, NULL)".to_owned(),
            "name the model as text",
        ),
        (
            format!("model_predict([1, 2], c) FROM (VALUES ('{vectors}')) AS t (c)"),
            "name the model as text",
        ),
    ] {
        let planned = bench.context.sql(&format!("SELECT {sql}")).await;
        let message = planned.err().unwrap().strip_backtrace();
        assert!(message.contains(wrong), "{sql}: {message}");
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_fails_the_query() {
    let bench = Bench::new();
    let m = bench.vector_spec().await;
    std::fs::write(bench.folder.path().join("m.onnx"), sum_and_product(Some(1))).unwrap();
    let message = bench
        .error(&format!(
            "SELECT model_predict(v, '{m}') FROM (VALUES ([1.0, 2.0])) AS t (v)"
        ))
        .await;
    assert!(message.contains("expected BLAKE3 hash"), "{message}");
}
