//! Scans of a progressive JPEG: coefficients come in parts and are kept until all are there
//! (ITU-T T.81, annex G).

use std::ops::Range;

use super::bits::{BitReader, EntropyCoded};
use super::block::{AnyWeights, Plane, row_order};
use super::frame::{Component, Frame, Scan};
use super::huffman::HuffmanTable;
use super::scan::{Visitor, walk};
use super::segments::Tables;
use crate::decode::Deadline;

/// The coefficients of one component so far.
pub(super) struct Coefficients {
    weights: AnyWeights,
    blocks_across: usize,
    values: Values,
    /// By zigzag place: how many low bits are still to come; `None` before the first scan.
    missing_bits: [Option<u32>; 64],
}

enum Values {
    /// One sample per block is made of the constant alone.
    Constants(Vec<i16>),
    All(Blocks),
}

/// All coefficients of all blocks.
struct Blocks {
    /// In row order.
    coefficients: Vec<[i16; 64]>,
    /// For each block, which of the coefficients but the constant are not zero: a bit for each place in
    /// zigzag order, the lowest for place 0.
    not_zero: Vec<u64>,
}

impl Coefficients {
    fn new(component: &Component, frame: &Frame, tables: &Tables) -> Option<Self> {
        let quantization = tables.quantization.get(component.quantization)?.as_ref()?;
        let weights = AnyWeights::new(component, quantization);
        let blocks_across = frame.mcus_across * component.across;
        let blocks = blocks_across * frame.mcus_down * component.down;
        Some(Self {
            values: match weights {
                AnyWeights::One(_) => Values::Constants(vec![0; blocks]),
                _ => Values::All(Blocks {
                    coefficients: vec![[0; 64]; blocks],
                    not_zero: vec![0; blocks],
                }),
            },
            weights,
            blocks_across,
            missing_bits: [None; 64],
        })
    }

    /// Whether all scans were there.
    pub(super) fn is_complete(&self) -> bool {
        self.missing_bits.iter().all(|missing| *missing == Some(0))
    }

    /// Puts the samples of some rows of blocks into `plane`.
    pub(super) fn put_rows(&self, plane: &mut Plane, rows: Range<usize>) {
        for y in rows {
            let blocks = y * self.blocks_across..(y + 1) * self.blocks_across;
            match &self.values {
                Values::Constants(values) => {
                    for (x, value) in values[blocks].iter().enumerate() {
                        let value = i32::from(*value);
                        self.weights.put_constant(plane, (x, y), value);
                    }
                }
                Values::All(values) => {
                    for (x, values) in values.coefficients[blocks].iter().enumerate() {
                        self.weights.put_into(plane, (x, y), values);
                    }
                }
            }
        }
    }

    /// Notes what `scan` brings; `None` if that does not follow on what came before.
    fn advance(&mut self, scan: &Scan) -> Option<()> {
        for missing in &mut self.missing_bits[scan.first..=scan.last] {
            let follows = match *missing {
                None => !scan.refines,
                Some(bits) => scan.refines && bits == scan.shift + 1,
            };
            if !follows {
                return None;
            }
            *missing = Some(scan.shift);
        }
        Some(())
    }
}

/// Whether the coefficients that `scan` brings are not needed at all.
pub(super) fn is_skippable(
    frame: &Frame,
    scan: &Scan,
    coefficients: &mut [Option<Coefficients>],
) -> bool {
    let [only] = scan.components.as_slice() else {
        return false;
    };
    let component = &frame.components[only.index];
    let one_sample = component.samples_across * component.samples_down == 1;
    let known = coefficients[only.index].as_mut();
    scan.first > 0 && one_sample && known.is_some_and(|known| known.advance(scan).is_some())
}

/// Adds what `scan` brings to `coefficients`; `None` if the scan is broken or out of order, or the time
/// over.
pub(super) fn read_scan(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    deadline: Deadline,
    coefficients: &mut [Option<Coefficients>],
) -> Option<()> {
    for part in &scan.components {
        let known = &mut coefficients[part.index];
        if known.is_none() {
            let component = &frame.components[part.index];
            *known = Some(Coefficients::new(component, frame, tables)?);
        }
        known.as_mut()?.advance(scan)?;
    }
    if scan.first == 0 {
        return read_constants(frame, scan, tables, data, deadline, coefficients);
    }
    let part = scan.components.first()?;
    let known = coefficients[part.index].as_mut()?;
    let Values::All(blocks) = &mut known.values else {
        return None;
    };
    let mut band = Band {
        first: scan.first,
        last: scan.last,
        refines: scan.refines,
        unit: 1_i16 << scan.shift,
        blocks_across: known.blocks_across,
        blocks,
        table: tables.others.get(part.other_table)?.as_ref()?,
        empty_blocks: 0,
    };
    walk(frame, scan, tables, data, deadline, &mut band)
}

fn read_constants(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    deadline: Deadline,
    coefficients: &mut [Option<Coefficients>],
) -> Option<()> {
    let mut parts = Vec::new();
    let mut wanted = scan.components.iter().peekable();
    for (index, known) in coefficients.iter_mut().enumerate() {
        let Some(part) = wanted.next_if(|part| part.index == index) else {
            continue;
        };
        let known = known.as_mut()?;
        parts.push(Constants {
            table: match scan.refines {
                true => None,
                false => Some(tables.constants.get(part.constant_table)?.as_ref()?),
            },
            before: 0,
            blocks_across: known.blocks_across,
            values: &mut known.values,
        });
    }
    let mut visitor = AllConstants {
        parts,
        shift: scan.shift,
    };
    walk(frame, scan, tables, data, deadline, &mut visitor)
}

/// A scan of constant coefficients.
struct AllConstants<'a> {
    parts: Vec<Constants<'a>>,
    shift: u32,
}

/// One component of it.
struct Constants<'a> {
    /// `None` in a refining scan, which has no codes.
    table: Option<&'a HuffmanTable>,
    /// The constant of the block before.
    before: i32,
    blocks_across: usize,
    values: &'a mut Values,
}

impl Visitor for AllConstants<'_> {
    fn restart(&mut self) {
        self.parts.iter_mut().for_each(|part| part.before = 0);
    }

    #[inline(always)]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        part: usize,
        (x, y): (usize, usize),
    ) -> Option<()> {
        let part = &mut self.parts[part];
        let block = y * part.blocks_across + x;
        let value = match part.values {
            Values::Constants(values) => values.get_mut(block)?,
            Values::All(values) => &mut values.coefficients.get_mut(block)?[0],
        };
        bits.refill();
        match part.table {
            Some(table) => {
                let (_, difference) = bits.value(table)?;
                part.before = part.before.wrapping_add(difference);
                *value = (part.before << self.shift) as i16;
            }
            None => *value |= (bits.take(1) << self.shift) as i16,
        }
        Some(())
    }
}

/// A scan of some of the other coefficients of one component.
struct Band<'a> {
    first: usize,
    last: usize,
    /// Whether it brings one more bit of coefficients that an earlier scan has begun.
    refines: bool,
    /// The value of the lowest bit that this scan brings.
    unit: i16,
    blocks_across: usize,
    blocks: &'a mut Blocks,
    table: &'a HuffmanTable,
    /// How many blocks from here on have no new coefficient.
    empty_blocks: u32,
}

impl Visitor for Band<'_> {
    fn restart(&mut self) {
        self.empty_blocks = 0;
    }

    #[inline(always)]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        _part: usize,
        (x, y): (usize, usize),
    ) -> Option<()> {
        let block = y * self.blocks_across + x;
        if self.refines {
            return self.refine(bits, block);
        }
        if self.empty_blocks > 0 {
            self.empty_blocks -= 1;
            return Some(());
        }
        self.begin(bits, block)
    }
}

impl Band<'_> {
    /// Reads the first bits of a block's coefficients.
    #[inline(always)]
    fn begin(&mut self, bits: &mut BitReader<'_>, block: usize) -> Option<()> {
        let mut reader = *bits;
        let coefficients = self.blocks.coefficients.get_mut(block)?;
        let mut not_zero = 0;
        let mut place = self.first - 1;
        while place < self.last {
            reader.refill();
            let (step, value) = reader.value(self.table)?;
            if step.is_end() {
                self.empty_blocks = read_run(&mut reader, step.run()) - 1;
                break;
            }
            place += step.advance();
            if place > self.last {
                return None;
            }
            coefficients[row_order(place)] = (value as i16).wrapping_mul(self.unit);
            not_zero |= u64::from(value != 0) << place;
        }
        *self.blocks.not_zero.get_mut(block)? |= not_zero;
        *bits = reader;
        Some(())
    }

    /// Reads one more bit of a block's coefficients, and those whose first bit this is.
    #[inline(always)]
    fn refine(&mut self, bits: &mut BitReader<'_>, block: usize) -> Option<()> {
        let mut reader = *bits;
        let coefficients = self.blocks.coefficients.get_mut(block)?;
        let not_zero = self.blocks.not_zero.get_mut(block)?;
        // The places that are still to come, as bits.
        let mut places = (u64::MAX << self.first) & (u64::MAX >> (63 - self.last));
        while self.empty_blocks == 0 && places != 0 {
            reader.refill();
            let (step, sign) = reader.value(self.table)?;
            if step.is_end() {
                self.empty_blocks = read_run(&mut reader, step.run());
                break;
            }
            // A new coefficient is one unit, and its only bit its sign.
            if step.size() > 1 {
                return None;
            }
            let mut zeros = places & !*not_zero;
            for _ in 1..step.advance() {
                zeros &= zeros.wrapping_sub(1);
            }
            if zeros == 0 {
                return None;
            }
            let place = zeros.trailing_zeros();
            let behind = u64::MAX << place << 1;
            refine(
                coefficients,
                places & *not_zero & !behind,
                self.unit,
                &mut reader,
            );
            coefficients[row_order(place as usize)] = (sign as i16).wrapping_mul(self.unit);
            *not_zero |= u64::from(sign != 0) << place;
            places &= behind;
        }
        if self.empty_blocks > 0 {
            self.empty_blocks -= 1;
            refine(coefficients, places & *not_zero, self.unit, &mut reader);
        }
        *bits = reader;
        Some(())
    }
}

/// Reads how many blocks from this one on have no new coefficient.
#[inline(always)]
fn read_run(bits: &mut BitReader<'_>, size: u32) -> u32 {
    bits.refill();
    (1 << size) + bits.take(size)
}

/// Reads one more bit of each coefficient at `places`, none of which is zero.
#[inline(always)]
fn refine(coefficients: &mut [i16; 64], mut places: u64, unit: i16, bits: &mut BitReader<'_>) {
    while places != 0 {
        let value = &mut coefficients[row_order(places.trailing_zeros() as usize)];
        let more = bits.take_mask() & unit;
        // Away from zero: all bits of `sign` are that of the value.
        let sign = *value >> 15;
        *value = value.wrapping_add((more ^ sign) - sign);
        places &= places - 1;
    }
}
