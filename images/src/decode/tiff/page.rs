//! What the first directory says about a page, as far as it is needed to decode it; variants that
//! are not decoded are refused here by name.

use super::super::damaged;
use crate::error::ImageError;
use crate::probe::tiff::{
    BITS_PER_SAMPLE, Directory, EXTRA_SAMPLES, HEIGHT, PHOTOMETRIC, SAMPLES_PER_PIXEL,
    TILE_OFFSETS, WIDTH, photometric,
};
use crate::probe::{Format, ImageInfo};

const COMPRESSION: u64 = 259;
const FILL_ORDER: u64 = 266;
const ROWS_PER_STRIP: u64 = 278;
const PLANAR_CONFIGURATION: u64 = 284;
const PREDICTOR: u64 = 317;
const COLOR_MAP: u64 = 320;
const TILE_WIDTH: u64 = 322;
const TILE_LENGTH: u64 = 323;
const SAMPLE_FORMAT: u64 = 339;
const YCBCR_SUBSAMPLING: u64 = 530;

pub(super) const UNCOMPRESSED: u64 = 1;
const LZW: u64 = 5;
pub(super) const JPEG: u64 = 7;

const NO_PREDICTOR: u64 = 1;
/// A sample is the difference from that of the pixel to its left.
const HORIZONTAL: u64 = 2;

/// How one sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// An unsigned integer of 1 to 8 bits.
    Bits(usize),
    /// An unsigned integer of 16 bits.
    Int16,
    /// An unsigned integer of 32 bits.
    Int32,
    /// A floating-point number of 16, 32 or 64 bits.
    Float(usize),
}

/// What the color samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    InvertedGray,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

impl Color {
    /// Samples that carry color.
    pub(super) fn samples(self) -> usize {
        match self {
            Self::Gray | Self::InvertedGray | Self::Palette => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }
}

/// What the sample behind the colors means. One that means nothing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    Straight,
    /// Colors are multiplied by it already.
    Premultiplied,
}

/// A page and how it is cut into strips or tiles ("units").
pub(super) struct Page<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) depth: Depth,
    pub(super) bits: u8,
    pub(super) samples: usize,
    pub(super) color: Color,
    pub(super) alpha: Option<Alpha>,
    /// Red, green, blue by index; empty unless the color is a palette.
    pub(super) palette: Vec<[u8; 3]>,
    pub(super) unit_width: usize,
    pub(super) unit_height: usize,
    /// Each sample has strips or tiles of its own.
    pub(super) planar: bool,
    pub(super) compression: u64,
    predictor: u64,
    pub(super) tiled: bool,
}

/// The part of the picture that one strip or tile covers, without its padding.
pub(super) struct Unit {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> Page<'a> {
    pub(super) fn read(content: &'a [u8], info: &ImageInfo) -> Result<Self, ImageError> {
        let invalid = |what: &str| damaged(Format::Tiff, format!("it has no valid {what}"));
        let directory = Directory::first(content).ok_or_else(|| invalid("directory"))?;
        let value = |tag, default| directory.first_value(tag).unwrap_or(default);
        let side = |tag, default| usize::try_from(value(tag, default)).unwrap_or(usize::MAX);

        let (width, height) = (info.width as usize, info.height as usize);
        let bits = value(BITS_PER_SAMPLE, 1);
        let samples = usize::try_from(value(SAMPLES_PER_PIXEL, 1)).unwrap_or(usize::MAX);
        let color = color(&directory)?;
        let tiled = directory.find(TILE_OFFSETS).is_some();
        let (unit_width, unit_height) = if tiled {
            (side(TILE_WIDTH, 0), side(TILE_LENGTH, 0))
        } else {
            (width, side(ROWS_PER_STRIP, height as u64).min(height))
        };
        let valid = 1..=u32::MAX as usize;
        if !valid.contains(&unit_width) || !valid.contains(&unit_height) {
            return Err(invalid("size of strips or tiles"));
        }
        let page = Self {
            width,
            height,
            depth: depth(bits, value(SAMPLE_FORMAT, 1))?,
            bits: bits as u8,
            samples,
            color,
            alpha: alpha(&directory, samples, color)?,
            palette: palette(&directory, bits, color)?,
            unit_width,
            unit_height,
            planar: value(PLANAR_CONFIGURATION, 1) == 2,
            compression: value(COMPRESSION, UNCOMPRESSED),
            predictor: value(PREDICTOR, NO_PREDICTOR),
            tiled,
            directory,
        };
        page.refuse_variants()?;
        Ok(page)
    }

    /// Channels of the decoded picture, before gray in floating point is spread to three.
    pub(super) fn channels(&self) -> usize {
        let colors = match self.color {
            Color::Gray | Color::InvertedGray => 1,
            _ => 3,
        };
        colors + usize::from(self.alpha.is_some())
    }

    fn refuse_variants(&self) -> Result<(), ImageError> {
        if let Some(name) = undecoded_compression(self.compression) {
            return Err(unsupported(format!(
                "its compression is {name}; save it with deflate or LZW"
            )));
        }
        if self.directory.first_value(FILL_ORDER).unwrap_or(1) != 1 {
            return Err(unsupported("its bits are filled from the lowest up"));
        }
        if self.compression == JPEG && self.depth != Depth::Bits(8) {
            return Err(unsupported("its JPEG samples have not 8 bits"));
        }
        if self.color == Color::YCbCr {
            let subsampling = self.directory.find(YCBCR_SUBSAMPLING);
            let full = subsampling
                .and_then(|entry| self.directory.values(&entry))
                .is_some_and(|mut ratios| ratios.all(|ratio| ratio == 1));
            if self.depth != Depth::Bits(8) || (self.compression != JPEG && !full) {
                return Err(unsupported(
                    "its YCbCr samples are subsampled or have not 8 bits",
                ));
            }
        }
        if self.color == Color::Palette && !matches!(self.depth, Depth::Bits(_)) {
            return Err(unsupported("its palette has more than 256 colors"));
        }
        if self.color == Color::Cmyk && matches!(self.depth, Depth::Float(_)) {
            return Err(unsupported("its CMYK samples are floating-point numbers"));
        }
        Ok(())
    }

    fn units_across(&self) -> usize {
        self.width.div_ceil(self.unit_width)
    }

    /// Strips or tiles of one plane.
    pub(super) fn units(&self) -> usize {
        self.units_across() * self.height.div_ceil(self.unit_height)
    }

    pub(super) fn unit(&self, index: usize) -> Unit {
        let x = index % self.units_across() * self.unit_width;
        let y = index / self.units_across() * self.unit_height;
        Unit {
            x,
            y,
            width: self.unit_width.min(self.width - x),
            height: self.unit_height.min(self.height - y),
        }
    }

    /// Whether it is packed by LZW, and its strips or tiles are bytes (whose order does not matter) of no
    /// more than the unpacking here can count.
    pub(super) fn is_lzw_of_bytes(&self) -> bool {
        self.compression == LZW
            && self.bits == 8
            && matches!(self.predictor, NO_PREDICTOR | HORIZONTAL)
            && self.unit_bytes() <= u32::MAX.into()
    }

    /// Whether samples are differences from those to their left.
    pub(super) fn is_differences(&self) -> bool {
        self.predictor == HORIZONTAL
    }

    pub(super) fn planes(&self) -> usize {
        if self.planar { self.samples } else { 1 }
    }

    pub(super) fn samples_per_plane(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Bytes of one row of one plane of a strip or tile, as it is unpacked.
    pub(super) fn packed_row_bytes(&self) -> usize {
        (self.unit_width * self.samples_per_plane() * usize::from(self.bits)).div_ceil(8)
    }

    /// Memory for one strip or tile with its padding, in all planes.
    pub(super) fn unit_bytes(&self) -> u64 {
        let row = (self.packed_row_bytes() * self.planes()) as u64;
        // A progressive JPEG keeps coefficients of 16 bits beside its pixels.
        let factor = if self.compression == JPEG { 4 } else { 1 };
        row.saturating_mul(self.unit_height as u64)
            .saturating_mul(factor)
    }

    /// Rows of a strip or tile as it is unpacked: tiles are padded to their full height, the last
    /// strip is not.
    pub(super) fn packed_rows(&self, unit: &Unit) -> usize {
        if self.tiled {
            self.unit_height
        } else {
            unit.height
        }
    }

    /// Width and height that the decoder is told, so that it does not cut the padding off: of tiles
    /// at the edge it refuses some that are whole.
    pub(super) fn padded_size(&self) -> (usize, usize) {
        if self.tiled {
            (
                self.width.next_multiple_of(self.unit_width),
                self.height.next_multiple_of(self.unit_height),
            )
        } else {
            (self.width, self.height)
        }
    }

    /// What makes the decoder unpack samples without interpreting them.
    pub(super) fn patches(&self) -> Vec<(usize, Vec<u8>)> {
        let (width, height) = self.padded_size();
        let mut values = vec![
            (PHOTOMETRIC, photometric::BLACK_IS_ZERO as usize),
            (WIDTH, width),
            (HEIGHT, height),
        ];
        if !self.tiled {
            // Often "all rows", as the largest number there is: more than a fax decoder takes.
            values.push((ROWS_PER_STRIP, self.unit_height));
        }
        values
            .into_iter()
            .filter_map(|(tag, value)| {
                let entry = self.directory.find(tag)?;
                Some(self.directory.replacement(&entry, value as u64))
            })
            .collect()
    }
}

fn unsupported(detail: impl Into<String>) -> ImageError {
    ImageError::Unsupported {
        format: Format::Tiff,
        detail: detail.into(),
    }
}

/// The name of a compression that is not decoded.
fn undecoded_compression(compression: u64) -> Option<String> {
    let name = match compression {
        // None, CCITT Group 4, LZW, JPEG, deflate (two numbers), PackBits.
        1 | 4 | 5 | 7 | 8 | 32_946 | 32_773 => return None,
        2 => "CCITT run-length",
        3 => "CCITT Group 3",
        6 => "JPEG of the old style",
        9 | 10 | 34_661 => "JBIG",
        32_809 => "ThunderScan",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_887 => "LERC",
        34_925 => "LZMA",
        50_000 => "Zstandard",
        50_001 => "WebP",
        50_002 => "JPEG XL",
        other => return Some(format!("number {other}")),
    };
    Some(name.to_owned())
}

fn depth(bits: u64, sample_format: u64) -> Result<Depth, ImageError> {
    match (sample_format, bits) {
        // Format 4, "undefined", is written by some for plain integers.
        (1 | 4, 1..=8) => Ok(Depth::Bits(bits as usize)),
        (1 | 4, 16) => Ok(Depth::Int16),
        (1 | 4, 32) => Ok(Depth::Int32),
        (3, 16 | 32 | 64) => Ok(Depth::Float(bits as usize)),
        (2, _) => Err(unsupported(format!(
            "its samples are signed integers of {bits} bits"
        ))),
        (5 | 6, _) => Err(unsupported("its samples are complex numbers")),
        _ => Err(unsupported(format!("its samples have {bits} bits"))),
    }
}

fn color(directory: &Directory<'_>) -> Result<Color, ImageError> {
    match directory.first_value(PHOTOMETRIC) {
        Some(photometric::WHITE_IS_ZERO) => Ok(Color::InvertedGray),
        Some(photometric::BLACK_IS_ZERO) => Ok(Color::Gray),
        Some(photometric::RGB) => Ok(Color::Rgb),
        Some(photometric::PALETTE) => Ok(Color::Palette),
        Some(photometric::CMYK) => Ok(Color::Cmyk),
        Some(photometric::YCBCR) => Ok(Color::YCbCr),
        Some(8..=10) => Err(unsupported("its colors are CIE L*a*b*")),
        Some(4) => Err(unsupported("it is a transparency mask")),
        Some(32_803) => Err(unsupported("it is raw data of a camera's sensor")),
        Some(other) => Err(unsupported(format!(
            "its photometric interpretation is number {other}"
        ))),
        None => Err(damaged(
            Format::Tiff,
            "it does not say what its samples mean",
        )),
    }
}

fn alpha(
    directory: &Directory<'_>,
    samples: usize,
    color: Color,
) -> Result<Option<Alpha>, ImageError> {
    match samples.checked_sub(color.samples()) {
        Some(0) => Ok(None),
        Some(1) if !matches!(color, Color::Cmyk | Color::YCbCr) => {
            Ok(match directory.first_value(EXTRA_SAMPLES) {
                Some(0) => None,
                Some(1) => Some(Alpha::Premultiplied),
                _ => Some(Alpha::Straight),
            })
        }
        _ => Err(unsupported(format!(
            "it has {samples} samples per pixel, of which {} are color",
            color.samples()
        ))),
    }
}

/// All reds, then all greens, then all blues, of 16 bits each, of which the upper eight are kept.
fn palette(directory: &Directory<'_>, bits: u64, color: Color) -> Result<Vec<[u8; 3]>, ImageError> {
    if color != Color::Palette || bits > 8 {
        return Ok(Vec::new());
    }
    let no_map = || damaged(Format::Tiff, "it has no valid color map");
    let entry = directory.find(COLOR_MAP).ok_or_else(no_map)?;
    let colors = 1_usize << bits;
    let map: Vec<u64> = directory
        .values(&entry)
        .ok_or_else(no_map)?
        .take(3 * colors)
        .collect();
    if map.len() < 3 * colors {
        return Err(no_map());
    }
    let level = |at: usize| (map[at] >> 8) as u8;
    let color = |index: usize| [index, colors + index, 2 * colors + index].map(level);
    Ok((0..colors).map(color).collect())
}
