//! One histogram being written to. It must not know what is measured.

use hdrhistogram::Histogram;

use crate::distribution::Distribution;

/// The smallest duration told apart: 1 µs (the histogram rounds it down to 512 ns).
const LOWEST_NS: u64 = 1_000;
/// The largest: 10⁶ s. What lies above is clipped to it and counted.
pub(crate) const HIGHEST_NS: u64 = 1_000_000_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// A histogram with what histograms cannot tell exactly: sum, maximum, and how much was clipped.
pub(crate) struct Meter {
    histogram: Histogram<u64>,
    /// 10¹⁵ ns a request leave 64 bits after 18,446 of them.
    sum_ns: u128,
    max_ns: u64,
    clipped: u64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .expect("the bounds are constants that fit each other");
        Self { histogram, sum_ns: 0, max_ns: 0, clipped: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
        self.clipped += u64::from(ns > HIGHEST_NS);
        self.histogram.saturating_record(ns.min(HIGHEST_NS));
    }

    /// As many records of nothing.
    pub(crate) fn record_zeros(&mut self, count: u64) {
        self.histogram.saturating_record_n(0, count);
    }

    /// What was recorded, compact.
    pub(crate) fn distribution(&self) -> Distribution {
        Distribution {
            buckets: self
                .histogram
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect(),
            count: self.histogram.len(),
            sum_ns: self.sum_ns,
            max_ns: self.max_ns,
            clipped: self.clipped,
        }
    }

    /// Adds what was recorded elsewhere.
    pub(crate) fn absorb(&mut self, other: &Distribution) {
        for &(value, count) in &other.buckets {
            // The last bucket's upper end lies above the range; saturating puts it back there.
            self.histogram.saturating_record_n(value, count);
        }
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.clipped += other.clipped;
    }

    pub(crate) fn into_histogram(self) -> Histogram<u64> {
        self.histogram
    }

    /// Empty again, its memory kept.
    pub(crate) fn clear(&mut self) {
        if !self.histogram.is_empty() {
            self.histogram.reset();
        }
        (self.sum_ns, self.max_ns, self.clipped) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_above_the_range_is_clipped_counted_and_still_summed() {
        let mut meter = Meter::new();
        meter.record(HIGHEST_NS);
        meter.record(HIGHEST_NS + 1);
        meter.record(u64::MAX);
        let distribution = meter.distribution();
        assert_eq!((distribution.count(), distribution.clipped()), (3, 2));
        assert_eq!(distribution.max_ns(), u64::MAX);
        assert_eq!(
            distribution.sum_ns(),
            u128::from(HIGHEST_NS) * 2 + 1 + u128::from(u64::MAX),
            "a mean must not overflow or be clipped"
        );
        let bucket = distribution.at_rank(1).expect("three values");
        assert!(bucket >= HIGHEST_NS && bucket - HIGHEST_NS <= HIGHEST_NS / 1000);
    }

    #[test]
    fn a_meter_can_be_taken_up_again_and_cleared() {
        let mut meter = Meter::new();
        for ns in [0, 511, 512, 20_000_000, u64::MAX] {
            meter.record(ns);
        }
        let before = meter.distribution();
        let mut resumed = Meter::new();
        resumed.absorb(&before);
        assert_eq!(resumed.distribution(), before);
        resumed.clear();
        assert_eq!(resumed.distribution(), Distribution::default());
    }
}
