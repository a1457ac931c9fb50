//! Functions that answer with the bytes of a file.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use shoal_images::convert::{Mode, convert};
use shoal_images::decode::{Decoded, Least};
use shoal_images::encode::{Encoding, encode};
use shoal_images::thumbnail::{FILTER, MAX_SIDE, thumbnail};

use super::arguments::{Kind, RowIntegers, optional, required};
use super::call::{Function, Input, Operation, Takes};
use super::column::Value;
use super::extent::Extent;
use super::failure::Failure;
use super::subject::Need;
use super::transform::background;
use super::{PICTURE, document};

pub(super) static ENCODE: Function = Function {
    name: "image_encode",
    takes: Takes::Either,
    parameters: &[
        required("format", Kind::Text),
        optional("quality", Kind::Integer),
        optional("background", Kind::Text),
    ],
    decodes: true,
    plan: |arguments| {
        let Some(format) = arguments.text("format")? else {
            return plan_err!("image_encode: format must not be NULL");
        };
        let quality = arguments.integer("quality", i64::MIN..=i64::MAX)?;
        let encoding = Encoding::new(format, quality)
            .map_err(|error| plan_datafusion_err!("image_encode: {error}"))?;
        Ok(Box::new(Encode {
            encoding,
            background: background(arguments)?,
        }))
    },
    documentation: || {
        document(
            "image_encode(picture, format[, quality[, background]])",
            "Makes a file of a picture. JPEG has 8 bits and no transparency; PNG and TIFF keep 8 or \
             16 bits and transparency; WebP has 8 bits and transparency, and keeps every pixel \
             unless a quality is given. EXIF data are not written.\n\nReturns BINARY.",
            &[
                PICTURE,
                ("format", "`jpeg`, `png`, `webp` or `tiff`."),
                (
                    "quality",
                    "Of a JPEG, 1 to 100; 85 if left out. Of a WebP, 1 to 100 as in libwebp; without loss \
                     if left out. Other formats have none.",
                ),
                (
                    "background",
                    "Color under transparent pixels of a JPEG, as `'#rrggbb'`; white if left out.",
                ),
            ],
            "image_format(image_encode(content, 'webp', 80)) AS format",
            &["image_decode", "image_thumbnail"],
        )
    },
};

struct Encode {
    encoding: Encoding,
    background: [u8; 3],
}

impl Operation for Encode {
    fn output(&self) -> Field {
        Field::new("", DataType::Binary, true)
    }

    /// A file is hardly larger than its pixels.
    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let mut image = input.pixels(Need::Full)?;
        if matches!(self.encoding, Encoding::Jpeg { .. }) && image.color().has_alpha() {
            let opaque = convert(Arc::unwrap_or_clone(image), Mode::Rgb, self.background);
            image = Arc::new(opaque);
        }
        let file =
            encode(&image, self.encoding).map_err(|error| Failure::Unusable(error.to_string()))?;
        Ok(Some(Value::Bytes(file)))
    }
}

pub(super) static THUMBNAIL: Function = Function {
    name: "image_thumbnail",
    takes: Takes::Either,
    parameters: &[required("side", Kind::RowInteger)],
    decodes: true,
    plan: |arguments| {
        let side = arguments.row_integers("side")?;
        if let RowIntegers::Constant(Some(side)) = side
            && checked_side(side).is_none()
        {
            return plan_err!("{}", wrong_side(side));
        }
        Ok(Box::new(Thumbnail { side }))
    },
    documentation: || {
        document(
            "image_thumbnail(picture, side)",
            "Makes a small copy of a picture: upright, on white, proportions kept, never enlarged, \
             as a JPEG of quality 85. A large JPEG is decoded at reduced size, but never below \
             twice the size asked for.\n\nReturns BINARY.",
            &[
                PICTURE,
                (
                    "side",
                    "Most pixels that the longer side has, 1 to 4096; it may differ from row to row.",
                ),
            ],
            "image_info(image_thumbnail(content, 100)) AS thumbnail",
            &["image_resize", "image_encode"],
        )
    },
};

struct Thumbnail {
    side: RowIntegers,
}

fn checked_side(side: i64) -> Option<u32> {
    u32::try_from(side)
        .ok()
        .filter(|side| (1..=MAX_SIDE).contains(side))
}

fn wrong_side(side: i64) -> String {
    format!("image_thumbnail: side is from 1 to {MAX_SIDE} pixels, not {side}")
}

impl Operation for Thumbnail {
    fn output(&self) -> Field {
        Field::new("", DataType::Binary, true)
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        let side = match self.side {
            RowIntegers::Constant(side) => side.and_then(checked_side),
            _ => None,
        };
        let side = side.unwrap_or(MAX_SIDE);
        let pixels = picture.pixels.min(u64::from(side) * u64::from(side));
        Some(Extent { pixels, ..picture }.in_mode(Mode::Rgb))
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let Some(side) = self.side.get(input.row)? else {
            return Ok(None);
        };
        let Some(checked) = checked_side(side) else {
            return Ok(exec_err!("{}", wrong_side(side))?);
        };
        let least = FILTER.least_side(checked).map(Least::Longer);
        let need = least.map_or(Need::Full, Need::AtLeast);
        let frame = input.frame(need)?;
        let picture = Decoded {
            image: frame.image.as_ref().clone(),
            size: frame.size,
            orientation: frame.orientation,
        };
        Ok(thumbnail(picture, checked).map(Value::Bytes))
    }
}
