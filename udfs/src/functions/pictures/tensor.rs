//! `image_to_tensor`: pictures as models take them.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use shoal_images::convert::Mode;
use shoal_images::resize::Filter;
use shoal_images::tensor::{Layout, to_tensor};

use super::arguments::{Arguments, Kind, optional, required};
use super::call::{Function, Input, Operation, Takes};
use super::column::Value;
use super::extent::Extent;
use super::failure::Failure;
use super::subject::rgb;
use super::transform::{FILTER, FIT, Resize};
use super::{PICTURE, document};
use crate::types::tensor_field;

pub(super) static TO_TENSOR: Function = Function {
    name: "image_to_tensor",
    takes: Takes::Either,
    parameters: &[
        required("width", Kind::Integer),
        required("height", Kind::Integer),
        optional("mean", Kind::Numbers),
        optional("std", Kind::Numbers),
        optional("layout", Kind::Text),
        optional("fit", Kind::Text),
        optional("filter", Kind::Text),
    ],
    decodes: true,
    plan: |arguments| Ok(Box::new(ToTensor::planned(arguments)?)),
    documentation: || {
        document(
            "image_to_tensor(picture, width, height[, mean[, std[, layout[, fit[, filter]]]]])",
            "Scales a picture and makes numbers of it as models take them: RGB on white, \
             `(value / 255 - mean) / std` in each channel.\n\nReturns a tensor of FLOATs whose shape \
             is in the column's type (Arrow's `fixed_shape_tensor`).",
            &[
                PICTURE,
                ("width", "Width in pixels."),
                ("height", "Height in pixels."),
                (
                    "mean",
                    "Three numbers, of red, green and blue; zeros if left out.",
                ),
                ("std", "Three numbers above zero; ones if left out."),
                (
                    "layout",
                    "`CHW` (default): all of red, then green, then blue, shape 3 x height x width; \
                     or `HWC`: pixel by pixel, shape height x width x 3.",
                ),
                FIT,
                FILTER,
            ],
            "cardinality(image_to_tensor(content, 224, 224, [0.485, 0.456, 0.406], \
             [0.229, 0.224, 0.225])) AS numbers",
            &["image_resize"],
        )
    },
};

struct ToTensor {
    resize: Resize,
    mean: [f32; 3],
    std: [f32; 3],
    layout: Layout,
    output: Field,
}

impl ToTensor {
    fn planned(arguments: &Arguments<'_>) -> Result<Self> {
        let resize = Resize::planned(arguments, Filter::Triangle)?;
        let std = three(arguments, "std", 1.0)?;
        if std.iter().any(|value| *value <= 0.0) {
            return plan_err!(
                "{}: std is above zero in all channels",
                arguments.function()
            );
        }
        let layout = arguments.parse("layout", Layout::Chw)?;
        let (width, height) = (resize.width as i32, resize.height as i32);
        let shape = match layout {
            Layout::Chw => [3, height, width],
            Layout::Hwc => [height, width, 3],
        };
        let output = tensor_field("", DataType::Float32, &shape).ok_or_else(|| {
            plan_datafusion_err!(
                "{}: {width} x {height} pixels are too many for a tensor",
                arguments.function()
            )
        })?;
        Ok(Self {
            resize,
            mean: three(arguments, "mean", 0.0)?,
            std,
            layout,
            output,
        })
    }
}

fn three(arguments: &Arguments<'_>, name: &str, default: f32) -> Result<[f32; 3]> {
    let Some(numbers) = arguments.numbers(name)? else {
        return Ok([default; 3]);
    };
    match numbers.as_slice() {
        [red, green, blue] => Ok([*red as f32, *green as f32, *blue as f32]),
        _ => plan_err!(
            "{}: {name} has three numbers, not {}",
            arguments.function(),
            numbers.len()
        ),
    }
}

impl Operation for ToTensor {
    fn output(&self) -> Field {
        self.output.clone()
    }

    fn extent(&self, picture: Extent) -> Option<Extent> {
        let scaled = picture.scaled(self.resize.width, self.resize.height);
        Some(scaled.in_mode(Mode::Rgb32F))
    }

    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure> {
        let Some(image) = self.resize.scaled(input)? else {
            return Ok(None);
        };
        let numbers = to_tensor(&rgb(&image), self.layout, self.mean, self.std);
        Ok(Some(Value::Floats(numbers)))
    }
}
