//! What a balancer sees of a backend without asking: its own requests there, how long they took,
//! and whether they failed. It must not know what a backend told.

use std::time::Duration;

use base::{Time, time::nanos};

/// Answers that are remembered, as in prequal-rs.
const SAMPLES: usize = 16;

/// For how long. An old high latency would keep requests away, and so would never be corrected.
const SAMPLE_AGE: Duration = Duration::from_secs(1);

/// Aversion doubles with every failure in a row, up to 2⁵ times the age of the oldest answers used.
const MAX_DOUBLINGS: u32 = 5;

/// An answer to a request.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Time,
    /// The requests that were here when it came.
    in_flight: u32,
    nanos: u64,
}

/// One backend, as the balancer sees it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) weight: u32,
    /// The balancer's own requests here.
    pub(super) in_flight: u32,
    /// The latest, in a ring.
    samples: Vec<Sample>,
    next: usize,
    /// Failures in a row.
    failures: u32,
    averse_until: Time,
}

impl View {
    pub(super) const fn new(in_flight: u32) -> Self {
        Self {
            weight: 1,
            in_flight,
            samples: Vec::new(),
            next: 0,
            failures: 0,
            averse_until: Time::ZERO,
        }
    }

    /// The same with this weight.
    pub(super) fn of(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    pub(super) fn answered(&mut self, now: Time, after: Duration) {
        self.failures = 0;
        self.averse_until = Time::ZERO;
        let sample = Sample { at: now, in_flight: self.in_flight, nanos: nanos(after) };
        if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
            self.next = (self.next + 1) % SAMPLES;
        }
    }

    /// One failure may happen to anybody; from the second in a row on the backend is avoided, for
    /// `base` and twice as long each time. What fails meanwhile was sent before.
    pub(super) fn failed(&mut self, now: Time, base: Duration) {
        if self.is_averse(now) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(doublings) = self.failures.checked_sub(2) {
            self.averse_until = now + base * (1 << doublings.min(MAX_DOUBLINGS));
        }
    }

    pub(super) fn is_averse(&self, now: Time) -> bool {
        now < self.averse_until
    }

    /// The median of what recent answers took that found about as many requests here: at most one
    /// more or fewer than `in_flight`, or as near as there are any. Zero without recent answers, so
    /// that somebody goes and looks.
    pub(super) fn latency(&self, now: Time, in_flight: u32) -> Duration {
        let recent = || self.samples.iter().filter(|s| now.since(s.at) <= SAMPLE_AGE);
        let distance = |sample: &Sample| sample.in_flight.abs_diff(in_flight);
        let Some(nearest) = recent().map(distance).min() else { return Duration::ZERO };
        let mut near = [0; SAMPLES];
        let mut count = 0;
        for sample in recent().filter(|s| distance(s) <= nearest.max(1)) {
            near[count] = sample.nanos;
            count += 1;
        }
        let (_, median, _) = near[..count].select_nth_unstable((count - 1) / 2);
        Duration::from_nanos(*median)
    }
}
