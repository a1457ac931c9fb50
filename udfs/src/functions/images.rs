//! Functions of one encoded picture: what its header says, its features, its hash.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Float32Builder, Int32Array, Int64Array, ListBuilder, StringArray, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use image::DynamicImage;

use super::{IMAGES, content};
use shoal_images::decode::{decode, decode_at_least, to_gray_on_white, to_rgb_on_white};
use shoal_images::features::{DIMENSIONS, SIDE, features};
use shoal_images::hash::perceptual_hash;
use shoal_images::probe::{ImageInfo, Limits, probe};
use shoal_images::resize::{Filter, resize};

/// A function of the form `name(content)`.
#[derive(Debug)]
struct ImageFunction {
    name: &'static str,
    output: DataType,
    /// From a binary array to an array of `output` of the same length.
    compute: fn(&dyn Array, &Limits) -> Result<ArrayRef>,
    limits: Limits,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for ImageFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.limits == other.limits
    }
}

impl Eq for ImageFunction {}

impl Hash for ImageFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.limits.hash(state);
    }
}

impl ScalarUDFImpl for ImageFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = take_function_args(self.name, arg_types)?;
        Ok(vec![content::coerce(self.name, given)?])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.output.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = take_function_args(self.name, &args.args)?;
        content::map_rows(argument, |array| (self.compute)(array, &self.limits))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The functions of this file.
pub(super) fn functions(limits: Limits) -> Vec<ScalarUDF> {
    let function = |name, output, compute, documentation| {
        ScalarUDF::new_from_impl(ImageFunction {
            name,
            output,
            compute,
            limits,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation,
        })
    };
    vec![
        function("image_info", info_type(), image_info, info_documentation()),
        function(
            "image_width",
            DataType::Int32,
            image_width,
            width_documentation(),
        ),
        function(
            "image_height",
            DataType::Int32,
            image_height,
            height_documentation(),
        ),
        function(
            "image_format",
            DataType::Utf8,
            image_format,
            format_documentation(),
        ),
        function(
            "image_features",
            features_type(),
            image_features,
            features_documentation(),
        ),
        function(
            "image_hash",
            DataType::Int64,
            image_hash,
            hash_documentation(),
        ),
    ]
}

fn info_type() -> DataType {
    DataType::Struct(info_fields())
}

fn info_fields() -> Fields {
    Fields::from(vec![
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("channels", DataType::Int32, true),
        Field::new("format", DataType::Utf8, true),
        Field::new("mime_type", DataType::Utf8, true),
    ])
}

fn features_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

/// Headers of all rows; `None` for NULL and for what is not a whole picture.
fn headers(array: &dyn Array, limits: &Limits) -> Result<Vec<Option<ImageInfo>>> {
    let rows = content::rows(array)?;
    Ok(rows.map(|row| probe(row?, limits).ok()).collect())
}

fn integers(headers: &[Option<ImageInfo>], field: impl Fn(&ImageInfo) -> u32) -> Int32Array {
    let value = |header: &Option<ImageInfo>| i32::try_from(field(header.as_ref()?)).ok();
    headers.iter().map(value).collect()
}

fn texts(headers: &[Option<ImageInfo>], field: impl Fn(&ImageInfo) -> &'static str) -> StringArray {
    headers
        .iter()
        .map(|header| header.as_ref().map(&field))
        .collect()
}

fn image_info(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    let headers = headers(array, limits)?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(integers(&headers, |h| h.width)),
        Arc::new(integers(&headers, |h| h.height)),
        Arc::new(integers(&headers, |h| u32::from(h.channels))),
        Arc::new(texts(&headers, |h| h.format.name())),
        Arc::new(texts(&headers, |h| h.format.mime_type())),
    ];
    let present: NullBuffer = headers.iter().map(Option::is_some).collect();
    let info = StructArray::try_new(info_fields(), columns, Some(present))?;
    Ok(Arc::new(info))
}

fn image_width(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    Ok(Arc::new(integers(&headers(array, limits)?, |h| h.width)))
}

fn image_height(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    Ok(Arc::new(integers(&headers(array, limits)?, |h| h.height)))
}

fn image_format(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    Ok(Arc::new(texts(&headers(array, limits)?, |h| {
        h.format.name()
    })))
}

fn image_features(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    let mut vectors = ListBuilder::with_capacity(
        Float32Builder::with_capacity(array.len() * DIMENSIONS),
        array.len(),
    );
    for row in content::rows(array)? {
        match row.and_then(|content| features_of(content, limits)) {
            Some(vector) => {
                vectors.values().append_slice(&vector);
                vectors.append(true);
            }
            None => vectors.append(false),
        }
    }
    Ok(Arc::new(vectors.finish()))
}

fn features_of(content: &[u8], limits: &Limits) -> Option<[f32; DIMENSIONS]> {
    let picture = decode_at_least(content, limits, 2 * SIDE).ok()?;
    let rgb = to_rgb_on_white(picture.image);
    // A square can be turned upright after the reduction, which is far cheaper than before it.
    let mut square = DynamicImage::ImageRgb8(resize(&rgb, SIDE, SIDE, Filter::Triangle)?);
    square.apply_orientation(picture.orientation);
    Some(features(&square.into_rgb8()))
}

fn image_hash(array: &dyn Array, limits: &Limits) -> Result<ArrayRef> {
    let rows = content::rows(array)?;
    let hashes: Int64Array = rows.map(|row| hash_of(row?, limits)).collect();
    Ok(Arc::new(hashes))
}

fn hash_of(content: &[u8], limits: &Limits) -> Option<i64> {
    let picture = decode(content, limits).ok()?;
    let mut upright = DynamicImage::ImageLuma8(to_gray_on_white(picture.image));
    upright.apply_orientation(picture.orientation);
    Some(perceptual_hash(&upright.into_luma8()).cast_signed())
}

const CONTENT: &str = "An encoded picture, BINARY.";

fn info_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Says what a picture is, from its header alone. Width and height are in pixels as stored, \
         before any EXIF orientation. Channels: 1 gray, 2 gray with alpha, 3 color, 4 color with \
         alpha or CMYK; a palette counts as the colors it holds. A file that ends too early gives \
         NULL.\n\nReturns STRUCT<width INT, height INT, channels INT, format STRING, mime_type \
         STRING>.",
        "image_info(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT image_info(content) AS info FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_width")
    .with_related_udf("image_height")
    .with_related_udf("image_format")
    .build()
}

fn width_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Width of a picture in pixels as stored, from its header.\n\nReturns INT.",
        "image_width(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT image_width(content) AS width FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_info")
    .build()
}

fn height_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Height of a picture in pixels as stored, from its header.\n\nReturns INT.",
        "image_height(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT image_height(content) AS height FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_info")
    .build()
}

fn format_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Format of a picture by its content, whatever its file name says: `jpeg`, `png`, `tiff`, \
         `gif`, `webp` or `bmp`.\n\nReturns STRING.",
        "image_format(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT image_format(content) AS format FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_info")
    .build()
}

fn features_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Feature vector of a picture: 192 numbers that say which colors it has and where its edges \
         run. Similar pictures have vectors of high cosine similarity.\n\n\
         The picture is turned upright as EXIF says, laid on white, and stretched to 128 x 128 \
         pixels (triangle filter). Numbers 1 to 64 are a 4 x 4 x 4 histogram of its RGB colors, each \
         pixel shared among the eight nearest bins. Numbers 65 to 192 are histograms of 8 gradient \
         orientations in each of 4 x 4 cells, weighted by gradient magnitude. Each of the two parts \
         has length 1, or is all zero.\n\nReturns ARRAY<FLOAT>.",
        "image_features(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT cardinality(image_features(content)) AS dimensions FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("vector_cosine_similarity")
    .with_related_udf("image_hash")
    .build()
}

fn hash_documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "Perceptual hash of a picture: 64 bits that hardly change when it is scaled, recompressed or \
         slightly recolored. Two pictures are near-duplicates when few bits differ, about 10 or \
         less: `bit_count(image_hash(a) ^ image_hash(b)) <= 10`.\n\n\
         The bits are those of `imagehash.phash` in Python, first bit highest, of the picture turned \
         upright as EXIF says and laid on white; `to_hex` prints them as Python does.\n\nReturns \
         BIGINT.",
        "image_hash(content)",
    )
    .with_argument("content", CONTENT)
    .with_sql_example(
        "```sql
SELECT to_hex(image_hash(content)) AS hash FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_features")
    .build()
}
