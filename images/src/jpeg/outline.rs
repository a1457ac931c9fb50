//! What the markers of a JPEG tell before its pixels are decoded: whether it can be decoded, and whether
//! all of its scans are there.

use super::bits::scan_bytes;
use super::segments::{END_OF_IMAGE, Segments};
use crate::error::ImageError;
use crate::probe::Format;

/// More scans than any encoder makes (ten are usual, the most that make sense are some hundred): a
/// file of thousands is a way to keep a decoder busy.
pub(super) const MAX_SCANS: usize = 200;

/// A JPEG that has all its scans.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) components: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where the data of the only scan ends; `None` with several scans.
    pub(super) only_scan_end: Option<usize>,
}

/// Walks over the markers of `content`, a picture of `width` x `height`.
///
/// # Errors
/// A kind of JPEG that is not decoded, another size, a missing scan, too many scans.
pub(super) fn outline(content: &[u8], (width, height): (u32, u32)) -> Result<Outline, ImageError> {
    let mut segments = Segments::new(content);
    let mut frame: Option<FrameScans> = None;
    let mut scans = 0;
    let mut scan_end = 0;
    loop {
        let segment = segments
            .next()
            .ok_or_else(|| damaged("a segment is cut off"))?;
        match segment.marker {
            END_OF_IMAGE => break,
            marker @ 0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                if frame.is_some() {
                    return Err(damaged("it has several frame headers"));
                }
                frame = Some(FrameScans::read(marker, segment.body)?);
            }
            0xDA => {
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(damaged("it has more than 200 scans"));
                }
                let frame = frame
                    .as_mut()
                    .ok_or_else(|| damaged("a scan has no frame"))?;
                frame
                    .add_scan(segment.body)
                    .ok_or_else(|| damaged("a scan header does not fit the frame"))?;
                let bytes = scan_bytes(segments.rest())
                    .ok_or_else(|| damaged("the end-of-image marker is missing"))?;
                segments.skip(bytes);
                scan_end = segments.position();
            }
            _ => {}
        }
    }
    let frame = frame.ok_or_else(|| damaged("it has no frame header"))?;
    // What was allowed is the size that was probed.
    if (frame.width, frame.height) != (width, height) {
        return Err(damaged("it has frame headers of different sizes"));
    }
    if !frame.is_complete() {
        return Err(damaged("some of its scans are missing"));
    }
    Ok(Outline {
        components: frame.missing_bits.len(),
        width: width as usize,
        height: height as usize,
        only_scan_end: (scans == 1).then_some(scan_end),
    })
}

/// Which coefficients of a frame's components the scans have brought.
struct FrameScans {
    progressive: bool,
    width: u32,
    height: u32,
    ids: Vec<u8>,
    /// By component and zigzag place: low bits still to come; `None` before the first scan.
    missing_bits: Vec<[Option<u8>; 64]>,
}

impl FrameScans {
    fn read(marker: u8, body: &[u8]) -> Result<Self, ImageError> {
        let kind = match marker {
            0xC0..=0xC2 => None,
            0xC3 => Some("lossless coding"),
            0xC5..=0xC7 => Some("a hierarchy of frames"),
            _ => Some("arithmetic coding"),
        };
        if let Some(kind) = kind {
            return Err(unsupported(kind.to_owned()));
        }
        let (&[precision, h1, h0, w1, w0, count], list) = body
            .split_first_chunk::<6>()
            .ok_or_else(|| damaged("the frame header is too short"))?;
        if precision != 8 {
            return Err(unsupported(format!("{precision} bits per sample")));
        }
        let ids = list.chunks_exact(3).take(usize::from(count));
        let ids: Vec<u8> = ids.map(|entry| entry[0]).collect();
        Ok(Self {
            progressive: marker == 0xC2,
            width: u32::from(u16::from_be_bytes([w1, w0])),
            height: u32::from(u16::from_be_bytes([h1, h0])),
            missing_bits: vec![[None; 64]; ids.len()],
            ids,
        })
    }

    fn add_scan(&mut self, body: &[u8]) -> Option<()> {
        let (&count, rest) = body.split_first()?;
        let (list, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, approximation] = rest.first_chunk()?;
        let (band, shift) = match self.progressive {
            true => (
                usize::from(first)..usize::from(last) + 1,
                approximation & 15,
            ),
            // What sequential scans say here does not matter.
            false => (0..64, 0),
        };
        for entry in list.chunks_exact(2) {
            let index = self.ids.iter().position(|id| *id == entry[0])?;
            let places = self.missing_bits.get_mut(index)?.get_mut(band.clone())?;
            places.fill(Some(shift));
        }
        Some(())
    }

    fn is_complete(&self) -> bool {
        let mut places = self.missing_bits.iter().flatten();
        places.all(|missing| *missing == Some(0))
    }
}

pub(super) fn damaged(detail: &str) -> ImageError {
    ImageError::Damaged {
        format: Format::Jpeg,
        detail: detail.to_owned(),
    }
}

fn unsupported(detail: String) -> ImageError {
    ImageError::Unsupported {
        format: Format::Jpeg,
        detail,
    }
}
