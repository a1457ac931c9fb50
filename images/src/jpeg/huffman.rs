//! Huffman codes (ITU-T T.81, annexes C and F.2.2).

use super::bits::BitReader;

/// Codes of up to this many bits take one table lookup.
const LOOKUP_BITS: u32 = 11;
const LONGEST: usize = 16;
const SKIP_BITS: u32 = 12;

/// A code and what it stands for: the size of the value behind it and how far to go on. One word, so
/// that one load gets all.
#[derive(Clone, Copy, Default)]
pub(super) struct Step(u32);

impl Step {
    /// The advance of the code that ends a block: beyond the end from any place.
    pub(super) const END: usize = 128;

    fn new(symbol: u8, code_bits: u32) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let advance = match (run, size) {
            (0..=14, 0) => Self::END as u32,
            (run, _) => run + 1,
        };
        Self(run << 24 | advance << 16 | size << 8 | (code_bits + size))
    }

    /// Bits of the code and of the value behind it; 0 in the table means a longer code.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 0xFF
    }

    /// Bits of the value.
    #[inline(always)]
    pub(super) fn size(self) -> u32 {
        (self.0 >> 8) & 0xFF
    }

    /// Places from this coefficient's predecessor to it: zeros between them plus one.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 16 & 0xFF) as usize
    }

    /// Whether all the rest of the block is zero.
    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.advance() == Self::END
    }

    /// The upper half of the symbol, whatever it means.
    #[inline(always)]
    pub(super) fn run(self) -> u32 {
        self.0 >> 24
    }
}

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
                if let Some(spare) = LOOKUP_BITS.checked_sub(length) {
                    let first = (code << spare) as usize;
                    table.lookup[first..first + (1 << spare)].fill(Step::new(symbol, length));
                }
                code += 1;
            }
            table.ends[length as usize] = code << (LONGEST as u32 - length);
            used += usize::from(count);
            code <<= 1;
        }
        Some(table)
    }

    /// The code that `next` starts with, if it is a short one.
    #[inline(always)]
    pub(super) fn short(&self, next: u64) -> Step {
        self.lookup[(next >> (64 - LOOKUP_BITS)) as usize]
    }

    /// The code that `next` starts with; `None` when there is no such code.
    #[cold]
    #[inline(never)]
    pub(super) fn any(&self, next: u64) -> Option<Step> {
        let next = (next >> 48) as u32;
        let length = (1..=LONGEST).find(|n| next < self.ends[*n])?;
        let code = (next >> (LONGEST - length)) as i32;
        let index = usize::try_from(code + self.offsets[length]).ok()?;
        Some(Step::new(*self.symbols.get(index)?, length as u32))
    }
}

/// For stepping over the coefficients of a block without looking at them: by the next bits, as many
/// whole codes as begin in them.
pub(super) struct SkipTable<'a> {
    codes: &'a HuffmanTable,
    lookup: Box<[Skip; 1 << SKIP_BITS]>,
}

/// Some codes with the values behind them: bits, places, and whether they end the block.
#[derive(Clone, Copy, Default)]
struct Skip {
    bits: u8,
    places: u8,
    ends: bool,
}

impl<'a> SkipTable<'a> {
    pub(super) fn new(codes: &'a HuffmanTable) -> Self {
        let skip_from = |next: usize| {
            let next = (next as u64) << (64 - SKIP_BITS);
            let mut skip = Skip::default();
            while u32::from(skip.bits) < SKIP_BITS && !skip.ends {
                let step = codes.short(next << skip.bits);
                let code_bits = step.bits() - step.size();
                // A code must be here in full, the value behind it need not be.
                if step.bits() == 0 || u32::from(skip.bits) + code_bits > SKIP_BITS {
                    break;
                }
                skip.bits += step.bits() as u8;
                skip.ends = step.is_end();
                if !skip.ends {
                    skip.places += step.advance() as u8;
                }
            }
            skip
        };
        let mut lookup = Box::new([Skip::default(); 1 << SKIP_BITS]);
        for (next, skip) in lookup.iter_mut().enumerate() {
            *skip = skip_from(next);
        }
        Self { codes, lookup }
    }

    /// Steps over all coefficients but the constant; `None` if the block is not sound.
    #[inline(always)]
    pub(super) fn skip_block(&self, bits: &mut BitReader<'_>) -> Option<()> {
        let mut reader = *bits;
        let mut place = 1;
        'block: loop {
            reader.refill();
            // Two times at most 12 bits and a value of 15.
            for _ in 0..2 {
                let skip = self.lookup[(reader.next() >> (64 - SKIP_BITS)) as usize];
                let after = place + usize::from(skip.places);
                // No code begins at place 64: beyond it is the next block.
                if skip.bits == 0 || after >= 64 {
                    break 'block;
                }
                reader.consume(u32::from(skip.bits));
                place = after;
                if skip.ends {
                    *bits = reader;
                    return Some(());
                }
            }
        }
        while place < 64 {
            reader.refill();
            let step = reader.step(self.codes)?;
            if step.is_end() {
                break;
            }
            place += step.advance();
        }
        *bits = reader;
        (place <= 64).then_some(())
    }
}
