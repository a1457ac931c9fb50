//! Functions that measure a picture: colors, brightness, sharpness.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use shoal_images::decode::Least;
use shoal_images::dominant_colors::dominant_colors;
use shoal_images::histogram::{MAX_BINS, histogram};
use shoal_images::sharpness::sharpness;
use shoal_images::stats::{ChannelStats, stats};

use super::arguments::{Kind, optional};
use super::call::{Function, Input, Operation, Takes};
use super::column::{Value, int};
use super::failure::Failure;
use super::subject::{Need, gray, rgb};
use super::{PICTURE, document};
use crate::types::vector_field;

pub(super) static STATS: Function = Function {
    name: "image_stats",
    takes: Takes::Either,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(Stats)),
    documentation: || {
        document(
            "image_stats(picture)",
            "Measures a picture on white, decoded in full: of each color channel mean, standard \
             deviation (of the population), lowest and highest value and median, from 0 to 255; \
             brightness and contrast, which are mean and standard deviation of gray; and the \
             entropy of gray in bits, from 0 to 8.\n\nReturns STRUCT<red STRUCT<mean DOUBLE, stddev \
             DOUBLE, min INT, max INT, median DOUBLE>, green, blue, brightness DOUBLE, contrast \
             DOUBLE, entropy DOUBLE>.",
            &[PICTURE],
            "round(image_stats(content)['brightness'], 2) AS brightness",
            &["image_histogram", "image_sharpness"],
        )
    },
};

struct Stats;

fn channel_fields() -> Fields {
    Fields::from(vec![
        Field::new("mean", DataType::Float64, true),
        Field::new("stddev", DataType::Float64, true),
        Field::new("min", DataType::Int32, true),
        Field::new("max", DataType::Int32, true),
        Field::new("median", DataType::Float64, true),
    ])
}

fn channel(stats: &ChannelStats) -> Value {
    Value::Struct(vec![
        Value::Double(stats.mean),
        Value::Double(stats.standard_deviation),
        Value::Int(i32::from(stats.min)),
        Value::Int(i32::from(stats.max)),
        Value::Double(stats.median),
    ])
}

impl Operation for Stats {
    fn output(&self) -> Field {
        let channel = || DataType::Struct(channel_fields());
        let fields = Fields::from(vec![
            Field::new("red", channel(), true),
            Field::new("green", channel(), true),
            Field::new("blue", channel(), true),
            Field::new("brightness", DataType::Float64, true),
            Field::new("contrast", DataType::Float64, true),
            Field::new("entropy", DataType::Float64, true),
        ]);
        Field::new("", DataType::Struct(fields), true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::Full)?;
        Ok(stats(&rgb(&image)).map(|stats| {
            Value::Struct(vec![
                channel(&stats.red),
                channel(&stats.green),
                channel(&stats.blue),
                Value::Double(stats.brightness),
                Value::Double(stats.contrast),
                Value::Double(stats.entropy),
            ])
        }))
    }
}

/// Bins of a histogram where none are asked for.
const DEFAULT_BINS: i64 = 32;

pub(super) static HISTOGRAM: Function = Function {
    name: "image_histogram",
    takes: Takes::Either,
    parameters: &[optional("bins", Kind::Integer)],
    decodes: true,
    plan: |arguments| {
        let bins = arguments.integer("bins", 1..=MAX_BINS as i64)?;
        Ok(Box::new(Histogram {
            bins: bins.unwrap_or(DEFAULT_BINS) as usize,
        }))
    },
    documentation: || {
        document(
            "image_histogram(picture[, bins])",
            "How a picture's colors are spread, on white, decoded in full: for red, then green, \
             then blue the share of pixels in each of equal ranges of 0 to 255; each channel sums \
             up to 1.\n\nReturns VECTOR(3 x bins).",
            &[
                PICTURE,
                ("bins", "Ranges per channel, 1 to 256; 32 if left out."),
            ],
            "image_histogram(content, 2) AS histogram",
            &["image_stats", "vector_l1_distance"],
        )
    },
};

struct Histogram {
    bins: usize,
}

impl Operation for Histogram {
    fn output(&self) -> Field {
        vector_field("", 3 * self.bins as i32)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::Full)?;
        Ok(histogram(&rgb(&image), self.bins).map(Value::Floats))
    }
}

pub(super) static SHARPNESS: Function = Function {
    name: "image_sharpness",
    takes: Takes::Either,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(Sharpness)),
    documentation: || {
        document(
            "image_sharpness(picture)",
            "How sharp a picture is: the variance of its Laplacian (kernel 0 1 0, 1 -4 1, 0 1 0 on \
             gray, decoded in full). Blurred pictures have low values; compare pictures of equal \
             size only.\n\nReturns DOUBLE.",
            &[PICTURE],
            "round(image_sharpness(content), 1) AS sharpness",
            &["image_stats"],
        )
    },
};

struct Sharpness;

impl Operation for Sharpness {
    fn output(&self) -> Field {
        Field::new("", DataType::Float64, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::Full)?;
        Ok(sharpness(&gray(&image)).map(Value::Double))
    }
}

/// Colors where no number is asked for.
const DEFAULT_COLORS: i64 = 5;
/// Both sides that a picture keeps at least when it is decoded for its colors, which are taken from
/// no more than 64 x 64 pixels.
const COLOR_SIDE: u32 = 128;

pub(super) static DOMINANT_COLORS: Function = Function {
    name: "image_dominant_colors",
    takes: Takes::Either,
    parameters: &[optional("colors", Kind::Integer)],
    decodes: true,
    plan: |arguments| {
        let colors = arguments.integer("colors", 1..=32)?;
        Ok(Box::new(DominantColors {
            colors: colors.unwrap_or(DEFAULT_COLORS) as usize,
        }))
    },
    documentation: || {
        document(
            "image_dominant_colors(picture[, colors])",
            "The colors that a picture mostly has, on white: k-means of the pixels of a copy of at \
             most 64 x 64, the largest share first. A picture of fewer colors gives fewer.\n\n\
             Returns ARRAY<STRUCT<red INT, green INT, blue INT, share DOUBLE>>.",
            &[PICTURE, ("colors", "How many, 1 to 32; 5 if left out.")],
            "image_dominant_colors(content, 1) AS colors",
            &["image_histogram"],
        )
    },
};

struct DominantColors {
    colors: usize,
}

impl Operation for DominantColors {
    fn output(&self) -> Field {
        let fields = Fields::from(vec![
            Field::new("red", DataType::Int32, true),
            Field::new("green", DataType::Int32, true),
            Field::new("blue", DataType::Int32, true),
            Field::new("share", DataType::Float64, true),
        ]);
        let color = Field::new_list_field(DataType::Struct(fields), true);
        Field::new("", DataType::List(Arc::new(color)), true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::AtLeast(Least::Sides(COLOR_SIDE)))?;
        let colors = dominant_colors(&rgb(&image), self.colors).into_iter();
        let colors = colors.map(|color| {
            let [red, green, blue] = color.rgb;
            Ok(Value::Struct(vec![
                int(red)?,
                int(green)?,
                int(blue)?,
                Value::Double(f64::from(color.share)),
            ]))
        });
        Ok(Some(Value::List(colors.collect::<Result<_, Failure>>()?)))
    }
}
