//! Peak EWMA: the power of two choices on expected latency instead of in-flight counts, after
//! Finagle's `PeakEwma.scala` and tower's `load/peak_ewma.rs`. It must not look at backends that
//! were not drawn.
//!
//! Failures cost time too, else who fails fast would draw the load. linkerd's `load-biaser` records
//! each as an answer of 5 s, which the peak rule believes at once: beside backends that take 20 ms a
//! single one keeps a backend out for 55 s. Here the share of failures is an average of its own, and
//! its square times the penalty is added to the latency: one failure among many costs milliseconds,
//! a backend that only fails costs the whole penalty.

use std::time::Duration;

use base::math::exp;
use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::ByWeight;
use super::draw::MAX_DRAWN;
use super::registry::{duration, integer};
use super::{Candidates, Entry, Job, Observation, Parameter, PerBackend, Seen, Strategy};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// A backend that asks for more time than this is not believed, as in linkerd.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// How much one outcome moves the share of failures. It does not depend on the rate of requests: a
/// few failures tell as much at 20 requests a second as at 20,000.
const OUTCOME_WEIGHT: f64 = 0.05;

/// How much one answer moves the average of all.
const USUAL_WEIGHT: f64 = 0.05;
/// Where weights differ, latencies within this factor count as alike, and the draw, which goes by
/// weight, decides among the idle. Else chance would: of two equals whoever was not asked for
/// longer has the lower estimate, whatever it weighs. nginx's `least_time` rounds for the same end.
const ALIKE: f64 = 2.0;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "peak_ewma",
    summary: "draws two backends by weight and takes the one with the lower expected latency, recent answers \
              times requests in flight per weight; a slow answer counts at once, failures by the \
              square of their share: backends whose speed differs or changes",
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
            summary: "the latency assumed of backends until the first of them answers",
        },
        Parameter {
            name: "penalty",
            default: ParameterValue::Duration(Duration::from_secs(5)),
            min: 0.0,
            max: 3600.0,
            summary: "the latency added to a backend that only fails, and that of one which asks \
                      to be left alone (Retry-After); a share of failures adds its square of \
                      this; with 0 a backend that fails fast draws the load",
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
            usual: None,
            estimates: PerBackend::default(),
            by_weight: ByWeight::new(),
            mean_weight: 1.0,
            alike: 1.0,
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
    /// What answers took of late, whosever they were.
    usual: Option<f64>,
    by_weight: ByWeight,
    /// Of the candidates.
    mean_weight: f64,
    /// 1 where all weigh the same, and else [`ALIKE`].
    alike: f64,
}

/// What a backend's recent answers took, and how many of them were failures.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    /// Seconds, as of `at`.
    rtt: f64,
    /// The share of failures among the recent outcomes, from 0 to 1, as of `at`.
    failures: f64,
    at: Time,
    /// Until when it asked to be left alone.
    asked_until: Time,
}

impl Estimate {
    /// Its value now. Latency and failures fade while nothing is heard: a backend that nobody asks
    /// is asked again in the end.
    fn decayed(self, now: Time, decay: f64) -> Self {
        let kept = exp(-now.since(self.at).as_secs_f64() / decay);
        Self { rtt: self.rtt * kept, failures: self.failures * kept, at: now, ..self }
    }

    /// A sample that is slower than the estimate replaces it at once; a faster one moves it by as
    /// much as has been forgotten since the last.
    fn answered(&mut self, now: Time, decay: f64, sample: f64) {
        let kept = exp(-now.since(self.at).as_secs_f64() / decay);
        let average = self.rtt * kept + sample * (1.0 - kept);
        self.rtt = if sample > self.rtt { sample } else { average };
        self.failures *= kept * (1.0 - OUTCOME_WEIGHT);
        self.at = now;
    }

    /// A failure counts as one outcome; its latency only where it is a peak, for it says nothing of
    /// how soon a good answer comes.
    fn failed(&mut self, now: Time, decay: f64, sample: f64, asked: Duration) {
        *self = self.decayed(now, decay);
        self.rtt = self.rtt.max(sample);
        self.failures += OUTCOME_WEIGHT * (1.0 - self.failures);
        self.asked_until = self.asked_until.max(now + asked);
    }

    /// The seconds that a request may be expected to take, failures included.
    fn expected(self, now: Time, decay: f64, penalty: f64) -> f64 {
        let current = self.decayed(now, decay);
        let time = current.rtt + penalty * current.failures * current.failures;
        if now < self.asked_until { time.max(penalty) } else { time }
    }
}

/// What a candidate promises to a request.
#[derive(Clone, Copy, Debug)]
struct Prospect {
    index: usize,
    /// Seconds for one request.
    rtt: f64,
    requests: f64,
}

impl Prospect {
    fn cost(self) -> f64 {
        self.rtt * self.requests
    }
}

impl PeakEwma {
    /// What is assumed of a backend that nobody knows: as fast as all of late. A guess that does
    /// not follow the others would draw everything to it, or nothing for good.
    fn assumed(&self) -> f64 {
        self.usual.unwrap_or(self.default_rtt)
    }

    /// What one more request may be expected to take there: what the backend takes for one, and it
    /// and those before it. These count the less the heavier the backend is; but an idle one is no
    /// faster for its weight, which the draw has honoured already.
    fn prospect(&self, now: Time, candidates: &Candidates<'_>, index: usize) -> Prospect {
        let estimate = self.estimates.get(candidates.id(index)).copied().flatten();
        let rtt =
            estimate.map_or_else(|| self.assumed(), |e| e.expected(now, self.decay, self.penalty));
        let part = self.mean_weight / f64::from(candidates.weight(index));
        Prospect { index, rtt, requests: f64::from(candidates.in_flight(index)) * part + 1.0 }
    }

    /// The better of two; the former, if neither is.
    fn better(&self, former: Prospect, other: Prospect) -> Prospect {
        let is_alike = former.rtt < other.rtt * self.alike && other.rtt < former.rtt * self.alike;
        let is_better =
            if is_alike { other.requests < former.requests } else { other.cost() < former.cost() };
        if is_better { other } else { former }
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
        let best = |drawn: &mut dyn Iterator<Item = usize>| {
            let prospects = drawn.map(|index| self.prospect(now, candidates, index));
            prospects.reduce(|former, other| self.better(former, other))
        };
        // A scan begins anywhere, by weight, so that of several equals none is always first.
        let best = if n < self.scan_below {
            let start = self.by_weight.one(candidates, rng);
            best(&mut (start..n).chain(0..start))
        } else {
            best(&mut self.by_weight.several(self.choices, candidates, rng))
        };
        candidates.id(best.expect("choices and candidates are at least 1").index)
    }

    /// Whoever went out of service and comes back has no history: it was taken out for what it did
    /// then, and is brought back for what it does now.
    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        let mut estimates = PerBackend::default();
        for (id, _) in pool.ready() {
            estimates.or_insert_with(id, || self.estimates.get(id).copied().flatten());
        }
        self.estimates = estimates;
        self.by_weight.pool_changed(pool);
        let n = pool.ready().len().max(1);
        self.mean_weight = pool.ready().map(|(_, w)| f64::from(w)).sum::<f64>() / n as f64;
        self.alike = if self.by_weight.is_even() { 1.0 } else { ALIKE };
        None
    }

    fn observed(&mut self, now: Time, backend: BackendId, observation: Observation) {
        let (decay, assumed) = (self.decay, self.assumed());
        let Some(known) = self.estimates.get_mut(backend) else { return };
        let after = observation.after.as_secs_f64();
        let first = |rtt| Estimate { rtt, failures: 0.0, at: now, asked_until: Time::ZERO };
        match observation.seen {
            Seen::Answer => {
                known.get_or_insert(first(after)).answered(now, decay, after);
                self.usual = Some(self.usual.map_or(after, |u| u + USUAL_WEIGHT * (after - u)));
            }
            Seen::Failure { retry_after } => {
                let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                known.get_or_insert(first(assumed)).failed(now, decay, after, asked);
            }
            // It would have taken longer; how long is not known, so it can only raise the estimate,
            // and it is no outcome.
            Seen::Nothing => {
                let so_far = known.map(|estimate| estimate.decayed(now, decay));
                if after > so_far.map_or(0.0, |estimate| estimate.rtt) {
                    *known = Some(Estimate { rtt: after, ..so_far.unwrap_or(first(after)) });
                }
            }
        }
    }

    fn score(
        &self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        Some(self.prospect(now, candidates, index).cost())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;

    const fn strategy() -> PeakEwma {
        PeakEwma {
            decay: 10.0,
            default_rtt: 0.030,
            penalty: 5.0,
            choices: 2,
            scan_below: 0,
            estimates: PerBackend::new(),
            usual: None,
            by_weight: ByWeight::new(),
            mean_weight: 1.0,
            alike: 1.0,
        }
    }

    /// What one backend's cost is at some second, after what was seen of it before.
    #[test]
    fn the_estimate_follows_what_was_seen() {
        use Seen::{Answer, Failure, Nothing};
        let failure =
            |seconds: f64| Failure { retry_after: Some(Duration::from_secs_f64(seconds)) };
        let e = |x: f64| x.exp();
        let one = 5.0 * 0.05 * 0.05; // 12.5 ms
        for (seen, at, expected) in [
            (&[][..], 7.0, 0.030),
            (&[(0.0, 0.1, Answer)], 0.0, 0.1),
            (&[(0.0, 0.1, Answer)], 10.0, 0.1 * e(-1.0)), // unused, it fades
            (&[(0.0, 0.1, Answer), (0.0, 0.3, Answer)], 0.0, 0.3), // a peak counts at once
            (&[(0.0, 0.3, Answer), (0.0, 0.1, Answer)], 0.0, 0.3), // and is not forgotten at once
            (&[(0.0, 0.3, Answer), (5.0, 0.1, Answer)], 5.0, 0.3 * e(-0.5) + 0.1 * (1.0 - e(-0.5))),
            (&[(0.0, 0.001, Failure { retry_after: None })], 0.0, 0.030 + one), // however fast
            (&[(0.0, 0.02, Answer), (0.0, 0.001, Failure { retry_after: None })], 0.0, 0.02 + one),
            (&[(0.0, 8.0, Failure { retry_after: None })], 0.0, 8.0 + one), // a peak as well
            (&[(0.0, 0.001, failure(20.0))], 19.0, 5.0),                    // it asked for 20 s
            (&[(0.0, 0.001, failure(20.0))], 20.0, 0.030 * e(-2.0) + one * e(-4.0)),
            (&[(0.0, 0.001, failure(86_400.0))], 299.0, 5.0), // who asks for a day
            (&[(0.0, 0.001, failure(86_400.0))], 300.0, 0.030 * e(-30.0)), // gets minutes
            (&[(0.0, 0.2, Answer), (0.0, 0.1, Nothing)], 0.0, 0.2), // a client that left early
            (&[(0.0, 0.2, Answer), (0.0, 0.7, Nothing)], 0.0, 0.7), // it took this long at least
            (&[(0.0, 0.2, Nothing)], 0.0, 0.2),
        ] {
            let mut strategy = strategy();
            let pool = ready_pool(&[(1, 0)]);
            let (id, _) = pool.ready().next().expect("one");
            strategy.pool_changed(&pool, &mut Rng::from_seed(1));
            for &(at, after, seen) in seen {
                let after = Duration::from_secs_f64(after);
                strategy.observed(Time::from_secs_f64(at), id, Observation { after, seen });
            }
            let candidates = pool.candidates().expect("one");
            let cost = strategy.prospect(Time::from_secs_f64(at), &candidates, 0).cost();
            assert!((cost - expected).abs() < 1e-9, "{seen:?} at {at}: {cost}, not {expected}");
        }
    }

    #[test]
    fn the_cost_counts_what_is_in_flight_per_weight() {
        let mut strategy = strategy();
        let pool = ready_pool(&[(1, 0), (1, 3), (4, 3), (2, 0)]);
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        let candidates = pool.candidates().expect("four");
        for (index, expected) in [0.030, 0.210, 0.075, 0.030].into_iter().enumerate() {
            let cost = strategy.prospect(Time::ZERO, &candidates, index).cost();
            assert!((cost - expected).abs() < 1e-12, "{index}: {cost}");
        }
    }

    #[test]
    fn who_comes_back_into_service_begins_anew() {
        let mut strategy = strategy();
        let mut pool = ready_pool(&[(1, 0), (1, 0)]);
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        let failed = Seen::Failure { retry_after: None };
        let failed = Observation { after: Duration::ZERO, seen: failed };
        for &id in &ids {
            strategy.observed(Time::ZERO, id, failed);
        }
        pool.set_draining(ids[0], true);
        pool.settle(Time::ZERO, ids[0], "x");
        pool.refresh();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        strategy.observed(Time::ZERO, ids[0], failed);
        pool.set_draining(ids[0], false);
        pool.settle(Time::ZERO, ids[0], "x");
        pool.refresh();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        let candidates = pool.candidates().expect("two");
        let costs = [0, 1].map(|i| strategy.prospect(Time::ZERO, &candidates, i).cost());
        assert_eq!(costs[0], 0.030);
        assert!((costs[1] - 0.0425).abs() < 1e-9, "{costs:?}: the other keeps its history");
    }

    /// The promise of one failure: with the defaults, beside others that take 20 ms, a backend is
    /// out for less than 4 s; one that only fails is out for good within a hundred answers.
    #[test]
    fn one_failure_costs_little_and_many_cost_all() {
        let mut estimate =
            Estimate { rtt: 0.020, failures: 0.0, at: Time::ZERO, asked_until: Time::ZERO };
        let (decay, penalty) = (10.0, 5.0);
        estimate.failed(Time::ZERO, decay, 0.001, Duration::ZERO);
        assert!(estimate.expected(Time::ZERO, decay, penalty) > 0.030, "it is felt");
        assert!(estimate.expected(Time::from_secs_f64(4.0), decay, penalty) < 0.020);
        for _ in 0..100 {
            estimate.failed(Time::ZERO, decay, 0.001, Duration::ZERO);
        }
        assert!(estimate.expected(Time::ZERO, decay, penalty) > 0.98 * penalty);
    }
}
