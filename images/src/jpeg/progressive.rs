//! Scans of a progressive JPEG: coefficients come in parts and are kept until all are there
//! (ITU-T T.81, annex G).

use super::bits::{BitReader, EntropyCoded};
use super::block::{AnyWeights, Plane};
use super::frame::{Component, Frame, Scan};
use super::huffman::HuffmanTable;
use super::scan::{Visitor, walk};
use super::segments::Tables;

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
    /// In zigzag order.
    All(Vec<[i16; 64]>),
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
                _ => Values::All(vec![[0; 64]; blocks]),
            },
            weights,
            blocks_across,
            missing_bits: [None; 64],
        })
    }

    /// The component's samples; `None` if a scan is missing.
    pub(super) fn into_plane(self, component: &Component, frame: &Frame) -> Option<Plane> {
        if self.missing_bits.iter().any(|missing| *missing != Some(0)) {
            return None;
        }
        let mut plane = Plane::new(component, frame.mcus_across, frame.mcus_down);
        let at = |block: usize| (block % self.blocks_across, block / self.blocks_across);
        match &self.values {
            Values::Constants(values) => {
                for (block, value) in values.iter().enumerate() {
                    let value = i32::from(*value);
                    self.weights.put_constant(&mut plane, at(block), value);
                }
            }
            Values::All(values) => {
                for (block, values) in values.iter().enumerate() {
                    self.weights.put_into(&mut plane, at(block), values);
                }
            }
        }
        Some(plane)
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

/// Adds what `scan` brings to `coefficients`; `None` if the scan is broken or out of order.
pub(super) fn read_scan(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
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
        return read_constants(frame, scan, tables, data, coefficients);
    }
    let part = scan.components.first()?;
    let known = coefficients[part.index].as_mut()?;
    let Values::All(blocks) = &mut known.values else {
        return None;
    };
    let band = Band {
        first: scan.first,
        last: scan.last,
        unit: 1_i16 << scan.shift,
        blocks_across: known.blocks_across,
        blocks,
        table: tables.others.get(part.other_table)?.as_ref()?,
        empty_blocks: 0,
    };
    let interval = tables.restart_interval;
    if scan.refines {
        walk(frame, scan, data, interval, &mut RefineBand(band))
    } else {
        walk(frame, scan, data, interval, &mut FirstBand(band))
    }
}

fn read_constants(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
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
    walk(frame, scan, data, tables.restart_interval, &mut visitor)
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

    #[inline]
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
            Values::All(values) => &mut values.get_mut(block)?[0],
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
    /// The value of the bit that this scan brings.
    unit: i16,
    blocks_across: usize,
    blocks: &'a mut [[i16; 64]],
    table: &'a HuffmanTable,
    /// How many blocks from here on have no new coefficient.
    empty_blocks: u32,
}

impl Band<'_> {
    /// Reads the length of the run of blocks that begins with this one.
    #[inline]
    fn read_empty_blocks(&mut self, bits: &mut BitReader<'_>, size: u32) {
        bits.refill();
        self.empty_blocks = (1 << size) + bits.take(size);
    }
}

/// The scan that brings a band for the first time.
struct FirstBand<'a>(Band<'a>);

impl Visitor for FirstBand<'_> {
    fn restart(&mut self) {
        self.0.empty_blocks = 0;
    }

    #[inline]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        _part: usize,
        (x, y): (usize, usize),
    ) -> Option<()> {
        let band = &mut self.0;
        if band.empty_blocks > 0 {
            band.empty_blocks -= 1;
            return Some(());
        }
        let mut reader = *bits;
        let block = band.blocks.get_mut(y * band.blocks_across + x)?;
        let mut place = band.first - 1;
        while place < band.last {
            reader.refill();
            let (step, value) = reader.value(band.table)?;
            if step.is_end() {
                band.read_empty_blocks(&mut reader, step.run());
                band.empty_blocks -= 1;
                break;
            }
            place += step.advance();
            if place > band.last {
                return None;
            }
            block[place & 63] = (value as i16).wrapping_mul(band.unit);
        }
        *bits = reader;
        Some(())
    }
}

/// A scan that brings one more bit of the coefficients of a band.
struct RefineBand<'a>(Band<'a>);

impl Visitor for RefineBand<'_> {
    fn restart(&mut self) {
        self.0.empty_blocks = 0;
    }

    #[inline]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        _part: usize,
        (x, y): (usize, usize),
    ) -> Option<()> {
        let band = &mut self.0;
        let mut reader = *bits;
        let index = y * band.blocks_across + x;
        let mut place = band.first;
        while band.empty_blocks == 0 && place <= band.last {
            reader.refill();
            let (step, sign) = reader.value(band.table)?;
            if step.is_end() {
                band.read_empty_blocks(&mut reader, step.run());
                break;
            }
            // A new coefficient is one unit, and its only bit its sign.
            if step.size() > 1 {
                return None;
            }
            let block = band.blocks.get_mut(index)?;
            let known = &mut block[place..=band.last];
            let at = place + refine(known, step.advance() - 1, band.unit, &mut reader);
            if at > band.last {
                return None;
            }
            block[at] = (sign as i16).wrapping_mul(band.unit);
            place = at + 1;
        }
        if band.empty_blocks > 0 {
            band.empty_blocks -= 1;
            let known = &mut band.blocks.get_mut(index)?[place..=band.last];
            refine(known, usize::MAX, band.unit, &mut reader);
        }
        *bits = reader;
        Some(())
    }
}

/// Reads one more bit of each coefficient that is not zero, up to the zero after `zeros` zeros;
/// returns where that one is, or the length of `known`.
#[inline]
fn refine(known: &mut [i16], mut zeros: usize, unit: i16, bits: &mut BitReader<'_>) -> usize {
    for (at, value) in known.iter_mut().enumerate() {
        if *value == 0 {
            if zeros == 0 {
                return at;
            }
            zeros -= 1;
            continue;
        }
        bits.refill();
        let more = bits.take(1) as i16 * unit;
        *value = value.wrapping_add(more * value.signum());
    }
    known.len()
}
