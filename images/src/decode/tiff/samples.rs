//! From packed samples of any depth to the samples of a picture: one row at a time.

use super::page::{Alpha, Color, Depth, Page, Unit};

/// A sample of a decoded picture: from zero to white.
pub(super) trait Sample: bytemuck::Pod {
    /// How a file has it if it has it as it is here.
    const DEPTH: Depth;

    /// `value` of `top`, as a share of white, rounded.
    fn share(value: u64, top: u64) -> Self;

    fn from_u8(value: u8) -> Self;

    fn from_u16(value: u16) -> Self;

    /// A floating-point number where 1.0 is white.
    fn from_f64(value: f64) -> Self;

    /// The sample in eight bits; asked only of those that have no more.
    fn to_u8(self) -> u8;

    /// White less the sample.
    fn inverse(self) -> Self;

    /// This share of `other`, rounded.
    fn of(self, other: Self) -> Self;

    /// Undoes the multiplication by `alpha`: at most white, and nothing where alpha is nothing.
    fn divided_by(self, alpha: Self) -> Self;
}

macro_rules! integer_sample {
    ($type:ty, $depth:expr) => {
        impl Sample for $type {
            const DEPTH: Depth = $depth;

            fn share(value: u64, top: u64) -> Self {
                ((value * u64::from(Self::MAX) + top / 2) / top) as Self
            }

            fn from_u8(value: u8) -> Self {
                Self::from(value) * (Self::MAX / Self::from(u8::MAX))
            }

            fn from_u16(value: u16) -> Self {
                (value >> (16 - Self::BITS)) as Self
            }

            fn from_f64(value: f64) -> Self {
                (value * f64::from(Self::MAX) + 0.5) as Self
            }

            fn to_u8(self) -> u8 {
                (self >> (Self::BITS - 8)) as u8
            }

            fn inverse(self) -> Self {
                Self::MAX - self
            }

            fn of(self, other: Self) -> Self {
                let white = u64::from(Self::MAX);
                ((u64::from(self) * u64::from(other) + white / 2) / white) as Self
            }

            fn divided_by(self, alpha: Self) -> Self {
                let white = u64::from(Self::MAX);
                let scaled = (u64::from(self) * white).checked_div(u64::from(alpha));
                scaled.map_or(0, |scaled| scaled.min(white) as Self)
            }
        }
    };
}

integer_sample!(u8, Depth::Bits(8));
integer_sample!(u16, Depth::Int16);

impl Sample for f32 {
    const DEPTH: Depth = Depth::Float(32);

    fn share(value: u64, top: u64) -> Self {
        (value as f64 / top as f64) as Self
    }

    fn from_u8(value: u8) -> Self {
        Self::from(value) / 255.0
    }

    fn from_u16(value: u16) -> Self {
        Self::from(value) / 65_535.0
    }

    fn from_f64(value: f64) -> Self {
        value as Self
    }

    fn to_u8(self) -> u8 {
        (self * 255.0 + 0.5) as u8
    }

    fn inverse(self) -> Self {
        1.0 - self
    }

    fn of(self, other: Self) -> Self {
        self * other
    }

    fn divided_by(self, alpha: Self) -> Self {
        if alpha == 0.0 { 0.0 } else { self / alpha }
    }
}

/// Converts rows; keeps the space for one.
pub(super) struct Converter<'a, S> {
    page: &'a Page<'a>,
    channels: usize,
    /// Stored samples are the picture's samples.
    as_stored: bool,
    /// The samples of a row as stored, pixel by pixel.
    row: Vec<S>,
}

impl<'a, S: Sample> Converter<'a, S> {
    /// `channels` is that of the picture: those of the page, or more where gray is spread.
    pub(super) fn new(page: &'a Page<'a>, channels: usize) -> Self {
        let as_stored = matches!(page.color, Color::Gray | Color::Rgb)
            && page.alpha != Some(Alpha::Premultiplied)
            && page.samples == channels
            && !page.planar;
        Self {
            page,
            channels,
            as_stored,
            row: Vec::new(),
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The place of a strip or tile in `picture`, as bytes, if that is how it is stored: as wide as the
    /// picture, and its samples those of the picture.
    pub(super) fn in_place<'b>(&self, unit: &Unit, picture: &'b mut [S]) -> Option<&'b mut [u8]> {
        let page = self.page;
        if !self.as_stored || page.depth != S::DEPTH || page.unit_width != page.width {
            return None;
        }
        let row = page.width * self.channels;
        let rows = picture.get_mut(unit.y * row..(unit.y + unit.height) * row)?;
        Some(bytemuck::cast_slice_mut(rows))
    }

    /// Fills the pixels of `target` from the packed rows of all planes (one, unless planar).
    pub(super) fn convert_row<'b>(
        &mut self,
        planes: impl Iterator<Item = &'b [u8]>,
        target: &mut [S],
    ) {
        let page = self.page;
        if self.as_stored {
            for packed in planes {
                unpack(packed, page.depth, true, target.iter_mut());
            }
            return;
        }
        let samples = page.samples;
        self.row
            .resize(target.len() / self.channels * samples, S::zeroed());
        // Palette indices are looked up as they are, not stretched to white.
        let stretch = page.color != Color::Palette;
        for (plane, packed) in planes.enumerate() {
            // In one plane samples follow each other; of several, each fills its column.
            let step = if page.planar { samples } else { 1 };
            let targets = self.row.iter_mut().skip(plane).step_by(step);
            unpack(packed, page.depth, stretch, targets);
        }
        let pixels = self.row.chunks_exact(samples);
        for (target, stored) in target.chunks_exact_mut(self.channels).zip(pixels) {
            convert_pixel(page, stored, target);
        }
    }
}

/// Reads as many samples as there are `targets` from `packed`, in the machine's byte order.
fn unpack<'a, S: Sample + 'a>(
    packed: &[u8],
    depth: Depth,
    stretch: bool,
    targets: impl Iterator<Item = &'a mut S>,
) {
    match depth {
        Depth::Bits(8) => fill(targets, packed, |[byte]| S::from_u8(byte)),
        Depth::Bits(bits) => {
            let top = if stretch { (1_u64 << bits) - 1 } else { 255 };
            for (index, target) in targets.enumerate() {
                *target = S::share(bits_at(packed, index * bits, bits), top);
            }
        }
        Depth::Int16 => fill(targets, packed, |bytes| {
            S::from_u16(u16::from_ne_bytes(bytes))
        }),
        Depth::Int32 => fill(targets, packed, |bytes| {
            S::share(u32::from_ne_bytes(bytes).into(), u32::MAX.into())
        }),
        Depth::Float(16) => fill(targets, packed, |bytes| {
            S::from_f64(half::f16::from_ne_bytes(bytes).into())
        }),
        Depth::Float(32) => fill(targets, packed, |bytes| {
            S::from_f64(f32::from_ne_bytes(bytes).into())
        }),
        Depth::Float(_) => fill(targets, packed, |bytes| {
            S::from_f64(f64::from_ne_bytes(bytes))
        }),
    }
}

fn fill<'a, const N: usize, S: 'a>(
    targets: impl Iterator<Item = &'a mut S>,
    packed: &[u8],
    value: impl Fn([u8; N]) -> S,
) {
    for (target, bytes) in targets.zip(packed.as_chunks::<N>().0) {
        *target = value(*bytes);
    }
}

/// The `count` (at most 8) bits that start `position` bits from the front, highest first.
fn bits_at(packed: &[u8], position: usize, count: usize) -> u64 {
    let byte = |at: usize| u16::from(packed.get(at).copied().unwrap_or(0));
    let window = byte(position / 8) << 8 | byte(position / 8 + 1);
    u64::from(window << (position % 8) >> (16 - count))
}

/// `stored` holds the page's samples of one pixel, `target` takes one or three colors and alpha.
fn convert_pixel<S: Sample>(page: &Page<'_>, stored: &[S], target: &mut [S]) {
    let (colors, extra) = stored.split_at(page.color.samples());
    let mut rgb = match (page.color, colors) {
        (Color::InvertedGray, [gray]) => [gray.inverse(); 3],
        (Color::Palette, [index]) => {
            let color = page.palette.get(usize::from(index.to_u8()));
            color.copied().unwrap_or_default().map(S::from_u8)
        }
        (Color::Cmyk, [c, m, y, k]) => [c, m, y].map(|ink| ink.inverse().of(k.inverse())),
        (Color::YCbCr, [y, cb, cr]) => {
            ycbcr_to_rgb(y.to_u8(), cb.to_u8(), cr.to_u8()).map(S::from_u8)
        }
        (_, [r, g, b]) => [*r, *g, *b],
        (_, [gray, ..]) => [*gray; 3],
        (_, []) => [S::zeroed(); 3],
    };
    if let (Some(kind), [alpha]) = (page.alpha, extra) {
        if kind == Alpha::Premultiplied {
            rgb = rgb.map(|color| color.divided_by(*alpha));
        }
        if let Some(last) = target.last_mut() {
            *last = *alpha;
        }
    }
    let colors = target.len() - usize::from(page.alpha.is_some());
    for (target, color) in target.iter_mut().zip(rgb).take(colors) {
        *target = color;
    }
}

/// ITU-R BT.601 over the full range, as JFIF does, in 16-bit fixed point.
fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    [
        y + 91_881 * cr,
        y - 22_554 * cb - 46_802 * cr,
        y + 116_130 * cb,
    ]
    .map(|value| (value >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_from_the_highest_down() {
        let packed = [0b1010_0110, 0b1100_0001];
        let read = |count: usize| -> Vec<u64> {
            (0..16 / count)
                .map(|index| bits_at(&packed, index * count, count))
                .collect()
        };
        assert_eq!(read(4), [10, 6, 12, 1]);
        assert_eq!(read(5), [0b10100, 0b11011, 0b00000]);
        assert_eq!(read(1)[..5], [1, 0, 1, 0, 0]);
    }

    #[test]
    fn integers_of_32_bits_are_rounded_to_16() {
        for value in [
            0,
            32_767,
            32_769,
            65_537,
            0x8000_0000,
            u32::MAX - 40_000,
            u32::MAX,
        ] {
            let expected = (f64::from(value) / 65_537.0).round() as u16;
            assert_eq!(u16::share(value.into(), u32::MAX.into()), expected);
        }
    }
}
