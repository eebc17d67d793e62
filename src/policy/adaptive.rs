//! How many requests may be in flight in all: as many as do not make each other slow. It must not
//! know who waits for it.
//!
//! The gradient controller of Envoy (`gradient_controller.cc`), after Netflix's concurrency-limits:
//! from time to time the limit is held at its minimum until some requests have shown how long one
//! takes without load; then, again and again, the limit is multiplied by how much faster than now
//! that was, and given a square root of itself as room to grow. Users of Envoy saw 503s whenever
//! the limit was held at its minimum; here requests wait for it where there is a queue.

use std::time::Duration;

use base::{Rng, Time};

use crate::latencies::Latencies;
use crate::settings::AdaptiveSettings;

/// The quantile of latencies that is compared, with load and without.
const QUANTILE: f64 = 0.5;
/// The time between two measurements is stretched by up to this share of itself, so that balancers
/// which were started together do not hold back together.
const JITTER: f64 = 0.15;
/// By how much the limit is changed at once, at most and at least.
const MOST: f64 = 2.0;
const LEAST: f64 = 0.5;
/// So many updates in a row at the minimum mean that the measured latency is no longer the truth.
const UPDATES_AT_MIN: u32 = 5;

/// The limit, and how it is found.
#[derive(Debug)]
pub(crate) struct Adaptive {
    settings: AdaptiveSettings,
    rng: Rng,
    limit: f64,
    /// The latency without load, once it was measured.
    unloaded: Option<Duration>,
    phase: Phase,
    /// When a measurement has lasted long enough, or the limit is drawn anew.
    due: Time,
    /// The latencies of this phase, or since the last update.
    seen: Latencies,
    at_min: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The limit is at its minimum, to see how long a request takes without load.
    Measuring { since: Time },
    /// The limit follows the latency.
    Following { measure_at: Time },
}

impl Adaptive {
    pub(crate) fn new(settings: AdaptiveSettings, rng: Rng) -> Self {
        let limit = f64::from(settings.min.max(1));
        let phase = Phase::Measuring { since: Time::ZERO };
        let (due, seen) = (Time::ZERO + settings.interval, Latencies::new());
        Self { settings, rng, limit, unloaded: None, phase, due, seen, at_min: 0 }
    }

    const fn min(&self) -> u32 {
        if self.settings.min == 0 { 1 } else { self.settings.min }
    }

    /// The most requests that may be in flight now.
    pub(crate) fn limit(&mut self, now: Time) -> u32 {
        self.advance(now);
        self.current()
    }

    /// The limit as it was last.
    pub(crate) fn current(&self) -> u32 {
        match self.phase {
            Phase::Measuring { .. } => self.min(),
            Phase::Following { .. } => self.limit as u32,
        }
    }

    /// A request that was sent at `sent` got a whole answer that is no failure.
    pub(crate) fn completed(&mut self, now: Time, sent: Time) {
        self.advance(now);
        if let Phase::Measuring { since } = self.phase
            && sent < since
        {
            // It was in flight together with too many others.
            return;
        }
        self.seen.record(now.nanos_since(sent));
        let enough = self.seen.len() >= u64::from(self.settings.requests.max(1));
        if enough && matches!(self.phase, Phase::Measuring { .. }) {
            self.follow(now);
        }
    }

    #[inline]
    fn advance(&mut self, now: Time) {
        if now >= self.due {
            self.step(now);
        }
    }

    #[cold]
    fn step(&mut self, now: Time) {
        match self.phase {
            // With so little traffic, or so many failures, what there is has to do.
            Phase::Measuring { .. } if self.seen.len() > 0 || self.unloaded.is_some() => {
                self.follow(now);
            }
            Phase::Measuring { .. } => self.measure(now),
            Phase::Following { measure_at } => {
                self.update();
                if now >= measure_at || self.at_min >= UPDATES_AT_MIN {
                    self.measure(now);
                } else {
                    self.due = now + self.settings.update;
                }
            }
        }
    }

    fn measure(&mut self, now: Time) {
        self.seen.clear();
        self.at_min = 0;
        self.phase = Phase::Measuring { since: now };
        self.due = now + self.settings.interval;
    }

    fn follow(&mut self, now: Time) {
        self.unloaded = self.seen.quantile(QUANTILE).or(self.unloaded);
        self.seen.clear();
        let stretch = 1.0 + JITTER * self.rng.unit();
        let measure_at = now + self.settings.interval.mul_f64(stretch);
        self.phase = Phase::Following { measure_at };
        self.due = now + self.settings.update;
    }

    /// Draws the limit from the latencies since the last time, if there are any.
    fn update(&mut self) {
        let (Some(now), Some(unloaded)) = (self.seen.quantile(QUANTILE), self.unloaded) else {
            return;
        };
        self.seen.clear();
        self.limit = next_limit(self.limit, unloaded, now, &self.settings);
        self.at_min = if self.limit as u32 <= self.min() { self.at_min + 1 } else { 0 };
    }
}

/// The rule: g = clamp(unloaded · (1 + buffer) / now, ½, 2); limit · g + √(limit · g).
fn next_limit(limit: f64, unloaded: Duration, now: Duration, settings: &AdaptiveSettings) -> f64 {
    let allowed = unloaded.as_secs_f64() * (1.0 + settings.buffer.max(0.0));
    let gradient = (allowed / now.as_secs_f64()).clamp(LEAST, MOST);
    let scaled = limit * gradient;
    let min = settings.min.max(1);
    (scaled + scaled.sqrt()).clamp(f64::from(min), f64::from(settings.max.max(min)))
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use base::Rng;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_limit_follows_the_latency() {
        let settings = AdaptiveSettings::default();
        for (limit, unloaded, now, expected) in [
            // As fast as without load: the buffer and the root are room to grow.
            (100.0, 10, 10, 125.0 + 125_f64.sqrt()),
            // A quarter slower is what the buffer allows: the root alone.
            (100.0, 8, 10, 110.0),
            (100.0, 10, 25, 50.0 + 50_f64.sqrt()), // to a half, at most at once
            (100.0, 10, 1000, 50.0 + 50_f64.sqrt()),
            (100.0, 10, 1, 200.0 + 200_f64.sqrt()), // to the double, at most at once
            (3.0, 10, 1000, 3.0),                   // min
            (900.0, 10, 10, 1000.0),                // max
        ] {
            let next = next_limit(limit, ms(unloaded), ms(now), &settings);
            assert!((next - expected).abs() < 1e-9, "{limit} {unloaded} {now}: {next}");
        }
    }

    #[test]
    fn it_measures_at_the_minimum_and_goes_on_where_it_was() {
        let settings = AdaptiveSettings { requests: 10, ..AdaptiveSettings::default() };
        let mut adaptive = Adaptive::new(settings, Rng::from_seed(1));
        let mut now = Time::ZERO;
        assert_eq!(adaptive.limit(now), 3);
        let mut answer = |adaptive: &mut Adaptive, after: u64| {
            now += ms(10);
            adaptive.completed(now, now - ms(after));
            now
        };
        for _ in 0..9 {
            answer(&mut adaptive, 5);
        }
        assert!(adaptive.unloaded.is_none());
        // It was in flight before the measurement began, which is when the balancer was made.
        answer(&mut adaptive, 5);
        let told = adaptive.unloaded.expect("ten requests were seen").as_secs_f64();
        assert!((0.005..=0.005 * 33.0 / 32.0).contains(&told), "{told}");
        while adaptive.current() < 200 {
            answer(&mut adaptive, 5);
        }
        // The next measurement: in 30 s to 34.5 s.
        let mut last = 0;
        while adaptive.current() > 3 {
            last = adaptive.current();
            answer(&mut adaptive, 5);
        }
        let began = answer(&mut adaptive, 5).as_secs_f64();
        assert!((30.0..35.0).contains(&began), "{began}");
        for _ in 0..20 {
            answer(&mut adaptive, 1_000); // sent before: they do not count
        }
        assert_eq!(adaptive.current(), 3);
        for _ in 0..10 {
            answer(&mut adaptive, 7);
        }
        assert!(adaptive.current() >= last, "as before");
        let told = adaptive.unloaded.expect("measured").as_secs_f64();
        assert!((0.007..=0.007 * 33.0 / 32.0).contains(&told), "{told}");
    }

    #[test]
    fn a_measurement_ends_also_when_little_is_answered() {
        let mut adaptive = Adaptive::new(AdaptiveSettings::default(), Rng::from_seed(1));
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert_eq!(adaptive.limit(at(40)), 3);
        assert!(matches!(adaptive.phase, Phase::Measuring { since } if since == at(40)));
        adaptive.completed(at(41), at(41) - ms(5));
        assert_eq!(adaptive.limit(at(71)), 3);
        assert!(matches!(adaptive.phase, Phase::Following { .. }), "one answer has to do");
        adaptive.limit(at(110));
        assert!(matches!(adaptive.phase, Phase::Measuring { .. }));
        adaptive.limit(at(141));
        assert!(matches!(adaptive.phase, Phase::Following { .. }), "none: the old one holds");
    }

    /// Anything that limits.
    trait Limits {
        fn limit(&mut self, now: Time) -> u32;
        fn completed(&mut self, now: Time, sent: Time);
    }

    impl Limits for Adaptive {
        fn limit(&mut self, now: Time) -> u32 {
            Self::limit(self, now)
        }
        fn completed(&mut self, now: Time, sent: Time) {
            Self::completed(self, now, sent);
        }
    }

    /// Wrong: measures the latency without load while the load is there. What the limit itself
    /// brought about is taken for the nature of the server, again and again.
    struct NeverAlone(Adaptive);

    impl Limits for NeverAlone {
        fn limit(&mut self, now: Time) -> u32 {
            self.0.advance(now);
            self.0.limit as u32
        }
        fn completed(&mut self, now: Time, sent: Time) {
            self.0.completed(now, sent);
        }
    }

    /// A server that serves `at_once` requests in 10 ms each, the rest wait; twice as many come as
    /// it can serve, and whoever is beyond the limit is refused. The largest number in flight in
    /// the last half of a minute.
    fn most_in_flight(limits: &mut dyn Limits, at_once: usize) -> usize {
        let every = Duration::from_secs_f64(0.010 / at_once as f64 / 2.0);
        let mut free_at: BinaryHeap<std::cmp::Reverse<Time>> =
            (0..at_once).map(|_| std::cmp::Reverse(Time::ZERO)).collect();
        let mut open: BinaryHeap<std::cmp::Reverse<(Time, Time)>> = BinaryHeap::new();
        let (mut now, mut most) = (Time::ZERO, 0);
        while now.as_secs_f64() < 60.0 {
            now += every;
            while let Some(&std::cmp::Reverse((end, sent))) = open.peek()
                && end <= now
            {
                open.pop();
                limits.completed(end, sent);
            }
            if open.len() < limits.limit(now) as usize {
                let std::cmp::Reverse(free) = free_at.pop().expect("one each");
                let end = free.max(now) + ms(10);
                free_at.push(std::cmp::Reverse(end));
                open.push(std::cmp::Reverse((end, now)));
            }
            if now.as_secs_f64() > 30.0 {
                most = most.max(open.len());
            }
        }
        most
    }

    #[test]
    fn overload_is_refused_before_requests_are_slow() {
        let interval = Duration::from_secs(2);
        let settings = AdaptiveSettings { interval, ..AdaptiveSettings::default() };
        for at_once in [8, 64] {
            let mut adaptive = Adaptive::new(settings.clone(), Rng::from_seed(1));
            let most = most_in_flight(&mut adaptive, at_once);
            // At the fixed point the root is what the gradient takes: L·g + √(L·g) = L at
            // g = 1.25 · n/L, where a latency of L/n services is; n = 64: 64·1.25 + √80 = 89.
            let root = (1.25 * at_once as f64).sqrt();
            let fixed = 1.25 * at_once as f64 + root;
            assert!(
                (at_once as f64..=1.4 * fixed).contains(&(most as f64)),
                "{most} in flight at {at_once} at once"
            );
            let adaptive = Adaptive::new(settings.clone(), Rng::from_seed(1));
            let wrong = most_in_flight(&mut NeverAlone(adaptive), at_once);
            assert!(wrong as f64 > 1.4 * fixed, "{wrong} at {at_once}: not noticed");
        }
    }

    proptest! {
        #[test]
        fn the_limit_keeps_within_its_bounds(
            seed in any::<u64>(),
            (min, more) in (0..20_u32, 0..100_u32),
            buffer in 0.0..3.0_f64,
            steps in prop::collection::vec((0..200_u64, 0..5_000_u64), 1..500),
        ) {
            let settings = AdaptiveSettings {
                min, max: min + more, buffer, requests: 5, ..AdaptiveSettings::default()
            };
            let mut adaptive = Adaptive::new(settings, Rng::from_seed(seed));
            let mut now = Time::ZERO;
            for (gap, latency) in steps {
                now += ms(gap);
                adaptive.completed(now, now - ms(latency));
                prop_assert!((min.max(1)..=(min + more).max(1)).contains(&adaptive.limit(now)));
            }
        }
    }
}
