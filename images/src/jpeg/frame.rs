//! What the picture is made of: components, their sampling, their blocks (ITU-T T.81, annex A).

use super::Reduction;

/// One color component of the frame.
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks per MCU, horizontally and vertically.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Which quantization table.
    pub(super) quantization: usize,
    /// Blocks that hold picture; a scan of this component alone has only these.
    pub(super) blocks_across: usize,
    pub(super) blocks_down: usize,
    /// Samples that each block gives, horizontally and vertically: 1, 2, 4 or 8.
    pub(super) samples_across: usize,
    pub(super) samples_down: usize,
    /// Output pixels per sample; above 1 only where even whole blocks have too few samples.
    pub(super) repeat_across: usize,
    pub(super) repeat_down: usize,
    /// The component's size in samples if pixels between these are interpolated, not repeated: at full
    /// size, where libjpeg does it too.
    pub(super) interpolated: Option<(usize, usize)>,
}

/// The frame header, and the output's geometry.
pub(super) struct Frame {
    pub(super) progressive: bool,
    /// One (gray) or three components.
    pub(super) components: Vec<Component>,
    pub(super) mcus_across: usize,
    pub(super) mcus_down: usize,
    /// Size of the picture as it comes out.
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Frame {
    /// Reads a frame header; `None` unless it is of 8 bits with one or three components whose
    /// sampling factors are powers of two apart.
    pub(super) fn read(body: &[u8], progressive: bool, reduction: Reduction) -> Option<Self> {
        let (&[precision, h1, h0, w1, w0, count], list) = body.split_first_chunk::<6>()?;
        let height = u16::from_be_bytes([h1, h0]);
        let width = u16::from_be_bytes([w1, w0]);
        let count = usize::from(count);
        if precision != 8 || width == 0 || height == 0 {
            return None;
        }
        if !matches!(count, 1 | 3) || list.len() < 3 * count {
            return None;
        }
        let sampling: Vec<(usize, usize)> = list
            .chunks_exact(3)
            .take(count)
            .map(|entry| match count {
                // A lone component is never interleaved: its MCU is one block.
                1 => (1, 1),
                _ => (usize::from(entry[1] >> 4), usize::from(entry[1] & 15)),
            })
            .collect();
        let most_across = sampling.iter().map(|s| s.0).max()?;
        let most_down = sampling.iter().map(|s| s.1).max()?;
        let mut components = Vec::new();
        for (entry, &(across, down)) in list.chunks_exact(3).zip(&sampling) {
            let (samples_across, repeat_across) = samples(across, most_across, reduction)?;
            let (samples_down, repeat_down) = samples(down, most_down, reduction)?;
            let own_width = (usize::from(width) * across).div_ceil(most_across);
            let own_height = (usize::from(height) * down).div_ceil(most_down);
            let is_interpolated = reduction == Reduction::Whole
                && match (repeat_across, repeat_down) {
                    (1, 2) => true,
                    (2, 1 | 2) => own_width > 2,
                    _ => false,
                };
            components.push(Component {
                id: entry[0],
                across,
                down,
                quantization: usize::from(entry[2]),
                blocks_across: own_width.div_ceil(8),
                blocks_down: own_height.div_ceil(8),
                samples_across,
                samples_down,
                repeat_across,
                repeat_down,
                interpolated: is_interpolated.then_some((own_width, own_height)),
            });
        }
        Some(Self {
            progressive,
            components,
            mcus_across: usize::from(width).div_ceil(8 * most_across),
            mcus_down: usize::from(height).div_ceil(8 * most_down),
            width: reduction.of(u32::from(width)) as usize,
            height: reduction.of(u32::from(height)) as usize,
        })
    }
}

/// Samples that a block gives along one axis, and pixels per sample. A component of lower
/// resolution is reduced less, so that its samples coincide with the output's pixels.
fn samples(own: usize, most: usize, reduction: Reduction) -> Option<(usize, usize)> {
    if !(1..=4).contains(&own) || !most.is_multiple_of(own) {
        return None;
    }
    // Odd ratios such as 3 : 1 exist on paper only.
    let ratio = most / own;
    if most > 4 || !ratio.is_power_of_two() {
        return None;
    }
    let wanted = 8 / reduction.factor() as usize * ratio;
    Some((wanted.min(8), wanted.div_ceil(8)))
}

/// A scan header: which components it holds, with which tables, and which part of their
/// coefficients.
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// First and last place in zigzag order.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether bits are added to coefficients of an earlier scan.
    pub(super) refines: bool,
    /// How many low bits are left to later scans.
    pub(super) shift: u32,
}

/// A component's part in a scan.
pub(super) struct ScanComponent {
    /// Place in [`Frame::components`].
    pub(super) index: usize,
    pub(super) constant_table: usize,
    pub(super) other_table: usize,
}

impl Scan {
    /// Reads a scan header; `None` if it does not fit `frame`.
    pub(super) fn read(body: &[u8], frame: &Frame) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (list, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, approximation] = rest.first_chunk()?;
        let mut components: Vec<ScanComponent> = Vec::new();
        for entry in list.chunks_exact(2) {
            let index = frame.components.iter().position(|c| c.id == entry[0])?;
            // In the frame's order, each at most once.
            if components
                .last()
                .is_some_and(|before| before.index >= index)
            {
                return None;
            }
            components.push(ScanComponent {
                index,
                constant_table: usize::from(entry[1] >> 4),
                other_table: usize::from(entry[1] & 15),
            });
        }
        let scan = Self {
            components,
            first: usize::from(first),
            last: usize::from(last),
            refines: approximation >> 4 != 0,
            shift: u32::from(approximation & 15),
        };
        scan.is_sound(frame).then_some(scan)
    }

    fn is_sound(&self, frame: &Frame) -> bool {
        if self.components.is_empty() {
            return false;
        }
        if !frame.progressive {
            // What baseline scans say here does not matter.
            return true;
        }
        let band = match self.first {
            0 => self.last == 0,
            first => first <= self.last && self.last < 64 && self.components.len() == 1,
        };
        band && self.shift <= 13
    }
}
