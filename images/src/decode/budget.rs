//! What one picture may cost: a deadline, a reader that stops at it, and a check of memory.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::time::Instant;

use crate::error::ImageError;
use crate::probe::Limits;

/// Most bytes a [`TimedReader`] hands out between two looks at the clock. Deflate makes at most a
/// thousand times as many of them, a fraction of a second's work.
const STRIDE: usize = 64 * 1024;

/// When decoding has to be over.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    limits: Limits,
    /// `None` when the limit is too far away to be a point in time.
    end: Option<Instant>,
}

impl Deadline {
    /// `limits.max_time` from now.
    pub(crate) fn start(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            end: Instant::now().checked_add(limits.max_time),
        }
    }

    /// # Errors
    /// [`ImageError::TooSlow`] once the time is over.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(ImageError::TooSlow {
                limit: self.limits.max_time,
            });
        }
        Ok(())
    }
}

/// # Errors
/// [`ImageError::TooMuchMemory`] when `bytes` are more than the limits allow.
pub(crate) fn check_memory(bytes: u64, limits: &Limits) -> Result<(), ImageError> {
    if bytes > limits.max_alloc {
        return Err(ImageError::TooMuchMemory {
            bytes,
            limit: limits.max_alloc,
        });
    }
    Ok(())
}

/// Bytes in memory that fail to be read once a deadline has passed.
///
/// Patches can be laid over single places, so that a decoder sees a header as it understands it
/// without the file being copied.
pub(crate) struct TimedReader<'a> {
    content: &'a [u8],
    /// At most the length of `content`.
    position: usize,
    deadline: Deadline,
    /// Bytes that may still be handed out before the next look at the clock.
    unchecked: usize,
    patches: Vec<(usize, Vec<u8>)>,
}

impl<'a> TimedReader<'a> {
    pub(crate) fn new(content: &'a [u8], deadline: Deadline) -> Self {
        Self::with_patches(content, deadline, Vec::new())
    }

    /// `patches` are positions and the bytes to be read there.
    pub(crate) fn with_patches(
        content: &'a [u8],
        deadline: Deadline,
        patches: Vec<(usize, Vec<u8>)>,
    ) -> Self {
        Self {
            content,
            position: 0,
            deadline,
            unchecked: STRIDE,
            patches,
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.content.get(self.position..).unwrap_or_default()
    }

    /// Accounts for `bytes` being handed out.
    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(left) = self.unchecked.checked_sub(bytes.max(1)) {
            self.unchecked = left;
            return Ok(());
        }
        self.unchecked = STRIDE;
        self.deadline
            .check()
            .map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))
    }
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.rest();
        let count = rest.len().min(buffer.len()).min(STRIDE);
        self.spend(count)?;
        buffer[..count].copy_from_slice(&rest[..count]);
        for (start, bytes) in &self.patches {
            for (at, byte) in (*start..).zip(bytes) {
                let target = at.checked_sub(self.position);
                if let Some(target) = target.filter(|target| *target < count) {
                    buffer[target] = *byte;
                }
            }
        }
        self.position += count;
        Ok(count)
    }
}

/// Without patches: who asks for the buffer gets the bytes of the file.
impl BufRead for TimedReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let rest = self.rest();
        let count = rest.len().min(STRIDE);
        self.spend(0)?;
        Ok(&rest[..count])
    }

    fn consume(&mut self, count: usize) {
        self.position = self.position.saturating_add(count).min(self.content.len());
        self.unchecked = self.unchecked.saturating_sub(count);
    }
}

impl Seek for TimedReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => i128::from(offset),
            SeekFrom::Current(by) => self.position as i128 + i128::from(by),
            SeekFrom::End(by) => self.content.len() as i128 + i128::from(by),
        };
        if target < 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Beyond the end there is nothing to read, wherever one stands.
        self.position = target.min(self.content.len() as i128) as usize;
        Ok(self.position as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn over() -> Deadline {
        Deadline::start(&Limits {
            max_time: Duration::ZERO,
            ..Limits::default()
        })
    }

    #[test]
    fn nothing_is_read_after_the_deadline() {
        let content = vec![7; 2 * STRIDE];
        let mut bytes = Vec::new();
        let late = TimedReader::new(&content, over()).read_to_end(&mut bytes);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(bytes.len() <= STRIDE);
        let open = Deadline::start(&Limits::default());
        TimedReader::new(&content, open)
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(over().check().unwrap_err().code(), "too_slow");
    }

    #[test]
    fn patches_are_read_in_place_of_the_file() {
        let open = Deadline::start(&Limits::default());
        let patches = vec![(2, vec![9, 9]), (7, vec![8, 8])];
        let mut reader = TimedReader::with_patches(&[0; 8], open, patches);
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 9]);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [9, 0, 0, 0, 8]);
    }
}
