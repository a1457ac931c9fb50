//! GIF: the first frame, laid on its canvas.

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::DynamicImage;

use super::budget::{Deadline, TimedReader, check_memory};
use super::{damaged, image_of};
use crate::error::ImageError;
use crate::probe::{Format, ImageInfo, Limits};

/// RGB where the frame covers its canvas and has no transparent color, else RGBA, with what the
/// frame leaves free transparent black. What a frame has outside of the canvas is cut off.
pub(super) fn decode(
    content: &[u8],
    info: &ImageInfo,
    limits: &Limits,
    deadline: Deadline,
) -> Result<DynamicImage, ImageError> {
    let refused = |error: DecodingError| damaged(Format::Gif, error.to_string());
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // What is allocated is counted here; the crate's own limit is on single buffers.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options
        .read_info(TimedReader::new(content, deadline))
        .map_err(refused)?;
    let frame = decoder
        .next_frame_info()
        .map_err(refused)?
        .ok_or_else(|| damaged(Format::Gif, "it has no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (across, down) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;

    let (width, height) = (info.width as usize, info.height as usize);
    let channels = usize::from(info.channels);
    let canvas_bytes = width * height * channels;
    check_memory((canvas_bytes + across * down) as u64, limits)?;
    let mut indices = vec![0; across * down];
    decoder.read_into_buffer(&mut indices).map_err(refused)?;
    let colors = colors(decoder.palette().map_err(refused)?, transparent);

    let mut pixels = vec![0; canvas_bytes];
    let canvas_rows = pixels.chunks_exact_mut(width * channels).skip(top);
    let frame_rows = indices.chunks_exact(across.max(1));
    for (row, indices) in canvas_rows.zip(frame_rows) {
        let targets = row.chunks_exact_mut(channels).skip(left);
        for (target, index) in targets.zip(indices) {
            target.copy_from_slice(&colors[usize::from(*index)][..channels]);
        }
    }
    image_of(info, pixels)
}

/// All 256 colors; those the palette does not have are opaque black.
fn colors(palette: &[u8], transparent: Option<u8>) -> [[u8; 4]; 256] {
    let mut colors = [[0, 0, 0, 255]; 256];
    for (color, entry) in colors.iter_mut().zip(palette.chunks_exact(3)) {
        color[..3].copy_from_slice(entry);
    }
    if let Some(index) = transparent {
        colors[usize::from(index)] = [0; 4];
    }
    colors
}
