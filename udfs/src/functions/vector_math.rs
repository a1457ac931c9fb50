//! Sums over vectors. Every element is widened to f64 before anything is computed of it, so that
//! the product of two FLOATs is exact, and a sum over n elements is off by at most about
//! n / 8 × 2⁻⁵³ of the sum of its terms' magnitudes. Measured, this is as fast as memory on one
//! core, so narrower sums would gain nothing.

/// How many sums run side by side; the compiler makes SIMD of them.
const LANES: usize = 8;

/// Sum of a term over the pairs of `a` and `b`, which are as long as the shorter of both.
fn sum<A: Copy + Into<f64>, B: Copy + Into<f64>>(
    a: &[A],
    b: &[B],
    term: impl Fn(f64, f64) -> f64,
) -> f64 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane].into(), b[lane].into());
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] += term((*a).into(), (*b).into());
    }
    sums.iter().sum()
}

/// Σ aᵢ bᵢ.
pub(crate) fn inner_product<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    sum(a, b, |a, b| a * b)
}

/// Σ (aᵢ - bᵢ)².
pub(crate) fn squared_distance<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// Σ |aᵢ - bᵢ|.
pub(crate) fn absolute_distance<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    sum(a, b, |a, b| (a - b).abs())
}

/// Cosine of the angle between `a` and `b`; `None` if one of them has no direction.
pub(crate) fn cosine<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> Option<f64> {
    // One sum after the other: the vectors stay in the cache, and of several sums in one loop the compiler
    // makes no SIMD, which takes 1.6 times as long.
    cosine_of(inner_product(a, b), l2_norm(a), l2_norm(b))
}

/// As [`cosine`], of the inner product of two vectors and the magnitude of each.
pub(crate) fn cosine_of(product: f64, a_magnitude: f64, b_magnitude: f64) -> Option<f64> {
    if a_magnitude == 0.0 || b_magnitude == 0.0 {
        return None;
    }
    // Rounding may carry a cosine past 1; NaN stays NaN.
    Some((product / a_magnitude / b_magnitude).clamp(-1.0, 1.0))
}

/// Σ |aᵢ|.
pub(crate) fn l1_norm<A: Copy + Into<f64>>(a: &[A]) -> f64 {
    sum(a, a, |a, _| a.abs())
}

/// √ Σ aᵢ².
pub(crate) fn l2_norm<A: Copy + Into<f64>>(a: &[A]) -> f64 {
    inner_product(a, a).sqrt()
}

/// The largest |aᵢ|, 0 if there is none, NaN if one is NaN.
pub(crate) fn infinity_norm<A: Copy + Into<f64>>(a: &[A]) -> f64 {
    a.iter().fold(0.0, |largest, element| {
        let magnitude = (*element).into().abs();
        if magnitude > largest || magnitude.is_nan() {
            magnitude
        } else {
            largest
        }
    })
}
