//! Why a file is not a picture Shoal can use: one enum, shared by ingest and by the SQL functions.
//!
//! Every variant has a short reason code that never changes (it is stored in the quarantine table
//! and filtered on) and a sentence for people.

use std::time::Duration;

use crate::probe::Format;

/// Why bytes could not be taken in or decoded as a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There are no bytes at all.
    #[error("the file is empty (zero bytes)")]
    Empty,
    /// More bytes than [`Limits::max_file_bytes`](crate::probe::Limits::max_file_bytes).
    #[error("the file has {bytes} bytes, more than the limit of {limit} (images.max_file_bytes)")]
    TooManyBytes {
        /// Size of the file.
        bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The content starts like none of the formats Shoal knows, whatever its name says.
    #[error("the content is not a picture: it is none of JPEG, PNG, TIFF, GIF, WebP, BMP")]
    NotAnImage,
    /// A picture, but of a format that Shoal does not decode.
    #[error("{name} is not supported: convert the file to one of JPEG, PNG, TIFF, GIF, WebP, BMP")]
    UnsupportedFormat {
        /// The format's usual name, such as `AVIF`.
        name: &'static str,
    },
    /// The file ends before the picture does.
    #[error("the {format} file is cut short: {missing}")]
    Truncated {
        /// Format the content claims.
        format: Format,
        /// What was expected and is not there.
        missing: &'static str,
    },
    /// The file contradicts its format, or its pixels cannot be decoded.
    #[error("the {format} file is damaged: {detail}")]
    Damaged {
        /// Format the content claims.
        format: Format,
        /// What is wrong, in the decoder's words where it was the decoder that refused.
        detail: String,
    },
    /// A well-formed file that uses a variant of its format which is not decoded.
    #[error("this kind of {format} is not supported: {detail}")]
    Unsupported {
        /// Format of the file.
        format: Format,
        /// The variant, in the decoder's words.
        detail: String,
    },
    /// More pixels than [`Limits::max_pixels`](crate::probe::Limits::max_pixels).
    #[error(
        "the picture has {width} x {height} pixels, more than the limit of {limit} (images.max_pixels)"
    )]
    TooManyPixels {
        /// Width in pixels, from the header.
        width: u32,
        /// Height in pixels, from the header.
        height: u32,
        /// The limit in force, in pixels.
        limit: u64,
    },
    /// Decoding would take more memory than
    /// [`Limits::max_alloc`](crate::probe::Limits::max_alloc).
    #[error(
        "decoding the picture takes {bytes} bytes of memory, more than the limit of {limit} (images.max_alloc)"
    )]
    TooMuchMemory {
        /// Memory the decoder would need at least.
        bytes: u64,
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// Decoding did not end within [`Limits::max_time`](crate::probe::Limits::max_time).
    #[error(
        "decoding the picture took longer than the limit of {} seconds (images.max_seconds)",
        limit.as_secs_f64()
    )]
    TooSlow {
        /// The limit in force.
        limit: Duration,
    },
    /// The decoder panicked: a defect of the decoder that these bytes bring to light.
    #[error("the {format} decoder panicked on the file")]
    DecoderPanicked {
        /// Format the content claims.
        format: Format,
    },
}

impl ImageError {
    /// The reason code: lower case, stable across versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat { .. } => "unsupported",
            Self::Truncated { .. } => "truncated",
            Self::Damaged { .. } => "damaged",
            Self::Unsupported { .. } => "unsupported",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::TooMuchMemory { .. } => "too_much_memory",
            Self::TooSlow { .. } => "too_slow",
            Self::DecoderPanicked { .. } => "decoder_panicked",
        }
    }
}
