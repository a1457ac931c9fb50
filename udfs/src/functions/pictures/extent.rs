//! How much memory the answers to a picture will take, told from its header.
//!
//! `image_answer_bytes(picture, step, step, …)` has the arguments of `image_fused`, and gives the bytes
//! that the kept steps will make of each picture, at most, if they are pictures or tensors. No pixel is
//! decoded. A plan asks it before the functions themselves, to put no more rows into a batch than memory
//! has room for.

use std::sync::Arc;

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use shoal_images::convert::Mode;
use shoal_images::probe::{ImageInfo, Limits};

use super::arguments::Argument;
use super::call::Step;
use super::fused::steps;
use super::subject::Pictures;

pub(super) const NAME: &str = "image_answer_bytes";

/// The size of a picture in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) pixels: u64,
    pub(super) bytes_per_pixel: u64,
}

impl Extent {
    /// Of a file with this header, decoded.
    pub(super) fn of_file(info: &ImageInfo) -> Self {
        let bytes_per_channel = match info.bits_per_channel {
            ..=8 => 1,
            9..=16 => 2,
            _ => 4,
        };
        Self {
            pixels: u64::from(info.width) * u64::from(info.height),
            bytes_per_pixel: u64::from(info.channels) * bytes_per_channel,
        }
    }

    /// The same pixels in another mode.
    pub(super) fn in_mode(self, mode: Mode) -> Self {
        let bytes_per_pixel = match mode {
            Mode::L => 1,
            Mode::La | Mode::L16 => 2,
            Mode::Rgb => 3,
            Mode::Rgba | Mode::La16 => 4,
            Mode::Rgb16 => 6,
            Mode::Rgba16 => 8,
            Mode::Rgb32F => 12,
            Mode::Rgba32F => 16,
        };
        Self {
            bytes_per_pixel,
            ..self
        }
    }

    /// The same picture scaled to this size, or to less.
    pub(super) fn scaled(self, width: u32, height: u32) -> Self {
        Self {
            pixels: u64::from(width) * u64::from(height),
            ..self
        }
    }

    fn bytes(self) -> u64 {
        self.pixels.saturating_mul(self.bytes_per_pixel)
    }
}

/// The function to register.
pub(crate) fn udf(limits: Limits) -> ScalarUDF {
    ScalarUDF::new_from_impl(AnswerBytes {
        limits,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AnswerBytes {
    limits: Limits,
    signature: Signature,
}

impl ScalarUDFImpl for AnswerBytes {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((pictures, given)) = args.args.split_first() else {
            return exec_err!("{NAME} is not meant to be called by hand");
        };
        let given: Vec<Argument> = given.iter().map(Argument::from).collect();
        let (steps, pictures) = (steps(&given)?, Pictures::new(pictures)?);
        let bytes = (0..args.number_rows).map(|row| {
            let extent = pictures.extent(row, &self.limits)?;
            let bytes = extent.map(|extent| bytes_of_kept(&steps, extent));
            Ok(bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
        });
        let bytes: Int64Array = bytes.collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(bytes)))
    }
}

/// Bytes that the kept steps make of a picture of this extent.
fn bytes_of_kept(steps: &[Step], picture: Extent) -> u64 {
    let mut extents = vec![Some(picture)];
    let mut kept = 0_u64;
    for step in steps {
        let input = extents.get(step.input).copied().flatten();
        let extent = input.and_then(|input| step.call.extent(input));
        if step.kept {
            kept = kept.saturating_add(extent.map_or(0, Extent::bytes));
        }
        extents.push(extent);
    }
    kept
}
