//! The marker segments of a JPEG between its scans, and the tables they define (ITU-T T.81, annex B).

use super::huffman::HuffmanTable;

/// Walks from marker to marker; the caller steps it over entropy-coded data.
pub(super) struct Segments<'a> {
    content: &'a [u8],
    position: usize,
}

/// A marker and what its segment holds; nothing for the end of the image.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
}

pub(super) const END_OF_IMAGE: u8 = 0xD9;

impl<'a> Segments<'a> {
    /// From behind the start-of-image marker.
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self {
            content,
            position: 2,
        }
    }

    /// The next segment; `None` where the content ends. Stray bytes in front of it are stepped over,
    /// as every decoder does.
    pub(super) fn next(&mut self) -> Option<Segment<'a>> {
        let marker = loop {
            self.position += memchr::memchr(0xFF, self.content.get(self.position..)?)? + 1;
            match *self.content.get(self.position)? {
                // A fill byte, or not a marker; restart markers and TEM have no segment.
                0xFF | 0x00 | 0x01 | 0xD0..=0xD7 => {}
                marker => break marker,
            }
        };
        self.position += 1;
        if marker == END_OF_IMAGE {
            return Some(Segment { marker, body: &[] });
        }
        let length = self.content.get(self.position..)?.first_chunk()?;
        let end = self.position + usize::from(u16::from_be_bytes(*length));
        let body = self.content.get(self.position + 2..end)?;
        self.position = end;
        Some(Segment { marker, body })
    }

    /// Where the next segment is looked for.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// What follows the last segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.content[self.position..]
    }

    /// Steps over entropy-coded data.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.position = (self.position + bytes).min(self.content.len());
    }
}

/// The tables in force; a later definition replaces an earlier one.
#[derive(Default)]
pub(super) struct Tables {
    /// Quantization steps in zigzag order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    /// Codes for the constant coefficient.
    pub(super) constants: [Option<HuffmanTable>; 4],
    /// Codes for all other coefficients.
    pub(super) others: [Option<HuffmanTable>; 4],
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: usize,
}

impl Tables {
    pub(super) fn read_quantization(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = body.split_first() {
            let table = self.quantization.get_mut(usize::from(info & 15))?;
            let width = if info >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * width)?;
            let mut steps = [0; 64];
            for (step, bytes) in steps.iter_mut().zip(values.chunks_exact(width)) {
                *step = bytes
                    .iter()
                    .fold(0, |value, byte| (value << 8) | u16::from(*byte));
            }
            *table = Some(steps);
            body = rest;
        }
        Some(())
    }

    pub(super) fn read_huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let tables = if info >> 4 == 0 {
                // A constant has a size, no run.
                if symbols.iter().any(|symbol| *symbol > 15) {
                    return None;
                }
                &mut self.constants
            } else {
                &mut self.others
            };
            *tables.get_mut(usize::from(info & 15))? = Some(HuffmanTable::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    pub(super) fn read_restart_interval(&mut self, body: &[u8]) -> Option<()> {
        let interval = body.first_chunk()?;
        self.restart_interval = usize::from(u16::from_be_bytes(*interval));
        Some(())
    }
}
