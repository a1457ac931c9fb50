//! From the coefficients of a block to its few samples, each the average of the pixels it stands for.
//!
//! There is no inverse transform in two passes: each coefficient adds its share to all samples the
//! moment it is read, and most coefficients are zero. `L` is the number of samples of a block.

use std::f64::consts::PI;

use super::bits::BitReader;
use super::frame::{Component, Frame};
use super::huffman::{HuffmanTable, Step};
use super::transform::Transform;

/// Place in zigzag order to place in row order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Place in zigzag order, of which only the lowest six bits count, to place in row order.
#[inline(always)]
pub(super) fn row_order(place: usize) -> usize {
    usize::from(ZIGZAG[place & 63] & 63)
}

/// Place in row order to place in zigzag order.
const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut place = 0;
    while place < 64 {
        places[ZIGZAG[place as usize] as usize] = place;
        place += 1;
    }
    places
};

/// What a coefficient of one adds to each of the samples, by its place in zigzag order.
pub(super) struct Weights<const L: usize>(Box<[[f32; L]; 64]>);

impl<const L: usize> Weights<L> {
    /// For `component`, whose samples per block must be `L`.
    fn new(component: &Component, quantization: &[u16; 64]) -> Self {
        let across = cosines(component.samples_across);
        let down = cosines(component.samples_down);
        let mut weights = Box::new([[0.0; L]; 64]);
        for ((weight, place), step) in weights.iter_mut().zip(ZIGZAG).zip(quantization) {
            let (row, column) = (usize::from(place / 8), usize::from(place % 8));
            let shares = down[row]
                .iter()
                .flat_map(|y| across[column].iter().map(move |x| x * y));
            for (weight, share) in weight.iter_mut().zip(shares) {
                *weight = (share * f64::from(*step)) as f32;
            }
        }
        Self(weights)
    }

    /// The sum of nothing but the level shift.
    const LEVEL: [f32; L] = [128.0; L];

    #[inline(always)]
    fn add(&self, sums: &mut [f32; L], place: usize, value: f32) {
        for (sum, weight) in sums.iter_mut().zip(&self.0[place & 63]) {
            *sum += value * weight;
        }
    }

    /// The samples of a block whose coefficients are read from `bits`; `None` if it is not sound.
    #[inline(always)]
    fn read(
        &self,
        bits: &mut BitReader<'_>,
        constant: i32,
        others: &HuffmanTable,
    ) -> Option<[u8; L]> {
        let mut sums = Self::LEVEL;
        self.add(&mut sums, 0, constant as f32);
        read_others(bits, others, |place, value| {
            self.add(&mut sums, place, value as f32);
        })?;
        Some(to_bytes(sums))
    }

    /// The samples of a block of known coefficients, in row order.
    #[inline]
    fn of(&self, coefficients: &[i16; 64]) -> [u8; L] {
        const GROUP: usize = 8;
        let mut sums = Self::LEVEL;
        let (groups, _) = coefficients.as_chunks::<GROUP>();
        for (first, group) in (0..64).step_by(GROUP).zip(groups) {
            if *group == [0; GROUP] {
                continue;
            }
            for (place, value) in PLACES[first..].iter().zip(group) {
                self.add(&mut sums, usize::from(*place), f32::from(*value));
            }
        }
        to_bytes(sums)
    }
}

/// Reads all coefficients of a block but the constant and calls `add` with the place of each, in zigzag
/// order, and its value; `None` if the block is not sound. The code that ends a block is a value of zero
/// at a place beyond it.
#[inline(always)]
pub(super) fn read_others(
    bits: &mut BitReader<'_>,
    others: &HuffmanTable,
    mut add: impl FnMut(usize, i32),
) -> Option<()> {
    // A copy: then the loop keeps all that it uses in registers.
    let mut reader = *bits;
    let mut place = 0;
    // The end of a block advances beyond it: one condition ends the loop.
    'block: loop {
        reader.refill();
        for _ in 0..2 {
            let (step, value) = reader.value(others)?;
            place += step.advance();
            add(place, value);
            if place >= 63 {
                break 'block;
            }
        }
    }
    *bits = reader;
    (place == 63 || place >= Step::END).then_some(())
}

/// By frequency, the averages of the normalized cosine over `samples` equal parts of a block.
fn cosines(samples: usize) -> [Vec<f64>; 8] {
    let pixels = 8 / samples;
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 {
            0.125_f64.sqrt()
        } else {
            0.5
        };
        let cosine = |x: usize| ((2 * x + 1) as f64 * frequency as f64 * PI / 16.0).cos();
        (0..samples)
            .map(|sample| {
                let sum: f64 = (sample * pixels..(sample + 1) * pixels).map(cosine).sum();
                scale * sum / pixels as f64
            })
            .collect()
    })
}

#[inline(always)]
fn to_bytes<const L: usize>(sums: [f32; L]) -> [u8; L] {
    sums.map(to_byte)
}

/// Rows of samples that are still needed when the MCUs behind them come.
const KEPT_ROWS: usize = 2;

/// Clamps and rounds without a conversion instruction, which would keep the compiler from doing
/// several at once.
#[inline(always)]
fn to_byte(value: f32) -> u8 {
    /// From here on a float has no places behind the point: adding it rounds, and what was added is
    /// then the lowest bits.
    const NO_FRACTION: f32 = 8_388_608.0;
    let value = if value < 0.0 { 0.0 } else { value };
    let value = if value > 255.0 { 255.0 } else { value };
    (value + NO_FRACTION).to_bits() as u8
}

/// The weights for whatever number of samples a component has per block.
pub(super) enum AnyWeights {
    One(Weights<1>),
    Two(Weights<2>),
    Four(Weights<4>),
    Eight(Weights<8>),
    Sixteen(Weights<16>),
    ThirtyTwo(Weights<32>),
    All(Transform),
}

impl AnyWeights {
    pub(super) fn new(component: &Component, quantization: &[u16; 64]) -> Self {
        match component.samples_across * component.samples_down {
            1 => Self::One(Weights::new(component, quantization)),
            2 => Self::Two(Weights::new(component, quantization)),
            4 => Self::Four(Weights::new(component, quantization)),
            8 => Self::Eight(Weights::new(component, quantization)),
            16 => Self::Sixteen(Weights::new(component, quantization)),
            32 => Self::ThirtyTwo(Weights::new(component, quantization)),
            _ => Self::All(Transform::new(quantization)),
        }
    }

    /// Puts the samples of a block that is read from `bits` into `plane`, at once or with the next
    /// block; [`Self::finish`] puts the last.
    #[inline(always)]
    pub(super) fn read_into(
        &mut self,
        plane: &mut Plane,
        (x, y): (usize, usize),
        bits: &mut BitReader<'_>,
        constant: i32,
        others: &HuffmanTable,
    ) -> Option<()> {
        match self {
            Self::One(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::Two(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::Four(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::Eight(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::Sixteen(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::ThirtyTwo(weights) => plane.put(x, y, &weights.read(bits, constant, others)?),
            Self::All(transform) => {
                return transform.read_into(plane, (x, y), bits, constant, others);
            }
        }
        Some(())
    }

    /// Puts the samples of the last block that was read into `plane`, if they are not there yet.
    pub(super) fn finish(&mut self, plane: &mut Plane) {
        if let Self::All(transform) = self {
            transform.finish(plane);
        }
    }

    /// Puts the samples of a block of known coefficients, in row order, into `plane`.
    pub(super) fn put_into(
        &self,
        plane: &mut Plane,
        (x, y): (usize, usize),
        coefficients: &[i16; 64],
    ) {
        match self {
            Self::One(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::Two(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::Four(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::Eight(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::Sixteen(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::ThirtyTwo(weights) => plane.put(x, y, &weights.of(coefficients)),
            Self::All(transform) => plane.put(x, y, &transform.samples(coefficients)),
        }
    }

    /// The sample of a block that has only one.
    #[inline]
    pub(super) fn put_constant(&self, plane: &mut Plane, (x, y): (usize, usize), constant: i32) {
        if let Self::One(weights) = self {
            let mut sums = Weights::LEVEL;
            weights.add(&mut sums, 0, constant as f32);
            plane.put(x, y, &to_bytes(sums));
        }
    }
}

/// Some rows of the samples of one component, padded to whole MCUs.
pub(super) struct Plane {
    width: usize,
    samples: Vec<u8>,
    /// Which row the samples begin with.
    first_row: usize,
    block_across: usize,
    block_down: usize,
}

impl Plane {
    /// For `mcus` rows of MCUs at a time, and a few rows from before them.
    pub(super) fn new(component: &Component, frame: &Frame, mcus: usize) -> Self {
        let width = frame.mcus_across * component.across * component.samples_across;
        let height = mcus * component.down * component.samples_down + KEPT_ROWS;
        Self {
            width,
            samples: vec![0; width * height],
            first_row: 0,
            block_across: component.samples_across,
            block_down: component.samples_down,
        }
    }

    /// Row `y` of the samples.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let first = (y - self.first_row) * self.width;
        &self.samples[first..first + self.width]
    }

    /// Makes room for the rows from `end` on: of those before, only the ones from `first` on, at
    /// most [`KEPT_ROWS`], are still there.
    pub(super) fn forget_rows_before(&mut self, first: usize, end: usize) {
        let kept = (first - self.first_row) * self.width..(end - self.first_row) * self.width;
        self.samples.copy_within(kept, 0);
        self.first_row = first;
    }

    /// Writes the samples of block `x`, `y`, row by row.
    #[inline(always)]
    pub(super) fn put<const L: usize>(&mut self, x: usize, y: usize, samples: &[u8; L]) {
        let first = (y * self.block_down - self.first_row) * self.width + x * self.block_across;
        // Constant lengths, so that no row is a call of memcpy.
        match self.block_across {
            1 => self.put_rows::<1>(first, samples),
            2 => self.put_rows::<2>(first, samples),
            4 => self.put_rows::<4>(first, samples),
            _ => self.put_rows::<8>(first, samples),
        }
    }

    #[inline(always)]
    fn put_rows<const WIDTH: usize>(&mut self, mut first: usize, samples: &[u8]) {
        let (rows, _) = samples.as_chunks::<WIDTH>();
        for row in rows {
            self.samples[first..first + WIDTH].copy_from_slice(row);
            first += self.width;
        }
    }
}
