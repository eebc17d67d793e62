//! A finished histogram: only the buckets that hold something, with exact sum and maximum.
//! It must not know what was measured.
//!
//! A [`Meter`](crate::meter::Meter) is fast to write to and takes an eighth of a megabyte; what is kept
//! for the end of a run is this.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::meter::histogram;

/// Counted durations in nanoseconds. Merging two is exact: they share their buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// (the highest value that falls into the bucket, how many did), ascending.
    pub(crate) buckets: Vec<(u64, u64)>,
    pub(crate) count: u64,
    pub(crate) sum_ns: u128,
    pub(crate) max_ns: u64,
    pub(crate) clipped: u64,
}

impl Distribution {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest, exact; zero when empty.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The largest, exact; `None` when empty.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_ns)
    }

    /// The exact sum of all values.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Values above the histogram's range, which stand in its last bucket.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// The `rank`-th smallest value, from 1, to three significant digits; `None` beyond the last.
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        if rank == 0 || rank > self.count {
            return None;
        }
        let mut below = 0;
        for &(value, count) in &self.buckets {
            below += count;
            if below >= rank {
                // A bucket's upper end may exceed the largest value seen.
                return Some(value.min(self.max_ns));
            }
        }
        None
    }

    /// The smallest value that at least `numerator / 10_000` of all values do not exceed. Integers,
    /// because 0.9999 × n in floating point can land on the wrong side of a whole number.
    pub fn at_quantile(&self, numerator: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(numerator)).div_ceil(10_000);
        self.at_rank((rank as u64).max(1))
    }

    /// Adds another one's values.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.clipped += other.clipped;
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut left, mut right) =
            (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        loop {
            merged.push(match (left.peek().copied(), right.peek().copied()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    left.next();
                    right.next();
                    (a.0, a.1 + b.1)
                }
                (Some(a), Some(b)) if a.0 < b.0 => {
                    left.next();
                    a
                }
                (Some(a), None) => {
                    left.next();
                    a
                }
                (_, Some(b)) => {
                    right.next();
                    b
                }
                (None, None) => break,
            });
        }
        self.buckets = merged;
    }

    /// The same as the field's histogram, for its iterators and its serialiser.
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut histogram = histogram();
        for &(value, count) in &self.buckets {
            // The last bucket's upper end lies above the range; saturating puts it back there.
            histogram.saturating_record_n(value, count);
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Meter;

    fn of(values: &[u64]) -> Distribution {
        let mut meter = Meter::new();
        for &value in values {
            meter.record(value);
        }
        meter.distribution()
    }

    #[test]
    fn quantiles_are_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).map(|ms| ms * 1_000_000).collect();
        let distribution = of(&hundred);
        for (quantile, ms) in [(0, 1), (5_000, 50), (9_000, 90), (9_900, 99), (9_901, 100)] {
            let value = distribution.at_quantile(quantile).expect("not empty");
            let exact = ms * 1_000_000;
            assert!(value >= exact && value - exact <= exact / 1000, "{quantile}: {value}");
        }
        assert_eq!(distribution.at_quantile(10_000), Some(100_000_000), "the maximum is exact");
        assert_eq!(of(&[]).at_quantile(5_000), None);
        assert_eq!(of(&[0, 0, 0]).at_quantile(9_900), Some(0), "nothing is not half a microsecond");
    }

    #[test]
    fn the_sparse_form_agrees_with_the_histogram_it_came_from() {
        let values: Vec<u64> = (0..5_000u64).map(|i| i * i * 977 % 80_000_000_000).collect();
        let distribution = of(&values);
        let histogram = distribution.to_histogram();
        assert_eq!(histogram.len(), distribution.count());
        for quantile in [1, 5_000, 7_500, 9_000, 9_900, 9_990] {
            assert_eq!(
                distribution.at_quantile(quantile),
                Some(histogram.value_at_quantile(quantile as f64 / 10_000.0)),
                "{quantile}"
            );
        }
    }

    #[test]
    fn merging_is_the_same_as_recording_both() {
        let (a, b) = ([5, 1_000, 70_000, 70_000], [6, 999, 2_000_000_000_000_000, 70_001]);
        let mut merged = of(&a);
        merged.merge(&of(&b));
        assert_eq!(merged, of(&[a, b].concat()));
        let mut onto_nothing = Distribution::default();
        onto_nothing.merge(&of(&b));
        assert_eq!(onto_nothing, of(&b));
        assert_eq!(onto_nothing.clipped(), 1);
    }
}
