//! Hashes of pictures: bits that stay nearly the same when a picture is scaled, recompressed or
//! slightly recolored, so that near-duplicates differ in few bits.
//!
//! On the same gray pixels each hash equals, bit for bit, what Python's imagehash 4.3 gives
//! with Pillow 13 and PyWavelets 1.9:
//!
//! | method | imagehash | a bit is set where |
//! |---|---|---|
//! | average | `average_hash(image, size)` | a pixel is above the mean of the picture reduced to `size` x `size` |
//! | difference | `dhash(image, size)` | a pixel is above its left neighbor in the picture reduced to `size + 1` x `size` |
//! | perceptual | `phash(image, size)` | one of the `size` x `size` lowest frequencies of the picture reduced to `4 size` x `4 size` is above their median |
//! | wavelet | `whash(image, size)` | one of `size` x `size` blocks is above their median |
//!
//! Exempt are ties that rounding noise decides in a perceptual hash: pictures with an exact mirror
//! symmetry have frequencies that are zero but for noise.

mod dct;
mod haar;
mod lanczos;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use image::GrayImage;

use dct::Basis;

/// Fewest bits along a side of a hash.
pub const MIN_SIZE: u32 = 2;
/// Most bits along a side of a hash.
pub const MAX_SIZE: u32 = 32;

/// Pixels of the reduced picture per bit of a perceptual hash, along a side.
const OVERSAMPLING: usize = 4;

/// How a hash is computed; the table above says how each is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashMethod {
    /// Brightness against the mean: fast, sensitive to changes of contrast.
    Average,
    /// Brightness against the left neighbor: fast, robust against changes of brightness.
    Difference,
    /// Low frequencies against their median: the most robust.
    Perceptual,
    /// Haar wavelet coefficients against their median.
    Wavelet,
}

impl HashMethod {
    /// All methods.
    pub const ALL: [Self; 4] = [
        Self::Average,
        Self::Difference,
        Self::Perceptual,
        Self::Wavelet,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Difference => "difference",
            Self::Perceptual => "perceptual",
            Self::Wavelet => "wavelet",
        }
    }
}

impl fmt::Display for HashMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashMethod {
    type Err = HashError;

    fn from_str(name: &str) -> Result<Self, HashError> {
        let mut all = Self::ALL.into_iter();
        all.find(|method| method.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| HashError::Method(name.to_owned()))
    }
}

/// Why there is no such hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not the name of a method.
    #[error("there is no hash method '{0}': use average, difference, perceptual or wavelet")]
    Method(String),
    /// A size that the method does not have.
    #[error(
        "a hash of method {method} cannot have size {size}: use {}",
        if *method == HashMethod::Wavelet { "2, 4, 8, 16 or 32" } else { "2 to 32" }
    )]
    Size {
        /// The method asked for.
        method: HashMethod,
        /// The size asked for.
        size: i64,
    },
}

/// A hash of one method and size, ready to be computed of many pictures.
#[derive(Debug)]
pub struct Hasher {
    method: HashMethod,
    size: usize,
    /// Empty but for perceptual hashes.
    basis: Basis,
}

impl Hasher {
    /// Hashes of `size * size` bits; `size` is 2 to 32, for wavelet hashes a power of two.
    ///
    /// # Errors
    /// [`HashError::Size`] for any other size.
    pub fn new(method: HashMethod, size: i64) -> Result<Self, HashError> {
        let within = (i64::from(MIN_SIZE)..=i64::from(MAX_SIZE)).contains(&size);
        if !within || (method == HashMethod::Wavelet && !(size as u64).is_power_of_two()) {
            return Err(HashError::Size { method, size });
        }
        Ok(Self::of_valid_size(method, size as usize))
    }

    fn of_valid_size(method: HashMethod, size: usize) -> Self {
        let low = if method == HashMethod::Perceptual {
            size
        } else {
            0
        };
        let basis = Basis::new(low * OVERSAMPLING, low);
        Self {
            method,
            size,
            basis,
        }
    }

    /// Bytes of a hash: its bits, rounded up.
    pub fn bytes(&self) -> usize {
        (self.size * self.size).div_ceil(8)
    }

    /// The hash of `gray`: its bits row by row as one number, highest bit first, in
    /// [`bytes`](Self::bytes) big-endian bytes (where the bits do not fill them, the first bits of
    /// the first byte are zero). In Python: `int(str(hash), 16).to_bytes(bytes, "big")`.
    pub fn hash(&self, gray: &GrayImage) -> Vec<u8> {
        pack(&self.bits(gray), self.bytes())
    }

    fn bits(&self, gray: &GrayImage) -> Vec<bool> {
        let size = self.size;
        match self.method {
            HashMethod::Average => {
                let pixels = lanczos::resize(gray, size, size);
                let total: usize = pixels.iter().map(|p| usize::from(*p)).sum();
                let above_mean = |p: &u8| usize::from(*p) * pixels.len() > total;
                pixels.iter().map(above_mean).collect()
            }
            HashMethod::Difference => {
                let pixels = lanczos::resize(gray, size + 1, size);
                let rows = pixels.chunks_exact(size + 1);
                rows.flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0]))
                    .collect()
            }
            HashMethod::Perceptual => {
                let side = size * OVERSAMPLING;
                let pixels = lanczos::resize(gray, side, side);
                let frequencies = self.basis.low_frequencies(&pixels);
                let median = median(&frequencies);
                frequencies.iter().map(|value| *value > median).collect()
            }
            HashMethod::Wavelet => {
                let shortest = gray.width().min(gray.height()).max(1);
                let side = (1_usize << shortest.ilog2()).max(size);
                haar::bits(&lanczos::resize(gray, side, side), side, size)
            }
        }
    }
}

/// The 64-bit perceptual hash of `gray`, first bit highest: `imagehash.phash(image)`.
pub fn perceptual_hash(gray: &GrayImage) -> u64 {
    static HASHER: LazyLock<Hasher> =
        LazyLock::new(|| Hasher::of_valid_size(HashMethod::Perceptual, 8));
    let bits = HASHER.bits(gray);
    bits.iter()
        .fold(0, |hash, bit| (hash << 1) | u64::from(*bit))
}

fn pack(bits: &[bool], bytes: usize) -> Vec<u8> {
    let mut packed = vec![0; bytes];
    let unused = bytes * 8 - bits.len();
    for (index, bit) in bits.iter().enumerate() {
        let place = index + unused;
        packed[place / 8] |= u8::from(*bit) << (7 - place % 8);
    }
    packed
}

/// The middle value, or the mean of the two in the middle; `values` is not empty.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        (sorted[half - 1] + sorted[half]) / 2.0
    }
}

#[cfg(test)]
mod tests;
