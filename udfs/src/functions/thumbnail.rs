//! `image_thumbnail(content, side)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::{IMAGES, content};
use shoal_images::decode::decode_at_least;
use shoal_images::probe::Limits;
use shoal_images::thumbnail::{MAX_SIDE, thumbnail};

const NAME: &str = "image_thumbnail";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ImageThumbnail {
    limits: Limits,
    signature: Signature,
    documentation: Documentation,
}

impl ImageThumbnail {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation(),
        }
    }

    /// One thumbnail per row; `sides` has one row for all, or as many as `contents`.
    fn thumbnails(&self, contents: &dyn Array, sides: &dyn Array) -> Result<ArrayRef> {
        let sides = sides.as_primitive::<Int64Type>();
        let side_of = |row: usize| {
            let row = if sides.len() == 1 { 0 } else { row };
            sides.is_valid(row).then(|| sides.value(row))
        };
        let mut encoded = BinaryBuilder::new();
        for (row, content) in content::rows(contents)?.enumerate() {
            let side = side_of(row).map(checked_side).transpose()?;
            let small = content.zip(side).and_then(|(content, side)| {
                let picture = decode_at_least(content, &self.limits, 2 * side).ok()?;
                thumbnail(picture, side)
            });
            encoded.append_option(small);
        }
        Ok(Arc::new(encoded.finish()))
    }
}

fn checked_side(side: i64) -> Result<u32> {
    match u32::try_from(side) {
        Ok(side @ 1..=MAX_SIDE) => Ok(side),
        _ => exec_err!("{NAME}: side must be from 1 to {MAX_SIDE} pixels, not {side}"),
    }
}

impl ScalarUDFImpl for ImageThumbnail {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [content, side] = take_function_args(NAME, arg_types)?;
        if !side.is_integer() && !side.is_null() {
            return plan_err!("{NAME} takes its side as an integer, not {side}");
        }
        Ok(vec![content::coerce(NAME, content)?, DataType::Int64])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [contents, sides] = take_function_args(NAME, &args.args)?;
        match (contents, sides) {
            (ColumnarValue::Scalar(content), ColumnarValue::Scalar(side)) => {
                let small = self.thumbnails(&content.to_array()?, &side.to_array()?)?;
                let small = ScalarValue::try_from_array(&small, 0)?;
                Ok(ColumnarValue::Scalar(small))
            }
            (contents, sides) => {
                let contents = contents.to_array(args.number_rows)?;
                let sides = match sides {
                    ColumnarValue::Scalar(side) => side.to_array()?,
                    ColumnarValue::Array(sides) => Arc::clone(sides),
                };
                Ok(ColumnarValue::Array(self.thumbnails(&contents, &sides)?))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn documentation() -> Documentation {
    Documentation::builder(
        IMAGES,
        "A small copy of a picture: turned upright as EXIF says, laid on white, scaled to fit a \
         square with its proportions kept, never enlarged, as a JPEG of quality 85.\n\nReturns \
         BINARY.",
        "image_thumbnail(content, side)",
    )
    .with_argument("content", "An encoded picture, BINARY.")
    .with_argument(
        "side",
        "Longest side of the result in pixels, from 1 to 4096; anything else is an error.",
    )
    .with_sql_example(
        "```sql
SELECT image_info(image_thumbnail(content, 96)) AS thumbnail FROM raw.images WHERE filename LIKE '%coffee-01.jpg';
```",
    )
    .with_related_udf("image_info")
    .build()
}
