//! How long requests took: counts by length, for quantiles. It must not know which length is meant.

use std::time::Duration;

/// Buckets for each doubling: a quantile is at most 1/32, about 3 %, above the truth.
const PER_DOUBLING: u32 = 32;
/// The bits of a place within a doubling.
const PLACE_BITS: u32 = PER_DOUBLING.trailing_zeros();
/// All below 2¹⁰ ns, about 1 µs, is one bucket …
const LOWEST: u32 = 10;
/// … and all from 2⁴⁰ ns on, about 18 minutes, is the last.
const HIGHEST: u32 = 40;
const DOUBLINGS: usize = (HIGHEST - LOWEST) as usize;
const BUCKETS: usize = DOUBLINGS * PER_DOUBLING as usize;

/// A histogram with logarithmic buckets, linear within each doubling, as HdrHistogram's: 4 kB,
/// recording without a loop, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: Vec<u32>,
    /// The sum of each doubling, so that a quantile looks at some sixty numbers and not at hundreds.
    doublings: [u64; DOUBLINGS],
    total: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], doublings: [0; DOUBLINGS], total: 0 }
    }

    /// How many were recorded.
    pub(crate) const fn len(&self) -> u64 {
        self.total
    }

    /// Records a length in nanoseconds.
    pub(crate) fn record(&mut self, nanos: u64) {
        let place = place(nanos);
        let count = &mut self.counts[place];
        if let Some(more) = count.checked_add(1) {
            *count = more;
            self.doublings[place / PER_DOUBLING as usize] += 1;
        }
        self.total += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.doublings.fill(0);
        self.total = 0;
    }

    /// The smallest length that at least this share (0 to 1) of what was recorded does not exceed,
    /// rounded up to the end of its bucket; `None` where there is nothing.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        quantile(&[self], share)
    }

    /// The same of what `self` and `other` recorded together.
    pub(crate) fn quantile_with(&self, other: &Self, share: f64) -> Option<Duration> {
        quantile(&[self, other], share)
    }
}

fn quantile(parts: &[&Latencies], share: f64) -> Option<Duration> {
    let total: u64 = parts.iter().map(|part| part.total).sum();
    let wanted = ((share * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut sum = 0;
    for doubling in 0..DOUBLINGS {
        let before = sum;
        sum += parts.iter().map(|part| part.doublings[doubling]).sum::<u64>();
        if sum < wanted {
            continue;
        }
        sum = before;
        let first = doubling * PER_DOUBLING as usize;
        for place in first..first + PER_DOUBLING as usize {
            sum += parts.iter().map(|part| u64::from(part.counts[place])).sum::<u64>();
            if sum >= wanted {
                return Some(Duration::from_nanos(end_of(place)));
            }
        }
    }
    None
}

const fn place(nanos: u64) -> usize {
    if nanos < 1 << LOWEST {
        return 0;
    }
    let doubling = nanos.ilog2();
    if doubling >= HIGHEST {
        return BUCKETS - 1;
    }
    let within = (nanos >> (doubling - PLACE_BITS)) as u32 - PER_DOUBLING;
    ((doubling - LOWEST) * PER_DOUBLING + within) as usize
}

/// The first length, in nanoseconds, that lies beyond this bucket.
const fn end_of(place: usize) -> u64 {
    let (doubling, within) = (place as u32 / PER_DOUBLING, place as u32 % PER_DOUBLING);
    ((PER_DOUBLING + within + 1) as u64) << (doubling + LOWEST - PLACE_BITS)
}

#[cfg(test)]
mod tests {
    use base::time::nanos;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_beyond_the_ends_are_counted_at_the_ends() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), None);
        latencies.record(0);
        assert_eq!(latencies.quantile(0.5), Some(Duration::from_nanos(1_056)));
        latencies.record(u64::MAX);
        assert_eq!(latencies.quantile(1.0), Some(Duration::from_nanos(1 << HIGHEST)));
        latencies.clear();
        assert_eq!((latencies.len(), latencies.quantile(0.5)), (0, None));
    }

    proptest! {
        /// Against a sorted list.
        #[test]
        fn quantiles_are_right_to_a_thirty_second(
            lengths in prop::collection::vec(1_024..1_000_000_000_000_u64, 1..100),
            share in 0.0..=1.0_f64,
        ) {
            let (mut all, mut even, mut odd) =
                (Latencies::new(), Latencies::new(), Latencies::new());
            for ns in &lengths {
                all.record(*ns);
                if ns % 2 == 0 { &mut even } else { &mut odd }.record(*ns);
            }
            prop_assert_eq!(even.quantile_with(&odd, share), all.quantile(share));
            let mut sorted = lengths;
            sorted.sort_unstable();
            let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let truth = sorted[rank - 1] as f64;
            let told = nanos(all.quantile(share).expect("not empty")) as f64;
            prop_assert!(truth < told && told <= truth * (1.0 + 1.0 / 32.0) + 1.0, "{truth} {told}");
        }
    }
}
