//! LZW as GIF and TIFF have it, a whole stream at a time.
//!
//! A string of the dictionary is a place in the output, where it was written last. Its first eight
//! bytes are kept beside it, and few strings of a photograph are longer; so a code costs one look into
//! the table and one store of eight bytes, whatever the length of its string.

use super::budget::Deadline;
use super::{damaged, truncated};
use crate::error::ImageError;
use crate::probe::Format;

/// Codes have up to twelve bits.
const MOST_BITS: u32 = 12;
const MOST_CODES: usize = 1 << MOST_BITS;

/// Bytes of a string that its entry holds.
const HEAD: usize = size_of::<u64>();

/// Bytes that are unpacked between two looks at the clock: well below a millisecond's work.
const STRIDE: usize = 64 * 1024;

/// How codes are packed into bytes, and when they grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavor {
    /// From the lowest bit up; literals have so many bits, 1 to 11.
    Gif(u32),
    /// From the highest bit down; codes grow one code earlier than they must.
    Tiff,
}

/// A string: `length` bytes from `start` of the output on. The first of them are those of `head`, the
/// very first its lowest.
#[derive(Clone, Copy, Default)]
struct Entry {
    head: u64,
    start: u32,
    length: u32,
}

impl Entry {
    fn first(self) -> u8 {
        self.head as u8
    }

    /// The string and one more byte.
    #[inline(always)]
    fn followed_by(self, byte: u8) -> Self {
        // Nothing is added to a head that is full.
        let more = u64::from(byte).checked_shl(8 * self.length).unwrap_or(0);
        Self {
            head: self.head | more,
            length: self.length + 1,
            ..self
        }
    }

    /// Writes the string to `output`, as far as there is room, and perhaps some bytes behind it that mean
    /// nothing.
    #[inline(always)]
    fn write(self, output: &mut [u8], position: usize) {
        let head = self.head.to_le_bytes();
        let target = &mut output[position..];
        if let Some(target) = target.first_chunk_mut() {
            *target = head;
        } else {
            let room = target.len();
            target.copy_from_slice(&head[..room]);
        }
        let (start, length) = (self.start as usize, self.length as usize);
        let length = length.min(output.len() - position);
        if length > HEAD {
            output.copy_within(start + HEAD..start + length, position + HEAD);
        }
    }
}

/// Unpacks streams of one flavor, one after the other.
pub(super) struct Unpacker {
    flavor: Flavor,
    table: Vec<Entry>,
}

impl Unpacker {
    pub(super) fn new(flavor: Flavor) -> Self {
        let literals = match flavor {
            Flavor::Gif(bits) => 1 << bits,
            Flavor::Tiff => 256,
        };
        let mut table = vec![Entry::default(); MOST_CODES];
        for (code, entry) in table.iter_mut().take(literals).enumerate() {
            (entry.head, entry.length) = (u64::from(code as u8), 1);
        }
        Self { flavor, table }
    }

    /// Fills `output`, of less than 4 GiB, with what `stream` holds; what it holds beyond that is not
    /// looked at.
    ///
    /// # Errors
    /// A stream that ends before, a code that does not exist yet, and the end of the time.
    pub(super) fn unpack(
        &mut self,
        stream: &[u8],
        output: &mut [u8],
        deadline: Deadline,
    ) -> Result<(), ImageError> {
        match self.flavor {
            Flavor::Gif(bits) => self.read::<false>(bits, Codes::new(stream), output, deadline),
            Flavor::Tiff => self.read::<true>(8, Codes::new(stream), output, deadline),
        }
    }

    fn read<const TIFF: bool>(
        &mut self,
        literal_bits: u32,
        mut codes: Codes<'_, TIFF>,
        output: &mut [u8],
        deadline: Deadline,
    ) -> Result<(), ImageError> {
        let format = if TIFF { Format::Tiff } else { Format::Gif };
        let too_short = || truncated(format, "the LZW data of its pixels ends early");
        let table = self.table.as_mut_slice();
        let clear = 1 << literal_bits;
        let end = clear + 1;
        let (mut bits, mut next) = (literal_bits + 1, end + 1);
        // The string before; one without a length directly behind a clear code.
        let mut before = Entry::default();
        let mut position = 0;
        while position < output.len() {
            deadline.check()?;
            let stop = output.len().min(position + STRIDE);
            while position < stop {
                let code = codes.take(bits).ok_or_else(too_short)?;
                let entry = if code < next {
                    if code == clear {
                        (bits, next) = (literal_bits + 1, end + 1);
                        before = Entry::default();
                        continue;
                    }
                    if code == end {
                        return Err(too_short());
                    }
                    table[code]
                } else if code == next && before.length > 0 {
                    // The string before, and its own first byte.
                    before.followed_by(before.first())
                } else {
                    return Err(damaged(
                        format,
                        "its LZW data has a code that does not exist",
                    ));
                };
                entry.write(output, position);
                if before.length > 0 && next < MOST_CODES {
                    table[next] = before.followed_by(entry.first());
                    next += 1;
                }
                if next + usize::from(TIFF) >= 1 << bits && bits < MOST_BITS {
                    bits += 1;
                }
                before = Entry {
                    start: position as u32,
                    ..entry
                };
                position += entry.length as usize;
            }
        }
        Ok(())
    }
}

/// The codes of a stream, packed from the highest bit down or from the lowest up.
struct Codes<'a, const HIGHEST_FIRST: bool> {
    rest: &'a [u8],
    /// Bits that are read; the next is the highest or the lowest. Behind the `valid` there may be more of
    /// the stream's.
    buffer: u64,
    valid: u32,
}

impl<'a, const HIGHEST_FIRST: bool> Codes<'a, HIGHEST_FIRST> {
    fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            buffer: 0,
            valid: 0,
        }
    }

    /// The next code, of `bits` bits; `None` if there are not so many.
    #[inline(always)]
    fn take(&mut self, bits: u32) -> Option<usize> {
        if self.valid < bits {
            self.refill();
        }
        self.valid = self.valid.checked_sub(bits)?;
        let code = if HIGHEST_FIRST {
            let code = self.buffer >> (u64::BITS - bits);
            self.buffer <<= bits;
            code
        } else {
            let code = self.buffer & ((1 << bits) - 1);
            self.buffer >>= bits;
            code
        };
        Some(code as usize)
    }

    #[inline(always)]
    fn refill(&mut self) {
        let Some(bytes) = self.rest.first_chunk() else {
            return self.refill_from_few();
        };
        self.buffer |= match HIGHEST_FIRST {
            true => u64::from_be_bytes(*bytes) >> self.valid,
            false => u64::from_le_bytes(*bytes) << self.valid,
        };
        // As many whole bytes as there is room for.
        let whole = (u64::BITS - 1 - self.valid) / 8;
        self.rest = &self.rest[whole as usize..];
        self.valid += 8 * whole;
    }

    #[cold]
    fn refill_from_few(&mut self) {
        while self.valid <= u64::BITS - 8
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.buffer |= match HIGHEST_FIRST {
                true => u64::from(*byte) << (u64::BITS - 8 - self.valid),
                false => u64::from(*byte) << self.valid,
            };
            self.rest = rest;
            self.valid += 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use weezl::BitOrder;
    use weezl::decode::Decoder;
    use weezl::encode::Encoder;

    use super::*;
    use crate::probe::Limits;

    const FLAVORS: [Flavor; 5] = [
        Flavor::Tiff,
        Flavor::Gif(2),
        Flavor::Gif(5),
        Flavor::Gif(8),
        Flavor::Gif(11),
    ];

    fn unpacked(stream: &[u8], flavor: Flavor, bytes: usize) -> Result<Vec<u8>, ImageError> {
        let mut output = vec![0; bytes];
        let open = Deadline::start(&Limits::default());
        Unpacker::new(flavor).unpack(stream, &mut output, open)?;
        Ok(output)
    }

    fn packed(data: &[u8], flavor: Flavor) -> Vec<u8> {
        let mut encoder = match flavor {
            Flavor::Gif(bits) => Encoder::new(BitOrder::Lsb, bits as u8),
            Flavor::Tiff => Encoder::with_tiff_size_switch(BitOrder::Msb, 8),
        };
        encoder.encode(data).unwrap()
    }

    /// Xorshift: the same numbers in every run.
    fn random(count: usize, seed: u64) -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15 ^ seed;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn what_was_packed_comes_back() {
        for flavor in FLAVORS {
            let top = match flavor {
                Flavor::Gif(bits) => (1 << bits.min(8)) - 1,
                Flavor::Tiff => 255,
            };
            let noise = random(20_000, 1);
            let flat = vec![1; 100_000];
            let mixed = [
                &flat[..3000],
                &noise[..500],
                &flat[..7],
                &noise,
                &flat[..999],
            ]
            .concat();
            for data in [&noise[..], &flat, &mixed, &noise[..1], &[]] {
                let data: Vec<u8> = data.iter().map(|byte| byte & top as u8).collect();
                let stream = packed(&data, flavor);
                let back = unpacked(&stream, flavor, data.len()).unwrap();
                assert!(back == data, "{flavor:?} {}", data.len());
            }
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_cut_short() {
        for flavor in [Flavor::Tiff, Flavor::Gif(8)] {
            let data = random(2000, 2);
            let stream = packed(&data, flavor);
            for length in 0..stream.len() - 3 {
                let error = unpacked(&stream[..length], flavor, data.len()).unwrap_err();
                assert_eq!(error.code(), "truncated");
            }
            // The end code comes before the output is full.
            let error = unpacked(&stream, flavor, data.len() + 1).unwrap_err();
            assert_eq!(error.code(), "truncated");
        }
    }

    /// Any bytes are some codes, of which many do not exist; and nobody need ever clear the table.
    #[test]
    fn any_bytes_unpack_to_what_another_decoder_makes_of_them() {
        for flavor in FLAVORS {
            for seed in 0..300 {
                let mut stream = random(4000, seed);
                if seed % 2 == 0 {
                    // Small codes exist, which makes for longer streams.
                    stream.iter_mut().for_each(|byte| *byte &= 0x49);
                }
                let mut expected = Vec::new();
                let mut decoder = match flavor {
                    Flavor::Gif(bits) => Decoder::new(BitOrder::Lsb, bits as u8),
                    Flavor::Tiff => Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
                };
                let _ = decoder.into_vec(&mut expected).decode(&stream);
                let output = unpacked(&stream, flavor, expected.len()).unwrap();
                assert!(output == expected, "{flavor:?} {seed}");
                assert!(unpacked(&stream, flavor, expected.len() + 1).is_err());
            }
        }
    }
}
