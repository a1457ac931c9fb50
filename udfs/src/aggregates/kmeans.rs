//! K-means over weighted points: greedy k-means++ seeding, then Lloyd's iterations. The same points
//! in the same order give the same centroids; chance comes from a fixed seed.

use super::sample::{Point, scrambled};
use crate::functions::vector_math::squared_distance;

/// Lloyd's iterations at most; they end earlier when no point changes its centroid.
const MOST_ITERATIONS: usize = 25;

/// At most `k` centroids: as many as there are points if those are fewer. The heaviest comes first,
/// of equal ones the one that is lower element by element.
pub(super) fn centroids(points: &[&Point], k: usize) -> Vec<Vec<f32>> {
    let mut centers = if points.len() <= k {
        points.iter().map(|point| Center::at(point)).collect()
    } else {
        lloyd(points, seeds(points, k))
    };
    centers.sort_by(|a, b| {
        let by_weight = b.weight.total_cmp(&a.weight);
        by_weight.then_with(|| lower_first(&a.position, &b.position))
    });
    let narrowed = |center: &Center| center.position.iter().map(|x| *x as f32).collect();
    centers.iter().map(narrowed).collect()
}

struct Center {
    position: Vec<f64>,
    /// Of the points that are nearest to it.
    weight: f64,
}

impl Center {
    fn at(point: &Point) -> Self {
        Self {
            position: point.vector.iter().map(|x| f64::from(*x)).collect(),
            weight: point.weight as f64,
        }
    }
}

fn lower_first(a: &[f64], b: &[f64]) -> std::cmp::Ordering {
    let different = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
    different
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}

/// Numbers that look random.
struct Chance(u64);

impl Chance {
    /// A number from 0 up to, not including, 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(1);
        (scrambled(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The index of one of `shares`, the likelier the larger its share.
    fn pick(&mut self, shares: &[f64]) -> usize {
        let mut left = self.fraction() * shares.iter().sum::<f64>();
        let reached = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        reached.unwrap_or(shares.len().saturating_sub(1))
    }
}

/// Greedy k-means++ (Arthur and Vassilvitskii 2007): each new center is one of the points, likely
/// one that is far from all centers before; of a few drawn, the one that leaves least distance.
fn seeds(points: &[&Point], k: usize) -> Vec<Center> {
    let mut chance = Chance(k as u64);
    let draws = 2 + k.ilog2() as usize;
    let mut shares: Vec<f64> = points.iter().map(|point| point.weight as f64).collect();
    let first = points.get(chance.pick(&shares));
    let mut centers: Vec<Center> = first.map(|point| Center::at(point)).into_iter().collect();
    for (share, point) in shares.iter_mut().zip(points) {
        let far = centers
            .first()
            .map_or(0.0, |center| distance(point, center));
        *share *= far;
    }
    while centers.len() < k {
        let mut best: Option<(f64, Vec<f64>, Center)> = None;
        for _ in 0..draws {
            let Some(point) = points.get(chance.pick(&shares)) else {
                break;
            };
            let center = Center::at(point);
            let remaining: Vec<f64> = shares
                .iter()
                .zip(points)
                .map(|(share, point)| share.min(point.weight as f64 * distance(point, &center)))
                .collect();
            let total = remaining.iter().sum();
            if best.as_ref().is_none_or(|(least, _, _)| total < *least) {
                best = Some((total, remaining, center));
            }
        }
        let Some((_, remaining, center)) = best else {
            break;
        };
        shares = remaining;
        centers.push(center);
    }
    centers
}

fn distance(point: &Point, center: &Center) -> f64 {
    squared_distance(&point.vector, &center.position)
}

/// The nearest of `centers` by index, and the squared distance to it.
fn nearest(point: &Point, centers: &[Center]) -> (usize, f64) {
    let distances = centers.iter().map(|center| distance(point, center));
    let nearest = distances
        .enumerate()
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    nearest.unwrap_or((0, 0.0))
}

/// Moves every center into the middle of the points that are nearest to it, until none changes.
fn lloyd(points: &[&Point], mut centers: Vec<Center>) -> Vec<Center> {
    let mut assigned: Vec<usize> = Vec::new();
    for _ in 0..MOST_ITERATIONS {
        let nearest: Vec<(usize, f64)> = points
            .iter()
            .map(|point| nearest(point, &centers))
            .collect();
        let now: Vec<usize> = nearest.iter().map(|(center, _)| *center).collect();
        if now == assigned {
            break;
        }
        assigned = now;
        let mut farthest: Vec<usize> = (0..points.len()).collect();
        farthest.sort_by(|a, b| nearest[*b].1.total_cmp(&nearest[*a].1));
        centers = middles(points, &assigned, &centers, &farthest);
    }
    centers
}

/// The middles of the points assigned to each center. A center without points moves to one of the
/// points that are `farthest` from theirs.
fn middles(
    points: &[&Point],
    assigned: &[usize],
    centers: &[Center],
    farthest: &[usize],
) -> Vec<Center> {
    let mut middles: Vec<Center> = centers
        .iter()
        .map(|center| Center {
            position: vec![0.0; center.position.len()],
            weight: 0.0,
        })
        .collect();
    for (point, center) in points.iter().zip(assigned) {
        let Some(middle) = middles.get_mut(*center) else {
            continue;
        };
        let weight = point.weight as f64;
        middle.weight += weight;
        for (sum, x) in middle.position.iter_mut().zip(&point.vector) {
            *sum += weight * f64::from(*x);
        }
    }
    let mut far = farthest.iter().filter_map(|index| points.get(*index));
    for middle in &mut middles {
        if middle.weight > 0.0 {
            let weight = middle.weight;
            middle.position.iter_mut().for_each(|sum| *sum /= weight);
        } else if let Some(point) = far.next() {
            *middle = Center::at(point);
        }
    }
    middles
}
