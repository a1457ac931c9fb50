//! Baseline JPEG at a quarter of its size, for a fraction of the work of a full decode.
//!
//! Each 8 x 8 block of coefficients becomes 2 x 2 pixels: the averages of its four quadrants. Over
//! half a block the even cosines average to nothing, so an output pixel is the constant coefficient
//! plus or minus three sums (over the odd columns, the odd rows, and both), and a coefficient is
//! used up the moment it is read: no inverse transform, no full-size planes. What remains is the
//! Huffman decoding, which nobody can skip.
//!
//! Everything unusual (progressive, 12 bits, CMYK, separate scans) and everything broken is left to
//! the full decoder: the answer is then `None`, never an error.

mod header;
mod huffman;

use std::f64::consts::PI;

use image::{DynamicImage, GrayImage, RgbImage};

use header::{Header, ZIGZAG};
use huffman::{BitReader, END_OF_BLOCK, HuffmanTable, Step};

/// By how much each side shrinks.
pub(crate) const REDUCTION: u32 = 4;

/// Pixels per side that a block gives.
const BLOCK_SIDE: usize = 2;

/// Decodes `content` at a quarter of its width and height, rounded down, as 8-bit gray or RGB;
/// `None` when this decoder does not apply.
pub(crate) fn decode_quarter(content: &[u8]) -> Option<DynamicImage> {
    let header = Header::read(content)?;
    let planes = read_planes(&header, content.get(header.scan_at..)?)?;
    let width = header.width / REDUCTION as usize;
    let height = header.height / REDUCTION as usize;
    if width == 0 || height == 0 {
        return None;
    }
    if let [gray] = planes.as_slice() {
        let rows = gray.pixels.chunks_exact(gray.width).take(height);
        let pixels = rows.flat_map(|row| &row[..width]).copied().collect();
        let image = GrayImage::from_raw(width as u32, height as u32, pixels)?;
        return Some(DynamicImage::ImageLuma8(image));
    }
    let pixels = to_rgb(&header, &planes, width, height);
    let image = RgbImage::from_raw(width as u32, height as u32, pixels)?;
    Some(DynamicImage::ImageRgb8(image))
}

/// One component at a quarter of its own resolution, padded to whole MCUs.
struct Plane {
    width: usize,
    pixels: Vec<u8>,
}

impl Plane {
    /// Writes the four pixels of a block, row by row.
    #[inline]
    fn put(&mut self, x: usize, y: usize, [a, b, c, d]: [u8; 4]) {
        let above = y * self.width + x;
        self.pixels[above..above + 2].copy_from_slice(&[a, b]);
        let below = above + self.width;
        self.pixels[below..below + 2].copy_from_slice(&[c, d]);
    }
}

fn read_planes(header: &Header, scan: &[u8]) -> Option<Vec<Plane>> {
    let mut planes = Vec::new();
    let mut blocks = Vec::new();
    for component in &header.components {
        let width = header.mcus_across * component.across * BLOCK_SIDE;
        let height = header.mcus_down * component.down * BLOCK_SIDE;
        planes.push(Plane {
            width,
            pixels: vec![0; width * height],
        });
        blocks.push(BlockReader {
            constants: header.constant_tables[component.constant_table].as_ref()?,
            others: header.other_tables[component.other_table].as_ref()?,
            weights: weights(&header.quantization[component.quantization]),
            constant: 0,
        });
    }
    let mut bits = BitReader::new(scan);
    let mut until_restart = header.restart_interval;
    for mcu_y in 0..header.mcus_down {
        for mcu_x in 0..header.mcus_across {
            if header.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart()?;
                    blocks.iter_mut().for_each(|block| block.constant = 0);
                    until_restart = header.restart_interval;
                }
                until_restart -= 1;
            }
            for ((component, plane), reader) in
                header.components.iter().zip(&mut planes).zip(&mut blocks)
            {
                for dy in 0..component.down {
                    let y = (mcu_y * component.down + dy) * BLOCK_SIDE;
                    for dx in 0..component.across {
                        let x = (mcu_x * component.across + dx) * BLOCK_SIDE;
                        plane.put(x, y, reader.read(&mut bits)?);
                    }
                }
            }
        }
    }
    bits.is_sound().then_some(planes)
}

/// What a coefficient adds to the four sums of its block: constant, odd columns, odd rows, both.
/// Only one of the four is not zero; keeping all makes adding free of branches.
type Weight = [f32; 4];

/// Weights by zigzag place, with room for the places that a run to the end of a block may reach.
fn weights(quantization: &[u16; 64]) -> [Weight; 128] {
    // Average of the normalized cosine of `frequency` over the first half of a block.
    let average = |frequency: usize| -> f64 {
        if frequency == 0 {
            return 0.125_f64.sqrt();
        }
        let cosine = |x: usize| ((2 * x + 1) as f64 * frequency as f64 * PI / 16.0).cos();
        (0..4).map(cosine).sum::<f64>() / 8.0
    };
    let mut weights = [Weight::default(); 128];
    for ((weight, place), step) in weights.iter_mut().zip(ZIGZAG).zip(quantization) {
        let (row, column) = (place / 8, place % 8);
        let sum = (column % 2) + 2 * (row % 2);
        weight[sum] = (average(row) * average(column) * f64::from(*step)) as f32;
    }
    weights
}

/// The next code with its value; `None` when there is no such code.
#[inline(always)]
fn next_step(bits: &mut BitReader<'_>, table: &HuffmanTable) -> Option<Step> {
    if let Some(step) = bits.short_step(table) {
        return Some(step);
    }
    let (after, step) = bits.any_step(table)?;
    *bits = after;
    Some(step)
}

/// Reads the blocks of one component.
struct BlockReader<'a> {
    constants: &'a HuffmanTable,
    others: &'a HuffmanTable,
    weights: [Weight; 128],
    /// The constant coefficient of the block before.
    constant: i32,
}

impl BlockReader<'_> {
    /// The averages of the next block: upper left, upper right, lower left, lower right.
    #[inline]
    fn read(&mut self, reader: &mut BitReader<'_>) -> Option<[u8; 4]> {
        // A copy, and sums by value: then the loop keeps all that it uses in registers.
        let mut bits = *reader;
        let step = next_step(&mut bits, self.constants)?;
        self.constant = self.constant.wrapping_add(step.value());
        let mut sums = self.weights[0].map(|weight| weight * self.constant as f32);
        let mut place = 1;
        while place < 64 {
            let step = next_step(&mut bits, self.others)?;
            place += usize::from(step.run());
            let value = step.value() as f32;
            let [a, b, c, d] = self.weights[place & 127];
            let [flat, columns, rows, both] = sums;
            sums = [
                flat + value * a,
                columns + value * b,
                rows + value * c,
                both + value * d,
            ];
            place += 1;
            if place > 64 && step.run() != END_OF_BLOCK {
                return None;
            }
        }
        *reader = bits;
        let [flat, columns, rows, both] = sums;
        // A cast to u8 clamps; 128 undoes the level shift, 0.5 rounds.
        Some([
            (128.5 + flat + rows + columns + both) as u8,
            (128.5 + flat + rows - columns - both) as u8,
            (128.5 + flat - rows + columns - both) as u8,
            (128.5 + flat - rows - columns + both) as u8,
        ])
    }
}

/// Brings three planes to the luminance's resolution and, unless they are RGB already, from YCbCr.
fn to_rgb(header: &Header, planes: &[Plane], width: usize, height: usize) -> Vec<u8> {
    let mut pixels = vec![0; width * height * 3];
    let mut line: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
    for (y, target) in pixels.chunks_exact_mut(width * 3).enumerate() {
        for ((component, plane), line) in header.components.iter().zip(planes).zip(&mut line) {
            let row = y * component.down / header.most_down * plane.width;
            let samples = &plane.pixels[row..];
            match header.most_across / component.across {
                1 => line.copy_from_slice(&samples[..width]),
                2 => twice(samples, line),
                repeat => {
                    for (samples, sample) in line.chunks_mut(repeat).zip(samples) {
                        samples.fill(*sample);
                    }
                }
            }
        }
        let [first, second, third] = &line;
        let samples = first.iter().zip(second).zip(third);
        for (pixel, ((a, b), c)) in target.chunks_exact_mut(3).zip(samples) {
            pixel.copy_from_slice(&if header.is_rgb {
                [*a, *b, *c]
            } else {
                ycbcr_to_rgb(*a, *b, *c)
            });
        }
    }
    pixels
}

/// Each sample two times, for as long as `line` is.
fn twice(samples: &[u8], line: &mut [u8]) {
    let (pairs, odd) = line.as_chunks_mut::<2>();
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = [*sample; 2];
    }
    if let ([last], Some(sample)) = (odd, samples.get(pairs.len())) {
        *last = *sample;
    }
}

/// JFIF conversion in 16-bit fixed point.
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
mod tests;
