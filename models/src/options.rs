//! The options of `CREATE MODEL`: what the file itself does not say about how it is to be run.

use std::collections::BTreeMap;

use crate::network::InputShape;
use crate::spec::{Color, Fit, Input, Layout, PictureInput};
use crate::{ModelError, Result};

/// The names of the options, as messages list them.
const NAMES: &str = "input, width, height, fit, color, layout, mean, std, output";
/// Longest side of a model's pictures, in pixels.
const MAX_SIDE: u32 = 4096;

/// The options of one `CREATE MODEL`, checked as far as they can be without the file.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    input: Kind,
    /// The output that is read; the first one if not given.
    pub(crate) output: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Vector,
    Image(Picture),
}

/// Sizes that are not given are those of the file.
#[derive(Debug, Clone, PartialEq)]
struct Picture {
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
    color: Color,
    layout: Layout,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl ModelOptions {
    /// Options from pairs of name, in lower case, and value. Lists are numbers separated by commas.
    ///
    /// # Errors
    /// [`ModelError::Option`] for a name that is unknown and for a value that is impossible.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = options.clone();
        let mut take = |name: &str| options.remove(name);
        let input = take("input");
        let output = take("output");
        let kind = match input.as_deref().map(str::to_lowercase).as_deref() {
            Some("vector") => Kind::Vector,
            Some("image") => Kind::Image(Picture::parse(&mut take)?),
            Some(other) => {
                return Err(refused("input", format!("is image or vector, not {other}")));
            }
            None => return Err(refused("input", "is missing: it is image or vector")),
        };
        match options.into_keys().next() {
            None => Ok(Self {
                input: kind,
                output,
            }),
            Some(name) if NAMES.split(", ").any(|known| known == name) => Err(refused(
                &name,
                "is about pictures, and the model's input is vector",
            )),
            Some(name) => Err(refused(&name, format!("is not known; there are {NAMES}"))),
        }
    }

    /// The input of a row, for a file whose own input has the shape `declared`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the file, when the options do not fit it.
    pub(crate) fn input(&self, declared: &InputShape) -> Result<Input, String> {
        let dimensions = declared.row.as_slice();
        match (&self.input, dimensions) {
            (Kind::Vector, [Some(length)]) => Ok(Input::Vector { length: *length }),
            (Kind::Vector, _) => Err(format!(
                "its input is {declared}, and input => 'vector' takes batch x length with a fixed length"
            )),
            (Kind::Image(picture), [a, b, c]) => picture
                .fitted([*a, *b, *c])
                .map_err(|reason| format!("its input is {declared}, and {reason}")),
            (Kind::Image(_), _) => Err(format!(
                "its input is {declared}, and input => 'image' takes four dimensions: batch and those of \
                 layout"
            )),
        }
    }
}

impl Picture {
    fn parse(take: &mut impl FnMut(&str) -> Option<String>) -> Result<Self> {
        let color = one_of(
            "color",
            take("color"),
            &[
                ("rgb", Color::Rgb),
                ("bgr", Color::Bgr),
                ("gray", Color::Gray),
            ],
        )?;
        let std = numbers("std", take("std"), color.channels(), 1.0)?;
        if std.contains(&0.0) {
            return Err(refused("std", "must not be zero: pixels are divided by it"));
        }
        Ok(Self {
            width: side("width", take("width"))?,
            height: side("height", take("height"))?,
            fit: one_of(
                "fit",
                take("fit"),
                &[("stretch", Fit::Stretch), ("crop", Fit::Crop)],
            )?,
            color,
            layout: one_of(
                "layout",
                take("layout"),
                &[("chw", Layout::Chw), ("hwc", Layout::Hwc)],
            )?,
            mean: numbers("mean", take("mean"), color.channels(), 0.0)?,
            std,
        })
    }

    /// These options with the sizes that the file fixes filled in.
    fn fitted(&self, declared: [Option<usize>; 3]) -> Result<Input, String> {
        let (channels, height, width) = match (self.layout, declared) {
            (Layout::Chw, [channels, height, width]) => (channels, height, width),
            (Layout::Hwc, [height, width, channels]) => (channels, height, width),
        };
        let wanted = self.color.channels();
        if channels.is_some_and(|channels| channels != wanted) {
            return Err(format!(
                "color and layout ask for {wanted} channels there: set layout to CHW or HWC, color to \
                 RGB, BGR or GRAY"
            ));
        }
        Ok(Input::Image(PictureInput {
            width: agreed("width", self.width, width)?,
            height: agreed("height", self.height, height)?,
            fit: self.fit,
            color: self.color,
            layout: self.layout,
            mean: self.mean.clone(),
            std: self.std.clone(),
        }))
    }
}

/// The size that option and file agree on.
fn agreed(name: &str, given: Option<u32>, declared: Option<usize>) -> Result<u32, String> {
    match (given, declared) {
        (Some(given), Some(declared)) if given as usize != declared => {
            Err(format!("{name} => {given} is another {name}"))
        }
        (Some(given), _) => Ok(given),
        (None, Some(declared)) => match u32::try_from(declared) {
            Ok(side @ 1..=MAX_SIDE) => Ok(side),
            _ => Err(format!("its {name} is not from 1 to {MAX_SIDE} pixels")),
        },
        (None, None) => Err(format!(
            "leaves the {name} open: give it as {name} => 224 or the like"
        )),
    }
}

fn refused(option: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Option {
        option: option.to_owned(),
        reason: reason.into(),
    }
}

fn side(name: &str, value: Option<String>) -> Result<Option<u32>> {
    value
        .map(|value| match value.parse() {
            Ok(side @ 1..=MAX_SIDE) => Ok(side),
            _ => Err(refused(
                name,
                format!("is a number of pixels from 1 to {MAX_SIDE}, not {value}"),
            )),
        })
        .transpose()
}

/// The choice named by `value`, whatever its case; the first one if nothing is.
fn one_of<T: Copy>(name: &str, value: Option<String>, choices: &[(&str, T)]) -> Result<T> {
    let names = || {
        choices
            .iter()
            .map(|(name, _)| name.to_uppercase())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let wanted = value.as_deref().map(str::to_lowercase);
    choices
        .iter()
        .find(|(name, _)| wanted.as_deref().is_none_or(|wanted| wanted == *name))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let value = value.as_deref().unwrap_or_default();
            refused(name, format!("is one of {}, not {value}", names()))
        })
}

/// One number per channel: as many as that, or one for all; `otherwise` if nothing is given.
fn numbers(name: &str, value: Option<String>, channels: usize, otherwise: f32) -> Result<Vec<f32>> {
    let Some(value) = value else {
        return Ok(vec![otherwise; channels]);
    };
    let numbers: Option<Vec<f32>> = value
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|number: &f32| number.is_finite())
        })
        .collect();
    match numbers.as_deref() {
        Some([number]) => Ok(vec![*number; channels]),
        Some(numbers) if numbers.len() == channels => Ok(numbers.to_vec()),
        _ => Err(refused(
            name,
            format!("is one number or {channels}, such as [0.5, 0.5, 0.5], not {value}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<ModelOptions> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ModelOptions::parse(&pairs.collect())
    }

    fn shape(row: &[Option<usize>]) -> InputShape {
        InputShape {
            batch: None,
            row: row.to_vec(),
        }
    }

    #[test]
    fn sizes_come_from_the_file_where_it_fixes_them() {
        let given =
            options(&[("input", "image"), ("mean", "0.5"), ("std", "0.1, 0.2,0.3")]).unwrap();
        let Ok(Input::Image(picture)) = given.input(&shape(&[Some(3), Some(32), Some(64)])) else {
            panic!("refused");
        };
        assert_eq!((picture.width, picture.height), (64, 32));
        assert_eq!(
            (picture.mean, picture.std),
            (vec![0.5; 3], vec![0.1, 0.2, 0.3])
        );
        assert_eq!(
            (picture.fit, picture.color, picture.layout),
            (Fit::Stretch, Color::Rgb, Layout::Chw)
        );

        let message = given.input(&shape(&[Some(3), None, None])).unwrap_err();
        assert!(message.contains("leaves the width open"), "{message}");
        let given = options(&[("input", "image"), ("width", "9"), ("height", "8")]).unwrap();
        assert!(given.input(&shape(&[Some(3), None, None])).is_ok());
        let message = given
            .input(&shape(&[Some(3), Some(8), Some(8)]))
            .unwrap_err();
        assert!(message.contains("width => 9 is another width"), "{message}");
    }

    #[test]
    fn options_that_do_not_fit_the_file_are_refused() {
        for (pairs, row, wrong) in [
            (&[("input", "image")][..], &[Some(8)][..], "four dimensions"),
            (
                &[("input", "image")],
                &[Some(8), Some(8), Some(3)],
                "set layout",
            ),
            (
                &[("input", "image"), ("color", "gray")],
                &[Some(3), Some(8), Some(8)],
                "1 channels",
            ),
            (
                &[("input", "vector")],
                &[Some(3), Some(8), Some(8)],
                "batch x length",
            ),
            (&[("input", "vector")], &[None], "fixed length"),
        ] {
            let message = options(pairs).unwrap().input(&shape(row)).unwrap_err();
            assert!(message.contains(wrong), "{message}");
        }
    }

    #[test]
    fn impossible_options_are_refused_with_those_that_are_possible() {
        for (pairs, wrong) in [
            (&[("width", "3")][..], "input is missing"),
            (&[("input", "sound")], "image or vector, not sound"),
            (
                &[("input", "image"), ("size", "3")],
                "size is not known; there are input, width",
            ),
            (
                &[("input", "vector"), ("mean", "3")],
                "mean is about pictures",
            ),
            (&[("input", "image"), ("width", "0")], "from 1 to 4096"),
            (&[("input", "image"), ("mean", "1,2")], "one number or 3"),
            (&[("input", "image"), ("mean", "nan")], "one number or 3"),
            (&[("input", "image"), ("std", "1,0,1")], "must not be zero"),
            (
                &[("input", "image"), ("color", "cmyk")],
                "RGB, BGR, GRAY, not cmyk",
            ),
        ] {
            let message = options(pairs).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }
}
