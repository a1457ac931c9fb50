//! GIF: the first frame, laid on its canvas.

use image::DynamicImage;

use super::budget::{Deadline, check_memory};
use super::lzw::{Flavor, Unpacker};
use super::{UNPACKING_BYTES, damaged, image_of};
use crate::error::ImageError;
use crate::probe::gif::{Frame, Frames};
use crate::probe::{Format, ImageInfo, Limits};

/// RGB where the frame covers its canvas and has no transparent color, else RGBA, with what the
/// frame leaves free transparent black. What a frame has outside of the canvas is cut off.
pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    let refused = |what: &str| damaged(Format::Gif, what);
    let frame = Frames::new(content)?
        .next()?
        .ok_or_else(|| refused("it has no frame"))?;
    if frame.colors.is_empty() {
        return Err(refused("it has no color table"));
    }
    if !(1..=11).contains(&frame.literal_bits) {
        return Err(refused("its colors have no valid number of bits"));
    }
    let frame_pixels = usize::from(frame.width) * usize::from(frame.height);
    if frame_pixels == 0 {
        return Err(refused("its frame has no pixels"));
    }
    let canvas_bytes = info.width as usize * info.height as usize * usize::from(info.channels);
    let bytes = canvas_bytes + frame_pixels + frame.data.len();
    check_memory(bytes as u64 + UNPACKING_BYTES, limits)?;

    let mut indices = vec![0; frame_pixels];
    let mut unpacker = Unpacker::new(Flavor::Gif(frame.literal_bits.into()));
    unpacker.unpack(&stream(&frame), &mut indices, deadline)?;
    let mut pixels = vec![0; canvas_bytes];
    match info.channels {
        3 => lay::<3>(&frame, &indices, info, &mut pixels),
        _ => lay::<4>(&frame, &indices, info, &mut pixels),
    }
    image_of(info, pixels)
}

/// The data of the frame without the lengths of its sub-blocks.
fn stream(frame: &Frame<'_>) -> Vec<u8> {
    let mut stream = Vec::with_capacity(frame.data.len());
    let mut rest = frame.data;
    while let Some((length, behind)) = rest.split_first()
        && let Some((block, behind)) = behind.split_at_checked((*length).into())
    {
        stream.extend_from_slice(block);
        rest = behind;
    }
    stream
}

/// Puts the frame's colors where they belong on the canvas.
fn lay<const CHANNELS: usize>(
    frame: &Frame<'_>,
    indices: &[u8],
    info: &ImageInfo,
    pixels: &mut [u8],
) {
    let colors = colors(frame).map(|color| {
        let mut channels = [0; CHANNELS];
        channels.copy_from_slice(&color[..CHANNELS]);
        channels
    });
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let rows = indices.chunks_exact(frame.width.into());
    for (y, indices) in row_order(frame).zip(rows) {
        let row = info.width as usize * CHANNELS;
        let Some(target) = pixels.get_mut((top + y) * row..(top + y + 1) * row) else {
            continue;
        };
        let targets = target.as_chunks_mut().0.iter_mut().skip(left);
        for (target, index) in targets.zip(indices) {
            *target = colors[usize::from(*index)];
        }
    }
}

/// Which row of the frame each stored one is.
fn row_order(frame: &Frame<'_>) -> impl Iterator<Item = usize> {
    let height = usize::from(frame.height);
    let passes: &[(usize, usize)] = match frame.interlaced {
        true => &[(0, 8), (4, 8), (2, 4), (1, 2)],
        false => &[(0, 1)],
    };
    let passes = passes.iter();
    passes.flat_map(move |(first, step)| (*first..height).step_by(*step))
}

/// All 256 colors; those the palette does not have are opaque black.
fn colors(frame: &Frame<'_>) -> [[u8; 4]; 256] {
    let mut colors = [[0, 0, 0, 255]; 256];
    for (color, entry) in colors.iter_mut().zip(frame.colors.chunks_exact(3)) {
        color[..3].copy_from_slice(entry);
    }
    if let Some(index) = frame.transparent {
        colors[usize::from(index)] = [0; 4];
    }
    colors
}
