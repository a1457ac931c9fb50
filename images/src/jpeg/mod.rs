//! JPEG, at full size or at a half, a quarter or an eighth of it.
//!
//! All usual files are decoded here, in one pass over their data, which also tells whether it is all
//! there. At full size, the pixels are those of libjpeg-turbo, and thus of Pillow, to the bit: the same
//! inverse transform, interpolation of chroma and conversion to RGB, each in the same integers. So they
//! are the same on every processor, whatever SIMD it has. Each row of MCUs becomes pixels at once,
//! while its samples are in the cache.
//!
//! The reduced sizes take a fraction of the work: each 8 x 8 block of coefficients becomes 4 x 4, 2 x 2
//! or 1 pixel, and a pixel is the average of those it stands for. A coefficient adds its share to the
//! block's averages as soon as it is read; there is no inverse transform and no full-size plane.
//! Components of lower resolution are reduced less, so that all samples coincide with pixels. What
//! remains is the Huffman decoding, which nobody can skip; in a progressive file, at least the scans of
//! whatever a single average does not need.
//!
//! Error bound of reduced pictures: against the averages of the full one, the mean absolute error per
//! channel is below 0.8 of 255 at every size, for every sampling, sequential and progressive (measured:
//! 0.2 to 0.76). A single value differs by at most 16 (8 in gray), where the full picture has values cut
//! off at black and white before they are averaged; with subsampled chroma by at most 40, at sharp edges
//! between colors, across which chroma is interpolated at full size. The tests pin these bounds on
//! photographs; they are no proof for every picture one could make up.
//!
//! Geometry: a pixel at (x, y) covers the square at (f x, f y), f being the factor. Sides are divided by it
//! and rounded up. The last pixels of a row or column may stand for fewer pixels than the others and average
//! in what the encoder padded the picture with; [`Size`](crate::geometry::Size) tells how many.
//!
//! Everything unusual (CMYK, odd sampling, data beyond the scan's end) and everything broken is left
//! to another decoder ([`unusual`]), which also decides what is an error. One thing a reduced picture
//! cannot tell: at an eighth, damage in the detail scans of a progressive file, which are not read.

mod baseline;
mod bits;
mod block;
mod canvas;
mod color;
mod frame;
mod huffman;
mod outline;
mod progressive;
mod scan;
mod segments;
mod transform;
mod unusual;
mod upsample;

use image::DynamicImage;

use bits::{EntropyCoded, scan_bytes};
use canvas::Canvas;
use frame::{Frame, Scan};
use outline::{MAX_SCANS, outline};
use progressive::Coefficients;
use segments::{END_OF_IMAGE, Segments, Tables};

use crate::decode::{Deadline, Least};
use crate::error::ImageError;

/// Decodes `content`, a picture of `size`, as 8-bit gray or RGB, at the smallest size that `least` allows, or
/// else at full size; and how many pixels per side one of its pixels stands for.
///
/// # Errors
/// A kind of JPEG that is not decoded, pixels that cannot be decoded or are not all there, and the end
/// of the time.
pub(crate) fn decode(
    content: &[u8],
    size: (u32, u32),
    least: Least,
    deadline: Deadline,
) -> Result<(DynamicImage, u32), ImageError> {
    let outline = outline(content, size)?;
    let reduction = Reduction::ALL
        .into_iter()
        .find(|reduction| least.allows(size, reduction.factor()));
    let reduction = reduction.unwrap_or(Reduction::Whole);
    if let Some(image) = decode_usual(content, reduction, deadline) {
        return Ok((image, reduction.factor()));
    }
    // The other decoder cannot be stopped: it must not begin when the time is over.
    deadline.check()?;
    Ok((unusual::decode(content, &outline)?, 1))
}

/// By how much each side shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    Whole,
    Half,
    Quarter,
    Eighth,
}

impl Reduction {
    /// What is not whole, from the smallest picture to the largest.
    const ALL: [Self; 3] = [Self::Eighth, Self::Quarter, Self::Half];

    /// Pixels of the full picture, per side, that become one.
    fn factor(self) -> u32 {
        match self {
            Self::Whole => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// What becomes of a side of `length` pixels: rounded up.
    fn of(self, length: u32) -> u32 {
        length.div_ceil(self.factor())
    }
}

/// Decodes `content` as 8-bit gray or RGB; `None` when this decoder does not apply, or the time is over.
fn decode_usual(content: &[u8], reduction: Reduction, deadline: Deadline) -> Option<DynamicImage> {
    let mut segments = Segments::new(content);
    let mut tables = Tables::default();
    let mut data = EntropyCoded::default();
    let mut picture: Option<Picture> = None;
    let mut colors = ColorHints::default();
    let mut scans = 0;
    loop {
        let segment = segments.next()?;
        match segment.marker {
            0xDB => tables.read_quantization(segment.body)?,
            0xC4 => tables.read_huffman(segment.body)?,
            0xDD => tables.read_restart_interval(segment.body)?,
            0xEE if segment.body.starts_with(b"Adobe") => {
                colors.adobe_transform = segment.body.get(11).copied();
            }
            0xC0..=0xC2 if picture.is_none() => {
                let progressive = segment.marker == 0xC2;
                let frame = Frame::read(segment.body, progressive, reduction)?;
                picture = Some(Picture::new(frame, deadline));
            }
            0xDA => {
                scans += 1;
                let picture = picture.as_mut().filter(|_| scans <= MAX_SCANS)?;
                let scan = Scan::read(segment.body, &picture.frame)?;
                let bytes =
                    picture.read_scan(&scan, &tables, &colors, segments.rest(), &mut data)?;
                segments.skip(bytes);
            }
            END_OF_IMAGE => break,
            // Other kinds of frame: lossless, hierarchical, arithmetic coding.
            0xC3 | 0xC5..=0xCF => return None,
            // Application data and comments.
            0xE0..=0xFE => {}
            _ => return None,
        }
    }
    picture?.into_image(&colors)
}

/// The picture as far as it is read.
struct Picture {
    frame: Frame,
    deadline: Deadline,
    /// Of a sequential picture, once there is a scan.
    canvas: Option<Canvas>,
    /// Of a sequential picture, by component: whether its scan was there.
    known: [bool; 3],
    /// Of a progressive picture, by component.
    coefficients: [Option<Coefficients>; 3],
}

impl Picture {
    fn new(frame: Frame, deadline: Deadline) -> Self {
        Self {
            frame,
            deadline,
            canvas: None,
            known: [false; 3],
            coefficients: [const { None }; 3],
        }
    }

    /// Reads the scan that `content` starts with, and returns how many bytes it takes.
    fn read_scan(
        &mut self,
        scan: &Scan,
        tables: &Tables,
        colors: &ColorHints,
        content: &[u8],
        data: &mut EntropyCoded,
    ) -> Option<usize> {
        let (frame, deadline) = (&self.frame, self.deadline);
        if frame.progressive {
            if progressive::is_skippable(frame, scan, &mut self.coefficients) {
                return scan_bytes(content);
            }
            let bytes = data.read(content)?;
            let coefficients = &mut self.coefficients;
            progressive::read_scan(frame, scan, tables, data, deadline, coefficients)?;
            return Some(bytes);
        }
        for part in &scan.components {
            // A scan must not repeat what an earlier one held.
            if std::mem::replace(&mut self.known[part.index], true) {
                return None;
            }
        }
        // Only if all components come together can they be painted as they come.
        let mcus = match scan.components.len() == frame.components.len() {
            true => 1,
            false => frame.mcus_down,
        };
        let is_rgb = colors.is_rgb(frame);
        let canvas = self
            .canvas
            .get_or_insert_with(|| Canvas::new(frame, mcus, is_rgb));
        let bytes = data.read(content)?;
        baseline::read_scan(frame, scan, tables, data, deadline, canvas)?;
        Some(bytes)
    }

    fn into_image(self, colors: &ColorHints) -> Option<DynamicImage> {
        let frame = &self.frame;
        if !frame.progressive {
            let mut canvas = self.canvas?;
            if self.known[..frame.components.len()].contains(&false) {
                return None;
            }
            canvas.paint(frame, frame.mcus_down);
            return canvas.into_image();
        }
        let coefficients = self.coefficients.iter().flatten();
        if coefficients.clone().filter(|all| all.is_complete()).count() < frame.components.len() {
            return None;
        }
        let mut canvas = Canvas::new(frame, 1, colors.is_rgb(frame));
        for mcu_y in 0..frame.mcus_down {
            self.deadline.check().ok()?;
            let parts = frame.components.iter().zip(coefficients.clone());
            for ((component, coefficients), plane) in parts.zip(&mut canvas.planes) {
                let rows = mcu_y * component.down..(mcu_y + 1) * component.down;
                coefficients.put_rows(plane, rows);
            }
            canvas.paint(frame, mcu_y + 1);
        }
        canvas.into_image()
    }
}

/// What tells whether three components are RGB or YCbCr.
#[derive(Default)]
struct ColorHints {
    adobe_transform: Option<u8>,
}

impl ColorHints {
    /// As other decoders have it: Adobe's marker says so, or the components' names.
    fn is_rgb(&self, frame: &Frame) -> bool {
        self.adobe_transform == Some(0) || frame.components.iter().map(|c| c.id).eq(*b"RGB")
    }
}

#[cfg(test)]
mod tests;
