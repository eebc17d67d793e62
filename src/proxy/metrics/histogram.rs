//! How long things took: a histogram of fixed buckets, written by one thread. It must not know what
//! is measured.

use std::time::Duration;

use base::time::nanos;

use super::Counter;

/// The buckets' upper bounds, in nanoseconds and as seconds in a label. They are Prometheus' own,
/// begun at a millisecond: what is faster needs no alarm.
pub(super) const BOUNDS: [(u64, &str); 13] = [
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

/// One for each bound, and one for what is beyond.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts of one thread.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_ns: Counter,
}

impl Histogram {
    /// Something took so long.
    pub(crate) fn observe(&self, time: Duration) {
        let ns = nanos(time);
        self.buckets[BOUNDS.partition_point(|&(bound, _)| bound < ns)].increment();
        self.sum_ns.add(ns);
    }

    pub(super) fn clear(&self) {
        self.buckets.iter().for_each(Counter::clear);
        self.sum_ns.clear();
    }
}

/// What several threads counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl Total {
    pub(super) fn add(&mut self, one: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&one.buckets) {
            *sum += bucket.read();
        }
        self.sum_ns = self.sum_ns.wrapping_add(one.sum_ns.read());
    }

    /// The label and the cumulative count of every bucket but the last.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        BOUNDS.iter().zip(&self.buckets).scan(0, |sum, (&(_, label), count)| {
            *sum += count;
            Some((label, *sum))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_bounds_and_a_bound_is_within_its_bucket() {
        for (at, &(bound, label)) in BOUNDS.iter().enumerate() {
            let seconds: f64 = label.parse().expect("a number");
            assert_eq!((seconds * 1e9).round() as u64, bound, "{label}");
            let histogram = Histogram::default();
            for ns in [bound - 1, bound, bound + 1] {
                histogram.observe(Duration::from_nanos(ns));
            }
            let mut total = Total::default();
            total.add(&histogram);
            assert_eq!((total.buckets[at], total.buckets[at + 1], total.count()), (2, 1, 3));
            assert_eq!(total.sum_ns, 3 * bound);
            assert_eq!(total.cumulated().nth(at), Some((label, 2)));
        }
    }
}
