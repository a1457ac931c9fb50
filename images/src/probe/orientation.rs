//! The one EXIF entry that a probe needs: how the camera was held.

use super::tiff::Directory;

const ORIENTATION: u64 = 274;

/// Orientation of the first directory of an EXIF block (a TIFF stream), 1 to 8; 1 when the block
/// says nothing, nothing valid, or is damaged: then the picture is shown as stored.
pub(super) fn of_exif(block: Option<&[u8]>) -> u8 {
    block
        .and_then(Directory::first)
        .map_or(1, |directory| of_directory(&directory))
}

/// As [`of_exif`], from a directory that was found already.
pub(super) fn of_directory(directory: &Directory<'_>) -> u8 {
    directory
        .entries()
        .find(|entry| entry.tag == ORIENTATION)
        .and_then(|entry| directory.values(&entry)?.next())
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
        .unwrap_or(1)
}
