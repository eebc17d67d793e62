//! What a backend tells of its load: how many requests it has, and how long it believes that one
//! takes now. It must not know what a balancer makes of it.
//!
//! The estimate is that of Prequal's servers (Wydrowski et al., Load is not what you should
//! balance, NSDI 2024, §4): the median of the latencies that requests had lately which found about
//! as many others as are there now. A backend that fills up has more inside than any that has
//! ended met: it takes at least as long as those, so the fullest of them tell. The reverse is not
//! done, and nothing lately means no estimate: a backend that once was slow and gets no requests
//! since would else look slow for ever.

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;

/// A backend's load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests inside, served and waiting ones.
    pub in_flight: u32,
    /// How long one takes at this load; zero when no recent request tells.
    pub latency: Duration,
}

/// How long a latency counts.
const FRESH: Duration = Duration::from_secs(1);

/// Latencies kept for each bucket: of so many the median is within the middle half nearly always.
const SAMPLES: usize = 16;

/// Below this every number of requests has a bucket of its own; above, an eighth of an octave has.
const EXACT: u32 = 16;

/// The latencies of the requests that ended lately, by how many others they found. At most 240
/// buckets of 264 bytes; they come into being as the load first gets there.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadMeter {
    buckets: Vec<Bucket>,
    /// Those that wait or are served, in order of arrival.
    inside: VecDeque<Inside>,
}

/// A request inside: its number, when it came and how many it met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    seq: u32,
    met: u32,
    began: Time,
}

#[derive(Clone, Debug)]
struct Bucket {
    /// When each ended, and its latency in nanoseconds; the oldest is overwritten.
    samples: [(Time, u64); SAMPLES],
    /// How many there were.
    seen: u64,
}

impl Bucket {
    const EMPTY: Self = Self { samples: [(Time::ZERO, 0); SAMPLES], seen: 0 };

    fn fresh(&self, now: Time) -> impl Iterator<Item = u64> {
        let kept = usize::try_from(self.seen).unwrap_or(SAMPLES).min(SAMPLES);
        let is_fresh = move |&&(ended, _): &&(Time, u64)| now.since(ended) <= FRESH;
        self.samples[..kept].iter().filter(is_fresh).map(|&(_, nanos)| nanos)
    }
}

/// Which bucket so many requests belong to.
const fn bucket_of(in_flight: u32) -> usize {
    if in_flight < EXACT {
        return in_flight as usize;
    }
    let octave = u32::BITS - 1 - in_flight.leading_zeros();
    let eighth = (in_flight >> (octave - 3)) & 7;
    (EXACT + (octave - 4) * 8 + eighth) as usize
}

impl LoadMeter {
    /// A request came, numbered after those that came before, and found `met` others inside.
    pub(crate) fn enter(&mut self, began: Time, seq: u32, met: u32) {
        self.inside.push_back(Inside { seq, met, began });
    }

    /// It was served.
    pub(crate) fn end(&mut self, now: Time, seq: u32) {
        if let Some(Inside { met, began, .. }) = self.leave(seq) {
            self.record(now, met, now.nanos_since(began));
        }
    }

    /// It is inside no longer. One that came before anybody wanted to know is not known.
    pub(crate) fn leave(&mut self, seq: u32) -> Option<Inside> {
        // Numbers begin anew after 2³²; as a rule the oldest goes first.
        let oldest = self.inside.front()?.seq;
        let age = |seq: u32| seq.wrapping_sub(oldest);
        let place = self.inside.binary_search_by_key(&age(seq), |inside| age(inside.seq));
        self.inside.remove(place.ok()?)
    }

    /// Nobody is inside any more.
    pub(crate) fn clear(&mut self) {
        self.inside.clear();
    }

    /// A request ended that had found `met` others inside and took so many nanoseconds.
    fn record(&mut self, now: Time, met: u32, latency_ns: u64) {
        let index = bucket_of(met);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::EMPTY);
        }
        let bucket = &mut self.buckets[index];
        bucket.samples[bucket.seen as usize % SAMPLES] = (now, latency_ns);
        bucket.seen += 1;
    }

    /// How long a request may be expected to take that finds `in_flight` others: the median of
    /// the fresh latencies in its bucket and the two beside it, else of the next lower one that has
    /// any; zero where none has.
    pub(crate) fn estimate(&self, now: Time, in_flight: u32) -> Duration {
        let end = self.buckets.len();
        let index = bucket_of(in_flight);
        let near = index.saturating_sub(1).min(end)..(index + 2).min(end);
        let lower = self.buckets[..near.start].iter().rev();
        median(self.buckets[near].iter().flat_map(|bucket| bucket.fresh(now)))
            .or_else(|| lower.into_iter().find_map(|bucket| median(bucket.fresh(now))))
            .map_or(Duration::ZERO, Duration::from_nanos)
    }
}

/// The median, of an even number the lower, of what is at most three buckets.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut sorted = [0; 3 * SAMPLES];
    let mut count = 0;
    for value in values {
        sorted[count] = value;
        count += 1;
    }
    let (_, &mut median, _) = sorted[..count].select_nth_unstable(count.checked_sub(1)? / 2);
    Some(median)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + ms(millis)
    }

    #[test]
    fn the_estimate_is_the_median_of_what_is_recent_and_alike() {
        let mut meter = LoadMeter::default();
        assert_eq!(meter.estimate(at(0), 0), Duration::ZERO, "nothing is known");
        for (ended, met, latency) in
            [(10, 0, 5), (20, 1, 7), (30, 2, 100), (40, 5, 30), (900, 4, 20), (950, 100, 500)]
        {
            meter.record(at(ended), met, latency * 1_000_000);
        }
        for (now, in_flight, expected) in [
            (1000, 0, 5),     // of 5 and 7 the lower
            (1000, 1, 7),     // 5, 7, 100
            (1000, 3, 20),    // 20, 100
            (1000, 4, 20),    // 20, 30
            (1000, 6, 30),    // 30 alone
            (1000, 8, 30),    // nobody met about 8; those who met 5 tell
            (1000, 50, 30),   // not those who met 100
            (1015, 0, 7),     // the 5 is too old
            (1041, 6, 20),    // and so is the 30; those who met 4 tell
            (1041, 5, 20),    // not so its neighbour
            (1041, 99, 500),  // near enough
            (1041, 140, 500), // and the fullest
            (9000, 100, 0),   // nothing is recent
        ] {
            assert_eq!(meter.estimate(at(now), in_flight), ms(expected), "{in_flight} at {now}");
        }
    }

    #[test]
    fn whoever_ends_or_leaves_is_found_whatever_the_number() {
        let mut meter = LoadMeter::default();
        let first = u32::MAX - 2;
        for n in 0..6 {
            meter.enter(at(u64::from(n)), first.wrapping_add(n), n);
        }
        assert!(meter.leave(first.wrapping_sub(1)).is_none(), "it was never known");
        let left = [0, 4, 3].map(|n| meter.leave(first.wrapping_add(n)).map(|inside| inside.met));
        assert_eq!(left, [Some(0), Some(4), Some(3)]);
        meter.end(at(101), first.wrapping_add(1));
        assert_eq!(meter.estimate(at(101), 1), ms(100));
        meter.clear();
        meter.end(at(103), first.wrapping_add(2));
        assert_eq!(meter.estimate(at(103), 2), ms(100), "whoever was lost took no time");
    }

    #[test]
    fn buckets_follow_each_other_and_are_few() {
        let mut last = 0;
        for in_flight in 0..100_000 {
            let bucket = bucket_of(in_flight);
            assert!(bucket == last || bucket == last + 1, "{in_flight}");
            last = bucket;
        }
        assert_eq!(bucket_of(u32::MAX), 239);
    }

    /// What the meter must say, told from the whole history.
    fn reference(history: &[(u64, u32, u64)], now: u64, in_flight: u32) -> u64 {
        let bucket = bucket_of(in_flight);
        let fresh = |wanted: usize| -> Vec<u64> {
            let of_bucket = history.iter().filter(|(_, met, _)| bucket_of(*met) == wanted);
            let last = of_bucket.rev().take(SAMPLES);
            last.filter(|(ended, ..)| now - ended <= 1000).map(|&(.., latency)| latency).collect()
        };
        let near = (bucket.saturating_sub(1)..=bucket + 1).flat_map(fresh).collect();
        let lower = (0..bucket).rev().map(fresh);
        let mut told: Vec<u64> =
            std::iter::once(near).chain(lower).find(|found| !found.is_empty()).unwrap_or_default();
        told.sort_unstable();
        told.get(told.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }

    /// The one that shuns a backend that is idle now for how it was when it was full.
    fn tells_of_higher_loads(history: &[(u64, u32, u64)], now: u64, in_flight: u32) -> u64 {
        let highest = history.iter().map(|&(_, met, _)| met).max();
        reference(history, now, highest.unwrap_or(0).max(in_flight))
    }

    /// The one that starves idle backends for ever: what it once saw stays.
    fn never_forgets(history: &[(u64, u32, u64)], _now: u64, in_flight: u32) -> u64 {
        let last = history.last().map_or(0, |&(ended, ..)| ended);
        reference(history, last, in_flight)
    }

    /// The one that a burst at another load misleads.
    fn ignores_the_load(history: &[(u64, u32, u64)], now: u64, _in_flight: u32) -> u64 {
        let flat: Vec<_> = history.iter().map(|&(ended, _, latency)| (ended, 0, latency)).collect();
        reference(&flat, now, 0)
    }

    fn meter_of(history: &[(u64, u32, u64)]) -> LoadMeter {
        let mut meter = LoadMeter::default();
        for &(ended, met, latency) in history {
            meter.record(at(ended), met, latency * 1_000_000);
        }
        meter
    }

    fn histories() -> impl Strategy<Value = (Vec<(u64, u32, u64)>, u64, u32)> {
        let sample = (0..40_u64, prop_oneof![0..6_u32, 0..400_u32], 1..100_u64);
        let history = prop::collection::vec(sample, 0..120).prop_map(|steps| {
            let mut now = 0;
            steps
                .into_iter()
                .map(|(step, met, latency)| {
                    now += step;
                    (now, met, latency)
                })
                .collect::<Vec<_>>()
        });
        (history, 0..1500_u64, prop_oneof![0..6_u32, 0..400_u32]).prop_map(|(h, later, met)| {
            let now = h.last().map_or(0, |&(ended, ..)| ended) + later;
            (h, now, met)
        })
    }

    proptest! {
        #[test]
        fn the_meter_says_what_the_whole_history_says((history, now, met) in histories()) {
            let told = meter_of(&history).estimate(at(now), met);
            prop_assert_eq!(told, ms(reference(&history, now, met)));
        }
    }

    #[test]
    fn the_wrong_estimates_are_told_apart() {
        let history = [(10, 0, 5), (20, 0, 5), (30, 300, 90), (40, 300, 90), (50, 300, 90)];
        let told = |now, met| meter_of(&history).estimate(at(now), met);
        assert_ne!(told(2000, 0), ms(never_forgets(&history, 2000, 0)));
        assert_ne!(told(60, 0), ms(ignores_the_load(&history, 60, 0)));
        assert_ne!(told(60, 0), ms(tells_of_higher_loads(&history, 60, 0)));
    }
}
