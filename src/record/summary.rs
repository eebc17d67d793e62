//! The figures of a run, one entry a variant: the shape of summary.json. It must not know engines.
//!
//! `intended = ok + failed + rejected + dropped + unfinished`, always. Latencies in milliseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units;

/// summary.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this shape.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What the scenario asks.
    pub question: String,
    /// "live" or "sim"; "imported" where another program has measured.
    pub engine: String,
    /// The seed.
    pub seed: u64,
    /// "valid", "suspect", "invalid" or "interrupted": the worst of all trials.
    pub verdict: String,
    /// Why, when it is not valid.
    pub reasons: Vec<String>,
    /// What a reader should know of the scenario itself, whatever the verdict: a load that is more
    /// than the backends can serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the figures mean where the lab has not measured them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The length of the measured time, seconds.
    pub duration_s: f64,
    /// The length of a window, seconds.
    pub window_s: f64,
    /// The phases with their place in the measured time.
    pub phases: Vec<PhaseEntry>,
    /// One entry a variant, in the scenario's order.
    pub variants: Vec<VariantSummary>,
    /// Each expectation, judged.
    pub expectations: Vec<Judgement>,
}

/// What the figures of a run mean that another program has measured: words to stand where the lab's
/// own would be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who measured: "Artillery".
    pub measured_by: String,
    /// Whose latency it is, from when to when: in place of "good requests, intended start to last byte".
    pub latency: String,
    /// Which window an event belongs to: in place of "by intended start".
    pub counted: String,
    /// Where time begins: in place of "the end of the warm-up".
    pub zero: String,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseEntry {
    /// Its name.
    pub name: String,
    /// Its beginning, seconds from the end of the warm-up.
    pub from_s: f64,
    /// Its end.
    pub to_s: f64,
    /// Requests a second at its beginning.
    pub rate_from: f64,
    /// Requests a second at its end.
    pub rate_to: f64,
}

impl PhaseEntry {
    pub(crate) fn of(phase: &crate::recorder::PhaseSpan) -> Self {
        Self {
            name: phase.name.clone(),
            from_s: units::duration_s(phase.span.from),
            to_s: units::duration_s(phase.span.to),
            rate_from: phase.rate.0,
            rate_to: phase.rate.1,
        }
    }
}

/// Counters; they add up over rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests in the schedule (up to the interruption, if there was one).
    pub intended: u64,
    /// Those whose first byte was written.
    pub sent: u64,
    /// Whole answers below 500 other than 429.
    pub ok: u64,
    /// Every other end.
    pub failed: u64,
    /// 429 or 503.
    pub rejected: u64,
    /// Never sent.
    pub dropped: u64,
    /// Open when the run was interrupted.
    pub unfinished: u64,
    /// Sent and retries; `None` where the subject cannot tell.
    pub attempts: Option<u64>,
    /// Retries granted; `None` where the subject cannot tell.
    pub retries: Option<u64>,
}

impl Counts {
    /// Whether every intended request ended in one way.
    pub fn add_up(&self) -> bool {
        self.ends() == self.intended
    }

    /// How many ended in any way.
    pub fn ends(&self) -> u64 {
        let ends = [self.ok, self.failed, self.rejected, self.dropped, self.unfinished];
        ends.into_iter().fold(0, u64::saturating_add)
    }
}

/// The figures of one histogram, milliseconds; `None` when it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// From exact integer sums.
    pub mean: Option<f64>,
    /// Percentiles to 3 significant digits.
    pub p50: Option<f64>,
    /// 75 %.
    pub p75: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 95 %.
    pub p95: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p999: Option<f64>,
    /// 99.99 %.
    pub p9999: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

/// One variant: its rounds merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantSummary {
    /// Its varied values joined by ", ", or "default".
    pub name: String,
    /// "lab", "direct", "nginx" …
    pub subject: String,
    /// Who sent the requests, "builtin" or "artillery"; absent when simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// The varied values by path.
    pub parameters: BTreeMap<String, String>,
    /// How many were played.
    pub rounds: u32,
    /// The counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// Intended requests a second.
    pub offered_rps: f64,
    /// Requests a second that were sent before the last phase ended.
    pub achieved_rps: f64,
    /// Good requests, intended start to last byte.
    pub latency_ms: Percentiles,
    /// Good requests, first byte written to last byte.
    pub service_ms: Percentiles,
    /// All sent requests, intended start to first byte written.
    pub dispatch_ms: Percentiles,
    /// All failed requests, intended start to end (never mixed with the good ones).
    pub failed_ms: Percentiles,
    /// Failures by kind ("connect", "timeout", …).
    pub failures: BTreeMap<String, u64>,
    /// Each backend.
    pub backends: Vec<BackendEntry>,
    /// Each process, by name; empty when simulated.
    pub resources: BTreeMap<String, ResourceEntry>,
    /// The same figures for each round.
    pub per_round: Vec<RoundSummary>,
}

/// One backend over a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendEntry {
    /// Its name.
    pub name: String,
    /// Attempts that it read, probes left out.
    pub requests: u64,
    /// Of all backends' requests.
    pub share: Option<f64>,
    /// The most that were inside at once.
    pub max_in_flight: u32,
}

/// What one process used between the end of the warm-up and the end of the phases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceEntry {
    /// User and system.
    pub cpu_seconds: f64,
    /// The same per intended request, microseconds.
    pub cpu_us_per_request: Option<f64>,
    /// The most it had resident.
    pub rss_peak_bytes: u64,
}

/// One round of a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    /// From 1.
    pub round: u32,
    /// Its verdict.
    pub verdict: String,
    /// Why.
    pub reasons: Vec<String>,
    /// Its counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// See [`VariantSummary`].
    pub achieved_rps: f64,
    /// See [`VariantSummary`].
    pub latency_ms: Percentiles,
    /// See [`VariantSummary`].
    pub dispatch_ms: Percentiles,
}

/// An expectation, judged for one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// As in the scenario.
    pub metric: String,
    /// "0s..30s".
    pub window: String,
    /// Which variant.
    pub variant: String,
    /// `None` when there was nothing to measure, which fails.
    pub measured: Option<f64>,
    /// "< 0.01", "< 250ms".
    pub limit: String,
    /// Whether it holds.
    pub passed: bool,
    /// "failover.toml:41".
    pub place: String,
}
