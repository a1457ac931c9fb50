//! Scaling of gray pictures by a Lanczos filter, bit for bit as Pillow 13's `resize(size, LANCZOS)`.
//!
//! Pillow filters along one axis, rounds to eight bits, then along the other, with weights of 22
//! fractional bits. SIMD resizers round weights more coarsely, which flips bits of hashes.

use std::borrow::Cow;
use std::f64::consts::PI;

use image::GrayImage;

const LOBES: f64 = 3.0;
const PRECISION_BITS: u32 = 22;
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Weights are split into a high and a low part of 16 bits each, because processors multiply and
/// add many 16-bit numbers at once; the sum of both parts is the exact sum.
const LOW_BITS: u32 = 12;

/// `gray` at `width` x `height`, row by row; all zero where `gray` has no pixels.
pub(super) fn resize(gray: &GrayImage, width: usize, height: usize) -> Vec<u8> {
    let pixels = gray.as_raw();
    let from_width = gray.width() as usize;
    let from_height = gray.height() as usize;
    if pixels.is_empty() {
        return vec![0; width * height];
    }
    if vertical_first((from_width, from_height), (width, height)) {
        let low = resize_columns(pixels, from_height, from_width, height);
        resize_rows(&low, from_width, width).into_owned()
    } else {
        let narrow = resize_rows(pixels, from_width, width);
        resize_columns(&narrow, from_height, width, height).into_owned()
    }
}

/// Which axis Pillow 13 begins with, as found by trying; versions before begin with the rows.
fn vertical_first((from_width, from_height): (usize, usize), to: (usize, usize)) -> bool {
    let (width, height) = to;
    height < from_height && 2 * from_width + height < 2 * width + from_height
}

/// Rows of `length` pixels at `width` pixels.
fn resize_rows(pixels: &[u8], length: usize, width: usize) -> Cow<'_, [u8]> {
    if length == width {
        return Cow::Borrowed(pixels);
    }
    let windows: Vec<SplitWindow> = windows(length, width).map(SplitWindow::from).collect();
    let mut narrow = Vec::with_capacity(pixels.len() / length * width);
    for row in pixels.chunks_exact(length) {
        narrow.extend(windows.iter().map(|w| w.apply(&row[w.start..])));
    }
    Cow::Owned(narrow)
}

/// `length` rows of `width` pixels, as `height` rows.
fn resize_columns(pixels: &[u8], length: usize, width: usize, height: usize) -> Cow<'_, [u8]> {
    if length == height {
        return Cow::Borrowed(pixels);
    }
    let mut low = Vec::with_capacity(width * height);
    let mut sums = vec![0; width];
    for window in windows(length, height) {
        sums.fill(HALF);
        let rows = pixels[window.start * width..].chunks_exact(width);
        for (row, weight) in rows.zip(&window.weights) {
            for (sum, pixel) in sums.iter_mut().zip(row) {
                *sum += i32::from(*pixel) * weight;
            }
        }
        low.extend(sums.iter().copied().map(to_pixel));
    }
    Cow::Owned(low)
}

/// The source pixels that make up one target pixel.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// A [`Window`] whose weights are `high * 2^12 + low`.
struct SplitWindow {
    start: usize,
    high: Vec<i16>,
    low: Vec<i16>,
}

impl From<Window> for SplitWindow {
    fn from(window: Window) -> Self {
        let round = 1 << (LOW_BITS - 1);
        let high_of = |weight: &i32| (weight + round) >> LOW_BITS;
        Self {
            start: window.start,
            high: window.weights.iter().map(|w| high_of(w) as i16).collect(),
            low: window
                .weights
                .iter()
                .map(|w| (w - (high_of(w) << LOW_BITS)) as i16)
                .collect(),
        }
    }
}

impl SplitWindow {
    fn apply(&self, pixels: &[u8]) -> u8 {
        let dot = |weights: &[i16]| -> i32 {
            let products = pixels.iter().zip(weights);
            products.map(|(p, w)| i32::from(*p) * i32::from(*w)).sum()
        };
        to_pixel((dot(&self.high) << LOW_BITS) + dot(&self.low) + HALF)
    }
}

fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// One window per target pixel, from a line of `length` pixels to one of `target` pixels.
fn windows(length: usize, target: usize) -> impl Iterator<Item = Window> {
    let scale = length as f64 / target as f64;
    let stretch = scale.max(1.0);
    let support = LOBES * stretch;
    (0..target).map(move |at| {
        let center = (at as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(length);
        let raw: Vec<f64> = (start..end)
            .map(|at| lanczos((at as f64 - center + 0.5) * (1.0 / stretch)))
            .collect();
        let total: f64 = raw.iter().sum();
        let unit = f64::from(1 << PRECISION_BITS);
        let weights = raw
            .iter()
            .map(|w| (w / total * unit).round() as i32)
            .collect();
        Window { start, weights }
    })
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (x * PI).sin() / (x * PI)
        }
    };
    if (-LOBES..LOBES).contains(&x) {
        sinc(x) * sinc(x / LOBES)
    } else {
        0.0
    }
}
