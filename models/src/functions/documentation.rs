//! What the functions say about themselves: in `SHOW FUNCTIONS`, `DESCRIBE FUNCTION` and
//! `docs/functions.md`. `docs/models.md` shows them at work.

use datafusion::logical_expr::{DocSection, Documentation};

use super::Kind;

const MODELS: DocSection = DocSection {
    include: true,
    label: "Model functions",
    description: Some(
        "They run ONNX models that CREATE MODEL has taken in. A model is named by constant text: 'm', \
         'schema.m' or 'catalog.schema.m', with '@2' behind it for version 2 in place of the newest.",
    ),
};

const MODEL: &str = "Name of the model, as constant text.";

pub(super) fn of(kind: Kind) -> Documentation {
    match kind {
        Kind::Embed => Documentation::builder(
            MODELS,
            "The output of a model for a picture, as a vector. The picture is laid upright on white, scaled \
             to the model's size and normalized as the model's options say. NULL for NULL, and for bytes \
             that cannot be decoded, exceed the limits of the `images` settings or make the model fail. An \
             unknown model and one that takes no pictures are errors before anything runs.",
            "image_embed(picture, model)",
        )
        .with_argument(
            "picture",
            "A file's bytes, BINARY (JPEG, PNG, TIFF, GIF, WebP or BMP), or an IMAGE.",
        )
        .with_argument("model", MODEL)
        .with_sql_example("```sql\nSELECT filename, image_embed(content, 'mobilenet') FROM raw.images\n```")
        .with_related_udf("model_predict")
        .with_related_udf("model_version")
        .build(),
        Kind::Predict => Documentation::builder(
            MODELS,
            "The output of a model for a vector, as a vector. NULL for NULL, for a vector with a NULL in it, \
             for one that is not as long as the model's input and for one that makes the model fail. An \
             unknown model and one that takes pictures are errors before anything runs.",
            "model_predict(vector, model)",
        )
        .with_argument("vector", "Array of numbers.")
        .with_argument("model", MODEL)
        .with_sql_example("```sql\nSELECT id, model_predict(features, 'scores') FROM processed.features\n```")
        .with_related_udf("image_embed")
        .with_related_udf("model_version")
        .build(),
        Kind::Version => Documentation::builder(
            MODELS,
            "Name, version and the first eight digits of the hash of a model, such as `mobilenet@3:5f2a90c1`: \
             what a table of features keeps to tell which model made a row.",
            "model_version(model)",
        )
        .with_argument("model", MODEL)
        .with_sql_example("```sql\nSELECT model_version('mobilenet')\n```")
        .with_related_udf("image_embed")
        .with_related_udf("model_predict")
        .build(),
    }
}
