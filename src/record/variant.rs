//! The rounds of one variant, merged: counters add up, histograms merge, nothing is averaged.
//! It must not know files.

use std::collections::BTreeMap;

use crate::expect::Span;
use crate::recorder::Plan;
use crate::sampled::BackendTotal;
use crate::summary::{BackendEntry, Percentiles, ResourceEntry, RoundSummary, VariantSummary};
use crate::tally::{FAILURE_KINDS, Tally};
use crate::trial::TrialRecord;
use crate::units;

/// What is kept of a variant until the end of the run.
pub(crate) struct Variant {
    pub(crate) plan: Plan,
    duration_ns: u64,
    tallies: Vec<Tally>,
    backends: Vec<BackendTotal>,
    processes: BTreeMap<String, Process>,
    per_round: Vec<RoundSummary>,
}

#[derive(Default)]
struct Process {
    cpu_seconds: f64,
    rss_peak_bytes: u64,
}

impl Variant {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            duration_ns: 0,
            tallies: Vec::new(),
            backends: vec![BackendTotal::default(); plan.backends.len()],
            processes: BTreeMap::new(),
            per_round: Vec::new(),
        }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, trial: &TrialRecord) {
        self.duration_ns += trial.duration_ns;
        for tally in &trial.tallies {
            match self.tallies.iter_mut().find(|mine| mine.span == tally.span) {
                Some(mine) => mine.merge(tally),
                None => self.tallies.push(tally.clone()),
            }
        }
        for (mine, theirs) in self.backends.iter_mut().zip(trial.sampled.totals()) {
            mine.requests += theirs.requests;
            mine.max_in_flight = mine.max_in_flight.max(theirs.max_in_flight);
        }
        for totals in &trial.processes {
            let process = self.processes.entry(totals.process.clone()).or_default();
            process.cpu_seconds += totals.cpu_seconds;
            process.rss_peak_bytes = process.rss_peak_bytes.max(totals.rss_peak_bytes);
        }
        let (verdict, reasons) = trial.verdict();
        let whole = trial.whole();
        self.per_round.push(RoundSummary {
            round: trial.plan.round,
            verdict: verdict.word().to_owned(),
            reasons,
            counts: whole.counts,
            achieved_rps: rate(whole.sent_in_time, trial.duration_ns),
            latency_ms: Percentiles::of(&whole.latency),
            dispatch_ms: Percentiles::of(&whole.dispatch),
        });
    }

    /// The tally of a span that the plan named, or of the whole.
    pub(crate) fn tally(&self, span: Span) -> Option<&Tally> {
        self.tallies.iter().find(|tally| tally.span == span)
    }

    /// The whole measured time.
    pub(crate) fn whole(&self) -> &Tally {
        self.tally(self.plan.whole()).expect("every trial has its whole")
    }

    pub(crate) fn summary(&self) -> VariantSummary {
        let whole = self.whole();
        let all: u64 = self.backends.iter().map(|backend| backend.requests).sum();
        let backends = self.plan.backends.iter().zip(&self.backends);
        VariantSummary {
            name: self.plan.variant.clone(),
            subject: self.plan.subject.clone(),
            generator: self.plan.generator.clone(),
            parameters: self.plan.parameters.iter().cloned().collect(),
            rounds: u32::try_from(self.per_round.len()).unwrap_or(u32::MAX),
            counts: whole.counts,
            offered_rps: rate(whole.counts.intended, self.duration_ns),
            achieved_rps: rate(whole.sent_in_time, self.duration_ns),
            latency_ms: Percentiles::of(&whole.latency),
            service_ms: Percentiles::of(&whole.service),
            dispatch_ms: Percentiles::of(&whole.dispatch),
            failed_ms: Percentiles::of(&whole.failed),
            failures: (FAILURE_KINDS.iter().zip(whole.failures))
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| (kind.word().to_owned(), count))
                .collect(),
            backends: backends
                .map(|(name, total)| BackendEntry {
                    name: name.clone(),
                    requests: total.requests,
                    share: (all > 0).then(|| units::ratio(total.requests, all)),
                    max_in_flight: total.max_in_flight,
                })
                .collect(),
            resources: (self.processes.iter())
                .map(|(name, process)| (name.clone(), process.entry(whole.counts.intended)))
                .collect(),
            per_round: self.per_round.clone(),
        }
    }
}

impl Process {
    fn entry(&self, intended: u64) -> ResourceEntry {
        let per_request = self.cpu_seconds * 1e6 / intended as f64;
        ResourceEntry {
            cpu_seconds: units::significant(self.cpu_seconds),
            cpu_us_per_request: (intended > 0).then(|| units::significant(per_request)),
            rss_peak_bytes: self.rss_peak_bytes,
        }
    }
}

/// Events a second, to six significant digits; zero over no time at all.
fn rate(count: u64, duration_ns: u64) -> f64 {
    match duration_ns {
        0 => 0.0,
        lasted => units::significant(count as f64 * 1e9 / lasted as f64),
    }
}

impl Percentiles {
    /// The figures of one distribution.
    pub fn of(distribution: &crate::Distribution) -> Self {
        let at = |quantile| distribution.at_quantile(quantile).map(units::ms);
        Self {
            mean: units::mean_ms(distribution.sum_ns(), distribution.count()),
            p50: at(5_000),
            p75: at(7_500),
            p90: at(9_000),
            p95: at(9_500),
            p99: at(9_900),
            p999: at(9_990),
            p9999: at(9_999),
            max: distribution.max().map(units::ms),
        }
    }
}
