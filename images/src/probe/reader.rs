//! Integers at checked offsets of a byte slice, in either byte order.

/// Byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

/// `count` bytes starting at `offset`, or `None` when they reach beyond the end.
pub(super) fn bytes_at(data: &[u8], offset: usize, count: usize) -> Option<&[u8]> {
    data.get(offset..offset.checked_add(count)?)
}

/// The unsigned integer held by the `count` (at most 8) bytes at `offset`.
pub(super) fn uint_at(data: &[u8], offset: usize, count: usize, endian: Endian) -> Option<u64> {
    let bytes = bytes_at(data, offset, count)?;
    let push = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    Some(match endian {
        Endian::Big => bytes.iter().fold(0, push),
        Endian::Little => bytes.iter().rev().fold(0, push),
    })
}

/// The big-endian 16-bit integer at `offset`.
pub(super) fn u16_be(data: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes_at(data, offset, 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The big-endian 32-bit integer at `offset`.
pub(super) fn u32_be(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes_at(data, offset, 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The little-endian 16-bit integer at `offset`.
pub(super) fn u16_le(data: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes_at(data, offset, 2)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

/// The little-endian 32-bit integer at `offset`.
pub(super) fn u32_le(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes_at(data, offset, 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
