//! Sums over vectors, element by element, in f64: of one group, and of a moving window.

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};

use crate::functions::vectors::{Element, ListBuilder, Rows, list_like};

/// How many vectors there were and what they sum up to. All of them are as long as the first.
#[derive(Debug, Default, Clone)]
pub(super) struct Sums {
    count: i64,
    sums: Vec<f64>,
}

impl Sums {
    /// How many f64 it holds.
    pub(super) fn elements(&self) -> usize {
        self.sums.len()
    }

    pub(super) fn add<T: Element>(&mut self, function: &str, vector: &[T]) -> Result<()> {
        self.merge(function, vector, 1)
    }

    /// Adds the sum over `count` vectors.
    pub(super) fn merge<T: Element>(
        &mut self,
        function: &str,
        sum: &[T],
        count: i64,
    ) -> Result<()> {
        if self.count == 0 {
            self.sums.clear();
            self.sums.extend(sum.iter().map(|x| (*x).into()));
            self.count = count;
            return Ok(());
        }
        if sum.len() != self.sums.len() {
            return exec_err!(
                "{function} takes vectors of the same length in a group, not of {} and {} elements",
                self.sums.len(),
                sum.len()
            );
        }
        for (total, x) in self.sums.iter_mut().zip(sum) {
            *total += (*x).into();
        }
        self.count += count;
        Ok(())
    }
}

/// What is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Total {
    Sum,
    Average,
}

impl Total {
    /// One vector of the type `list` for each of `groups`.
    pub(super) fn vectors<T: Element>(self, groups: &[Sums], list: &DataType) -> Result<ArrayRef> {
        let mut vectors = ListBuilder::<T::Arrow>::new(list, groups.len());
        for group in groups {
            if group.count == 0 {
                vectors.push_null();
                continue;
            }
            let divisor = match self {
                Self::Sum => 1.0,
                Self::Average => group.count as f64,
            };
            vectors.push(group.sums.iter().map(|sum| T::nearest(sum / divisor)));
        }
        vectors.finish()
    }
}

/// The type of the sums while they travel.
pub(super) fn state_type() -> DataType {
    list_like(&DataType::Null, Float64Type::DATA_TYPE)
}

/// What travels of `groups`: the sums, NULL where there are none, and the counts.
pub(super) fn states(groups: &[Sums]) -> Result<Vec<ArrayRef>> {
    let mut sums = ListBuilder::<Float64Type>::new(&state_type(), groups.len());
    for group in groups {
        if group.count == 0 {
            sums.push_null();
        } else {
            sums.push(group.sums.iter().copied());
        }
    }
    let counts: Int64Array = groups.iter().map(|group| Some(group.count)).collect();
    Ok(vec![sums.finish()?, std::sync::Arc::new(counts)])
}

/// Calls `merge` with row, sums and count of what [`states`] gave.
pub(super) fn for_each_state(
    states: &[ArrayRef],
    mut merge: impl FnMut(usize, &[f64], i64) -> Result<()>,
) -> Result<()> {
    let [sums, counts] = states else {
        return exec_err!(
            "sums of vectors travel as two columns, not {}",
            states.len()
        );
    };
    let counts = counts.as_primitive::<Int64Type>();
    for (row, sums) in Rows::new::<Float64Type>(sums)?.iter().enumerate() {
        if let Some(sums) = sums
            && counts.is_valid(row)
        {
            merge(row, sums, counts.value(row))?;
        }
    }
    Ok(())
}

/// Sums over a window: what has come in can go out again. NaN and infinity, which no subtraction
/// takes out of a sum, are counted instead.
#[derive(Debug, Default)]
pub(super) struct MovingSums {
    finite: Sums,
    /// Per element; empty as long as all were finite.
    special: Vec<Special>,
}

#[derive(Debug, Default, Clone)]
struct Special {
    nan: i64,
    infinite: i64,
    negative_infinite: i64,
}

impl Special {
    fn count(&mut self, x: f64, change: i64) {
        if x.is_nan() {
            self.nan += change;
        } else if x == f64::INFINITY {
            self.infinite += change;
        } else if x == f64::NEG_INFINITY {
            self.negative_infinite += change;
        }
    }

    fn on(&self, finite: f64) -> f64 {
        match (self.nan, self.infinite, self.negative_infinite) {
            (0, 0, 0) => finite,
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}

impl MovingSums {
    pub(super) fn elements(&self) -> usize {
        self.finite.elements() + 3 * self.special.len()
    }

    pub(super) fn add<T: Element>(&mut self, function: &str, vector: &[T]) -> Result<()> {
        let finite = self.finite_part(vector, 1);
        self.finite.add(function, &finite)
    }

    /// Takes out what was once added.
    pub(super) fn remove<T: Element>(&mut self, vector: &[T]) {
        let finite = self.finite_part(vector, -1);
        for (total, x) in self.finite.sums.iter_mut().zip(&finite) {
            *total -= x;
        }
        self.finite.count -= 1;
        if self.finite.count == 0 {
            self.special.clear();
        }
    }

    /// The vector with 0 for what is not finite, which is counted.
    fn finite_part<T: Element>(&mut self, vector: &[T], change: i64) -> Vec<f64> {
        let mut finite: Vec<f64> = vector.iter().map(|x| (*x).into()).collect();
        if finite.iter().all(|x| x.is_finite()) {
            return finite;
        }
        if self.special.len() < finite.len() {
            self.special.resize(finite.len(), Special::default());
        }
        for (x, special) in finite.iter_mut().zip(&mut self.special) {
            if !x.is_finite() {
                special.count(*x, change);
                *x = 0.0;
            }
        }
        finite
    }

    /// The sums over what is in the window now.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = self.finite.clone();
        for (sum, special) in sums.sums.iter_mut().zip(&self.special) {
            *sum = special.on(*sum);
        }
        sums
    }
}
