//! One histogram being written to. It must not know what is measured.
//!
//! Its buckets are those of an `hdrhistogram::Histogram` of the same bounds, which it becomes when it
//! is written to a file. A window of a hundred requests must not cost what its 32,768 buckets do, so
//! only those between the smallest and the largest are gone through.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::distribution::Distribution;

/// The smallest duration told apart: 1 µs (the histogram rounds it down to 512 ns).
const LOWEST_NS: u64 = 1_000;
/// The largest: 10⁶ s. What lies above is clipped to it and counted.
pub(crate) const HIGHEST_NS: u64 = 1_000_000_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// Binary digits that are left out: the whole ones of the smallest duration.
const UNIT: u32 = LOWEST_NS.ilog2();
/// So many binary digits tell twice 10³ values apart; each power of two above has half as many
/// buckets.
const HALF: u32 = 10;
const BUCKETS: usize = bucket_of(HIGHEST_NS).next_multiple_of(1 << HALF);

/// The bucket of a duration, by its leading binary digits.
#[inline]
const fn bucket_of(ns: u64) -> usize {
    // Below twice 2¹⁰ units a bucket is a unit.
    let power = (ns >> UNIT | 1 << HALF).ilog2() - HALF;
    ((power as usize) << HALF) + (ns >> (UNIT + power)) as usize
}

/// The longest duration of a bucket.
const fn end_of(bucket: usize) -> u64 {
    let power = (bucket >> HALF).saturating_sub(1);
    let next = (bucket - (power << HALF) + 1) as u64;
    (next << (UNIT as usize + power)) - 1
}

/// As the field knows it.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
        .expect("the bounds are constants that fit each other")
}

/// A histogram with what histograms cannot tell exactly: sum, maximum, and how much was clipped.
pub(crate) struct Meter {
    /// How much is in each bucket, without the multiples of 2³²: the caches hold twice as many so.
    counts: Vec<u32>,
    /// Those.
    carried: BTreeMap<usize, u64>,
    /// 10¹⁵ ns a request leave 64 bits after 18,446 of them.
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
    clipped: u64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            carried: BTreeMap::new(),
            sum_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
            clipped: 0,
        }
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.record_all(&[ns]);
    }

    /// Many at once cost less each.
    #[inline]
    pub(crate) fn record_all(&mut self, all_ns: &[u64]) {
        let (mut sum_ns, mut min_ns, mut max_ns) = (0, self.min_ns, self.max_ns);
        for &ns in all_ns {
            sum_ns += u128::from(ns);
            min_ns = min_ns.min(ns);
            max_ns = max_ns.max(ns);
            self.add(ns, 1);
        }
        self.sum_ns += sum_ns;
        (self.min_ns, self.max_ns) = (min_ns, max_ns);
        if max_ns > HIGHEST_NS {
            self.clipped += all_ns.iter().filter(|&&ns| ns > HIGHEST_NS).count() as u64;
        }
    }

    /// As many records of nothing.
    pub(crate) fn record_zeros(&mut self, count: u64) {
        if count > 0 {
            self.min_ns = 0;
            self.add(0, count);
        }
    }

    #[inline(always)] // every good request passes here
    fn add(&mut self, ns: u64, count: u64) {
        let bucket = bucket_of(ns.min(HIGHEST_NS));
        let place = &mut self.counts[bucket];
        let sum = u64::from(*place) + count;
        *place = sum as u32;
        if sum >> 32 > 0 {
            self.carry(bucket, sum >> 32);
        }
    }

    #[cold]
    fn carry(&mut self, bucket: usize, times: u64) {
        *self.carried.entry(bucket).or_default() += times;
    }

    /// The buckets that may hold something.
    fn touched(&self) -> std::ops::Range<usize> {
        if self.min_ns > self.max_ns {
            return 0..0;
        }
        bucket_of(self.min_ns.min(HIGHEST_NS))..bucket_of(self.max_ns.min(HIGHEST_NS)) + 1
    }

    /// What was recorded, compact.
    pub(crate) fn distribution(&self) -> Distribution {
        let touched = self.touched();
        let counts = touched.clone().zip(&self.counts[touched.clone()]);
        let carried = |bucket| match self.carried.is_empty() {
            true => 0,
            false => self.carried.get(&bucket).map_or(0, |times| times << 32),
        };
        let counts = counts.map(|(bucket, &low)| (bucket, carried(bucket) + u64::from(low)));
        let filled = self.counts[touched].iter().filter(|&&low| low > 0).count();
        let mut buckets = Vec::with_capacity(filled + self.carried.len());
        buckets.extend(
            counts.filter(|&(_, count)| count > 0).map(|(bucket, count)| (end_of(bucket), count)),
        );
        Distribution {
            count: buckets.iter().map(|&(_, count)| count).sum(),
            buckets,
            sum_ns: self.sum_ns,
            max_ns: self.max_ns,
            clipped: self.clipped,
        }
    }

    /// Adds what was recorded elsewhere.
    pub(crate) fn absorb(&mut self, other: &Distribution) {
        for &(value, count) in &other.buckets {
            self.add(value, count);
        }
        if let Some(&(value, _)) = other.buckets.first() {
            // It stands for its bucket.
            self.min_ns = self.min_ns.min(value.min(other.max_ns));
        }
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.clipped += other.clipped;
    }

    /// Empty again, its memory kept.
    pub(crate) fn clear(&mut self) {
        let touched = self.touched();
        self.counts[touched].fill(0);
        self.carried.clear();
        (self.sum_ns, self.min_ns, self.max_ns, self.clipped) = (0, u64::MAX, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_field() {
        let field = histogram();
        assert_eq!(BUCKETS, field.distinct_values());
        let mut rng = base::Rng::from_seed(1);
        let random = (0..50).flat_map(|digits| (0..100).map(move |_| 1_usize << digits));
        let random = random.map(|bound| rng.below(2 * bound) as u64);
        let edges = (0..50).flat_map(|digits| [0, 1, 2].map(|more| (1_u64 << digits) + more - 1));
        for ns in random.chain(edges).filter(|&ns| ns <= HIGHEST_NS) {
            let end = end_of(bucket_of(ns));
            assert_eq!(end, field.highest_equivalent(ns), "{ns}");
            assert_eq!(bucket_of(end), bucket_of(ns), "{ns}");
        }
    }

    #[test]
    fn more_than_four_billion_in_a_bucket_are_counted() {
        let mut meter = Meter::new();
        for count in [u64::from(u32::MAX), 1, 5 << 32, 3] {
            let buckets = vec![(end_of(7), count)];
            let max_ns = end_of(7);
            meter.absorb(&Distribution { buckets, count, max_ns, ..Distribution::default() });
        }
        assert_eq!(meter.distribution().buckets, [(end_of(7), (6 << 32) + 3)]);
        meter.clear();
        assert_eq!(meter.distribution(), Distribution::default());
    }

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
        resumed.record(700);
        assert_eq!(resumed.distribution().buckets, [(1_023, 1)], "nothing is left of before");
    }
}
