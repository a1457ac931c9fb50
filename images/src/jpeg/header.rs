//! The marker segments of a baseline JPEG up to its only scan (ITU-T T.81, annex B).

use super::huffman::HuffmanTable;

/// Place in zigzag order to place in row order.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// One color component of the frame and the tables its scan uses.
pub(super) struct Component {
    id: u8,
    /// Blocks per MCU, horizontally.
    pub(super) across: usize,
    /// Blocks per MCU, vertically.
    pub(super) down: usize,
    pub(super) quantization: usize,
    pub(super) constant_table: usize,
    pub(super) other_table: usize,
}

/// All that is needed to decode the scan.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    /// One (gray) or three components.
    pub(super) components: Vec<Component>,
    pub(super) most_across: usize,
    pub(super) most_down: usize,
    pub(super) mcus_across: usize,
    pub(super) mcus_down: usize,
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: usize,
    pub(super) quantization: [[u16; 64]; 4],
    pub(super) constant_tables: [Option<HuffmanTable>; 4],
    pub(super) other_tables: [Option<HuffmanTable>; 4],
    /// Three components are red, green, blue instead of YCbCr.
    pub(super) is_rgb: bool,
    /// Where the entropy-coded data starts.
    pub(super) scan_at: usize,
}

impl Header {
    /// Reads the segments of `content`; `None` unless it is a baseline JPEG of 8 bits with one or
    /// three components in one scan.
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        let mut header = Self {
            width: 0,
            height: 0,
            components: Vec::new(),
            most_across: 1,
            most_down: 1,
            mcus_across: 0,
            mcus_down: 0,
            restart_interval: 0,
            quantization: [[0; 64]; 4],
            constant_tables: [const { None }; 4],
            other_tables: [const { None }; 4],
            is_rgb: false,
            scan_at: 0,
        };
        let mut adobe_transform = None;
        let mut position = 2;
        loop {
            while content.get(position..position + 2)? == [0xFF, 0xFF] {
                position += 1;
            }
            let &[0xFF, marker] = content.get(position..position + 2)? else {
                return None;
            };
            let length = content.get(position + 2..position + 4)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let end = position + 2 + length;
            let body = content.get(position + 4..end)?;
            position = end;
            match marker {
                0xDB => header.read_quantization(body)?,
                0xC4 => header.read_huffman(body)?,
                0xC0 | 0xC1 if header.components.is_empty() => header.read_frame(body)?,
                // Every other kind of frame: progressive, lossless, arithmetic.
                0xC0..=0xCF => return None,
                0xDD => {
                    let interval = body.get(..2)?;
                    header.restart_interval =
                        usize::from(u16::from_be_bytes([interval[0], interval[1]]));
                }
                0xEE if body.starts_with(b"Adobe") => adobe_transform = body.get(11).copied(),
                0xDA => {
                    header.read_scan(body)?;
                    header.scan_at = position;
                    let ids: Vec<u8> = header.components.iter().map(|c| c.id).collect();
                    header.is_rgb = match adobe_transform {
                        Some(transform) => transform == 0,
                        None => ids == *b"RGB",
                    };
                    return Some(header);
                }
                _ => {}
            }
        }
    }

    fn read_quantization(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = body.split_first() {
            let table = self.quantization.get_mut(usize::from(info & 15))?;
            let width = if info >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * width)?;
            for (step, bytes) in table.iter_mut().zip(values.chunks_exact(width)) {
                *step = bytes
                    .iter()
                    .fold(0, |value, byte| (value << 8) | u16::from(*byte));
            }
            body = rest;
        }
        Some(())
    }

    fn read_huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let tables = if info >> 4 == 0 {
                &mut self.constant_tables
            } else {
                &mut self.other_tables
            };
            *tables.get_mut(usize::from(info & 15))? = Some(HuffmanTable::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    fn read_frame(&mut self, body: &[u8]) -> Option<()> {
        let (&[precision, h1, h0, w1, w0, count], list) = body.split_first_chunk::<6>()?;
        self.height = usize::from(u16::from_be_bytes([h1, h0]));
        self.width = usize::from(u16::from_be_bytes([w1, w0]));
        if precision != 8 || !matches!(count, 1 | 3) || list.len() < 3 * usize::from(count) {
            return None;
        }
        for component in list.chunks_exact(3).take(usize::from(count)) {
            let (across, down) = (
                usize::from(component[1] >> 4),
                usize::from(component[1] & 15),
            );
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || component[2] > 3 {
                return None;
            }
            self.components.push(Component {
                id: component[0],
                across,
                down,
                quantization: usize::from(component[2]),
                constant_table: 0,
                other_table: 0,
            });
        }
        if let [only] = self.components.as_mut_slice() {
            // A scan of one component is not interleaved: its MCU is one block.
            (only.across, only.down) = (1, 1);
        }
        self.most_across = self.components.iter().map(|c| c.across).max()?;
        self.most_down = self.components.iter().map(|c| c.down).max()?;
        // Odd ratios such as 3 : 2 exist on paper only.
        if self
            .components
            .iter()
            .any(|c| !self.most_across.is_multiple_of(c.across))
        {
            return None;
        }
        self.mcus_across = self.width.div_ceil(8 * self.most_across);
        self.mcus_down = self.height.div_ceil(8 * self.most_down);
        Some(())
    }

    fn read_scan(&mut self, body: &[u8]) -> Option<()> {
        let (&count, list) = body.split_first()?;
        if self.components.is_empty() || usize::from(count) != self.components.len() {
            return None;
        }
        for (component, entry) in self.components.iter_mut().zip(list.chunks_exact(2)) {
            if entry[0] != component.id {
                return None;
            }
            component.constant_table = usize::from(entry[1] >> 4);
            component.other_table = usize::from(entry[1] & 15);
            if component.constant_table > 3 || component.other_table > 3 {
                return None;
            }
        }
        (list.len() >= 2 * self.components.len()).then_some(())
    }
}
