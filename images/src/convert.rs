//! Other pixel modes of a picture: fewer or more channels, more or fewer bits, with or without
//! alpha.
//!
//! Gray is ITU-R BT.601 in 16-bit fixed point, the arithmetic of Pillow's `convert("L")`. Between 8
//! and 16 bits values are scaled by 257 and rounded; floating-point channels are 0 to 1, and what
//! lies outside is clamped when they become integers. Alpha that is dropped is laid on a background
//! first.

use std::fmt;
use std::str::FromStr;

use image::{ColorType, DynamicImage, ImageBuffer, Luma, Pixel, Rgb};

/// White, the usual background.
pub const WHITE: [u8; 3] = [255; 3];

/// Channels of a picture and how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Gray, 8 bits.
    L,
    /// Gray and alpha, 8 bits.
    La,
    /// Color, 8 bits.
    Rgb,
    /// Color and alpha, 8 bits.
    Rgba,
    /// Gray, 16 bits.
    L16,
    /// Gray and alpha, 16 bits.
    La16,
    /// Color, 16 bits.
    Rgb16,
    /// Color and alpha, 16 bits.
    Rgba16,
    /// Color, 32-bit floating point, 0 to 1.
    Rgb32F,
    /// Color and alpha, 32-bit floating point, 0 to 1.
    Rgba32F,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 10] = [
        Self::L,
        Self::La,
        Self::Rgb,
        Self::Rgba,
        Self::L16,
        Self::La16,
        Self::Rgb16,
        Self::Rgba16,
        Self::Rgb32F,
        Self::Rgba32F,
    ];

    /// The mode of `image`; `None` for a pixel type that is not one of the ten.
    pub fn of(image: &DynamicImage) -> Option<Self> {
        Self::of_color(image.color())
    }

    /// The mode whose pixels are of this type.
    pub fn of_color(color: ColorType) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.color() == color)
    }

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::L => "L",
            Self::La => "LA",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::L16 => "L16",
            Self::La16 => "LA16",
            Self::Rgb16 => "RGB16",
            Self::Rgba16 => "RGBA16",
            Self::Rgb32F => "RGB32F",
            Self::Rgba32F => "RGBA32F",
        }
    }

    /// A picture of this mode from its samples row by row, in native byte order; `None` when they
    /// are not as many as `width` x `height` needs.
    pub fn image(self, width: u32, height: u32, samples: Vec<u8>) -> Option<DynamicImage> {
        let words = |samples: &[u8]| -> Vec<u16> {
            let (words, _) = samples.as_chunks();
            words.iter().copied().map(u16::from_ne_bytes).collect()
        };
        let floats = |samples: &[u8]| -> Vec<f32> {
            let (floats, _) = samples.as_chunks();
            floats.iter().copied().map(f32::from_ne_bytes).collect()
        };
        use DynamicImage as Image;
        match self {
            Self::L => ImageBuffer::from_raw(width, height, samples).map(Image::ImageLuma8),
            Self::La => ImageBuffer::from_raw(width, height, samples).map(Image::ImageLumaA8),
            Self::Rgb => ImageBuffer::from_raw(width, height, samples).map(Image::ImageRgb8),
            Self::Rgba => ImageBuffer::from_raw(width, height, samples).map(Image::ImageRgba8),
            Self::L16 => {
                ImageBuffer::from_raw(width, height, words(&samples)).map(Image::ImageLuma16)
            }
            Self::La16 => {
                ImageBuffer::from_raw(width, height, words(&samples)).map(Image::ImageLumaA16)
            }
            Self::Rgb16 => {
                ImageBuffer::from_raw(width, height, words(&samples)).map(Image::ImageRgb16)
            }
            Self::Rgba16 => {
                ImageBuffer::from_raw(width, height, words(&samples)).map(Image::ImageRgba16)
            }
            Self::Rgb32F => {
                ImageBuffer::from_raw(width, height, floats(&samples)).map(Image::ImageRgb32F)
            }
            Self::Rgba32F => {
                ImageBuffer::from_raw(width, height, floats(&samples)).map(Image::ImageRgba32F)
            }
        }
    }

    /// The same in terms of the `image` crate.
    pub fn color(self) -> ColorType {
        match self {
            Self::L => ColorType::L8,
            Self::La => ColorType::La8,
            Self::Rgb => ColorType::Rgb8,
            Self::Rgba => ColorType::Rgba8,
            Self::L16 => ColorType::L16,
            Self::La16 => ColorType::La16,
            Self::Rgb16 => ColorType::Rgb16,
            Self::Rgba16 => ColorType::Rgba16,
            Self::Rgb32F => ColorType::Rgb32F,
            Self::Rgba32F => ColorType::Rgba32F,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no mode of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no image mode '{0}': use L, LA, RGB, RGBA, L16, LA16, RGB16, RGBA16, RGB32F or RGBA32F"
)]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownMode(name.to_owned()))
    }
}

/// `image` in `mode`; alpha is laid on `background` (8-bit RGB) where `mode` has none.
pub fn convert(image: DynamicImage, mode: Mode, background: [u8; 3]) -> DynamicImage {
    let mut image = with_bits_of(image, mode);
    if image.color().has_alpha() && !mode.color().has_alpha() {
        image = flatten(image, background);
    }
    if image.color().has_color() && !mode.color().has_color() {
        image = to_gray(image);
    }
    with_channels_of(image, mode)
}

/// The same channels in as many bits as `mode` has.
fn with_bits_of(image: DynamicImage, mode: Mode) -> DynamicImage {
    let color = image.color();
    let same = match (
        mode.color().bytes_per_pixel() / mode.color().channel_count(),
        color.has_color(),
        color.has_alpha(),
    ) {
        (1, false, false) => Mode::L,
        (1, false, true) => Mode::La,
        (1, true, false) => Mode::Rgb,
        (1, true, true) => Mode::Rgba,
        (2, false, false) => Mode::L16,
        (2, false, true) => Mode::La16,
        (2, true, false) => Mode::Rgb16,
        (2, true, true) => Mode::Rgba16,
        (_, _, false) => Mode::Rgb32F,
        (_, _, true) => Mode::Rgba32F,
    };
    with_channels_of(image, same)
}

/// Scales bits, spreads gray and adds an opaque alpha; `image` has nothing that must be dropped.
fn with_channels_of(image: DynamicImage, mode: Mode) -> DynamicImage {
    match mode {
        Mode::L => DynamicImage::ImageLuma8(image.into_luma8()),
        Mode::La => DynamicImage::ImageLumaA8(image.into_luma_alpha8()),
        Mode::Rgb => DynamicImage::ImageRgb8(image.into_rgb8()),
        Mode::Rgba => DynamicImage::ImageRgba8(image.into_rgba8()),
        Mode::L16 => DynamicImage::ImageLuma16(image.into_luma16()),
        Mode::La16 => DynamicImage::ImageLumaA16(image.into_luma_alpha16()),
        Mode::Rgb16 => DynamicImage::ImageRgb16(image.into_rgb16()),
        Mode::Rgba16 => DynamicImage::ImageRgba16(image.into_rgba16()),
        Mode::Rgb32F => DynamicImage::ImageRgb32F(image.into_rgb32f()),
        Mode::Rgba32F => DynamicImage::ImageRgba32F(image.into_rgba32f()),
    }
}

/// Lays a picture with alpha on `background`; one without stays as it is.
fn flatten(image: DynamicImage, background: [u8; 3]) -> DynamicImage {
    let gray = [luma(background)];
    match image {
        DynamicImage::ImageLumaA8(image) => DynamicImage::ImageLuma8(laid_on(&image, gray)),
        DynamicImage::ImageRgba8(image) => DynamicImage::ImageRgb8(laid_on(&image, background)),
        DynamicImage::ImageLumaA16(image) => DynamicImage::ImageLuma16(laid_on(&image, gray)),
        DynamicImage::ImageRgba16(image) => DynamicImage::ImageRgb16(laid_on(&image, background)),
        DynamicImage::ImageRgba32F(image) => DynamicImage::ImageRgb32F(laid_on(&image, background)),
        opaque => opaque,
    }
}

/// `image`, whose last channel is alpha, over the `COLORS` values of `background`.
fn laid_on<P, Q, const COLORS: usize>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    background: [u8; COLORS],
) -> ImageBuffer<Q, Vec<Q::Subpixel>>
where
    P: Pixel<Subpixel: Sample>,
    Q: Pixel<Subpixel = P::Subpixel>,
{
    let background = background.map(P::Subpixel::from_eight_bits);
    let mut flat = ImageBuffer::<Q, Vec<Q::Subpixel>>::new(image.width(), image.height());
    for (from, to) in image.pixels().zip(flat.pixels_mut()) {
        if let [colors @ .., alpha] = from.channels() {
            let values = to.channels_mut().iter_mut().zip(colors);
            for ((to, color), background) in values.zip(background) {
                *to = color.over(*alpha, background);
            }
        }
    }
    flat
}

/// Gray of a picture with color and without alpha; any other stays as it is.
fn to_gray(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageRgb8(image) => DynamicImage::ImageLuma8(gray_of(&image)),
        DynamicImage::ImageRgb16(image) => DynamicImage::ImageLuma16(gray_of(&image)),
        other => other,
    }
}

fn gray_of<T: Sample>(image: &ImageBuffer<Rgb<T>, Vec<T>>) -> ImageBuffer<Luma<T>, Vec<T>>
where
    Rgb<T>: Pixel<Subpixel = T>,
    Luma<T>: Pixel<Subpixel = T>,
{
    let mut gray = ImageBuffer::<Luma<T>, Vec<T>>::new(image.width(), image.height());
    for (from, to) in image.pixels().zip(gray.pixels_mut()) {
        to.0 = [T::luma(from.0)];
    }
    gray
}

/// Gray of an eight-bit color.
pub(crate) fn luma(rgb: [u8; 3]) -> u8 {
    Sample::luma(rgb)
}

/// A channel's value: what blending and gray mean for it.
trait Sample: Copy {
    /// The same brightness as an eight-bit value.
    fn from_eight_bits(value: u8) -> Self;
    /// This value of opacity `alpha` over an opaque `background`, rounded.
    fn over(self, alpha: Self, background: Self) -> Self;
    /// Gray by ITU-R BT.601.
    fn luma(rgb: [Self; 3]) -> Self;
}

impl Sample for u8 {
    fn from_eight_bits(value: u8) -> Self {
        value
    }

    fn over(self, alpha: Self, background: Self) -> Self {
        let [value, alpha, background] = [self, alpha, background].map(u32::from);
        ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
    }

    fn luma(rgb: [Self; 3]) -> Self {
        fixed_point_luma(rgb.map(u32::from)) as u8
    }
}

impl Sample for u16 {
    fn from_eight_bits(value: u8) -> Self {
        u16::from(value) * 257
    }

    fn over(self, alpha: Self, background: Self) -> Self {
        let [value, alpha, background] = [self, alpha, background].map(u64::from);
        ((value * alpha + background * (65_535 - alpha) + 32_767) / 65_535) as u16
    }

    fn luma(rgb: [Self; 3]) -> Self {
        fixed_point_luma(rgb.map(u32::from)) as u16
    }
}

impl Sample for f32 {
    fn from_eight_bits(value: u8) -> Self {
        f32::from(value) / 255.0
    }

    fn over(self, alpha: Self, background: Self) -> Self {
        self * alpha + background * (1.0 - alpha)
    }

    fn luma([r, g, b]: [Self; 3]) -> Self {
        0.299 * r + 0.587 * g + 0.114 * b
    }
}

/// For values of up to 16 bits: the sum stays below 2^32, as the factors add up to 2^16.
fn fixed_point_luma([r, g, b]: [u32; 3]) -> u32 {
    (r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{LumaA, Rgba, RgbaImage};

    use crate::pictures::colors;

    /// Numbers by Pillow 13: `convert("L")`.
    #[test]
    fn gray_equals_that_of_pillow() {
        let rgb = [
            [200, 30, 60],
            [10, 250, 128],
            [0, 0, 0],
            [255; 3],
            [77; 3],
            [3, 9, 200],
        ];
        assert_eq!(rgb.map(luma), [84, 164, 0, 255, 77, 29]);
    }

    #[test]
    fn every_mode_converts_to_every_mode() {
        let start = DynamicImage::ImageRgb8(colors(5, 4));
        for from in Mode::ALL {
            let image = convert(start.clone(), from, WHITE);
            assert_eq!(Mode::of(&image), Some(from));
            assert_eq!(from.name().parse(), Ok(from));
            for to in Mode::ALL {
                assert_eq!(Mode::of(&convert(image.clone(), to, WHITE)), Some(to));
            }
        }
        assert!("CMYK".parse::<Mode>().is_err());
    }

    #[test]
    fn more_bits_or_an_opaque_alpha_lose_nothing() {
        let start = DynamicImage::ImageRgb8(colors(16, 16));
        for through in [
            Mode::Rgba,
            Mode::Rgb16,
            Mode::Rgba16,
            Mode::Rgb32F,
            Mode::Rgba32F,
        ] {
            let there = convert(start.clone(), through, WHITE);
            assert_eq!(convert(there, Mode::Rgb, WHITE), start, "{through}");
        }
    }

    #[test]
    fn alpha_is_laid_on_the_background() {
        let pixel = Rgba([200, 0, 100, 51]);
        let image = DynamicImage::ImageRgba8(RgbaImage::from_pixel(1, 1, pixel));
        for mode in [Mode::Rgb, Mode::Rgb16, Mode::Rgb32F] {
            let laid = convert(image.clone(), mode, [0, 255, 50]).into_rgb8();
            assert_eq!(laid.get_pixel(0, 0).0, [40, 204, 60], "{mode}");
        }
        let gray = image::GrayAlphaImage::from_pixel(1, 1, LumaA([100, 0]));
        let laid = convert(DynamicImage::ImageLumaA8(gray), Mode::L, [200, 30, 60]);
        assert_eq!(laid.into_luma8().get_pixel(0, 0).0, [84]);
    }

    #[test]
    fn samples_make_the_picture_they_come_from() {
        for mode in Mode::ALL {
            let image = convert(DynamicImage::ImageRgb8(colors(5, 4)), mode, WHITE);
            let samples = image.as_bytes().to_vec();
            assert_eq!(mode.image(5, 4, samples.clone()), Some(image));
            assert_eq!(mode.image(6, 4, samples), None);
        }
    }
}
