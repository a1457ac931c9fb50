//! The bits of entropy-coded data (ITU-T T.81, annexes B.1.1.5 and F.2.2.5).

use std::ops::Range;

use super::huffman::{HuffmanTable, Step};

/// Zeros behind each interval, so that reading ahead stays within the data.
const PADDING: usize = 8;
/// Bytes that an interval may have beyond its last code: what sloppy encoders leave, no more.
const SPARE_BYTES: usize = 16;

/// The entropy-coded data of one scan without stuffed zeros, cut at its restart markers.
///
/// Taking the zeros out first costs a fraction of what it costs to look for them at every refill.
#[derive(Default)]
pub(super) struct EntropyCoded {
    bytes: Vec<u8>,
    intervals: Vec<Range<usize>>,
}

impl EntropyCoded {
    /// Reads the scan that `content` starts with, in place of what was there; returns the bytes it
    /// takes up to the marker behind it. `None` if there is no such marker, or if restart markers
    /// are not in order.
    pub(super) fn read(&mut self, content: &[u8]) -> Option<usize> {
        self.bytes.clear();
        // At once: growing with the data would take fresh memory again and again.
        self.bytes.reserve(content.len() + PADDING);
        self.intervals.clear();
        let mut start = 0;
        let mut position = 0;
        loop {
            let rest = &content[position..];
            let found = memchr::memchr(0xFF, rest)?;
            self.bytes.extend_from_slice(&rest[..found]);
            position += found;
            match *rest.get(found + 1)? {
                0x00 => {
                    self.bytes.push(0xFF);
                    position += 2;
                }
                0xFF => position += 1,
                marker => {
                    self.intervals.push(start..self.bytes.len());
                    self.bytes.extend_from_slice(&[0; PADDING]);
                    start = self.bytes.len();
                    if marker & 0xF8 != 0xD0 {
                        return Some(position);
                    }
                    if usize::from(marker & 7) != (self.intervals.len() - 1) % 8 {
                        return None;
                    }
                    position += 2;
                }
            }
        }
    }

    /// The intervals between restart markers.
    pub(super) fn intervals(&self) -> impl Iterator<Item = BitReader<'_>> {
        self.intervals.iter().map(|interval| BitReader {
            data: &self.bytes[interval.start..interval.end + PADDING],
            position: 0,
            buffer: 0,
            valid: 0,
        })
    }
}

/// The bytes of a scan that nobody reads, up to the marker behind it; `None` if there is none.
pub(super) fn scan_bytes(content: &[u8]) -> Option<usize> {
    let mut position = 0;
    loop {
        position += memchr::memchr(0xFF, content.get(position..)?)?;
        match *content.get(position + 1)? {
            0x00 | 0xD0..=0xD7 => position += 2,
            0xFF => position += 1,
            _ => return Some(position),
        }
    }
}

/// Reads the bits of one interval from the highest down; after its end it gives zeros.
///
/// It is small and copied freely: a loop that holds its own copy keeps it in registers.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, left-aligned; those beyond `valid` are right, but come again.
    buffer: u64,
    valid: u32,
}

impl BitReader<'_> {
    /// Makes at least 56 bits valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(bytes) = self.data.get(self.position..).and_then(<[u8]>::first_chunk) {
            self.buffer |= u64::from_be_bytes(*bytes) >> self.valid;
        }
        // Counted on behind the end too: that is how `is_sound` knows.
        self.position += ((63 - self.valid) / 8) as usize;
        self.valid |= 56;
    }

    /// The next bits, left-aligned.
    #[inline(always)]
    pub(super) fn next(&self) -> u64 {
        self.buffer
    }

    /// Steps over bits that are valid.
    #[inline(always)]
    pub(super) fn consume(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.valid -= bits;
    }

    /// Steps over the next code and the value behind it; `None` when there is no such code. Takes at
    /// most 26 valid bits.
    #[inline(always)]
    pub(super) fn step(&mut self, table: &HuffmanTable) -> Option<Step> {
        let mut step = table.short(self.buffer);
        if step.bits() == 0 {
            self.refill();
            step = table.any(self.buffer)?;
            self.consume(step.bits());
            self.refill();
            return Some(step);
        }
        self.consume(step.bits());
        Some(step)
    }

    /// Like [`Self::step`], with the value.
    #[inline(always)]
    pub(super) fn value(&mut self, table: &HuffmanTable) -> Option<(Step, i32)> {
        let mut step = table.short(self.buffer);
        let mut buffer = self.buffer;
        if step.bits() == 0 {
            self.refill();
            buffer = self.buffer;
            step = table.any(buffer)?;
            self.consume(step.bits());
            self.refill();
        } else {
            self.consume(step.bits());
        }
        Some((
            step,
            signed(buffer << (step.bits() - step.size()), step.size()),
        ))
    }

    /// The next `count` bits, at most 16, all of them valid.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = first_bits(self.buffer, count) as u32;
        self.consume(count);
        bits
    }

    /// All ones if the next bit is one, or else zero.
    #[inline(always)]
    pub(super) fn take_mask(&mut self) -> i16 {
        if self.valid == 0 {
            self.refill();
        }
        let mask = (self.buffer as i64 >> 63) as i16;
        self.consume(1);
        mask
    }

    /// True while no bit was read that the interval does not have.
    #[inline]
    pub(super) fn is_sound(&self) -> bool {
        self.read_bits() <= self.interval_bits()
    }

    /// True if the interval was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.is_sound() && self.interval_bits() - self.read_bits() < 8 * SPARE_BYTES
    }

    fn read_bits(&self) -> usize {
        8 * self.position - self.valid as usize
    }

    fn interval_bits(&self) -> usize {
        8 * (self.data.len() - PADDING)
    }
}

/// The highest `count` bits of `buffer`. Two shifts, because there is no shift by all 64.
#[inline(always)]
fn first_bits(buffer: u64, count: u32) -> u64 {
    buffer >> 1 >> (63 - count)
}

/// The value of `size` bits: the lower half of the range is negative.
#[inline(always)]
fn signed(buffer: u64, size: u32) -> i32 {
    let raw = first_bits(buffer, size) as i32;
    let is_negative = !(buffer as i64 >> 63) as i32;
    raw + (((-1 << size) + 1) & is_negative)
}
