//! Pictures as bytes and as pixels: what a file is, its pixels, and what can be computed from them.
//!
//! [`probe`] tells what a picture is without decoding it, [`decode`] is the one way from encoded
//! bytes to pixels, everything else works on pixels. This crate knows no Arrow and no SQL: ingest
//! and the SQL functions (`shoal-udfs`) stand on it, and it builds in seconds, for tests and fuzzing.
//!
//! Promises: no input makes it panic; a picture is refused before it allocates more than
//! [`probe::Limits`] allow; results depend on the arguments alone (but for the time limit).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod color_space;
pub mod convert;
pub mod decode;
pub mod dominant_colors;
pub mod encode;
pub mod error;
pub mod exif;
pub mod features;
pub mod geometry;
pub mod hash;
pub mod histogram;
pub mod hog;
mod jpeg;
pub mod lbp;
#[cfg(test)]
mod pictures;
pub mod probe;
pub mod resize;
pub mod sharpness;
pub mod stats;
pub mod tensor;
pub mod thumbnail;
