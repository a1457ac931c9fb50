//! Functions of pictures: one table of them, one way to call them, alone or several at once.

mod arguments;
mod binary;
mod call;
mod column;
mod encode;
mod extent;
mod failure;
mod features;
mod function;
mod fused;
mod header;
mod measure;
mod picture;
mod subject;
mod tensor;
mod transform;

use datafusion::logical_expr::{DocSection, Documentation, ScalarUDF};
use shoal_images::probe::Limits;

use call::Function;
pub(crate) use extent::udf as answer_bytes_function;
pub(crate) use fused::{answer_udf as fused_answer_function, udf as fused_function};
pub use picture::image_at;

/// Every function of this folder, in the order of the documentation.
static FUNCTIONS: [&Function; 25] = [
    &header::INFO,
    &header::WIDTH,
    &header::HEIGHT,
    &header::CHANNELS,
    &header::MODE,
    &header::FORMAT,
    &header::EXIF,
    &header::ERROR,
    &transform::DECODE,
    &transform::RESIZE,
    &transform::CROP,
    &transform::ROTATE,
    &transform::FLIP,
    &transform::CONVERT,
    &encode::ENCODE,
    &encode::THUMBNAIL,
    &tensor::TO_TENSOR,
    &measure::STATS,
    &measure::HISTOGRAM,
    &measure::SHARPNESS,
    &measure::DOMINANT_COLORS,
    &features::HASH,
    &features::HOG,
    &features::LBP,
    &features::FEATURES,
];

const IMAGES: DocSection = DocSection {
    include: true,
    label: "Image functions",
    description: Some(
        "They take a picture: a file's bytes as BINARY (JPEG, PNG, TIFF, GIF, WebP or BMP, \
         recognized by content), or an IMAGE, which is what `image_decode` and its like return.\n\n\
         NULL gives NULL. A file that cannot be decoded, is cut short, or exceeds the limits of the \
         `images` settings gives NULL, and `image_error` tells why; with the last but one argument, \
         `on_error => 'raise'`, it ends the query in an error. Pictures are turned upright as their \
         EXIF data say, unless the last argument is `orient => false`. Transparent pixels are laid \
         on white where a function has no use for transparency. Arguments may be given by name, \
         such as `filter => 'lanczos'`; all but the picture are constants, unless said otherwise.",
    ),
};

/// The functions to register, with limits for all files they decode.
pub(super) fn functions(limits: Limits) -> Vec<ScalarUDF> {
    let single = FUNCTIONS.iter().map(|known| function::udf(known, limits));
    single
        .chain([fused::udf(limits), fused::answer_udf(), extent::udf(limits)])
        .collect()
}

fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().copied().find(|known| known.name == name)
}

/// What an image function needs of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LooksAt {
    /// The header is enough.
    Header,
    /// It decodes its picture.
    Pixels,
}

/// Whether `name` is the function that makes several calls one.
pub(crate) fn is_fused(name: &str) -> bool {
    name == fused::NAME
}

/// What an image function needs; `None` for other functions.
pub(crate) fn looks_at(name: &str) -> Option<LooksAt> {
    let function = find(name)?;
    Some(if function.decodes {
        LooksAt::Pixels
    } else {
        LooksAt::Header
    })
}

/// Whether a function is the optimizer's own, of no use to people.
pub fn is_internal_function(name: &str) -> bool {
    [fused::NAME, fused::ANSWER, extent::NAME].contains(&name)
}

/// Names of the parameters of an image function, the picture's first; `None` for other functions.
pub fn image_function_parameters(name: &str) -> Option<Vec<&'static str>> {
    find(name).map(function::parameter_names)
}

/// What most functions say of their first argument.
const PICTURE: (&str, &str) = ("picture", "A file's bytes, BINARY, or an IMAGE.");
/// What functions of files say of it.
const CONTENT: (&str, &str) = ("content", "A file's bytes, BINARY.");

/// Documentation with an example: an expression, which is selected for one photograph.
fn document(
    syntax: &str,
    description: &str,
    arguments: &[(&str, &str)],
    example: &str,
    related: &[&str],
) -> Documentation {
    let sql = format!("SELECT {example} FROM raw.images WHERE filename LIKE '%coffee-01.jpg';");
    let mut builder = Documentation::builder(IMAGES, description, syntax)
        .with_sql_example(format!("```sql\n{sql}\n```"));
    for (name, about) in arguments {
        builder = builder.with_argument(*name, *about);
    }
    for name in related {
        builder = builder.with_related_udf(*name);
    }
    builder.build()
}
