//! From pixels to encoded bytes.
//!
//! JPEG is baseline with chroma at half resolution (4:2:0) and the quantization tables of libjpeg,
//! so a quality means what it means in Pillow. The other formats keep every pixel.

use std::fmt;
use std::io::Cursor;
use std::str::FromStr;

use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder};
use jpeg_encoder::{ChromaSubsamplingMethod, SamplingFactor};
use tiff::encoder::colortype::{self, ColorType};
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, TiffEncoder, TiffValue};

use crate::convert::{Mode, WHITE, convert};

/// JPEG quality where none is asked for.
pub const DEFAULT_JPEG_QUALITY: u8 = 85;

/// What pictures can be encoded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Baseline JPEG: 8 bits, alpha laid on white, lossy.
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
    /// PNG of 8 or 16 bits; floating point becomes 16 bits.
    Png,
    /// Lossless WebP: color of 8 bits, with or without alpha.
    WebP,
    /// TIFF, deflated; gray with alpha becomes color with alpha.
    Tiff,
}

/// Why a picture cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Not the name of a format.
    #[error("pictures cannot be encoded as '{0}': use jpeg, png, webp or tiff")]
    Format(String),
    /// A JPEG quality out of range.
    #[error("JPEG quality must be from 1 to 100, not {0}")]
    Quality(i64),
    /// A quality for a format without one.
    #[error("{0} is encoded without loss, so it takes no quality: leave it out, or use jpeg")]
    Lossless(&'static str),
    /// More pixels along a side than the format has room for, or none.
    #[error("a picture of {width} x {height} pixels cannot be encoded as {encoding}: {detail}")]
    Picture {
        /// Format asked for.
        encoding: &'static str,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// The encoder's words.
        detail: String,
    },
}

impl Encoding {
    /// The encoding of this name (jpeg or jpg, png, webp, tiff or tif), with a quality for JPEG.
    ///
    /// # Errors
    /// An unknown name, a quality out of range, or a quality for a lossless format.
    pub fn new(format: &str, quality: Option<i64>) -> Result<Self, EncodeError> {
        let encoding: Self = format.parse()?;
        let Some(quality) = quality else {
            return Ok(encoding);
        };
        match (encoding, u8::try_from(quality)) {
            (Self::Jpeg { .. }, Ok(quality @ 1..=100)) => Ok(Self::Jpeg { quality }),
            (Self::Jpeg { .. }, _) => Err(EncodeError::Quality(quality)),
            _ => Err(EncodeError::Lossless(encoding.name())),
        }
    }

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Tiff => "tiff",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = EncodeError;

    fn from_str(name: &str) -> Result<Self, EncodeError> {
        match name.to_ascii_lowercase().as_str() {
            "jpeg" | "jpg" => Ok(Self::Jpeg {
                quality: DEFAULT_JPEG_QUALITY,
            }),
            "png" => Ok(Self::Png),
            "webp" => Ok(Self::WebP),
            "tiff" | "tif" => Ok(Self::Tiff),
            _ => Err(EncodeError::Format(name.to_owned())),
        }
    }
}

/// `image` as a file.
///
/// # Errors
/// [`EncodeError::Picture`] when the picture has no pixels, or more along a side than the format
/// allows (65,535 for JPEG, 16,384 for WebP).
pub fn encode(image: &DynamicImage, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    let refused = |detail: String| EncodeError::Picture {
        encoding: encoding.name(),
        width: image.width(),
        height: image.height(),
        detail,
    };
    if image.width() == 0 || image.height() == 0 {
        return Err(refused("it has no pixels".to_owned()));
    }
    match encoding {
        Encoding::Jpeg { quality } => jpeg(image, quality).map_err(refused),
        Encoding::Png => png(image).map_err(refused),
        Encoding::WebP => webp(image).map_err(refused),
        Encoding::Tiff => tiff(image).map_err(|error| refused(error.to_string())),
    }
}

fn jpeg(image: &DynamicImage, quality: u8) -> Result<Vec<u8>, String> {
    let (Ok(width), Ok(height)) = (u16::try_from(image.width()), u16::try_from(image.height()))
    else {
        return Err("JPEG has at most 65,535 pixels along a side".to_owned());
    };
    let gray = !image.color().has_color();
    let (mode, color) = if gray {
        (Mode::L, jpeg_encoder::ColorType::Luma)
    } else {
        (Mode::Rgb, jpeg_encoder::ColorType::Rgb)
    };
    let converted;
    let pixels = if Mode::of(image) == Some(mode) {
        image.as_bytes()
    } else {
        converted = convert(image.clone(), mode, WHITE);
        converted.as_bytes()
    };
    let mut encoded = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut encoded, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder
        .encode(pixels, width, height, color)
        .map_err(|error| error.to_string())?;
    Ok(encoded)
}

fn png(image: &DynamicImage) -> Result<Vec<u8>, String> {
    let mut encoded = Vec::new();
    match Mode::of(image) {
        Some(Mode::Rgb32F) => {
            written_by(&in_mode(image, Mode::Rgb16), &mut encoded, PngEncoder::new)
        }
        Some(Mode::Rgba32F) => {
            written_by(&in_mode(image, Mode::Rgba16), &mut encoded, PngEncoder::new)
        }
        _ => written_by(image, &mut encoded, PngEncoder::new),
    }?;
    Ok(encoded)
}

fn webp(image: &DynamicImage) -> Result<Vec<u8>, String> {
    let mode = if image.color().has_alpha() {
        Mode::Rgba
    } else {
        Mode::Rgb
    };
    let mut encoded = Vec::new();
    let lossless = WebPEncoder::new_lossless;
    written_by(&in_mode(image, mode), &mut encoded, lossless)?;
    Ok(encoded)
}

fn in_mode(image: &DynamicImage, mode: Mode) -> DynamicImage {
    convert(image.clone(), mode, WHITE)
}

/// Runs an encoder that writes into the vector it is given.
fn written_by<'a, E: ImageEncoder>(
    image: &DynamicImage,
    encoded: &'a mut Vec<u8>,
    encoder: impl FnOnce(&'a mut Vec<u8>) -> E,
) -> Result<(), String> {
    let color = image.color().into();
    encoder(encoded)
        .write_image(image.as_bytes(), image.width(), image.height(), color)
        .map_err(|error| error.to_string())
}

fn tiff(image: &DynamicImage) -> tiff::TiffResult<Vec<u8>> {
    match image {
        DynamicImage::ImageLuma8(i) => tiff_of::<colortype::Gray8>(image, i.as_raw()),
        DynamicImage::ImageRgb8(i) => tiff_of::<colortype::RGB8>(image, i.as_raw()),
        DynamicImage::ImageRgba8(i) => tiff_of::<colortype::RGBA8>(image, i.as_raw()),
        DynamicImage::ImageLuma16(i) => tiff_of::<colortype::Gray16>(image, i.as_raw()),
        DynamicImage::ImageRgb16(i) => tiff_of::<colortype::RGB16>(image, i.as_raw()),
        DynamicImage::ImageRgba16(i) => tiff_of::<colortype::RGBA16>(image, i.as_raw()),
        DynamicImage::ImageRgb32F(i) => tiff_of::<colortype::RGB32Float>(image, i.as_raw()),
        DynamicImage::ImageRgba32F(i) => tiff_of::<colortype::RGBA32Float>(image, i.as_raw()),
        DynamicImage::ImageLumaA16(_) => tiff(&in_mode(image, Mode::Rgba16)),
        other => tiff_of::<colortype::RGBA8>(image, in_mode(other, Mode::Rgba).as_bytes()),
    }
}

fn tiff_of<C: ColorType>(image: &DynamicImage, samples: &[C::Inner]) -> tiff::TiffResult<Vec<u8>>
where
    [C::Inner]: TiffValue,
{
    let mut encoded = Cursor::new(Vec::new());
    TiffEncoder::new(&mut encoded)?
        .with_compression(Compression::Deflate(DeflateLevel::default()))
        .write_image::<C>(image.width(), image.height(), samples)?;
    Ok(encoded.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::colors;

    fn every_mode() -> impl Iterator<Item = DynamicImage> {
        let image = DynamicImage::ImageRgb8(colors(40, 30));
        Mode::ALL
            .into_iter()
            .map(move |mode| convert(image.clone(), mode, WHITE))
    }

    #[test]
    fn lossless_formats_keep_every_pixel() {
        for image in every_mode() {
            for encoding in [Encoding::Png, Encoding::WebP, Encoding::Tiff] {
                let encoded = encode(&image, encoding).unwrap();
                let decoded = image::load_from_memory(&encoded).unwrap();
                let eight_bits = |image: &DynamicImage| image.to_rgba8();
                assert_eq!(eight_bits(&decoded), eight_bits(&image), "{encoding}");
                let keeps_all_bits = encoding != Encoding::WebP
                    && matches!(
                        Mode::of(&image),
                        Some(Mode::L16 | Mode::Rgb16 | Mode::Rgba16)
                    );
                if keeps_all_bits {
                    assert_eq!(decoded, image, "{encoding}");
                }
            }
        }
    }

    #[test]
    fn a_jpeg_is_close_to_every_kind_of_picture() {
        let smooth = image::RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 4) as u8, 90])
        });
        for mode in Mode::ALL {
            let image = convert(DynamicImage::ImageRgb8(smooth.clone()), mode, WHITE);
            let encoded = encode(&image, Encoding::Jpeg { quality: 90 }).unwrap();
            let decoded = image::load_from_memory(&encoded).unwrap();
            assert_eq!(decoded.color().has_color(), image.color().has_color());
            let (decoded, image) = (decoded.to_rgb8(), image.to_rgb8());
            let furthest = decoded
                .iter()
                .zip(image.iter())
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            assert!(furthest < Some(12), "{mode}: {furthest:?}");
        }
    }

    #[test]
    fn alpha_is_laid_on_white_in_a_jpeg() {
        let clear = DynamicImage::new_rgba8(16, 16);
        let encoded = encode(&clear, Encoding::Jpeg { quality: 85 }).unwrap();
        let decoded = image::load_from_memory(&encoded).unwrap().to_rgb8();
        assert!(decoded.iter().all(|value| *value == 255));
    }

    #[test]
    fn wrong_formats_and_qualities_are_refused() {
        assert_eq!(
            Encoding::new("JPG", Some(70)),
            Ok(Encoding::Jpeg { quality: 70 })
        );
        assert_eq!(Encoding::new("tif", None), Ok(Encoding::Tiff));
        assert_eq!(Encoding::new("jpeg", Some(0)), Err(EncodeError::Quality(0)));
        assert_eq!(
            Encoding::new("jpeg", Some(357)),
            Err(EncodeError::Quality(357))
        );
        assert_eq!(
            Encoding::new("webp", Some(80)),
            Err(EncodeError::Lossless("webp"))
        );
        assert_eq!(
            Encoding::new("heic", None),
            Err(EncodeError::Format("heic".to_owned()))
        );
    }

    #[test]
    fn pictures_a_format_has_no_room_for_are_refused() {
        let long = DynamicImage::new_luma8(70_000, 1);
        for encoding in [Encoding::Jpeg { quality: 85 }, Encoding::WebP] {
            assert!(matches!(
                encode(&long, encoding),
                Err(EncodeError::Picture { .. })
            ));
        }
        for encoding in [Encoding::Png, Encoding::WebP, Encoding::Tiff] {
            let empty = DynamicImage::new_rgb8(0, 5);
            assert!(matches!(
                encode(&empty, encoding),
                Err(EncodeError::Picture { .. })
            ));
        }
    }
}
