//! Walks over the blocks of a scan, restart interval by restart interval (ITU-T T.81, annex A.2).

use fearless_simd::{Level, dispatch};

use super::bits::{BitReader, EntropyCoded};
use super::frame::{Frame, Scan};
use super::segments::Tables;
use crate::decode::Deadline;

/// What is done with each block.
pub(super) trait Visitor {
    /// Forgets what was carried over from earlier blocks.
    fn restart(&mut self);

    /// Reads the block at `x`, `y` of the scan's component number `part`; `None` if it is broken.
    fn block(
        &mut self,
        bits: &mut BitReader<'_>,
        part: usize,
        position: (usize, usize),
    ) -> Option<()>;

    /// The first `mcus_down` rows of MCUs are read.
    fn end_row(&mut self, _mcus_down: usize) {}
}

/// Visits all blocks in the order of the scan; `None` unless the data is all there and of the
/// right length, and read before the `deadline`, which is looked at after each row of MCUs.
pub(super) fn walk(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    deadline: Deadline,
    visitor: &mut impl Visitor,
) -> Option<()> {
    // Newer processors shift and count bits in fewer instructions: there is code for each kind.
    dispatch!(Level::new(), _ => walk_blocks(frame, scan, tables, data, deadline, visitor))
}

#[inline(always)]
fn walk_blocks(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    data: &EntropyCoded,
    deadline: Deadline,
    visitor: &mut impl Visitor,
) -> Option<()> {
    // A scan of one component is not interleaved: its MCU is one block.
    let (mcus_across, mcus_down, sampling) = match scan.components.as_slice() {
        [only] => {
            let component = &frame.components[only.index];
            (component.blocks_across, component.blocks_down, vec![(1, 1)])
        }
        all => {
            let sampling = all.iter().map(|part| {
                let component = &frame.components[part.index];
                (component.across, component.down)
            });
            (frame.mcus_across, frame.mcus_down, sampling.collect())
        }
    };
    let mut intervals = data.intervals();
    let mut bits = intervals.next()?;
    let restart_interval = tables.restart_interval;
    let mut until_restart = restart_interval;
    visitor.restart();
    for mcu_y in 0..mcus_down {
        for mcu_x in 0..mcus_across {
            if restart_interval > 0 {
                if until_restart == 0 {
                    if !bits.is_done() {
                        return None;
                    }
                    bits = intervals.next()?;
                    visitor.restart();
                    until_restart = restart_interval;
                }
                until_restart -= 1;
            }
            for (part, &(across, down)) in sampling.iter().enumerate() {
                for y in mcu_y * down..(mcu_y + 1) * down {
                    for x in mcu_x * across..(mcu_x + 1) * across {
                        visitor.block(&mut bits, part, (x, y))?;
                    }
                }
            }
        }
        if !bits.is_sound() || deadline.check().is_err() {
            return None;
        }
        visitor.end_row(mcu_y + 1);
    }
    (bits.is_done() && intervals.next().is_none()).then_some(())
}
