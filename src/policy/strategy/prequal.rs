//! Prequal: backends are asked for their load beside the requests, and a request goes to the best
//! of the recent answers (Wydrowski, Kleinberg, Rumble, Archer: Load is not what you should
//! balance: Introducing Prequal, NSDI 2024, arXiv 2312.10172). It must not wait for an answer.

mod entries;
#[cfg(test)]
mod tests;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base::{BackendId, RequestMeta, Rng, Time};

use self::entries::{Entries, Threshold, stand_of};
use self::view::View;
use super::draw::Distinct;
use super::registry::{duration, integer, number, text};
use super::{
    Candidates, Entry, Job, LoadProbe, LoadReport, Observation, Parameter, PerBackend, Seen,
    Strategy,
};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// The registry's entry. Its values are the paper's, but for `q_rif`: the authors' 0.84 lets the
/// latency of five in six backends decide, which is right by 5 to 10 % while they tell latencies
/// that are true now. Where they are what somebody saw a second ago, requests herd to whoever was
/// fast then (tests/queues.rs shows it), and 0.6, the least of what the paper reports in use, holds.
pub static ENTRY: Entry = Entry {
    name: "prequal",
    summary: "asks a few backends for their load after each request and picks, of the recent \
              answers, the fastest that is not among the fullest: several balancers, backends \
              with neighbours that steal their CPU; costs probes",
    parameters: &[
        Parameter {
            name: "probes",
            default: ParameterValue::Number(3.0),
            min: 0.1,
            max: 16.0,
            summary: "probes for each request, at most one a backend; 0.5 is one for every second",
        },
        Parameter {
            name: "pool",
            default: ParameterValue::Integer(16),
            min: 2.0,
            max: 64.0,
            summary: "answers that are kept, at most for half of the backends",
        },
        Parameter {
            name: "max_age",
            default: ParameterValue::Duration(Duration::from_secs(1)),
            min: 0.001,
            max: 60.0,
            summary: "for how long an answer is used",
        },
        Parameter {
            name: "q_rif",
            default: ParameterValue::Number(0.6),
            min: 0.0,
            max: 1.0,
            summary: "the quantile of in-flight counts above which a backend is hot and its \
                      latency does not matter: 0 goes by in-flight counts alone, 1 by latency",
        },
        Parameter {
            name: "remove",
            default: ParameterValue::Number(1.0),
            min: 0.0,
            max: 16.0,
            summary: "answers thrown away at each request, oldest and worst by turns; at most half \
                      of those that come for other backends",
        },
        Parameter {
            name: "path",
            default: ParameterValue::Text(Cow::Borrowed("/health")),
            min: 1.0,
            max: 256.0,
            summary: "what a probe asks for; X-In-Flight and X-Estimated-Latency of the answer \
                      count, and without them what the balancer sees itself",
        },
        Parameter {
            name: "timeout",
            default: ParameterValue::Duration(Duration::from_millis(250)),
            min: 0.001,
            max: 60.0,
            summary: "how long a probe may take",
        },
    ],
    build: |parameters| Box::new(Prequal::new(parameters)),
};

/// With fewer usable answers than this a request goes anywhere: with one there is no choice, and
/// all balancers that hold it would take it.
const MIN_USABLE: usize = 2;

/// δ, the share of answers more than are used up that a pool in balance gets.
const DELTA: f64 = 1.0;

/// The most times an answer is used. The rule gives infinity where every backend has its answer in
/// the pool, because then it is renewed and not used up.
const MAX_USES: f64 = 16.0;

struct Prequal {
    /// The parameters that [`Prequal::pool_changed`] fits to the number of backends.
    per_request: f64,
    limit: usize,
    remove: f64,
    max_age: Duration,
    path: String,
    timeout: Duration,
    /// Probes for each request.
    probes: Spread,
    /// Answers thrown away for each request.
    removals: Spread,
    /// How often an answer may be used.
    uses: Spread,
    /// Who may be asked.
    ready: Vec<BackendId>,
    /// What is seen of each of them without asking.
    views: PerBackend<View>,
    entries: Entries,
    threshold: Threshold,
    /// Whom to ask now.
    asks: Vec<BackendId>,
}

/// A rate, in whole numbers: 1.5 an event gives 1, 2, 1, 2, …
#[derive(Debug)]
struct Spread {
    rate: f64,
    owed: f64,
}

impl Spread {
    const fn of(rate: f64) -> Self {
        Self { rate, owed: 0.0 }
    }

    fn next(&mut self) -> usize {
        self.owed += self.rate;
        let whole = self.owed as usize;
        self.owed -= whole as f64;
        whole
    }
}

impl Prequal {
    fn new(parameters: &BTreeMap<String, ParameterValue>) -> Self {
        Self {
            per_request: number(parameters, "probes"),
            limit: integer(parameters, "pool"),
            max_age: duration(parameters, "max_age"),
            remove: number(parameters, "remove"),
            path: text(parameters, "path"),
            timeout: duration(parameters, "timeout"),
            probes: Spread::of(0.0),
            removals: Spread::of(0.0),
            uses: Spread::of(1.0),
            ready: Vec::new(),
            views: PerBackend::default(),
            entries: Entries::new(),
            threshold: Threshold::new(number(parameters, "q_rif")),
            asks: Vec::new(),
        }
    }

    /// The best of the usable answers is used.
    fn best(&mut self, now: Time, candidates: &Candidates<'_>) -> Option<usize> {
        self.entries.expire(now, self.max_age);
        let theta = self.threshold.value();
        let (place, index) = self.entries.best(candidates, theta, MIN_USABLE)?;
        self.entries.use_up(place);
        Some(index)
    }

    /// Any candidate; rather one of whom no row of failures is known.
    fn anyone(&self, now: Time, candidates: &Candidates<'_>, rng: &mut Rng) -> usize {
        let n = candidates.len();
        let mut drawn = Distinct::new(2, n, rng);
        let first = drawn.next().expect("there are candidates");
        let is_averse = |index| {
            self.views.get(candidates.id(index)).is_some_and(|view: &View| view.is_averse(now))
        };
        if is_averse(first) { drawn.find(|&i| !is_averse(i)).unwrap_or(first) } else { first }
    }
}

impl Strategy for Prequal {
    fn pick(
        &mut self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let best = self.best(now, candidates);
        let index = best.unwrap_or_else(|| self.anyone(now, candidates, rng));
        let id = candidates.id(index);
        if let Some(view) = self.views.get_mut(id) {
            view.in_flight = candidates.in_flight(index) + 1;
        }
        for _ in 0..self.removals.next() {
            // Fewer than these would make the next request a blind one.
            if self.entries.len() > MIN_USABLE {
                self.entries.remove_one(candidates, self.threshold.value());
            }
        }
        let ready = &self.ready;
        let drawn = Distinct::new(self.probes.next(), ready.len(), rng);
        self.asks.extend(drawn.map(|index| ready[index]));
        id
    }

    /// The rates fit the number n of backends: at most m = n/2 answers are kept, or there is
    /// nothing to choose from; the more there are, the rarer is one that is not there yet,
    /// (1 − m/n)·r_probe a request. Of those at most half are thrown away, and an answer is used
    /// (1 + δ) / ((1 − m/n)·r_probe − r_remove) times, at least once (§4.1 of the paper: 1.32 with
    /// its 100 backends).
    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        let n = pool.ready().len();
        let kept = (n / 2).max(MIN_USABLE).min(self.limit);
        self.entries.limit(kept);
        // One backend alone is not asked: there is no choice.
        self.probes.rate = if n < 2 { 0.0 } else { self.per_request.min(n as f64) };
        let others = (1.0 - kept as f64 / n as f64).max(0.0) * self.probes.rate;
        self.removals.rate = self.remove.min(others / 2.0);
        let uses = (1.0 + DELTA) / (others - self.removals.rate);
        self.uses.rate = uses.clamp(1.0, MAX_USES);
        self.ready.clear();
        let mut views = PerBackend::default();
        for (id, weight) in pool.ready() {
            self.ready.push(id);
            let in_flight = pool.status(id).map_or(0, |status| status.in_flight);
            // Who comes back into service begins anew.
            let known = self.views.get(id).cloned();
            views.or_insert_with(id, || known.unwrap_or_else(|| View::new(in_flight)).of(weight));
        }
        self.views = views;
        None
    }

    /// Failures make averse (§4.3, error aversion): a backend that fails fast is empty and fast,
    /// and would be best of all. The first takes its answer away; more in a row make it go unasked
    /// for a while.
    fn observed(&mut self, now: Time, backend: BackendId, observation: Observation) {
        let Some(view) = self.views.get_mut(backend) else { return };
        match observation.seen {
            Seen::Answer => view.answered(now, observation.after),
            Seen::Failure { .. } => {
                view.failed(now, self.max_age);
                self.entries.forget(backend);
            }
            Seen::Nothing => {}
        }
    }

    fn ended(&mut self, backend: BackendId, in_flight: u32) {
        if let Some(view) = self.views.get_mut(backend) {
            view.in_flight = in_flight;
        }
    }

    fn load_reported(&mut self, now: Time, backend: BackendId, report: Option<LoadReport>) {
        let Some(view) = self.views.get(backend) else { return };
        let Some(report) = report.filter(|_| !view.is_averse(now)) else {
            self.entries.forget(backend);
            return;
        };
        let (in_flight, told) =
            report.load.map_or((view.in_flight, false), |l| (l.in_flight, true));
        let latency = report.load.map_or(Duration::ZERO, |load| load.latency);
        let latency = if latency.is_zero() { view.latency(now, in_flight) } else { latency };
        self.threshold.count(stand_of(in_flight, view.weight));
        let uses = self.uses.next().max(1);
        self.entries.put(entries::Answer { backend, at: now, in_flight, told, latency, uses });
    }

    fn poll_load_probe(&mut self) -> Option<LoadProbe> {
        let backend = self.asks.pop()?;
        Some(LoadProbe { backend, path: self.path.clone(), within: self.timeout })
    }

    /// The latency of a cold one in seconds; a million more than its in-flight count per weight of
    /// a hot one; none without a recent answer.
    fn score(
        &self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let answer = self.entries.of(candidates.id(index), now, self.max_age)?;
        let standing = answer.standing(candidates, index, self.threshold.value());
        Some(standing.score())
    }
}
