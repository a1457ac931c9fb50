//! Pictures as input of neural networks.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;

/// Order of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// All of red, then all of green, then all of blue: `[3, height, width]`, as PyTorch has it.
    Chw,
    /// Pixel after pixel: `[height, width, 3]`, as TensorFlow has it.
    Hwc,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 2] = [Self::Chw, Self::Hwc];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chw => "CHW",
            Self::Hwc => "HWC",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no layout of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tensor layout '{0}': use CHW or HWC")]
pub struct UnknownLayout(pub String);

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(name: &str) -> Result<Self, UnknownLayout> {
        let mut all = Self::ALL.into_iter();
        all.find(|layout| layout.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownLayout(name.to_owned()))
    }
}

/// `(value / 255 - mean) / std` of every value, with the mean and standard deviation of its
/// channel: torchvision's `to_tensor` and `normalize`, in the same order of single-precision
/// operations. A `std` of zero gives infinities.
pub fn to_tensor(image: &RgbImage, layout: Layout, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
        std::array::from_fn(|value| (value as f32 / 255.0 - mean[channel]) / std[channel])
    });
    let mut tensor = Vec::with_capacity(image.len());
    match layout {
        Layout::Chw => {
            for (channel, table) in tables.iter().enumerate() {
                let values = image.pixels().map(|pixel| pixel.0[channel]);
                tensor.extend(values.map(|value| table[usize::from(value)]));
            }
        }
        Layout::Hwc => {
            let [red, green, blue] = &tables;
            tensor.extend(image.pixels().flat_map(|pixel| {
                let [r, g, b] = pixel.0.map(usize::from);
                [red[r], green[g], blue[b]]
            }));
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::colors;

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// Numbers by numpy 2.4 in single precision, as torchvision computes them.
    #[test]
    fn tensors_equal_those_of_torchvision() {
        let chw = [
            -2.117_904,
            -2.032_280_2,
            -2.066_529_8,
            -1.980_906,
            -2.035_714_1,
            -2.035_714_1,
            -2.035_714_1,
            -2.035_714_1,
            -0.810_980_4,
            -0.915_555_54,
            -0.793_551_15,
            -0.898_126_3,
        ];
        assert_eq!(to_tensor(&colors(2, 2), Layout::Chw, MEAN, STD), chw);
        let hwc: Vec<f32> = (0..4)
            .flat_map(|at| [chw[at], chw[4 + at], chw[8 + at]])
            .collect();
        assert_eq!(to_tensor(&colors(2, 2), Layout::Hwc, MEAN, STD), hwc);
    }
}
