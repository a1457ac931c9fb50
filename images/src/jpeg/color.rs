//! From planes of samples to the pixels of a picture.

use super::block::{Plane, to_byte};
use super::frame::{Component, Frame};

/// The first plane, cut to the picture's size.
pub(super) fn gray_pixels(frame: &Frame, plane: &Plane) -> Vec<u8> {
    let rows = plane.samples.chunks_exact(plane.width).take(frame.height);
    rows.flat_map(|row| &row[..frame.width]).copied().collect()
}

/// The three planes as interleaved RGB, converted from YCbCr unless `is_rgb`.
pub(super) fn rgb_pixels(frame: &Frame, planes: &[Plane; 3], is_rgb: bool) -> Vec<u8> {
    let mut pixels = vec![0; frame.width * frame.height * 3];
    let mut lines: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; frame.width]);
    for (y, target) in pixels.chunks_exact_mut(frame.width * 3).enumerate() {
        let [first, second, third]: [&[u8]; 3] = {
            let mut parts = frame.components.iter().zip(planes).zip(&mut lines);
            std::array::from_fn(|_| {
                parts.next().map_or(&[][..], |((component, plane), line)| {
                    row(component, plane, y, line)
                })
            })
        };
        let samples = first.iter().zip(second).zip(third);
        let pixels = target.as_chunks_mut::<3>().0.iter_mut().zip(samples);
        if is_rgb {
            pixels.for_each(|(pixel, ((a, b), c))| *pixel = [*a, *b, *c]);
            continue;
        }
        convert_row(first, second, third, target);
    }
    pixels
}

/// Row `y` of the picture: a row of the plane, or that row with its samples repeated in `line`.
fn row<'a>(component: &Component, plane: &'a Plane, y: usize, line: &'a mut [u8]) -> &'a [u8] {
    let first = y / component.repeat_down * plane.width;
    let samples = &plane.samples[first..first + plane.width];
    if component.repeat_across == 1 {
        return samples;
    }
    for (pixels, sample) in line.chunks_mut(component.repeat_across).zip(samples) {
        pixels.fill(*sample);
    }
    line
}

/// Converts a row of YCbCr samples, some at a time, so that the compiler may use SIMD.
fn convert_row(luma: &[u8], blue: &[u8], red: &[u8], pixels: &mut [u8]) {
    const AT_ONCE: usize = 16;
    let (chunks, rest) = pixels.as_chunks_mut::<{ 3 * AT_ONCE }>();
    let samples = luma.as_chunks::<AT_ONCE>().0.iter();
    let samples = samples.zip(blue.as_chunks::<AT_ONCE>().0);
    let samples = samples.zip(red.as_chunks::<AT_ONCE>().0);
    for (pixels, ((luma, blue), red)) in chunks.iter_mut().zip(samples) {
        let converted = convert(luma, blue, red);
        for (x, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [converted[0][x], converted[1][x], converted[2][x]];
        }
    }
    let done = chunks.len() * AT_ONCE;
    for (x, pixel) in (done..).zip(rest.as_chunks_mut::<3>().0) {
        *pixel = convert(&[luma[x]], &[blue[x]], &[red[x]]).map(|channel| channel[0]);
    }
}

/// JFIF's conversion to red, green and blue.
#[inline(always)]
fn convert<const N: usize>(luma: &[u8; N], blue: &[u8; N], red: &[u8; N]) -> [[u8; N]; 3] {
    let mut rgb = [[0; N]; 3];
    for x in 0..N {
        let y = f32::from(luma[x]);
        let (cb, cr) = (f32::from(blue[x]) - 128.0, f32::from(red[x]) - 128.0);
        rgb[0][x] = to_byte(y + 1.402 * cr);
        rgb[1][x] = to_byte(y - 0.344_136 * cb - 0.714_136 * cr);
        rgb[2][x] = to_byte(y + 1.772 * cb);
    }
    rgb
}
