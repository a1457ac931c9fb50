//! What a function is applied to in one row: an encoded picture, decoded when asked and then kept
//! for the other functions of the same picture, or an IMAGE.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use shoal_images::decode::{Least, decode, decode_at_least, to_gray_on_white, to_rgb_on_white};
use shoal_images::error::ImageError;
use shoal_images::geometry::Size;
use shoal_images::probe::{ImageInfo, Limits, probe};

use super::extent::Extent;
use super::failure::Failure;
use super::picture::{extent_at, image_at};
use crate::functions::content;

/// A column of encoded pictures or of IMAGEs, or one picture for all rows.
pub(super) struct Pictures {
    column: ArrayRef,
    one_for_all: bool,
}

impl Pictures {
    /// `picture` has a type that [`Function::coerce`](super::call::Function::coerce) lets through.
    pub(super) fn new(picture: &ColumnarValue) -> Result<Self> {
        Ok(match picture {
            ColumnarValue::Array(column) => Self {
                column: Arc::clone(column),
                one_for_all: false,
            },
            ColumnarValue::Scalar(value) => Self {
                column: value.to_array()?,
                one_for_all: true,
            },
        })
    }

    /// What the picture of a row takes once decoded; `None` for NULL and for what is no picture.
    pub(super) fn extent(&self, row: usize, limits: &Limits) -> Result<Option<Extent>> {
        let row = if self.one_for_all { 0 } else { row };
        let Some(images) = self.column.as_struct_opt() else {
            let content = content::row(&self.column, row)?;
            let header = content.and_then(|content| probe(content, limits).ok());
            return Ok(header.as_ref().map(Extent::of_file));
        };
        Ok(match images.is_null(row) {
            true => None,
            false => extent_at(images, row),
        })
    }

    /// The picture of a row; `None` for NULL.
    pub(super) fn subject<'a>(
        &'a self,
        row: usize,
        limits: &'a Limits,
    ) -> Result<Option<Subject<'a>>> {
        let row = if self.one_for_all { 0 } else { row };
        let Some(images) = self.column.as_struct_opt() else {
            let content = content::row(&self.column, row)?;
            return Ok(content.map(|content| Subject::Encoded(Encoded::new(content, limits))));
        };
        if images.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match image_at(images, row) {
            Some(image) => Subject::Image(Arc::new(image)),
            None => Subject::BrokenImage,
        }))
    }
}

/// How much of a picture a function looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Every pixel.
    Full,
    /// It scales down anyway: the picture may come reduced, as far as this allows.
    AtLeast(Least),
}

/// Pixels as stored, and how to turn them upright. Cheap to clone.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) image: Arc<DynamicImage>,
    pub(super) size: Size,
    pub(super) orientation: Orientation,
}

impl Frame {
    fn upright(image: Arc<DynamicImage>) -> Self {
        Self {
            size: Size::full(image.width(), image.height()),
            image,
            orientation: Orientation::NoTransforms,
        }
    }

    /// The pixels, turned upright.
    pub(super) fn turned(mut self) -> Arc<DynamicImage> {
        if let Some(image) = self.size.without_overhang(&self.image) {
            self.image = Arc::new(image);
        }
        if self.orientation != Orientation::NoTransforms {
            Arc::make_mut(&mut self.image).apply_orientation(self.orientation);
        }
        self.image
    }
}

/// A picture that functions are applied to.
pub(super) enum Subject<'a> {
    /// Bytes of a file.
    Encoded(Encoded<'a>),
    /// Pixels, upright.
    Image(Arc<DynamicImage>),
    /// An IMAGE whose data are not what its size and mode ask for.
    BrokenImage,
}

impl Subject<'_> {
    /// The pixels, in a file's own orientation.
    pub(super) fn frame(&mut self, need: Need) -> Result<Frame, Failure> {
        match self {
            Self::Encoded(encoded) => Ok(encoded.frame(need)?),
            Self::Image(image) => Ok(Frame::upright(Arc::clone(image))),
            Self::BrokenImage => Err(Failure::Unusable(
                "the data of the IMAGE are not what its size and mode ask for".to_owned(),
            )),
        }
    }
}

/// Bytes of a file, and what has been read of them so far.
pub(super) struct Encoded<'a> {
    pub(super) content: Cow<'a, [u8]>,
    pub(super) limits: &'a Limits,
    header: Option<Result<ImageInfo, ImageError>>,
    frames: Vec<(Need, Result<Frame, ImageError>)>,
}

impl<'a> Encoded<'a> {
    pub(super) fn new(content: impl Into<Cow<'a, [u8]>>, limits: &'a Limits) -> Self {
        Self {
            content: content.into(),
            limits,
            header: None,
            frames: Vec::new(),
        }
    }

    /// What the header says.
    pub(super) fn header(&mut self) -> Result<ImageInfo, ImageError> {
        self.header
            .get_or_insert_with(|| probe(&self.content, self.limits))
            .clone()
    }

    fn frame(&mut self, need: Need) -> Result<Frame, ImageError> {
        if let Some((_, frame)) = self.frames.iter().find(|(known, _)| *known == need) {
            return frame.clone();
        }
        let decoded = match need {
            Need::Full => decode(&self.content, self.limits),
            Need::AtLeast(least) => decode_at_least(&self.content, self.limits, least),
        };
        let frame = decoded.map(|decoded| Frame {
            image: Arc::new(decoded.image),
            size: decoded.size,
            orientation: decoded.orientation,
        });
        self.frames.push((need, frame.clone()));
        frame
    }
}

/// Eight-bit color on white, without a copy where the picture is that already.
pub(super) fn rgb(image: &DynamicImage) -> Cow<'_, RgbImage> {
    match image.as_rgb8() {
        Some(rgb) => Cow::Borrowed(rgb),
        None => Cow::Owned(to_rgb_on_white(image.clone())),
    }
}

/// Eight-bit gray on white, without a copy where the picture is that already.
pub(super) fn gray(image: &DynamicImage) -> Cow<'_, GrayImage> {
    match image.as_luma8() {
        Some(gray) => Cow::Borrowed(gray),
        None => Cow::Owned(to_gray_on_white(image.clone())),
    }
}
