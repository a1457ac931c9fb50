//! What a picture is, from its header, and what is wrong with it.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use image::DynamicImage;
use shoal_images::decode::mode;
use shoal_images::exif::exif;
use shoal_images::probe::ImageInfo;

use super::call::{Function, Input, Operation, Takes};
use super::column::{Value, int, text_map};
use super::failure::Failure;
use super::picture::mode_of;
use super::subject::Need;
use super::{CONTENT, PICTURE, document};

pub(super) static INFO: Function = Function {
    name: "image_info",
    takes: Takes::Encoded,
    parameters: &[],
    decodes: false,
    plan: |_| Ok(Box::new(Info)),
    documentation: || {
        document(
            "image_info(content)",
            "Says what a file is, from its header alone. Width and height are in pixels as stored, \
             before any EXIF orientation. Channels: 1 gray, 2 gray with alpha, 3 color, 4 color \
             with alpha or CMYK; a palette counts as the colors it holds. Frames: pictures of an \
             animation or pages of a TIFF. Orientation: that of EXIF, 1 to 8, where 1 is upright. A \
             file that ends too early gives NULL.\n\nReturns STRUCT<width INT, height INT, channels \
             INT, format STRING, mime_type STRING, bits_per_channel INT, frames INT, orientation \
             INT>.",
            &[CONTENT],
            "image_info(content) AS info",
            &["image_width", "image_height", "image_format"],
        )
    },
};

pub(super) static WIDTH: Function = Function {
    name: "image_width",
    takes: Takes::Either,
    parameters: &[],
    decodes: false,
    plan: |_| number(|info| info.width, DynamicImage::width),
    documentation: || {
        document(
            "image_width(picture)",
            "Width of a picture in pixels; of a file as stored, from its header.\n\nReturns INT.",
            &[PICTURE],
            "image_width(content) AS width",
            &["image_info"],
        )
    },
};

pub(super) static HEIGHT: Function = Function {
    name: "image_height",
    takes: Takes::Either,
    parameters: &[],
    decodes: false,
    plan: |_| number(|info| info.height, DynamicImage::height),
    documentation: || {
        document(
            "image_height(picture)",
            "Height of a picture in pixels; of a file as stored, from its header.\n\nReturns INT.",
            &[PICTURE],
            "image_height(content) AS height",
            &["image_info"],
        )
    },
};

pub(super) static CHANNELS: Function = Function {
    name: "image_channels",
    takes: Takes::Either,
    parameters: &[],
    decodes: false,
    plan: |_| {
        number(
            |info| u32::from(info.channels),
            |image| u32::from(image.color().channel_count()),
        )
    },
    documentation: || {
        document(
            "image_channels(picture)",
            "Channels of a picture: 1 gray, 2 gray with alpha, 3 color, 4 color with alpha or \
             CMYK; of a file from its header.\n\nReturns INT.",
            &[PICTURE],
            "image_channels(content) AS channels",
            &["image_mode"],
        )
    },
};

pub(super) static MODE: Function = Function {
    name: "image_mode",
    takes: Takes::Either,
    parameters: &[],
    decodes: false,
    plan: |_| Ok(Box::new(Mode)),
    documentation: || {
        document(
            "image_mode(picture)",
            "Mode of the pixels of a picture: `L` gray, `LA` gray with alpha, `RGB`, `RGBA`; with \
             16 bits a channel `L16`, `LA16`, `RGB16`, `RGBA16`; in floating point `RGB32F`, \
             `RGBA32F`. Of a file it is the mode that `image_decode` gives, from its header: a \
             palette, CMYK and YCbCr become RGB.\n\nReturns STRING.",
            &[PICTURE],
            "image_mode(content) AS mode",
            &["image_convert"],
        )
    },
};

pub(super) static FORMAT: Function = Function {
    name: "image_format",
    takes: Takes::Encoded,
    parameters: &[],
    decodes: false,
    plan: |_| Ok(Box::new(Format)),
    documentation: || {
        document(
            "image_format(content)",
            "Format of a file by its content, whatever its name says: `jpeg`, `png`, `tiff`, \
             `gif`, `webp` or `bmp`.\n\nReturns STRING.",
            &[CONTENT],
            "image_format(content) AS format",
            &["image_info"],
        )
    },
};

pub(super) static ERROR: Function = Function {
    name: "image_error",
    takes: Takes::Encoded,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(WhatIsWrong)),
    documentation: || {
        document(
            "image_error(content)",
            "Says why a file is no picture that can be used, and NULL for one that can: it is \
             decoded in full. The text begins with a code that stays the same across versions, such \
             as `truncated` or `not_an_image`.\n\nReturns STRING.",
            &[CONTENT],
            "image_error(X'89504E470D0A1A0A') AS reason",
            &["image_info"],
        )
    },
};

pub(super) static EXIF: Function = Function {
    name: "image_exif",
    takes: Takes::Encoded,
    parameters: &[],
    decodes: false,
    plan: |_| Ok(Box::new(Exif)),
    documentation: || {
        document(
            "image_exif(content)",
            "The EXIF data of a file: names of the EXIF standard, such as `DateTimeOriginal`, with \
             values as people write them, such as `1/250 s`. Empty for a picture without such \
             data.\n\nReturns MAP<STRING, STRING>.",
            &[CONTENT],
            "image_exif(content) AS exif",
            &["image_info"],
        )
    },
};

struct Exif;

impl Operation for Exif {
    fn output(&self) -> Field {
        Field::new("", text_map(), true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let Some(file) = input.encoded() else {
            return Ok(None);
        };
        let mut seen = HashSet::new();
        let mut fields = exif(&file.content, file.limits)?;
        // A map has each key once; what a file says twice counts as first said.
        fields.retain(|(name, _)| seen.insert(name.clone()));
        Ok(Some(Value::Map(fields)))
    }
}

struct Info;

impl Operation for Info {
    fn output(&self) -> Field {
        let fields = Fields::from(vec![
            Field::new("width", DataType::Int32, true),
            Field::new("height", DataType::Int32, true),
            Field::new("channels", DataType::Int32, true),
            Field::new("format", DataType::Utf8, true),
            Field::new("mime_type", DataType::Utf8, true),
            Field::new("bits_per_channel", DataType::Int32, true),
            Field::new("frames", DataType::Int32, true),
            Field::new("orientation", DataType::Int32, true),
        ]);
        Field::new("", DataType::Struct(fields), true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let Some(file) = input.encoded() else {
            return Ok(None);
        };
        let info = file.header()?;
        Ok(Some(Value::Struct(vec![
            int(info.width)?,
            int(info.height)?,
            int(info.channels)?,
            Value::Text(info.format.name().to_owned()),
            Value::Text(info.format.mime_type().to_owned()),
            int(info.bits_per_channel)?,
            int(info.frames)?,
            int(info.orientation)?,
        ])))
    }
}

/// A number that both a file's header and an IMAGE have.
struct Number {
    of_header: fn(&ImageInfo) -> u32,
    of_image: fn(&DynamicImage) -> u32,
}

fn number(
    of_header: fn(&ImageInfo) -> u32,
    of_image: fn(&DynamicImage) -> u32,
) -> Result<Box<dyn Operation>> {
    Ok(Box::new(Number {
        of_header,
        of_image,
    }))
}

impl Operation for Number {
    fn output(&self) -> Field {
        Field::new("", DataType::Int32, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let number = match input.encoded() {
            Some(file) => (self.of_header)(&file.header()?),
            None => (self.of_image)(input.pixels(Need::Full)?.as_ref()),
        };
        Ok(Some(int(number)?))
    }
}

struct Mode;

impl Operation for Mode {
    fn output(&self) -> Field {
        Field::new("", DataType::Utf8, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let mode = match input.encoded() {
            Some(file) => {
                let info = file.header()?;
                mode(&file.content, &info)?.name()
            }
            None => mode_of(input.pixels(Need::Full)?.as_ref())?,
        };
        Ok(Some(Value::Text(mode.to_owned())))
    }
}

struct Format;

impl Operation for Format {
    fn output(&self) -> Field {
        Field::new("", DataType::Utf8, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let Some(file) = input.encoded() else {
            return Ok(None);
        };
        let format = file.header()?.format;
        Ok(Some(Value::Text(format.name().to_owned())))
    }
}

struct WhatIsWrong;

impl Operation for WhatIsWrong {
    fn output(&self) -> Field {
        Field::new("", DataType::Utf8, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        match input.frame(Need::Full) {
            Ok(_) => Ok(None),
            Err(Failure::Picture(error)) => {
                Ok(Some(Value::Text(format!("{}: {error}", error.code()))))
            }
            Err(other) => Err(other),
        }
    }
}
