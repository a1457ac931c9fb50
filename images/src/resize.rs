//! Resizing, with SIMD where the processor has it.
//!
//! Filters have a support that grows with the reduction, as in Pillow; 8-bit results differ from
//! Pillow's by at most 1, because weights have fewer bits. Colors are weighted by their alpha.
//! Buffers are kept per thread, so that many pictures in a row allocate only their results.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, RgbImage};

use crate::convert::Mode;

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
/// source or target is zero.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Option<RgbImage> {
    let options = ResizeOptions::new().resize_alg(filter.algorithm());
    let kind = PixelType::U8x3;
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), kind).ok()?;
    RgbImage::from_raw(width, height, run(&source, width, height, &options)?)
}

/// Scales a picture of any pixel type to `width` x `height` as `fit` says, keeping its pixel type;
/// `None` when either side of source or target is zero.
pub fn resize_to(
    image: &DynamicImage,
    width: u32,
    height: u32,
    filter: Filter,
    fit: Fit,
) -> Option<DynamicImage> {
    let mut options = ResizeOptions::new().resize_alg(filter.algorithm());
    let (width, height) = match fit {
        Fit::Exact => (width, height),
        Fit::Inside => fit_within(image.width(), image.height(), width, height),
        Fit::Fill => {
            options = options.fit_into_destination(None);
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
fn run(
    source: &ImageRef<'_>,
    width: u32,
    height: u32,
    options: &ResizeOptions,
) -> Option<Vec<u8>> {
    thread_local! {
        static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
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

    #[test]
    fn proportions_are_kept_inside_any_box() {
        assert_eq!(fit_within(4000, 3000, 200, 200), (200, 150));
        assert_eq!(fit_within(3000, 4000, 200, 200), (150, 200));
        assert_eq!(fit_within(100, 50, 200, 200), (200, 100));
        assert_eq!(fit_within(100, 50, 200, 30), (60, 30));
        assert_eq!(fit_within(10_000, 1, 200, 200), (200, 1));
    }
}
