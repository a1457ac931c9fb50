//! Colors in other terms than red, green and blue.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use image::{DynamicImage, Rgb32FImage};

use crate::convert::{Mode, convert};

/// What the three channels of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorSpace {
    /// Hue, saturation and value, each 0 to 1: `skimage.color.rgb2hsv`. Floating point.
    Hsv,
    /// CIE L*a*b* of sRGB under D65 (2° observer): L* 0 to 100, a* and b* about -110 to 110:
    /// `skimage.color.rgb2lab`. Floating point.
    Lab,
    /// Luma and two differences of color as JPEG has them, 8 bits: Pillow's `convert("YCbCr")`,
    /// which may differ by 1.
    YCbCr,
}

impl ColorSpace {
    /// All color spaces.
    pub const ALL: [Self; 3] = [Self::Hsv, Self::Lab, Self::YCbCr];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hsv => "HSV",
            Self::Lab => "LAB",
            Self::YCbCr => "YCbCr",
        }
    }
}

impl fmt::Display for ColorSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no color space of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no color space '{0}': use HSV, LAB or YCbCr")]
pub struct UnknownColorSpace(pub String);

impl FromStr for ColorSpace {
    type Err = UnknownColorSpace;

    fn from_str(name: &str) -> Result<Self, UnknownColorSpace> {
        let mut all = Self::ALL.into_iter();
        all.find(|space| space.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownColorSpace(name.to_owned()))
    }
}

/// `image` in `space`: three channels, which are `RGB32F` by type for HSV and LAB, `RGB` for
/// YCbCr. Alpha is laid on `background` first.
pub fn to_color_space(image: DynamicImage, space: ColorSpace, background: [u8; 3]) -> DynamicImage {
    let floats = |image| convert(image, Mode::Rgb32F, background).into_rgb32f();
    match space {
        ColorSpace::Hsv => DynamicImage::ImageRgb32F(map(floats(image), hsv)),
        ColorSpace::Lab if has_eight_bits(&image) => {
            let rgb = convert(image, Mode::Rgb, background).into_rgb8();
            let table: &[f32; 256] = &LINEAR;
            let samples = rgb.pixels().flat_map(|pixel| {
                let linear = pixel.0.map(|value| table[usize::from(value)]);
                lab_of_linear(linear)
            });
            let lab = Rgb32FImage::from_raw(rgb.width(), rgb.height(), samples.collect());
            DynamicImage::ImageRgb32F(lab.unwrap_or_default())
        }
        ColorSpace::Lab => {
            let lab = |rgb: [f32; 3]| lab_of_linear(rgb.map(intensity));
            DynamicImage::ImageRgb32F(map(floats(image), lab))
        }
        ColorSpace::YCbCr => {
            let mut rgb = convert(image, Mode::Rgb, background).into_rgb8();
            for pixel in rgb.pixels_mut() {
                pixel.0 = ycbcr(pixel.0);
            }
            DynamicImage::ImageRgb8(rgb)
        }
    }
}

fn has_eight_bits(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() == image.color().channel_count()
}

fn map(mut image: Rgb32FImage, change: fn([f32; 3]) -> [f32; 3]) -> Rgb32FImage {
    for pixel in image.pixels_mut() {
        pixel.0 = change(pixel.0);
    }
    image
}

fn hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    if range == 0.0 {
        return [0.0, 0.0, value];
    }
    let sixths = if b == value {
        4.0 + (r - g) / range
    } else if g == value {
        2.0 + (b - r) / range
    } else {
        (g - b) / range
    };
    let turns = sixths / 6.0;
    let hue = if turns < 0.0 { turns + 1.0 } else { turns };
    [hue, range / value, value]
}

/// From sRGB to CIE XYZ, by rows; the reference white of D65 is divided out.
const XYZ: [[f32; 3]; 3] = [
    [0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047],
    [0.212671, 0.715160, 0.072169],
    [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
];

fn lab_of_linear(rgb: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = XYZ.map(|[r, g, b]| {
        let share = r * rgb[0] + g * rgb[1] + b * rgb[2];
        if share > 0.008856 {
            share.cbrt()
        } else {
            7.787 * share + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// Intensity of light of each eight-bit sRGB value.
static LINEAR: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|value| intensity(value as f32 / 255.0)));

/// Intensity of light of an sRGB value.
fn intensity(value: f32) -> f32 {
    if value > 0.04045 {
        ((value + 0.055) / 1.055).powf(2.4)
    } else {
        value / 12.92
    }
}

fn ycbcr(rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb.map(f32::from);
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        128.0 - 0.168_735_89 * r - 0.331_264_1 * g + 0.5 * b,
        128.0 + 0.5 * r - 0.418_687_59 * g - 0.081_312_41 * b,
    ]
    .map(|value| value.round() as u8)
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::convert::WHITE;

    /// Six colors, and what scikit-image 0.26 and Pillow 13 make of them.
    const RGB: [[u8; 3]; 6] = [
        [200, 30, 60],
        [10, 250, 128],
        [0, 0, 0],
        [255, 255, 255],
        [77, 77, 77],
        [3, 9, 200],
    ];
    const HSV: [[f32; 3]; 6] = [
        [0.970588, 0.85, 0.784314],
        [0.415278, 0.96, 0.980392],
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 0.0, 0.301961],
        [0.661591, 0.985, 0.784314],
    ];
    const LAB: [[f32; 3]; 6] = [
        [43.5630, 64.0570, 28.4723],
        [86.9919, -74.9316, 44.7222],
        [0.0, 0.0, 0.0],
        [100.0, -0.0025, 0.0047],
        [32.7475, -0.0010, 0.0020],
        [24.8994, 64.0489, -88.6852],
    ];
    const YCBCR: [[u8; 3]; 6] = [
        [84, 114, 210],
        [164, 107, 17],
        [0, 128, 128],
        [255, 128, 128],
        [77, 128, 128],
        [28, 224, 109],
    ];

    fn colors() -> DynamicImage {
        let rgb = RgbImage::from_raw(6, 1, RGB.concat()).unwrap();
        DynamicImage::ImageRgb8(rgb)
    }

    #[track_caller]
    fn check(space: ColorSpace, expected: [[f32; 3]; 6]) {
        let image = to_color_space(colors(), space, WHITE).into_rgb32f();
        for (pixel, expected) in image.pixels().zip(expected) {
            for (value, expected) in pixel.0.iter().zip(expected) {
                assert!((value - expected).abs() < 2e-4, "{pixel:?}: {expected}");
            }
        }
    }

    #[test]
    fn hsv_equals_that_of_scikit_image() {
        check(ColorSpace::Hsv, HSV);
    }

    #[test]
    fn lab_equals_that_of_scikit_image() {
        check(ColorSpace::Lab, LAB);
    }

    #[test]
    fn ycbcr_equals_that_of_pillow_but_for_one() {
        let image = to_color_space(colors(), ColorSpace::YCbCr, WHITE).into_rgb8();
        for (value, expected) in image.iter().zip(YCBCR.concat()) {
            assert!(value.abs_diff(expected) <= 1, "{value} {expected}");
        }
    }
}
