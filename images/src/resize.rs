//! Resizing, with SIMD where the processor has it.
//!
//! Filters have a support that grows with the reduction, as in Pillow. Of 8-bit photographs a
//! bilinear result differs from Pillow's by at most 1 (2 where a part is cut off), because weights
//! have fewer bits; nearest and box may choose the other neighbor where two are equally near; and
//! bicubic and Lanczos clamp overshoots after another axis first. Colors are weighted by their
//! alpha. Buffers are kept per thread, so that many pictures in a row allocate only their results.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, RgbImage};

use crate::convert::Mode;
use crate::geometry::Size;

/// Buffers above this size are given back after a picture that needed them.
const KEPT_BYTES: usize = 16 << 20;

/// How source pixels are weighted; the support grows with the reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The closest source pixel alone.
    Nearest,
    /// The mean of the source pixels a target pixel covers.
    Box,
    /// Triangle: cheap, and smooth enough to compute features on. Pillow's `BILINEAR`.
    Triangle,
    /// Cubic of Catmull and Rom: sharper. Pillow's `BICUBIC`.
    CatmullRom,
    /// Lanczos with three lobes: sharpest, for people to look at.
    Lanczos,
}

impl Filter {
    /// All filters.
    pub const ALL: [Self; 5] = [
        Self::Nearest,
        Self::Box,
        Self::Triangle,
        Self::CatmullRom,
        Self::Lanczos,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Triangle => "bilinear",
            Self::CatmullRom => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// How long the sides of a picture have to be that is scaled to at most `side` pixels, where it comes
    /// from [`decode_at_least`](crate::decode::decode_at_least); `None` where it has to be the full one.
    ///
    /// A reduced picture is one of means. The triangle sees little of that from one and a quarter times the
    /// size on, filters with lobes from twice the size on: on photographs scaled to 224 x 224 a value of the
    /// triangle differs by 0.4 of 255 on average, by 0.8 in the worst (measured with means by numpy; from
    /// the size itself on 0.6 and 1.2). Nearest and box take or leave whole pixels, which means are not.
    pub fn least_side(self, side: u32) -> Option<u32> {
        match self {
            Self::Nearest | Self::Box => None,
            Self::Triangle => Some(side.saturating_add(side.div_ceil(4))),
            Self::CatmullRom | Self::Lanczos => Some(side.saturating_mul(2)),
        }
    }

    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Box => ResizeAlg::Convolution(FilterType::Box),
            Self::Triangle => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::CatmullRom => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

/// What becomes of a picture's proportions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Stretched to exactly the size.
    Exact,
    /// As large as fits inside, proportions kept: one side of the result may be shorter.
    Inside,
    /// Exactly the size, proportions kept: what does not fit is cut off on both sides alike.
    Fill,
}

impl Fit {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Inside, Self::Fill];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Inside => "fit",
            Self::Fill => "fill",
        }
    }
}

/// There is no filter or fit of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownResize {
    /// Not the name of a filter.
    #[error("there is no resize filter '{0}': use nearest, box, bilinear, bicubic or lanczos")]
    Filter(String),
    /// Not the name of a fit.
    #[error("there is no resize fit '{0}': use exact, fit or fill")]
    Fit(String),
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Filter {
    type Err = UnknownResize;

    fn from_str(name: &str) -> Result<Self, UnknownResize> {
        let mut all = Self::ALL.into_iter();
        all.find(|filter| filter.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownResize::Filter(name.to_owned()))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fit {
    type Err = UnknownResize;

    fn from_str(name: &str) -> Result<Self, UnknownResize> {
        let mut all = Self::ALL.into_iter();
        all.find(|fit| fit.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownResize::Fit(name.to_owned()))
    }
}

/// Scales `image` to `width` x `height`, whatever its proportions; `None` when either side of
/// source or target is zero. `size` says what of a reduced picture there is.
pub fn resize(
    image: &RgbImage,
    size: Size,
    width: u32,
    height: u32,
    filter: Filter,
) -> Option<RgbImage> {
    let options = options(size, filter);
    let kind = PixelType::U8x3;
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), kind).ok()?;
    RgbImage::from_raw(width, height, run(&source, width, height, &options)?)
}

/// Scales a picture of any pixel type to `width` x `height` as `fit` says, keeping its pixel type;
/// `None` when either side of source or target is zero. `size` says what of a reduced picture there is.
pub fn resize_to(
    image: &DynamicImage,
    size: Size,
    width: u32,
    height: u32,
    filter: Filter,
    fit: Fit,
) -> Option<DynamicImage> {
    let mut options = options(size, filter);
    let (width, height) = match fit {
        Fit::Exact => (width, height),
        Fit::Inside => fit_within(size.width, size.height, width, height),
        Fit::Fill => {
            options = from_the_middle(options, size, (width, height));
            (width, height)
        }
    };
    let mode = Mode::of(image)?;
    let kind = match mode {
        Mode::L => PixelType::U8,
        Mode::La => PixelType::U8x2,
        Mode::Rgb => PixelType::U8x3,
        Mode::Rgba => PixelType::U8x4,
        Mode::L16 => PixelType::U16,
        Mode::La16 => PixelType::U16x2,
        Mode::Rgb16 => PixelType::U16x3,
        Mode::Rgba16 => PixelType::U16x4,
        Mode::Rgb32F => PixelType::F32x3,
        Mode::Rgba32F => PixelType::F32x4,
    };
    let source = ImageRef::new(image.width(), image.height(), image.as_bytes(), kind).ok()?;
    mode.image(width, height, run(&source, width, height, &options)?)
}

/// All of the picture, to be scaled by `filter`.
fn options(size: Size, filter: Filter) -> ResizeOptions {
    let options = ResizeOptions::new().resize_alg(filter.algorithm());
    let (width, height) = size.covered();
    match size.factor {
        1 => options,
        _ => options.crop(0.0, 0.0, width, height),
    }
}

/// Of the picture the largest part from the middle that has the proportions of `to`.
fn from_the_middle(options: ResizeOptions, size: Size, to: (u32, u32)) -> ResizeOptions {
    let (width, height) = size.covered();
    let (to_width, to_height) = (f64::from(to.0.max(1)), f64::from(to.1.max(1)));
    let part_width = width.min(height * to_width / to_height);
    let part_height = height.min(width * to_height / to_width);
    let (left, top) = ((width - part_width) / 2.0, (height - part_height) / 2.0);
    options.crop(left, top, part_width, part_height)
}

/// The largest size with the proportions of `width` x `height` that fits `max_width` x
/// `max_height`, each side rounded, and at least one pixel unless there is no room.
pub fn fit_within(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let [w, h, max_w, max_h] = [width, height, max_width, max_height].map(u64::from);
    let scaled = |length: u64, by: u64, of: u64| {
        let rounded = (length * by + of / 2) / of.max(1);
        rounded.max(1) as u32
    };
    if w * max_h > h * max_w {
        (max_width, scaled(h, max_w, w).min(max_height))
    } else {
        (scaled(w, max_h, h).min(max_width), max_height)
    }
}

/// The bytes of `source` at `width` x `height`.
fn run(source: &ImageRef<'_>, width: u32, height: u32, options: &ResizeOptions) -> Option<Vec<u8>> {
    thread_local! {
        static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
    }
    if [source.width(), source.height(), width, height].contains(&0) {
        return None;
    }
    let mut target = Image::new(width, height, source.pixel_type());
    RESIZER.with_borrow_mut(|resizer| {
        let done = resizer.resize(source, &mut target, options);
        if resizer.size_of_internal_buffers() > KEPT_BYTES {
            resizer.reset_internal_buffers();
        }
        done.ok()
    })?;
    Some(target.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{WHITE, convert};
    use crate::pictures::colors;

    #[test]
    fn of_a_reduced_picture_the_part_is_scaled_that_it_covers() {
        // Eight columns of a slope become one; the last stands for four, which an encoder pads.
        let slope = |x: u32| x.min(499) * 255 / 499;
        let full = RgbImage::from_fn(500, 1, |x, _| image::Rgb([slope(x) as u8; 3]));
        let mean = |x: u32| (8 * x..8 * x + 8).map(slope).sum::<u32>() / 8;
        let reduced = RgbImage::from_fn(63, 1, |x, _| image::Rgb([mean(x) as u8; 3]));
        let (width, height, factor) = (500, 1, 8);
        let size = Size {
            width,
            height,
            factor,
        };
        for filter in [Filter::Triangle, Filter::CatmullRom, Filter::Lanczos] {
            let expected = resize(&full, Size::full(500, 1), 25, 1, filter).unwrap();
            let found = resize(&reduced, size, 25, 1, filter).unwrap();
            let pairs = expected.iter().zip(found.iter());
            let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{filter}: {expected:?}, {found:?}");
        }
        let image = DynamicImage::ImageRgb8(reduced);
        let fill = |image: &DynamicImage, size| {
            let filled = resize_to(image, size, 3, 3, Filter::Triangle, Fit::Fill);
            filled.unwrap().into_rgb8()
        };
        let middle = fill(&DynamicImage::ImageRgb8(full), Size::full(500, 1));
        let found = fill(&image, size);
        let worst = middle
            .iter()
            .zip(found.iter())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst <= Some(2), "{middle:?}, {found:?}");
    }

    #[test]
    fn proportions_are_kept_inside_any_box() {
        assert_eq!(fit_within(4000, 3000, 200, 200), (200, 150));
        assert_eq!(fit_within(3000, 4000, 200, 200), (150, 200));
        assert_eq!(fit_within(100, 50, 200, 200), (200, 100));
        assert_eq!(fit_within(100, 50, 200, 30), (60, 30));
        assert_eq!(fit_within(10_000, 1, 200, 200), (200, 1));
    }

    /// `Image.fromarray(colors).resize((3, 2), filter)` by Pillow 13, of `colors` at 60 x 40.
    #[test]
    fn every_filter_is_close_to_that_of_pillow() {
        let expected: [(Filter, [u8; 18]); 4] = [
            (
                Filter::Box,
                [
                    75, 12, 29, 175, 40, 26, 95, 67, 138, 135, 40, 49, 158, 124, 46, 79, 161, 158,
                ],
            ),
            (
                Filter::Triangle,
                [
                    91, 18, 28, 168, 48, 33, 102, 77, 126, 140, 45, 45, 154, 116, 50, 80, 158, 142,
                ],
            ),
            (
                Filter::CatmullRom,
                [
                    82, 14, 26, 177, 43, 27, 100, 76, 132, 144, 40, 45, 156, 122, 46, 72, 166, 150,
                ],
            ),
            (
                Filter::Lanczos,
                [
                    76, 13, 26, 183, 41, 23, 100, 76, 136, 150, 37, 45, 157, 126, 42, 66, 170, 155,
                ],
            ),
        ];
        for (filter, expected) in expected {
            let small = resize(&colors(60, 40), Size::full(60, 40), 3, 2, filter).unwrap();
            for (value, expected) in small.iter().zip(expected) {
                assert!(
                    value.abs_diff(expected) <= 1,
                    "{filter}: {value} {expected}"
                );
            }
        }
    }

    #[test]
    fn every_pixel_type_is_scaled_alike() {
        let start = DynamicImage::ImageRgb8(colors(60, 40));
        for mode in Mode::ALL {
            let image = convert(start.clone(), mode, WHITE);
            for filter in Filter::ALL {
                let small = resize_to(
                    &image,
                    Size::full(image.width(), image.height()),
                    7,
                    5,
                    filter,
                    Fit::Exact,
                )
                .unwrap();
                assert_eq!(Mode::of(&small), Some(mode));
                let of_eight_bits = convert(image.clone(), Mode::Rgb, WHITE).into_rgb8();
                let expected = resize(&of_eight_bits, Size::full(60, 40), 7, 5, filter).unwrap();
                let small = convert(small, Mode::Rgb, WHITE).into_rgb8();
                for (value, expected) in small.iter().zip(expected.iter()) {
                    assert!(value.abs_diff(*expected) <= 2, "{mode} {filter}");
                }
            }
        }
    }

    #[test]
    fn a_fit_gives_the_size_it_promises() {
        let image = DynamicImage::ImageRgb8(colors(60, 40));
        for (fit, size) in [
            (Fit::Exact, (20, 20)),
            (Fit::Inside, (20, 13)),
            (Fit::Fill, (20, 20)),
        ] {
            let scaled = resize_to(
                &image,
                Size::full(image.width(), image.height()),
                20,
                20,
                Filter::Triangle,
                fit,
            )
            .unwrap();
            assert_eq!((scaled.width(), scaled.height()), size);
            assert_eq!(
                resize_to(
                    &image,
                    Size::full(image.width(), image.height()),
                    0,
                    20,
                    Filter::Triangle,
                    fit
                ),
                None
            );
            let empty = DynamicImage::new_rgb8(0, 7);
            assert_eq!(
                resize_to(
                    &empty,
                    Size::full(empty.width(), empty.height()),
                    20,
                    20,
                    Filter::Triangle,
                    fit
                ),
                None
            );
        }
    }

    /// `ImageOps.fit(Image.fromarray(colors), (2, 2), BILINEAR)` by Pillow 13.
    #[test]
    fn filling_cuts_both_sides_alike() {
        let image = DynamicImage::ImageRgb8(colors(60, 40));
        let filled = resize_to(
            &image,
            Size::full(image.width(), image.height()),
            2,
            2,
            Filter::Triangle,
            Fit::Fill,
        )
        .unwrap();
        let expected = [132, 31, 20, 153, 64, 75, 167, 77, 37, 102, 147, 92];
        for (value, expected) in filled.as_bytes().iter().zip(expected) {
            assert!(value.abs_diff(expected) <= 1, "{value} {expected}");
        }
    }

    #[test]
    fn invisible_colors_do_not_bleed() {
        let image = image::RgbaImage::from_fn(8, 8, |x, _| {
            image::Rgba(if x < 4 {
                [200, 100, 50, 255]
            } else {
                [0, 255, 0, 0]
            })
        });
        let small = resize_to(
            &image.into(),
            Size::full(8, 8),
            3,
            3,
            Filter::Triangle,
            Fit::Exact,
        )
        .unwrap();
        for pixel in small.into_rgba8().pixels().filter(|pixel| pixel.0[3] > 20) {
            let [r, g, b, _] = pixel.0;
            assert!(r.abs_diff(200) <= 2 && g.abs_diff(100) <= 2 && b.abs_diff(50) <= 2);
        }
    }
}
