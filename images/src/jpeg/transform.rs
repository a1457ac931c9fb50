//! The inverse cosine transform of whole blocks (ITU-T T.81, annex A.3.3), for samples at full size.
//!
//! In 16-bit integers with 32-bit sums, by the algorithm of Loeffler, Ligtenberg and Moschytz with the
//! scaling of libjpeg's accurate method. So samples are those of libjpeg, and thus of Pillow, to the bit,
//! and the same on every processor.

use fearless_simd::{Level, Simd, dispatch, i16x8, i16x16, i32x8, prelude::*};

use super::bits::BitReader;
use super::block::{Plane, ZIGZAG, read_others, row_order};
use super::huffman::HuffmanTable;

/// The transform of one component's blocks.
pub(super) struct Transform {
    level: Level,
    /// Quantization steps in row order.
    steps: [i16; 64],
    /// The coefficients of the block that was read last, in row order.
    block: [i16; 64],
    /// Where that block is, until its samples are made.
    waiting: Option<(usize, usize)>,
}

impl Transform {
    pub(super) fn new(quantization: &[u16; 64]) -> Self {
        let mut steps = [0; 64];
        for (place, step) in ZIGZAG.iter().zip(quantization) {
            steps[usize::from(*place)] = *step as i16;
        }
        Self {
            level: Level::new(),
            steps,
            block: [0; 64],
            waiting: None,
        }
    }

    /// Reads the block at `position` from `bits`, and puts the samples of the one before into `plane`;
    /// `None` if it is not sound. Transformed at once, a block would keep the processor waiting for the
    /// coefficients that were written last.
    #[inline(always)]
    pub(super) fn read_into(
        &mut self,
        plane: &mut Plane,
        position: (usize, usize),
        bits: &mut BitReader<'_>,
        constant: i32,
        others: &HuffmanTable,
    ) -> Option<()> {
        self.finish(plane);
        self.waiting = Some(position);
        let block = &mut self.block;
        block.fill(0);
        block[0] = constant as i16;
        read_others(bits, others, |place, value| {
            let coefficient = &mut block[row_order(place)];
            // Where a block ends, zero is added to whatever is there.
            *coefficient = coefficient.wrapping_add(value as i16);
        })
    }

    /// Puts the samples of the last block into `plane`.
    #[inline(always)]
    pub(super) fn finish(&mut self, plane: &mut Plane) {
        if let Some((x, y)) = self.waiting.take() {
            plane.put(x, y, &self.samples(&self.block));
        }
    }

    /// The samples of a block of coefficients in row order.
    pub(super) fn samples(&self, block: &[i16; 64]) -> [u8; 64] {
        let others = block[1..].iter().fold(0, |all, value| all | value);
        if others == 0 {
            let eight_times = i32::from(block[0].wrapping_mul(self.steps[0]));
            return [(((eight_times + 4) >> 3) + 128).clamp(0, 255) as u8; 64];
        }
        dispatch!(self.level, simd => samples(simd, block, &self.steps))
    }
}

/// Eight rows of eight.
type Rows<S> = [i16x8<S>; 8];

#[inline(always)]
fn samples<S: Simd>(simd: S, block: &[i16; 64], steps: &[i16; 64]) -> [u8; 64] {
    let mut rows = [i16x8::splat(simd, 0); 8];
    let (values, _) = block.as_chunks::<8>();
    let (steps, _) = steps.as_chunks::<8>();
    for (row, (values, steps)) in rows.iter_mut().zip(values.iter().zip(steps)) {
        *row = i16x8::from_slice(simd, values) * i16x8::from_slice(simd, steps);
    }
    // Two more bits than samples have are kept between the passes; a sample is an eighth.
    let columns = transposed(simd, transformed::<S, { PRECISION - 2 }>(simd, rows));
    let rows = transposed(simd, transformed::<S, { PRECISION + 2 + 3 }>(simd, columns));
    let mut samples = [0; 64];
    let (pairs, _) = samples.as_chunks_mut::<16>();
    for (y, pair) in pairs.iter_mut().enumerate() {
        let signed = simd.saturating_narrow_i16x8(rows[2 * y], rows[2 * y + 1]);
        (signed.to_bytes() + 128).store_slice(pair);
    }
    samples
}

/// Binary places of the constants below.
const PRECISION: u32 = 13;

/// Transforms the columns, and divides by 2 to the power of `SHIFT`.
#[inline(always)]
fn transformed<S: Simd, const SHIFT: u32>(simd: S, rows: Rows<S>) -> Rows<S> {
    let one = 1 << PRECISION;
    let constants = pairs(simd, rows[0], rows[4]);
    let half = i32x8::splat(simd, 1 << (SHIFT - 1));
    let sum = dot(simd, constants, one, one) + half;
    let difference = dot(simd, constants, one, -one) + half;
    let evens = pairs(simd, rows[2], rows[6]);
    let turned = (
        dot(simd, evens, 10_703, 4433),
        dot(simd, evens, 4433, -10_704),
    );
    let even = [
        sum + turned.0,
        difference + turned.1,
        difference - turned.1,
        sum - turned.0,
    ];

    let shared = pairs(simd, rows[7] + rows[3], rows[5] + rows[1]);
    let shared = (
        dot(simd, shared, -6436, 9633),
        dot(simd, shared, 9633, 6437),
    );
    let outer = pairs(simd, rows[7], rows[1]);
    let inner = pairs(simd, rows[5], rows[3]);
    let odd = [
        dot(simd, outer, -7373, 4926) + shared.1,
        dot(simd, inner, -20_995, 4177) + shared.0,
        dot(simd, inner, -4176, -20_995) + shared.1,
        dot(simd, outer, -4927, -7373) + shared.0,
    ];

    let mut out = rows;
    for at in 0..4 {
        out[at] = narrow(simd, (even[at] + odd[at]) >> SHIFT);
        out[7 - at] = narrow(simd, (even[at] - odd[at]) >> SHIFT);
    }
    out
}

/// The values of two rows side by side.
#[inline(always)]
fn pairs<S: Simd>(simd: S, first: i16x8<S>, second: i16x8<S>) -> i16x16<S> {
    let low = simd.zip_low_i16x8(first, second);
    simd.combine_i16x8(low, simd.zip_high_i16x8(first, second))
}

/// Of each pair, the first value times `first` plus the second times `second`.
#[inline(always)]
fn dot<S: Simd>(simd: S, pairs: i16x16<S>, first: i16, second: i16) -> i32x8<S> {
    let factors: [i16; 16] = [
        first, second, first, second, first, second, first, second, first, second, first, second,
        first, second, first, second,
    ];
    simd.pairwise_dot_product_i16x16(pairs, factors.simd_into(simd))
}

#[inline(always)]
fn narrow<S: Simd>(simd: S, values: i32x8<S>) -> i16x8<S> {
    let (low, high) = simd.split_i32x8(values);
    simd.saturating_narrow_i32x4(low, high)
}

/// Rows become columns: three perfect shuffles of the 64 values.
#[inline(always)]
fn transposed<S: Simd>(simd: S, mut rows: Rows<S>) -> Rows<S> {
    for _ in 0..3 {
        let before = rows;
        for at in 0..4 {
            rows[2 * at] = simd.zip_low_i16x8(before[at], before[at + 4]);
            rows[2 * at + 1] = simd.zip_high_i16x8(before[at], before[at + 4]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// The sum of cosines that annex A.3.3 defines.
    fn defined(block: &[i16; 64], steps: &[i16; 64]) -> [f64; 64] {
        let cosine = |x: usize, frequency: usize| {
            let scale = if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
            scale * ((2 * x + 1) as f64 * frequency as f64 * PI / 16.0).cos() / 2.0
        };
        std::array::from_fn(|at| {
            let terms = (0..64).map(|place| {
                let value = f64::from(block[place]) * f64::from(steps[place]);
                value * cosine(at / 8, place / 8) * cosine(at % 8, place % 8)
            });
            (terms.sum::<f64>() + 128.0).clamp(0.0, 255.0)
        })
    }

    #[test]
    fn samples_are_the_defined_ones_with_every_instruction_set() {
        let quantization = std::array::from_fn(|place| 3 + place as u16 / 4);
        let best = Transform::new(&quantization);
        let mut least = Transform::new(&quantization);
        least.level = Level::baseline();
        let mut state = 1_u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..500 {
            let mut block = [0; 64];
            block[0] = random(600) as i16 - 300;
            for _ in 0..round % 20 {
                block[random(64) as usize] = random(41) as i16 - 20;
            }
            let samples = best.samples(&block);
            assert_eq!(samples, least.samples(&block), "{block:?}");
            for (sample, exact) in samples.into_iter().zip(defined(&block, &best.steps)) {
                assert!((f64::from(sample) - exact).abs() <= 1.0, "{block:?}");
            }
        }
    }
}
