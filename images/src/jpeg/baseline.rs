//! Scans of a sequential JPEG: a block's coefficients come all at once and are used up at once.

use super::bits::{BitReader, EntropyCoded};
use super::block::AnyWeights;
use super::canvas::Canvas;
use super::frame::{Frame, Scan};
use super::huffman::{HuffmanTable, SkipTable};
use super::scan::{Visitor, walk};
use super::segments::Tables;
use crate::decode::Deadline;

/// Reads the components of `scan` into their planes, and paints as it goes if all are in this scan;
/// `None` if the scan is broken or the time over.
pub(super) fn read_scan(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    deadline: Deadline,
    canvas: &mut Canvas,
) -> Option<()> {
    let mut parts = Vec::new();
    for part in &scan.components {
        let component = &frame.components[part.index];
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
            component: part.index,
        });
    }
    let mut parts = Parts {
        parts,
        frame,
        canvas,
    };
    walk(frame, scan, tables, data, deadline, &mut parts)
}

struct Parts<'a> {
    parts: Vec<Part<'a>>,
    frame: &'a Frame,
    canvas: &'a mut Canvas,
}

/// One component of the scan.
struct Part<'a> {
    constants: &'a HuffmanTable,
    others: Others<'a>,
    weights: AnyWeights,
    /// The constant coefficient of the block before.
    constant: i32,
    /// Place in [`Frame::components`].
    component: usize,
}

/// What is done with all coefficients but the constant.
enum Others<'a> {
    Skip(SkipTable<'a>),
    Read(&'a HuffmanTable),
}

impl Visitor for Parts<'_> {
    fn restart(&mut self) {
        self.parts.iter_mut().for_each(|part| part.constant = 0);
    }

    #[inline(always)]
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        part: usize,
        position: (usize, usize),
    ) -> Option<()> {
        let part = &mut self.parts[part];
        let plane = &mut self.canvas.planes[part.component];
        bits.refill();
        let (_, difference) = bits.value(part.constants)?;
        part.constant = part.constant.wrapping_add(difference);
        match &part.others {
            Others::Skip(table) => {
                part.weights.put_constant(plane, position, part.constant);
                table.skip_block(bits)
            }
            Others::Read(table) => {
                part.weights
                    .read_into(plane, position, bits, part.constant, table)
            }
        }
    }

    fn end_row(&mut self, mcus_down: usize) {
        for part in &mut self.parts {
            part.weights.finish(&mut self.canvas.planes[part.component]);
        }
        if self.parts.len() == self.frame.components.len() {
            self.canvas.paint(self.frame, mcus_down);
        }
    }
}
