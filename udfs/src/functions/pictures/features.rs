//! Functions that say in numbers what a picture looks like, for comparing pictures.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_datafusion_err};
use image::DynamicImage;
use shoal_images::decode::Least;
use shoal_images::features::{DIMENSIONS, SIDE, features};
use shoal_images::hash::{HashMethod, Hasher};
use shoal_images::hog::{HogOptions, hog};
use shoal_images::lbp::{BINS, lbp};
use shoal_images::resize::{Filter, Fit, resize, resize_to};

use super::arguments::{Arguments, Kind, optional};
use super::call::{Function, Input, Operation, Takes};
use super::column::Value;
use super::failure::Failure;
use super::subject::{Need, gray, rgb};
use super::{PICTURE, document};
use crate::types::vector_field;

/// Both sides that a picture keeps at least when it is decoded for one of these functions.
const NEEDED_SIDE: u32 = 2 * SIDE;

pub(super) static FEATURES: Function = Function {
    name: "image_features",
    takes: Takes::Either,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(Features)),
    documentation: || {
        document(
            "image_features(picture)",
            "Feature vector of a picture: 192 numbers that say which colors it has and where its \
             edges run. Similar pictures have vectors of high cosine similarity.\n\n\
             The picture is laid on white and stretched to 128 x 128 pixels (triangle filter). \
             Numbers 1 to 64 are a 4 x 4 x 4 histogram of its RGB colors, each pixel shared among \
             the eight nearest bins. Numbers 65 to 192 are histograms of 8 gradient orientations in \
             each of 4 x 4 cells, weighted by gradient magnitude. Each of the two parts has length \
             1, or is all zero. A large JPEG is decoded at reduced size: the cosine similarity with \
             the vector of its full size is above 0.99.\n\nReturns VECTOR(192).",
            &[PICTURE],
            "cardinality(image_features(content)) AS dimensions",
            &["vector_cosine_similarity", "image_hash"],
        )
    },
};

struct Features;

impl Operation for Features {
    fn output(&self) -> Field {
        vector_field("", DIMENSIONS as i32)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let frame = input.frame(Need::AtLeast(Least::Sides(NEEDED_SIDE)))?;
        // A square can be turned upright after the reduction, which is far cheaper than before it.
        let Some(square) = resize(&rgb(&frame.image), frame.size, SIDE, SIDE, Filter::Triangle)
        else {
            return Ok(None);
        };
        let mut square = DynamicImage::ImageRgb8(square);
        square.apply_orientation(frame.orientation);
        Ok(Some(Value::Floats(features(&rgb(&square)).to_vec())))
    }
}

/// Bits along a side of a hash where nothing else is asked for: 64 bits, a BIGINT.
const DEFAULT_HASH_SIZE: i64 = 8;

pub(super) static HASH: Function = Function {
    name: "image_hash",
    takes: Takes::Either,
    parameters: &[
        optional("method", Kind::Text),
        optional("size", Kind::Integer),
    ],
    decodes: true,
    plan: |arguments| Ok(Box::new(Hash::planned(arguments)?)),
    documentation: || {
        document(
            "image_hash(picture[, method[, size]])",
            "Hash of a picture: bits that hardly change when it is scaled, recompressed or slightly \
             recolored. With 64 bits, two pictures are near-duplicates when few bits differ, about \
             10 or less: `hamming_distance(image_hash(a), image_hash(b)) <= 10`.\n\n\
             The bits are those of Python's `imagehash`, first bit highest; `to_hex` prints a BIGINT \
             as Python does. A large JPEG is decoded at reduced size, which may change a few bits: \
             `image_hash(image_decode(content))` is exact.\n\n\
             Returns BIGINT for size 8, BINARY for other sizes.",
            &[
                PICTURE,
                (
                    "method",
                    "`perceptual` (default; imagehash's `phash`), `average` (`average_hash`), \
                     `difference` (`dhash`) or `wavelet` (`whash`).",
                ),
                (
                    "size",
                    "Bits along a side, 2 to 32, for `wavelet` a power of two; 8 if left out: 64 \
                     bits.",
                ),
            ],
            "to_hex(image_hash(content)) AS hash",
            &["image_features", "hamming_distance"],
        )
    },
};

struct Hash {
    hasher: Hasher,
    as_bigint: bool,
}

impl Hash {
    fn planned(arguments: &Arguments<'_>) -> Result<Self> {
        let method = arguments.parse("method", HashMethod::Perceptual)?;
        let size = arguments.integer("size", i64::MIN..=i64::MAX)?;
        let size = size.unwrap_or(DEFAULT_HASH_SIZE);
        let hasher = Hasher::new(method, size)
            .map_err(|error| plan_datafusion_err!("{}: {error}", arguments.function()))?;
        Ok(Self {
            hasher,
            as_bigint: size == DEFAULT_HASH_SIZE,
        })
    }
}

impl Operation for Hash {
    fn output(&self) -> Field {
        let data_type = if self.as_bigint {
            DataType::Int64
        } else {
            DataType::Binary
        };
        Field::new("", data_type, true)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::AtLeast(Least::Sides(NEEDED_SIDE)))?;
        let bits = self.hasher.hash(&gray(&image));
        Ok(Some(match bits.as_array::<8>() {
            Some(bits) if self.as_bigint => Value::Long(i64::from_be_bytes(*bits)),
            _ => Value::Bytes(bits),
        }))
    }
}

pub(super) static HOG: Function = Function {
    name: "image_hog",
    takes: Takes::Either,
    parameters: &[],
    decodes: true,
    plan: |arguments| {
        let options = HogOptions::default();
        let length = options
            .dimensions(SIDE, SIDE)
            .ok_or_else(|| plan_datafusion_err!("{}: no block fits", arguments.function()))?;
        Ok(Box::new(Hog { options, length }))
    },
    documentation: || {
        document(
            "image_hog(picture)",
            "Histogram of oriented gradients of a picture: gray, stretched to 128 x 128 pixels \
             (triangle filter), 9 orientations in cells of 8 x 8 pixels, normalized (L2-Hys) in \
             overlapping blocks of 2 x 2 cells. The numbers are those of scikit-image's \
             `skimage.feature.hog` of the same pixels. A large JPEG is decoded at reduced \
             size.\n\nReturns VECTOR(8100).",
            &[PICTURE],
            "cardinality(image_hog(content)) AS dimensions",
            &["image_features", "image_lbp"],
        )
    },
};

struct Hog {
    options: HogOptions,
    length: usize,
}

impl Operation for Hog {
    fn output(&self) -> Field {
        vector_field("", self.length as i32)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let frame = input.frame(Need::AtLeast(Least::Sides(NEEDED_SIDE)))?;
        let gray_frame = DynamicImage::ImageLuma8(gray(&frame.image).into_owned());
        let square = resize_to(
            &gray_frame,
            frame.size,
            SIDE,
            SIDE,
            Filter::Triangle,
            Fit::Exact,
        );
        let Some(mut square) = square else {
            return Ok(None);
        };
        square.apply_orientation(frame.orientation);
        Ok(hog(&gray(&square), &self.options).map(Value::Floats))
    }
}

pub(super) static LBP: Function = Function {
    name: "image_lbp",
    takes: Takes::Either,
    parameters: &[],
    decodes: true,
    plan: |_| Ok(Box::new(Lbp)),
    documentation: || {
        document(
            "image_lbp(picture)",
            "Histogram of local binary patterns of a picture's gray, decoded in full: the share of \
             pixels with 0 to 8 brighter neighbors in one run, and of all others. It tells textures \
             apart. The patterns are those of scikit-image's `local_binary_pattern(gray, 8, 1, \
             'uniform')`.\n\nReturns VECTOR(10).",
            &[PICTURE],
            "cardinality(image_lbp(content)) AS dimensions",
            &["image_hog"],
        )
    },
};

struct Lbp;

impl Operation for Lbp {
    fn output(&self) -> Field {
        vector_field("", BINS as i32)
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let image = input.pixels(Need::Full)?;
        let histogram = lbp(&gray(&image));
        Ok(histogram.map(|histogram| Value::Floats(histogram.to_vec())))
    }
}
