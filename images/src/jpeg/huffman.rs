//! Huffman codes and the bits of an entropy-coded segment (ITU-T T.81, annex F.2.2).

/// Codes that, with the value behind them, fit into this many bits take one table lookup.
const LOOKUP_BITS: u32 = 11;
const LONGEST: usize = 16;

/// What one step of decoding found: a run of zeros, then a value. One word, because three loads from
/// the lookup table where one does would be a third of the time.
#[derive(Clone, Copy, Default)]
pub(super) struct Step(u32);

impl Step {
    fn new(value: i32, run: u8, bits: u32) -> Self {
        Self((value as u32) << 16 | u32::from(run) << 8 | bits)
    }

    /// The value behind the code; 0 where the code has none.
    #[inline(always)]
    pub(super) fn value(self) -> i32 {
        self.0 as i32 >> 16
    }

    /// Zeros before it. For the constant coefficient, meaningless.
    #[inline(always)]
    pub(super) fn run(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Code and value together, in bits; 0 in the table means that the step does not fit.
    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 & 0xFF
    }
}

/// A run no other code has: the rest of the block is zero.
pub(super) const END_OF_BLOCK: u8 = 64;

/// A canonical Huffman code.
pub(super) struct HuffmanTable {
    /// By the next [`LOOKUP_BITS`] bits.
    lookup: Box<[Step; 1 << LOOKUP_BITS]>,
    /// By code length: the first code that is longer, left-aligned in 16 bits.
    ends: [u32; LONGEST + 1],
    /// By code length: what to add to a code to find its symbol.
    offsets: [i32; LONGEST + 1],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// The code with `counts[n - 1]` codes of length n; `None` if there cannot be such a code.
    pub(super) fn new(counts: &[u8; LONGEST], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            lookup: Box::new([Step::default(); 1 << LOOKUP_BITS]),
            ends: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            symbols: symbols.to_vec(),
        };
        let mut code = 0_u32;
        let mut used = 0_usize;
        for (length, &count) in (1_u32..).zip(counts) {
            let of_length = symbols.get(used..used + usize::from(count))?;
            table.offsets[length as usize] = used as i32 - code as i32;
            for &symbol in of_length {
                if code >> length != 0 {
                    return None;
                }
                table.fill_lookup(code, length, symbol);
                code += 1;
            }
            table.ends[length as usize] = code << (LONGEST as u32 - length);
            used += usize::from(count);
            code <<= 1;
        }
        Some(table)
    }

    /// Notes what to do for all lookup bits that start with `code` and hold the whole value.
    fn fill_lookup(&mut self, code: u32, length: u32, symbol: u8) {
        let size = u32::from(symbol & 15);
        let Some(spare) = LOOKUP_BITS.checked_sub(length + size) else {
            return;
        };
        for raw in 0..1_u32 << size {
            let first = (((code << size) | raw) << spare) as usize;
            let value = extend(raw as i32, size);
            let step = Step::new(value, run_of(symbol), length + size);
            self.lookup[first..first + (1 << spare)].fill(step);
        }
    }

    /// Symbol and length of the code that starts the 16 bits `next`.
    fn symbol(&self, next: u32) -> Option<(u8, u32)> {
        let length = (1..=LONGEST).find(|n| next < self.ends[*n])?;
        let code = (next >> (LONGEST - length)) as i32;
        let index = usize::try_from(code + self.offsets[length]).ok()?;
        Some((*self.symbols.get(index)?, length as u32))
    }
}

fn run_of(symbol: u8) -> u8 {
    match symbol {
        // Sixteen zeros are fifteen and one more value, which is zero.
        0xF0 => 15,
        symbol if symbol & 15 == 0 => END_OF_BLOCK,
        symbol => symbol >> 4,
    }
}

/// The signed value of `size` bits: the lower half of the range is negative.
fn extend(raw: i32, size: u32) -> i32 {
    if raw < 1 << size >> 1 {
        raw - (1 << size) + 1
    } else {
        raw
    }
}

/// Reads bits from the highest down, drops stuffed zeros, and stops at a marker, after which it
/// gives zeros.
///
/// It is small and copied freely: a loop that holds its own copy keeps it in registers.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, left-aligned.
    buffer: u64,
    /// How many bits of `buffer` are valid.
    valid: u32,
    /// How many of them were made up after the end.
    padding: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            position: 0,
            buffer: 0,
            valid: 0,
            padding: 0,
        }
    }

    /// The next code of `table` with the value behind it, as almost all are: short, and without a
    /// stuffed zero or the end near. `None` leaves it to [`Self::any_step`].
    #[inline(always)]
    pub(super) fn short_step(&mut self, table: &HuffmanTable) -> Option<Step> {
        // The longest code and value have 16 + 15 bits.
        if self.valid < 32 && !self.refill_word() {
            return None;
        }
        let step = table.lookup[(self.buffer >> (64 - LOOKUP_BITS)) as usize];
        if step.bits() == 0 {
            return None;
        }
        self.consume(step.bits());
        Some(step)
    }

    /// The next code of `table` with the value behind it, and the reader after it; `None` when there
    /// is no such code.
    #[cold]
    #[inline(never)]
    pub(super) fn any_step(mut self, table: &HuffmanTable) -> Option<(Self, Step)> {
        if self.valid < 32 && !self.refill_word() {
            self.refill_bytewise();
        }
        let (symbol, length) = table.symbol((self.buffer >> 48) as u32)?;
        self.consume(length);
        let size = u32::from(symbol & 15);
        // Two shifts, because there is no shift by all 64 bits.
        let raw = (self.buffer >> 1 >> (63 - size)) as i32;
        self.consume(size);
        let step = Step::new(extend(raw, size), run_of(symbol), length + size);
        Some((self, step))
    }

    #[inline]
    fn consume(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.valid -= bits;
    }

    /// Fills the buffer to at least 56 bits; `false` if the next eight bytes hold 0xFF or the end.
    #[inline(always)]
    fn refill_word(&mut self) -> bool {
        let Some(bytes) = self.data.get(self.position..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let word = u64::from_be_bytes(*bytes);
        if holds_ff(word) {
            return false;
        }
        let bytes = (63 - self.valid) / 8;
        self.buffer |= word >> self.valid;
        self.position += bytes as usize;
        self.valid += bytes * 8;
        // Bits beyond the last whole byte come again with the next refill.
        self.buffer &= u64::MAX << (64 - self.valid);
        true
    }

    /// Fills the buffer to at least 56 bits.
    fn refill_bytewise(&mut self) {
        while self.valid <= 56 {
            let byte = match self.data.get(self.position..) {
                Some([0xFF, 0x00, ..]) => {
                    self.position += 2;
                    0xFF
                }
                Some([byte, ..]) if *byte != 0xFF => {
                    self.position += 1;
                    *byte
                }
                _ => {
                    self.padding = self.padding.saturating_add(8);
                    0
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.valid);
            self.valid += 8;
        }
    }

    /// True while no bit was read that the data did not have.
    pub(super) fn is_sound(&self) -> bool {
        self.padding <= self.valid
    }

    /// Steps over the restart marker that must come next.
    pub(super) fn restart(&mut self) -> Option<()> {
        // The bits before a marker end with its byte, so reading has stopped right in front of it.
        let at_marker = matches!(
            self.data.get(self.position..),
            Some([0xFF, 0xD0..=0xD7, ..])
        );
        if !self.is_sound() || !at_marker {
            return None;
        }
        *self = Self {
            position: self.position + 2,
            ..Self::new(self.data)
        };
        Some(())
    }
}

/// True when one of the eight bytes is 0xFF.
#[inline]
fn holds_ff(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte of the complement is zero exactly where the word has 0xFF.
    let complement = !word;
    complement.wrapping_sub(LOW) & !complement & HIGH != 0
}
