//! Functions that answer with a picture in memory: an IMAGE.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use image::DynamicImage;
use shoal_images::color_space::{ColorSpace, to_color_space};
use shoal_images::convert::{Mode, WHITE, convert};
use shoal_images::decode::Least;
use shoal_images::geometry::{crop, flip_horizontal, flip_vertical, rotate, swaps_sides};
use shoal_images::resize::{Filter, Fit, resize_to};

use super::arguments::{Arguments, Kind, RowIntegers, optional, required};
use super::call::{Function, Input, Operation, Takes};
use super::column::Value;
use super::extent::Extent;
use super::failure::Failure;
use super::subject::Need;
use super::{CONTENT, PICTURE, document};
use crate::types::image_field;

/// Longest side that a picture can be resized to.
const MAX_SIDE: i64 = 16_384;
/// Most pixels that a picture can be resized to.
const MAX_PIXELS: i64 = 1 << 26;

/// What a function that scales says of its filter.
pub(super) const FILTER: (&str, &str) = (
    "filter",
    "How pixels are weighted: `nearest`, `box`, `bilinear` (default), `bicubic` or `lanczos`.",
);
/// What a function that scales says of proportions.
pub(super) const FIT: (&str, &str) = (
    "fit",
    "`exact` (default) stretches; `fit` keeps the proportions, so that one side may become shorter; \
     `fill` keeps them too and cuts off on both sides alike what does not fit.",
);

fn image_answer(image: Arc<DynamicImage>) -> Result<Option<Value>, Failure> {
    Ok(Some(Value::Image(image)))
}

pub(super) static DECODE: Function = Function {
    name: "image_decode",
    takes: Takes::Encoded,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(Decode)),
    documentation: || {
        document(
            "image_decode(content)",
            "Decodes a file in full: every pixel, upright. Of an animation it is the first frame, \
             of a TIFF the first page. Functions of the result see exactly these pixels, while \
             functions that scale down and take the file itself decode a JPEG at reduced size, \
             which is several times faster: compare `image_hash(image_decode(content))` with \
             `image_hash(content)`.\n\nReturns IMAGE, a STRUCT<data BINARY, height INT, width INT, \
             channels INT, mode STRING>: `data` holds the pixels row by row.",
            &[CONTENT],
            "image_mode(image_decode(content)) AS mode",
            &["image_encode", "image_mode"],
        )
    },
};

struct Decode;

impl Operation for Decode {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        image_answer(input.pixels(Need::Full)?)
    }
}

pub(super) static RESIZE: Function = Function {
    name: "image_resize",
    takes: Takes::Either,
    parameters: &[
        required("width", Kind::Integer),
        required("height", Kind::Integer),
        optional("fit", Kind::Text),
        optional("filter", Kind::Text),
    ],
    decodes: true,
    plan: |arguments| Ok(Box::new(Resize::planned(arguments, Filter::Triangle)?)),
    documentation: || {
        document(
            "image_resize(picture, width, height[, fit[, filter]])",
            "Scales a picture; its mode stays. A large JPEG is decoded at reduced size, but never \
             below one and a quarter times the size asked for by bilinear, and twice by bicubic and \
             lanczos: a value of a pixel then differs from the one by full decoding by less than 2 of 255 \
             on average, in most pictures by less than 1. For nearest and box it is decoded fully.\n\nReturns IMAGE.",
            &[
                PICTURE,
                ("width", "New width in pixels, 1 to 16384."),
                (
                    "height",
                    "New height in pixels, 1 to 16384; 67 million pixels at most.",
                ),
                FIT,
                FILTER,
            ],
            "image_width(image_resize(content, 300, 300, fit => 'fit')) AS width",
            &["image_thumbnail", "image_crop"],
        )
    },
};

/// Scaling to a size known at planning.
pub(super) struct Resize {
    pub(super) width: u32,
    pub(super) height: u32,
    fit: Fit,
    filter: Filter,
}

impl Resize {
    /// From the arguments width, height, fit and filter.
    pub(super) fn planned(arguments: &Arguments<'_>, filter: Filter) -> Result<Self> {
        let width = arguments.required_integer("width", 1..=MAX_SIDE)?;
        let height = arguments.required_integer("height", 1..=MAX_SIDE)?;
        if width * height > MAX_PIXELS {
            return plan_err!(
                "{}: {width} x {height} are more than {MAX_PIXELS} pixels",
                arguments.function()
            );
        }
        Ok(Self {
            width: width as u32,
            height: height as u32,
            fit: arguments.parse("fit", Fit::Exact)?,
            filter: arguments.parse("filter", filter)?,
        })
    }

    fn need(&self) -> Need {
        match self.filter.least_side(self.width.max(self.height)) {
            None => Need::Full,
            Some(side) if self.fit == Fit::Inside => Need::AtLeast(Least::Longer(side)),
            Some(side) => Need::AtLeast(Least::Sides(side)),
        }
    }

    /// The scaled picture, upright.
    pub(super) fn scaled(
        &self,
        input: &mut Input<'_, '_>,
    ) -> Result<Option<DynamicImage>, Failure> {
        let frame = input.frame(self.need())?;
        // Turning comes last, when there are fewer pixels to turn.
        let (width, height) = if swaps_sides(frame.orientation) {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        };
        let mut scaled = resize_to(
            &frame.image,
            frame.size,
            width,
            height,
            self.filter,
            self.fit,
        );
        if let Some(image) = &mut scaled {
            image.apply_orientation(frame.orientation);
        }
        Ok(scaled)
    }
}

impl Operation for Resize {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture.scaled(self.width, self.height))
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let scaled = self.scaled(input)?;
        Ok(scaled.map(|image| Value::Image(Arc::new(image))))
    }
}

pub(super) static CROP: Function = Function {
    name: "image_crop",
    takes: Takes::Either,
    parameters: &[
        required("x", Kind::RowInteger),
        required("y", Kind::RowInteger),
        required("width", Kind::RowInteger),
        required("height", Kind::RowInteger),
    ],
    decodes: true,
    plan: |arguments| {
        Ok(Box::new(Crop {
            x: arguments.row_integers("x")?,
            y: arguments.row_integers("y")?,
            width: arguments.row_integers("width")?,
            height: arguments.row_integers("height")?,
        }))
    },
    documentation: || {
        document(
            "image_crop(picture, x, y, width, height)",
            "Cuts out a part of a picture, as far as it lies within the picture; NULL where nothing \
             of it does. All four numbers may differ from row to row, such as the boxes of an \
             object detector.\n\nReturns IMAGE.",
            &[
                PICTURE,
                ("x", "First column of pixels, from 0."),
                ("y", "First row of pixels, from 0."),
                ("width", "Columns of pixels."),
                ("height", "Rows of pixels."),
            ],
            "image_width(image_crop(content, 550, 0, 100, 100)) AS width",
            &["image_resize"],
        )
    },
};

struct Crop {
    x: RowIntegers,
    y: RowIntegers,
    width: RowIntegers,
    height: RowIntegers,
}

impl Operation for Crop {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let row = input.row;
        let (Some(x), Some(y)) = (self.x.get(row)?, self.y.get(row)?) else {
            return Ok(None);
        };
        let (Some(width), Some(height)) = (self.width.get(row)?, self.height.get(row)?) else {
            return Ok(None);
        };
        let image = input.pixels(Need::Full)?;
        let part = crop(&image, x, y, width, height);
        Ok(part.map(|part| Value::Image(Arc::new(part))))
    }
}

pub(super) static ROTATE: Function = Function {
    name: "image_rotate",
    takes: Takes::Either,
    parameters: &[required("degrees", Kind::Integer)],
    decodes: true,
    plan: |arguments| {
        let degrees = arguments.required_integer("degrees", -360..=360)?;
        if degrees % 90 != 0 {
            return plan_err!("image_rotate: degrees are a multiple of 90, not {degrees}");
        }
        Ok(Box::new(Rotate { degrees }))
    },
    documentation: || {
        document(
            "image_rotate(picture, degrees)",
            "Turns a picture clockwise.\n\nReturns IMAGE.",
            &[
                PICTURE,
                (
                    "degrees",
                    "90, 180 or 270; negative ones turn counterclockwise.",
                ),
            ],
            "image_width(image_rotate(content, 90)) AS width",
            &["image_flip"],
        )
    },
};

struct Rotate {
    degrees: i64,
}

impl Operation for Rotate {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = Arc::unwrap_or_clone(input.pixels(Need::Full)?);
        Ok(rotate(image, self.degrees).map(|image| Value::Image(Arc::new(image))))
    }
}

pub(super) static FLIP: Function = Function {
    name: "image_flip",
    takes: Takes::Either,
    parameters: &[required("direction", Kind::Text)],
    decodes: true,
    plan: |arguments| {
        let directions = [
            ("horizontal", Flip::Horizontal),
            ("vertical", Flip::Vertical),
        ];
        let direction = arguments.choice("direction", &directions, Flip::Horizontal)?;
        Ok(Box::new(direction))
    },
    documentation: || {
        document(
            "image_flip(picture, direction)",
            "Mirrors a picture.\n\nReturns IMAGE.",
            &[
                PICTURE,
                (
                    "direction",
                    "`horizontal` exchanges left and right, `vertical` top and bottom.",
                ),
            ],
            "image_mode(image_flip(content, 'horizontal')) AS mode",
            &["image_rotate"],
        )
    },
};

#[derive(Debug, Clone, Copy)]
enum Flip {
    Horizontal,
    Vertical,
}

impl Operation for Flip {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::Full)?;
        image_answer(Arc::new(match self {
            Self::Horizontal => flip_horizontal(&image),
            Self::Vertical => flip_vertical(&image),
        }))
    }
}

pub(super) static CONVERT: Function = Function {
    name: "image_convert",
    takes: Takes::Either,
    parameters: &[
        required("mode", Kind::Text),
        optional("background", Kind::Text),
    ],
    decodes: true,
    plan: |arguments| {
        let Some(mode) = arguments.text("mode")? else {
            return plan_err!("image_convert: mode must not be NULL");
        };
        Ok(Box::new(Convert {
            target: target(mode)?,
            background: background(arguments)?,
        }))
    },
    documentation: || {
        document(
            "image_convert(picture, mode[, background])",
            "Brings a picture to another mode or color space. Gray is 0.299 R + 0.587 G + 0.114 B, \
             as in Pillow.\n\nReturns IMAGE.",
            &[
                PICTURE,
                (
                    "mode",
                    "`L`, `LA`, `RGB`, `RGBA`, with 16 bits a channel `L16`, `LA16`, `RGB16`, \
                     `RGBA16`, in floating point from 0 to 1 `RGB32F`, `RGBA32F`; or the color \
                     space `HSV` or `LAB`, as three channels of floating point (mode RGB32F), or \
                     `YCbCr`, as three channels of 8 bits (mode RGB).",
                ),
                (
                    "background",
                    "Color under transparent pixels where the new mode has none, as `'#rrggbb'`; \
                     white if left out.",
                ),
            ],
            "image_mode(image_convert(content, 'L')) AS mode",
            &["image_mode"],
        )
    },
};

/// What a picture is converted to.
#[derive(Debug, Clone, Copy)]
enum Target {
    Mode(Mode),
    Space(ColorSpace),
}

fn target(name: &str) -> Result<Target> {
    if let Ok(space) = ColorSpace::from_str(name) {
        return Ok(Target::Space(space));
    }
    let mode = name
        .parse()
        .map_err(|error| plan_datafusion_err!("image_convert: {error}; or HSV, LAB, YCbCr"))?;
    Ok(Target::Mode(mode))
}

/// The argument `background`: `#rrggbb`.
pub(super) fn background(arguments: &Arguments<'_>) -> Result<[u8; 3]> {
    let Some(text) = arguments.text("background")? else {
        return Ok(WHITE);
    };
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match number.map(u32::to_be_bytes) {
        Some([_, red, green, blue]) => Ok([red, green, blue]),
        None => plan_err!(
            "{}: background is a color such as '#ffffff', not '{text}'",
            arguments.function()
        ),
    }
}

struct Convert {
    target: Target,
    background: [u8; 3],
}

impl Operation for Convert {
    fn output(&self) -> Field {
        image_field("")
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        Some(picture.in_mode(match self.target {
            Target::Mode(mode) => mode,
            Target::Space(ColorSpace::YCbCr) => Mode::Rgb,
            Target::Space(ColorSpace::Hsv | ColorSpace::Lab) => Mode::Rgb32F,
        }))
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = Arc::unwrap_or_clone(input.pixels(Need::Full)?);
        image_answer(Arc::new(match self.target {
            Target::Mode(mode) => convert(image, mode, self.background),
            Target::Space(space) => to_color_space(image, space, self.background),
        }))
    }
}
