//! Peak EWMA: the power of two choices on expected latency instead of in-flight counts, after
//! Finagle's `PeakEwma.scala` and tower's `load/peak_ewma.rs`; failures count as slow answers,
//! after linkerd's `load-biaser`. It must not look at backends that were not drawn.

use std::time::Duration;

use base::math::exp;
use base::{BackendId, RequestMeta, Rng, Time};

use super::draw::{Distinct, MAX_DRAWN};
use super::registry::{duration, integer};
use super::{Candidates, Entry, Job, Observation, Parameter, PerBackend, Seen, Strategy};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// A backend that asks for more time than this is not believed, as in linkerd.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "peak_ewma",
    summary: "draws two backends and takes the one with the lower expected latency, recent answers \
              times requests in flight per weight; a slow answer counts at once, a failure as a \
              very slow one: backends whose speed differs or changes",
    parameters: &[
        Parameter {
            name: "decay",
            default: ParameterValue::Duration(Duration::from_secs(10)),
            min: 0.001,
            max: 3600.0,
            summary: "how long an answer is remembered (the time constant of the average)",
        },
        Parameter {
            name: "default_rtt",
            default: ParameterValue::Duration(Duration::from_millis(30)),
            min: 0.000_001,
            max: 3600.0,
            summary: "the latency assumed of a backend that has not answered yet",
        },
        Parameter {
            name: "penalty",
            default: ParameterValue::Duration(Duration::from_secs(5)),
            min: 0.0,
            max: 3600.0,
            summary: "the latency that a failure counts as, at least; with 0 a backend that fails \
                      fast draws the load",
        },
        Parameter {
            name: "choices",
            default: ParameterValue::Integer(2),
            min: 1.0,
            max: MAX_DRAWN as f64,
            summary: "how many backends are drawn",
        },
        Parameter {
            name: "scan_below",
            default: ParameterValue::Integer(0),
            min: 0.0,
            max: 1_000_000.0,
            summary: "with fewer backends than this all are compared",
        },
    ],
    build: |parameters| {
        Box::new(PeakEwma {
            decay: duration(parameters, "decay").as_secs_f64(),
            default_rtt: duration(parameters, "default_rtt").as_secs_f64(),
            penalty: duration(parameters, "penalty").as_secs_f64(),
            choices: integer(parameters, "choices"),
            scan_below: integer(parameters, "scan_below"),
            estimates: PerBackend::default(),
        })
    },
};

struct PeakEwma {
    /// Seconds, here and below.
    decay: f64,
    default_rtt: f64,
    penalty: f64,
    choices: usize,
    scan_below: usize,
    /// Of every candidate; `None` until it has shown something.
    estimates: PerBackend<Option<Estimate>>,
}

/// What a backend's recent answers took.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    /// Seconds, as of `at`.
    rtt: f64,
    at: Time,
}

impl Estimate {
    /// Its value now. It falls towards zero while nothing is heard: a backend that nobody asks is
    /// asked again in the end.
    fn decayed(self, now: Time, decay: f64) -> f64 {
        self.rtt * exp(-now.since(self.at).as_secs_f64() / decay)
    }

    /// A sample that is slower than the estimate replaces it at once; a faster one moves it by as
    /// much as has been forgotten since the last.
    fn follow(&mut self, now: Time, decay: f64, sample: f64) {
        let kept = exp(-now.since(self.at).as_secs_f64() / decay);
        let average = self.rtt * kept + sample * (1.0 - kept);
        self.rtt = if sample > self.rtt { sample } else { average };
        self.at = now;
    }
}

impl PeakEwma {
    /// The time that one more request may be expected to take: what the backend takes for one,
    /// times those that it would then have, per weight.
    fn cost(&self, now: Time, candidates: &Candidates<'_>, index: usize) -> f64 {
        let estimate = self.estimates.get(candidates.id(index)).copied().flatten();
        let rtt = estimate.map_or(self.default_rtt, |e| e.decayed(now, self.decay));
        rtt * (f64::from(candidates.in_flight(index)) + 1.0) / f64::from(candidates.weight(index))
    }
}

impl Strategy for PeakEwma {
    fn pick(
        &mut self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let n = candidates.len();
        let cheaper = |best: (usize, f64), index: usize| {
            let cost = self.cost(now, candidates, index);
            if cost < best.1 { (index, cost) } else { best }
        };
        // A scan begins anywhere, so that of several equals none is always first.
        let (index, _) = if n < self.scan_below {
            let start = rng.below(n);
            (start..n).chain(0..start).fold((start, f64::INFINITY), cheaper)
        } else {
            Distinct::new(self.choices, n, rng).fold((0, f64::INFINITY), cheaper)
        };
        candidates.id(index)
    }

    /// Whoever went out of service and comes back has no history: it was taken out for what it did
    /// then, and is brought back for what it does now.
    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        let mut estimates = PerBackend::default();
        for (id, _) in pool.ready() {
            estimates.or_insert_with(id, || self.estimates.get(id).copied().flatten());
        }
        self.estimates = estimates;
        None
    }

    fn observed(&mut self, now: Time, backend: BackendId, observation: Observation) {
        let decay = self.decay;
        let Some(known) = self.estimates.get_mut(backend) else { return };
        let after = observation.after.as_secs_f64();
        let so_far = known.map_or(0.0, |e| e.decayed(now, decay));
        let sample = match observation.seen {
            Seen::Answer => after,
            Seen::Failure { retry_after } => {
                let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER).as_secs_f64();
                after.max(self.penalty).max(asked).max(so_far)
            }
            // It would have taken longer; how long is not known, so it can only raise the estimate.
            Seen::Nothing if after > so_far => after,
            Seen::Nothing => return,
        };
        match known {
            Some(estimate) => estimate.follow(now, decay, sample),
            None => *known = Some(Estimate { rtt: sample, at: now }),
        }
    }

    fn score(
        &self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        Some(self.cost(now, candidates, index))
    }
}
