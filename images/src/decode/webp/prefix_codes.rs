//! How much memory the prefix codes of lossless WebP data take, found by reading the data up to the
//! pixels.
//!
//! A picture has groups of five prefix codes, and a small image says which group each block of pixels
//! is coded with. How many groups there are is told by the greatest number in that image and nowhere
//! else: up to 65,536, of which `image-webp` makes tables that have up to 500 times the bytes of the
//! codes. So the small images that come before are decoded here, as far as that takes: what is copied
//! from an earlier pixel, or from the cache of colors, brings no new number, so no pixel is kept.
//!
//! [The format](https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification)

use crate::probe::webp::LosslessData;

/// Longest code of a symbol, in bits.
const MAX_LENGTH: usize = 15;

/// Lengths of codes are coded themselves, together with three kinds of repetition (16 to 18): the order
/// in which the lengths of those codes are written.
const LENGTH_ORDER: [usize; 19] = [
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// Greens and lengths of copies share a code; a color cache adds its own symbols.
const GREENS: usize = 256;
const COPY_LENGTHS: usize = 24;
const DISTANCES: usize = 40;

/// `image-webp` looks up codes of so many bits at once, and walks through a tree for longer ones.
const TABLE_BITS: usize = 10;
const TABLE_ENTRY_BYTES: u64 = 4;
const TREE_NODE_BYTES: u64 = 16;
/// A group without its tables is five times 56 bytes. They stand in a vector that has room for twice
/// as many after it has grown, and is copied when it grows.
const GROUP_BYTES: u64 = 3 * 5 * 56;

/// Memory for the prefix codes of the pixels, in bytes; `None` if the data end before the pixels or
/// are no lossless data.
pub(super) fn memory(data: &LosslessData<'_>) -> Option<u64> {
    let mut bits = Bits::new(data.bytes);
    let (mut width, height) = match data.size {
        Some((width, height)) => (width as usize, height as usize),
        None => picture_header(&mut bits)?,
    };
    let mut seen = [false; 4];
    while bits.read(1)? == 1 {
        let transform = bits.read(2)?;
        if std::mem::replace(&mut seen[transform], true) {
            return None;
        }
        match transform {
            // Predictors and color transforms, one for each block.
            0 | 1 => {
                block_image(&mut bits, width, height)?;
            }
            // Green is subtracted: there are no data.
            2 => {}
            // A palette. Where it is small, several pixels share one.
            _ => {
                let colors = bits.read(8)? + 1;
                image(&mut bits, colors)?;
                width = match colors {
                    0..=2 => width.div_ceil(8),
                    3..=4 => width.div_ceil(4),
                    5..=16 => width.div_ceil(2),
                    _ => width,
                };
            }
        }
    }
    let cached = color_cache(&mut bits)?;
    let groups = if bits.read(1)? == 1 {
        block_image(&mut bits, width, height)? + 1
    } else {
        1
    };
    let mut bytes = 0;
    for _ in 0..groups {
        bytes += GROUP_BYTES;
        for code in group(&mut bits, cached)? {
            bytes += code.memory();
        }
    }
    Some(bytes)
}

/// Width and height of a picture, from its header.
fn picture_header(bits: &mut Bits<'_>) -> Option<(usize, usize)> {
    if bits.read(8)? != 0x2F {
        return None;
    }
    let size = (bits.read(14)? + 1, bits.read(14)? + 1);
    let (_alpha, version) = (bits.read(1)?, bits.read(3)?);
    (version == 0).then_some(size)
}

/// Reads an image of a pixel for each block of pixels, as [`image`] does.
fn block_image(bits: &mut Bits<'_>, width: usize, height: usize) -> Option<usize> {
    let side = 1 << (bits.read(3)? + 2);
    image(bits, width.div_ceil(side) * height.div_ceil(side))
}

/// Reads an image of one group of codes, and answers with the greatest number in it: red and green of
/// a pixel are one of 16 bits.
fn image(bits: &mut Bits<'_>, pixels: usize) -> Option<usize> {
    let cached = color_cache(bits)?;
    let [green, red, blue, alpha, distance] = group(bits, cached)?;
    let (mut greatest, mut left) = (0, pixels);
    while left > 0 {
        let symbol = green.symbol(bits)?;
        if symbol < GREENS {
            greatest = greatest.max(red.symbol(bits)? << 8 | symbol);
            blue.symbol(bits)?;
            alpha.symbol(bits)?;
            left -= 1;
        } else if let Some(length) = symbol.checked_sub(GREENS).filter(|l| *l < COPY_LENGTHS) {
            left = left.checked_sub(number(bits, length)?)?;
            let distance = distance.symbol(bits)?;
            number(bits, distance)?;
        } else {
            left -= 1;
        }
    }
    Some(greatest)
}

/// How many colors the cache has.
fn color_cache(bits: &mut Bits<'_>) -> Option<usize> {
    if bits.read(1)? == 0 {
        return Some(0);
    }
    let size = bits.read(4)?;
    (1..=11).contains(&size).then_some(1 << size)
}

/// A length or a distance: a symbol for its magnitude, and the bits below.
fn number(bits: &mut Bits<'_>, symbol: usize) -> Option<usize> {
    if symbol < 4 {
        return Some(symbol + 1);
    }
    let below = (symbol - 2) / 2;
    Some(((2 + symbol % 2) << below) + bits.read(below)? + 1)
}

/// The codes of one group: green, red, blue, alpha, distance.
fn group(bits: &mut Bits<'_>, cached: usize) -> Option<[Code; 5]> {
    Some([
        Code::read(bits, GREENS + COPY_LENGTHS + cached)?,
        Code::read(bits, 256)?,
        Code::read(bits, 256)?,
        Code::read(bits, 256)?,
        Code::read(bits, DISTANCES)?,
    ])
}

/// A prefix code, canonical as in deflate.
struct Code {
    /// How many symbols have codes of each length.
    counts: [usize; MAX_LENGTH + 1],
    /// Those symbols, in the order of their codes.
    symbols: Vec<u16>,
}

impl Code {
    /// Reads the code of an alphabet of so many symbols.
    fn read(bits: &mut Bits<'_>, alphabet: usize) -> Option<Self> {
        if bits.read(1)? == 1 {
            return Self::read_simple(bits, alphabet);
        }
        let mut of_lengths = [0; LENGTH_ORDER.len()];
        let given = 4 + bits.read(4)?;
        for symbol in LENGTH_ORDER.iter().take(given) {
            of_lengths[*symbol] = bits.read(3)? as u8;
        }
        let of_lengths = Self::of_lengths(&of_lengths)?;
        let mut tokens = if bits.read(1)? == 1 {
            let width = 2 + 2 * bits.read(3)?;
            2 + bits.read(width)?
        } else {
            alphabet
        };
        if tokens > alphabet {
            return None;
        }
        let mut lengths = Vec::with_capacity(alphabet);
        let mut last = 8;
        while lengths.len() < alphabet && tokens > 0 {
            tokens -= 1;
            let (length, times) = match of_lengths.symbol(bits)? {
                16 => (last, 3 + bits.read(2)?),
                17 => (0, 3 + bits.read(3)?),
                18 => (0, 11 + bits.read(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                last = length;
            }
            lengths.resize(lengths.len() + times, length);
        }
        if lengths.len() > alphabet {
            return None;
        }
        Self::of_lengths(&lengths)
    }

    /// One or two symbols that are simply named.
    fn read_simple(bits: &mut Bits<'_>, alphabet: usize) -> Option<Self> {
        let count = bits.read(1)? + 1;
        let width = if bits.read(1)? == 1 { 8 } else { 1 };
        let mut symbols = vec![bits.read(width)? as u16];
        if count == 2 {
            symbols.push(bits.read(8)? as u16);
        }
        let mut counts = [0; MAX_LENGTH + 1];
        counts[1] = count;
        let known = symbols.iter().all(|symbol| usize::from(*symbol) < alphabet);
        known.then_some(Self { counts, symbols })
    }

    /// The code whose symbols have these lengths; 0 is for those that it leaves out. `None` if some
    /// bits would mean no symbol, or two.
    fn of_lengths(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; MAX_LENGTH + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        counts[0] = 0;
        let used: usize = counts.iter().sum();
        let whole = 1 << MAX_LENGTH;
        let taken: usize = (1..=MAX_LENGTH)
            .map(|length| counts[length] << (MAX_LENGTH - length))
            .sum();
        if used == 0 || (used > 1 && taken != whole) {
            return None;
        }
        let mut next = [0; MAX_LENGTH + 1];
        for length in 1..=MAX_LENGTH {
            next[length] = next[length - 1] + counts[length - 1];
        }
        let mut symbols = vec![0; used];
        for (symbol, length) in lengths
            .iter()
            .enumerate()
            .filter(|(_, length)| **length > 0)
        {
            let place = &mut next[usize::from(*length)];
            symbols[*place] = symbol as u16;
            *place += 1;
        }
        Some(Self { counts, symbols })
    }

    /// Reads a symbol. A code of one symbol takes no bits.
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        if let [only] = self.symbols.as_slice() {
            return Some(usize::from(*only));
        }
        // `first` is the first code of a length, `before` the number of shorter codes.
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.read(1)?;
            first <<= 1;
            if code - first < *count {
                return self
                    .symbols
                    .get(before + code - first)
                    .map(|s| usize::from(*s));
            }
            first += count;
            before += count;
        }
        None
    }

    /// What `image-webp` allocates for it.
    fn memory(&self) -> u64 {
        if self.symbols.len() == 1 {
            return 0;
        }
        let longest = self.counts.iter().rposition(|count| *count > 0);
        let table = TABLE_ENTRY_BYTES << longest.unwrap_or(0).min(TABLE_BITS);
        let deep: usize = self.counts[TABLE_BITS + 1..].iter().sum();
        // Two nodes for each symbol of the tree, and three for two symbols that are simply named.
        table + TREE_NODE_BYTES * (2 * deep as u64 + 3)
    }
}

/// Bits from the lowest of each byte on.
struct Bits<'a> {
    rest: &'a [u8],
    buffer: u64,
    buffered: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            buffer: 0,
            buffered: 0,
        }
    }

    /// The next bits, at most 32, as a number; `None` beyond the end.
    fn read(&mut self, count: usize) -> Option<usize> {
        while self.buffered < count {
            let (byte, rest) = self.rest.split_first()?;
            self.buffer |= u64::from(*byte) << self.buffered;
            self.buffered += 8;
            self.rest = rest;
        }
        let value = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.buffered -= count;
        Some(value as usize)
    }
}
