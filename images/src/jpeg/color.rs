//! From rows of samples to rows of pixels.

use fearless_simd::{Simd, prelude::*, u8x16};

/// Puts three rows side by side.
#[inline(always)]
pub(super) fn interleave_row([first, second, third]: [&[u8]; 3], pixels: &mut [u8]) {
    let samples = first.iter().zip(second).zip(third);
    for (pixel, ((first, second), third)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
        *pixel = [*first, *second, *third];
    }
}

/// Converts a row of YCbCr samples.
#[inline(always)]
pub(super) fn convert_row<S: Simd>(simd: S, [luma, blue, red]: [&[u8]; 3], pixels: &mut [u8]) {
    let (chunks, rest) = pixels.as_chunks_mut::<{ 3 * AT_ONCE }>();
    let samples = luma.as_chunks().0.iter();
    let samples = samples.zip(blue.as_chunks().0);
    let samples = samples.zip(red.as_chunks().0);
    for (pixels, ((luma, blue), red)) in chunks.iter_mut().zip(samples) {
        interleave(simd, convert(luma, blue, red), pixels);
    }
    let done = chunks.len() * AT_ONCE;
    for (x, pixel) in (done..).zip(rest.as_chunks_mut::<3>().0) {
        *pixel = convert(&[luma[x]], &[blue[x]], &[red[x]]).map(|channel| channel[0]);
    }
}

/// Pixels that are converted at once.
const AT_ONCE: usize = 16;

/// By channel and third of the pixels' bytes: which sample comes where. Beyond the last means none.
const SPREAD: [[[u8; AT_ONCE]; 3]; 3] = {
    let mut spread = [[[u8::MAX; AT_ONCE]; 3]; 3];
    let mut byte = 0;
    while byte < 3 * AT_ONCE {
        spread[byte % 3][byte / AT_ONCE][byte % AT_ONCE] = (byte / 3) as u8;
        byte += 1;
    }
    spread
};

#[inline(always)]
fn interleave<S: Simd>(simd: S, channels: [[u8; AT_ONCE]; 3], pixels: &mut [u8; 3 * AT_ONCE]) {
    let channels = channels.map(|samples| u8x16::from_slice(simd, &samples));
    for (third, bytes) in pixels.as_chunks_mut::<AT_ONCE>().0.iter_mut().enumerate() {
        let mut mixed = u8x16::splat(simd, 0);
        for (samples, spread) in channels.iter().zip(&SPREAD) {
            mixed |= samples.swizzle_dyn_precise(u8x16::from_slice(simd, &spread[third]));
        }
        mixed.store_slice(bytes);
    }
}

/// JFIF's conversion to red, green and blue, in the fixed point of libjpeg: 16 binary places.
#[inline(always)]
fn convert<const N: usize>(luma: &[u8; N], blue: &[u8; N], red: &[u8; N]) -> [[u8; N]; 3] {
    const HALF: i32 = 1 << 15;
    let mut rgb = [[0; N]; 3];
    for x in 0..N {
        let y = i32::from(luma[x]);
        let (cb, cr) = (i32::from(blue[x]) - 128, i32::from(red[x]) - 128);
        // Factors that fit in 16 bits: 1.402 is 1 + 0.402, and 1.772 is 2 - 0.228.
        let r = y + cr + ((26_345 * cr + HALF) >> 16);
        let g = y - cr + ((18_734 * cr - 22_554 * cb + HALF) >> 16);
        let b = y + 2 * cb + ((-14_942 * cb + HALF) >> 16);
        for (channel, value) in rgb.iter_mut().zip([r, g, b]) {
            channel[x] = value.clamp(0, 255) as u8;
        }
    }
    rgb
}
