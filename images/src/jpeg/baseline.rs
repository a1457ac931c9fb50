//! Scans of a sequential JPEG: a block's coefficients come all at once and are used up at once.

use super::bits::{BitReader, EntropyCoded};
use super::block::{AnyWeights, Plane};
use super::frame::{Frame, Scan};
use super::huffman::{HuffmanTable, SkipTable};
use super::scan::{Visitor, walk};
use super::segments::Tables;

/// Reads the components of `scan` into their planes; `None` if the scan is broken, or repeats what an
/// earlier one held.
pub(super) fn read_scan(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    planes: &mut [Option<Plane>],
) -> Option<()> {
    let mut parts = Vec::new();
    for part in &scan.components {
        let component = &frame.components[part.index];
        if planes[part.index].is_some() {
            return None;
        }
        let quantization = tables.quantization.get(component.quantization)?.as_ref()?;
        let others = tables.others.get(part.other_table)?.as_ref()?;
        let weights = AnyWeights::new(component, quantization);
        parts.push(Part {
            constants: tables.constants.get(part.constant_table)?.as_ref()?,
            others: match weights {
                AnyWeights::One(_) => Others::Skip(SkipTable::new(others)),
                _ => Others::Read(others),
            },
            weights,
            constant: 0,
            plane: Plane::new(component, frame.mcus_across, frame.mcus_down),
        });
    }
    let mut parts = Parts(parts);
    walk(frame, scan, data, tables.restart_interval, &mut parts)?;
    for (part, read) in scan.components.iter().zip(parts.0) {
        planes[part.index] = Some(read.plane);
    }
    Some(())
}

struct Parts<'a>(Vec<Part<'a>>);

/// One component of the scan.
struct Part<'a> {
    constants: &'a HuffmanTable,
    others: Others<'a>,
    weights: AnyWeights,
    /// The constant coefficient of the block before.
    constant: i32,
    plane: Plane,
}

/// What is done with all coefficients but the constant.
enum Others<'a> {
    Skip(SkipTable<'a>),
    Read(&'a HuffmanTable),
}

impl Visitor for Parts<'_> {
    fn restart(&mut self) {
        self.0.iter_mut().for_each(|part| part.constant = 0);
    }

    #[inline]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        part: usize,
        position: (usize, usize),
    ) -> Option<()> {
        let part = &mut self.0[part];
        bits.refill();
        let (_, difference) = bits.value(part.constants)?;
        part.constant = part.constant.wrapping_add(difference);
        match &part.others {
            Others::Skip(table) => {
                part.weights
                    .put_constant(&mut part.plane, position, part.constant);
                table.skip_block(bits)
            }
            Others::Read(table) => {
                part.weights
                    .read_into(&mut part.plane, position, bits, part.constant, table)
            }
        }
    }
}
