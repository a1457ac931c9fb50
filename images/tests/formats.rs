//! Every variant of every format against what Pillow, tifffile or the picture's maker has, sample by
//! sample. `formats/make.py` wrote the pictures; `formats/manifest.txt` says of each what it becomes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use image::DynamicImage;
use shoal_images::convert::Mode;
use shoal_images::decode::{decode, mode};
use shoal_images::exif::{MAX_VALUE_CHARACTERS, exif};
use shoal_images::probe::{ImageInfo, Limits, probe};

/// One line of the manifest.
struct Expected<'a> {
    file: &'a str,
    mode: &'a str,
    width: u32,
    height: u32,
    /// Largest difference of a sample: 0 but for JPEG inside TIFF and for BMP of five bits per channel,
    /// which decoders round differently.
    tolerance: u32,
    frames: u32,
    bits: u8,
    orientation: u8,
}

impl<'a> Expected<'a> {
    fn of(line: &'a str) -> Self {
        let fields: Vec<&str> = line.split(' ').collect();
        let [file, mode, rest @ ..] = fields.as_slice() else {
            panic!("{line}");
        };
        let numbers: Vec<u32> = rest.iter().map(|field| field.parse().unwrap()).collect();
        Self {
            file,
            mode,
            width: numbers[0],
            height: numbers[1],
            tolerance: numbers[2],
            frames: numbers[3],
            bits: numbers[4] as u8,
            orientation: numbers[5] as u8,
        }
    }

    /// What is wrong with the file as it was read, if anything is.
    fn difference(&self, folder: &Path) -> Option<String> {
        let limits = Limits::default();
        let content = fs::read(folder.join(self.file)).unwrap();
        let raw = fs::read(folder.join(format!("{}.raw", self.file))).unwrap();
        let info = match probe(&content, &limits) {
            Ok(info) => info,
            Err(error) => return Some(error.to_string()),
        };
        if let Some(difference) = self.difference_of_info(&info) {
            return Some(difference);
        }
        let image = match decode(&content, &limits) {
            Ok(decoded) => decoded.image,
            Err(error) => return Some(error.to_string()),
        };
        if (image.width(), image.height()) != (self.width, self.height) {
            return Some(format!("{} x {}", image.width(), image.height()));
        }
        match mode(&content, &info) {
            Ok(of_header) if Some(of_header) == Mode::of(&image) => {}
            told => return Some(format!("its header tells {told:?}")),
        }
        let (mode, samples) = samples(&image);
        if mode != self.mode {
            return Some(format!("it is {mode}"));
        }
        let expected = raw_samples(mode, &raw);
        let off = samples.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest = off.fold(0.0, f64::max);
        if samples.len() != expected.len() || largest > f64::from(self.tolerance) {
            return Some(format!("a sample differs by {largest}"));
        }
        None
    }

    fn difference_of_info(&self, info: &ImageInfo) -> Option<String> {
        let channels = match self.mode {
            "l8" | "l16" => 1,
            "la8" | "la16" => 2,
            "rgb8" | "rgb16" | "rgb32f" => 3,
            _ => 4,
        };
        // CMYK has four channels that become three, a gray floating-point picture one.
        let converted = self.file.contains("cmyk") || self.file.starts_with("float");
        let expected = ImageInfo {
            format: info.format,
            width: self.width,
            height: self.height,
            channels: if converted { info.channels } else { channels },
            bits_per_channel: self.bits,
            frames: self.frames,
            orientation: self.orientation,
        };
        (*info != expected).then(|| format!("{info:?}"))
    }
}

fn samples(image: &DynamicImage) -> (&'static str, Vec<f64>) {
    let bytes = |mode| {
        (
            mode,
            image.as_bytes().iter().map(|v| f64::from(*v)).collect(),
        )
    };
    let words = |mode, words: &[u16]| (mode, words.iter().map(|v| f64::from(*v)).collect());
    let floats = |mode, floats: &[f32]| (mode, floats.iter().map(|v| f64::from(*v)).collect());
    match image {
        DynamicImage::ImageLuma8(_) => bytes("l8"),
        DynamicImage::ImageLumaA8(_) => bytes("la8"),
        DynamicImage::ImageRgb8(_) => bytes("rgb8"),
        DynamicImage::ImageRgba8(_) => bytes("rgba8"),
        DynamicImage::ImageLuma16(image) => words("l16", image),
        DynamicImage::ImageLumaA16(image) => words("la16", image),
        DynamicImage::ImageRgb16(image) => words("rgb16", image),
        DynamicImage::ImageRgba16(image) => words("rgba16", image),
        DynamicImage::ImageRgb32F(image) => floats("rgb32f", image),
        DynamicImage::ImageRgba32F(image) => floats("rgba32f", image),
        other => panic!("{:?}", other.color()),
    }
}

/// Little-endian samples as their mode has them.
fn raw_samples(mode: &str, raw: &[u8]) -> Vec<f64> {
    if mode.ends_with("16") {
        let words = raw.as_chunks::<2>().0;
        words
            .iter()
            .map(|bytes| f64::from(u16::from_le_bytes(*bytes)))
            .collect()
    } else if mode.ends_with('f') {
        let floats = raw.as_chunks::<4>().0;
        floats
            .iter()
            .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
            .collect()
    } else {
        raw.iter().map(|byte| f64::from(*byte)).collect()
    }
}

#[test]
fn every_variant_becomes_what_other_readers_make_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let manifest = fs::read_to_string(folder.join("manifest.txt")).unwrap();
    let differences: Vec<String> = manifest
        .lines()
        .map(Expected::of)
        .filter_map(|expected| {
            let difference = expected.difference(&folder)?;
            Some(format!("{}: {difference}", expected.file))
        })
        .collect();
    assert!(manifest.lines().count() > 100);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn exif_comes_as_names_and_readable_values() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let photo = fs::read(folder.join("exif.jpg")).unwrap();
    let fields = exif(&photo, &Limits::default()).unwrap();
    let value = |name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found
            .unwrap_or_else(|| panic!("{name} in {fields:?}"))
            .1
            .as_str()
    };
    assert_eq!(value("Make"), "Soren's \"Cameras\"");
    assert_eq!(value("ExposureTime"), "1/250 s");
    assert_eq!(value("FNumber"), "f/2.8");
    assert_eq!(value("PhotographicSensitivity"), "400");
    assert_eq!(value("DateTimeOriginal"), "2024:03:07 12:34:56");
    assert_eq!(value("GPSLatitude"), "52 deg 30 min 15.5 sec N");
    let note = value("MakerNote");
    assert!(note.starts_with("0, 1, 2, ") && note.ends_with('…'));
    assert_eq!(note.chars().count(), MAX_VALUE_CHARACTERS + 1);
    assert_eq!(probe(&photo, &Limits::default()).unwrap().orientation, 6);

    let plain = fs::read(folder.join("rgb.png")).unwrap();
    assert_eq!(exif(&plain, &Limits::default()).unwrap(), []);
}
