//! From pixels to encoded bytes.
//!
//! JPEG is baseline with chroma at half resolution (4:2:0) and the quantization tables of libjpeg,
//! so a quality means what it means in Pillow. WebP of a quality is encoded by libwebp with its usual
//! settings, as in Pillow. Everything else keeps every pixel.

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
use webp::PixelLayout;

use crate::convert::{Mode, WHITE, convert};

/// JPEG quality where none is asked for.
pub const DEFAULT_JPEG_QUALITY: u8 = 85;

/// The format has room for one more, which libwebp does not write and `image-webp` does not read.
const MAX_WEBP_SIDE: u32 = 16_383;

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
    /// WebP: color of 8 bits, with or without alpha.
    WebP {
        /// 1 to 100; without loss if there is none. Alpha is never lossy, and left out by a lossy
        /// picture that is opaque.
        quality: Option<u8>,
    },
    /// TIFF, deflated; gray with alpha becomes color with alpha.
    Tiff,
}

/// Why a picture cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Not the name of a format.
    #[error("pictures cannot be encoded as '{0}': use jpeg, png, webp or tiff")]
    Format(String),
    /// A quality out of range.
    #[error("quality must be from 1 to 100, not {0}")]
    Quality(i64),
    /// A quality for a format without one.
    #[error(
        "{0} is encoded without loss, so it takes no quality: leave it out, or use jpeg or webp"
    )]
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
    /// The encoding of this name (jpeg or jpg, png, webp, tiff or tif), with a quality for JPEG
    /// or WebP.
    ///
    /// # Errors
    /// An unknown name, a quality out of range, or a quality for a lossless format.
    pub fn new(format: &str, quality: Option<i64>) -> Result<Self, EncodeError> {
        let encoding: Self = format.parse()?;
        let Some(quality) = quality else {
            return Ok(encoding);
        };
        let checked = u8::try_from(quality).ok().filter(|q| (1..=100).contains(q));
        let checked = checked.ok_or(EncodeError::Quality(quality));
        match encoding {
            Self::Jpeg { .. } => Ok(Self::Jpeg { quality: checked? }),
            Self::WebP { .. } => Ok(Self::WebP {
                quality: Some(checked?),
            }),
            Self::Png | Self::Tiff => Err(EncodeError::Lossless(encoding.name())),
        }
    }

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "jpeg",
            Self::Png => "png",
            Self::WebP { .. } => "webp",
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
            "webp" => Ok(Self::WebP { quality: None }),
            "tiff" | "tif" => Ok(Self::Tiff),
            _ => Err(EncodeError::Format(name.to_owned())),
        }
    }
}

/// `image` as a file.
///
/// # Errors
/// [`EncodeError::Picture`] when the picture has no pixels, or more along a side than the format
/// allows (65,535 for JPEG, 16,383 for WebP).
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
        Encoding::WebP { quality } => webp(image, quality).map_err(refused),
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

fn webp(image: &DynamicImage, quality: Option<u8>) -> Result<Vec<u8>, String> {
    if image.width().max(image.height()) > MAX_WEBP_SIDE {
        return Err("WebP has at most 16,383 pixels along a side".to_owned());
    }
    let (mode, layout) = if image.color().has_alpha() {
        (Mode::Rgba, PixelLayout::Rgba)
    } else {
        (Mode::Rgb, PixelLayout::Rgb)
    };
    let image = in_mode(image, mode);
    let Some(quality) = quality else {
        let mut encoded = Vec::new();
        written_by(&image, &mut encoded, WebPEncoder::new_lossless)?;
        return Ok(encoded);
    };
    webp::Encoder::new(image.as_bytes(), layout, image.width(), image.height())
        .encode_simple(false, f32::from(quality))
        .map(|encoded| encoded.to_vec())
        .map_err(|error| format!("{error:?}"))
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

    const LOSSLESS: [Encoding; 3] = [
        Encoding::Png,
        Encoding::WebP { quality: None },
        Encoding::Tiff,
    ];

    fn every_mode() -> impl Iterator<Item = DynamicImage> {
        let image = DynamicImage::ImageRgb8(colors(40, 30));
        Mode::ALL
            .into_iter()
            .map(move |mode| convert(image.clone(), mode, WHITE))
    }

    #[test]
    fn lossless_formats_keep_every_pixel() {
        for image in every_mode() {
            for encoding in LOSSLESS {
                let encoded = encode(&image, encoding).unwrap();
                let decoded = image::load_from_memory(&encoded).unwrap();
                let eight_bits = |image: &DynamicImage| image.to_rgba8();
                assert_eq!(eight_bits(&decoded), eight_bits(&image), "{encoding}");
                let keeps_all_bits = encoding.name() != "webp"
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
    fn a_webp_of_a_quality_is_close_and_the_smaller_the_lower() {
        let picture = DynamicImage::ImageRgb8(colors(160, 120));
        let mut sizes = Vec::new();
        // Its colors change sharply, and have half the resolution in the file.
        for (quality, decibels) in [(10, 12.0), (50, 15.0), (80, 16.0), (100, 17.0)] {
            let encoding = Encoding::WebP {
                quality: Some(quality),
            };
            for mode in Mode::ALL {
                let image = convert(picture.clone(), mode, WHITE);
                let encoded = encode(&image, encoding).unwrap();
                let decoded = image::load_from_memory(&encoded).unwrap();
                assert!(!decoded.color().has_alpha(), "{mode}");
                let noise = squared_difference(&decoded.to_rgb8(), &image.to_rgb8());
                let found = 10.0 * (255.0 * 255.0 / noise).log10();
                println!("{mode} at {quality}: {found} dB, {} bytes", encoded.len());
                assert!(found > decibels, "{mode} at {quality}: {found} dB");
                if mode == Mode::Rgb {
                    sizes.push(encoded.len());
                }
            }
        }
        assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
    }

    fn squared_difference(a: &image::RgbImage, b: &image::RgbImage) -> f64 {
        let pairs = a.iter().zip(b.iter());
        let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        sum / a.len() as f64
    }

    #[test]
    fn a_webp_of_a_quality_keeps_alpha_as_it_is() {
        let image = image::RgbaImage::from_fn(70, 50, |x, y| {
            image::Rgba([200, 100, 50, (x * 3 + y) as u8])
        });
        let encoding = Encoding::WebP { quality: Some(60) };
        let encoded = encode(&DynamicImage::ImageRgba8(image.clone()), encoding).unwrap();
        let decoded = image::load_from_memory(&encoded).unwrap().to_rgba8();
        assert!(
            decoded
                .pixels()
                .map(|p| p[3])
                .eq(image.pixels().map(|p| p[3]))
        );
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
            Ok(Encoding::WebP { quality: Some(80) })
        );
        assert_eq!(
            Encoding::new("webp", None),
            Ok(Encoding::WebP { quality: None })
        );
        assert_eq!(
            Encoding::new("webp", Some(101)),
            Err(EncodeError::Quality(101))
        );
        assert_eq!(
            Encoding::new("png", Some(80)),
            Err(EncodeError::Lossless("png"))
        );
        assert_eq!(
            Encoding::new("heic", None),
            Err(EncodeError::Format("heic".to_owned()))
        );
    }

    #[test]
    fn pictures_a_format_has_no_room_for_are_refused() {
        let [lossless, lossy] = [None, Some(80)].map(|quality| Encoding::WebP { quality });
        for (side, encoding) in [
            (65_536, Encoding::Jpeg { quality: 85 }),
            (16_384, lossless),
            (16_384, lossy),
        ] {
            let (long, short) = (side, side - 1);
            let encoded = |side| encode(&DynamicImage::new_luma8(side, 1), encoding);
            assert!(matches!(encoded(long), Err(EncodeError::Picture { .. })));
            let decoded = image::load_from_memory(&encoded(short).unwrap()).unwrap();
            assert_eq!(decoded.width(), short, "{encoding:?}");
        }
        for encoding in LOSSLESS {
            let empty = DynamicImage::new_rgb8(0, 5);
            assert!(matches!(
                encode(&empty, encoding),
                Err(EncodeError::Picture { .. })
            ));
        }
    }
}
