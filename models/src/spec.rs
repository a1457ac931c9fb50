//! What it takes to run a model, in the form that plans carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Digits of a hash that tell two versions of a model apart for people.
const SHORT_HASH: usize = 8;

/// All that running one version of a model takes; plans carry it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Full name: `catalog.schema.model`.
    pub name: String,
    /// Version, counted from 1.
    pub version: u64,
    /// URL of the ONNX file.
    pub location: String,
    /// BLAKE3 hash of the file: 64 hexadecimal digits.
    pub hash: String,
    /// What a row is.
    pub input: Input,
    /// Name of the output that is read.
    pub output: String,
    /// Numbers in the output of one row.
    pub length: usize,
}

/// What a model takes for a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// A picture.
    Image(PictureInput),
    /// So many numbers, as they are.
    Vector {
        /// How many.
        length: usize,
    },
}

/// How an encoded picture becomes a model's input. Channels are scaled to 0 … 1, then `mean` is subtracted
/// and the result divided by `std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureInput {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What becomes of a picture of other proportions.
    pub fit: Fit,
    /// Which channels, in which order.
    pub color: Color,
    /// Order of the dimensions.
    pub layout: Layout,
    /// One number per channel.
    pub mean: Vec<f32>,
    /// One number per channel, none of them zero.
    pub std: Vec<f32>,
}

/// What becomes of a picture whose proportions are not the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It is squeezed.
    Stretch,
    /// What sticks out on two sides is cut off.
    Crop,
}

/// The channels of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Brightness by ITU-R BT.601.
    Gray,
}

impl Color {
    /// Number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// The order of a model's dimensions behind the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Channels first: one plane after the other.
    Chw,
    /// Channels last: one pixel after the other.
    Hwc,
}

impl PictureInput {
    /// The shape of one row.
    pub fn shape(&self) -> [usize; 3] {
        let (height, width) = (self.height as usize, self.width as usize);
        match self.layout {
            Layout::Chw => [self.color.channels(), height, width],
            Layout::Hwc => [height, width, self.color.channels()],
        }
    }
}

impl ModelSpec {
    /// `name@3:1f2e3d4c`: what feature rows keep to tell which model made them. The digits are of a hash of the
    /// file and the options, because a model that is dropped and made anew starts at version 1 again.
    pub fn version_text(&self) -> String {
        let name = self.name.rsplit('.').next().unwrap_or(&self.name);
        let made_of = (&self.hash, &self.input, &self.output);
        let made_of = serde_json::to_vec(&made_of).unwrap_or_default();
        let hash = blake3::hash(&made_of).to_hex();
        format!("{name}@{}:{}", self.version, &hash[..SHORT_HASH])
    }

    /// The shape of one row of input.
    pub fn row_shape(&self) -> Vec<usize> {
        match &self.input {
            Input::Image(picture) => picture.shape().to_vec(),
            Input::Vector { length } => vec![*length],
        }
    }
}

/// `model catalog.schema.name@3`, as messages name it.
impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_survives_the_journey_in_a_plan() {
        let spec = ModelSpec {
            name: "lake.default.m".into(),
            version: 3,
            location: "s3://bucket/m.onnx".into(),
            hash: "0123456789abcdef".repeat(4),
            input: Input::Image(PictureInput {
                width: 64,
                height: 32,
                fit: Fit::Crop,
                color: Color::Bgr,
                layout: Layout::Hwc,
                mean: vec![0.485, 0.456, 0.406],
                std: vec![0.229; 3],
            }),
            output: "embedding".into(),
            length: 16,
        };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ModelSpec>(&json).unwrap(), spec);
        let version = spec.version_text();
        assert!(
            version.starts_with("m@3:") && version.len() == 12,
            "{version}"
        );
        assert_eq!(spec.to_string(), "model lake.default.m@3");
        assert_eq!(spec.row_shape(), [32, 64, 3]);
    }
}
