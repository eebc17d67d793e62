//! Expectations: a metric, where, and its limit. It must not know TOML.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;
use crate::summary::{Judgement, Percentiles};
use crate::tally::Tally;
use crate::units;

/// What histograms there are.
const HISTOGRAMS: [&str; 3] = ["latency", "service", "dispatch"];
/// What can be asked of one.
const STATISTICS: [&str; 9] = ["mean", "p50", "p75", "p90", "p95", "p99", "p999", "p9999", "max"];
/// Parts of the intended requests.
const RATIOS: [&str; 4] = ["failed_ratio", "rejected_ratio", "retry_ratio", "achieved_ratio"];
/// The summary's counters.
const COUNTERS: [&str; 9] = [
    "intended",
    "sent",
    "ok",
    "failed",
    "rejected",
    "dropped",
    "unfinished",
    "attempts",
    "retries",
];

/// What can be expected of; parsed by [`Metric::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric(String);

impl Metric {
    /// `latency.p99`, `failed_ratio`, `ok` …
    ///
    /// # Errors
    /// A sentence that names the nearest metric, and what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        if Self::all().any(|name| name == text) {
            return Ok(Self(text.to_owned()));
        }
        let nearest =
            Self::all().min_by_key(|name| edit_distance(name, text)).expect("there are metrics");
        Err(format!(
            "unknown metric \"{text}\"; did you mean \"{nearest}\"? There are {{{}}}.{{{}}}, {} and {}",
            HISTOGRAMS.join(","),
            STATISTICS.join(","),
            RATIOS.join(", "),
            COUNTERS.join(", "),
        ))
    }

    /// Every metric there is.
    pub fn all() -> impl Iterator<Item = String> {
        let of_histogram =
            |histogram| STATISTICS.iter().map(move |statistic| format!("{histogram}.{statistic}"));
        let others = RATIOS.iter().chain(&COUNTERS).map(|name| (*name).to_owned());
        HISTOGRAMS.iter().flat_map(of_histogram).chain(others)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its values are durations (written "250ms") rather than plain numbers.
    pub fn is_duration(&self) -> bool {
        self.0.contains('.')
    }

    /// Whether it is cut from counters that are read at the windows' ends alone: it exists for
    /// spans that begin and end there, and for no others.
    pub fn is_sampled(&self) -> bool {
        matches!(self.0.as_str(), "retry_ratio" | "retries" | "attempts")
    }

    /// Its value; durations in milliseconds. `None` when there was nothing to measure: no request
    /// in the span, no good one to have a latency, or a subject that cannot tell its retries.
    pub fn measure(&self, tally: &Tally) -> Option<f64> {
        let counts = &tally.counts;
        if counts.intended == 0 {
            return None;
        }
        if let Some((histogram, statistic)) = self.0.split_once('.') {
            return statistic_of(
                statistic,
                match histogram {
                    "latency" => &tally.latency,
                    "service" => &tally.service,
                    _ => &tally.dispatch,
                },
            );
        }
        let ratio = |part: u64| part as f64 / counts.intended as f64;
        match self.0.as_str() {
            "failed_ratio" => Some(ratio(counts.intended - counts.ok)),
            "rejected_ratio" => Some(ratio(counts.rejected)),
            "retry_ratio" => counts.retries.map(ratio),
            "achieved_ratio" => Some(ratio(tally.sent_in_time)),
            "intended" => Some(counts.intended as f64),
            "sent" => Some(counts.sent as f64),
            "ok" => Some(counts.ok as f64),
            "failed" => Some(counts.failed as f64),
            "rejected" => Some(counts.rejected as f64),
            "dropped" => Some(counts.dropped as f64),
            "unfinished" => Some(counts.unfinished as f64),
            "attempts" => counts.attempts.map(|attempts| attempts as f64),
            "retries" => counts.retries.map(|retries| retries as f64),
            other => unreachable!("{other} was parsed"),
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.0
    }
}

fn statistic_of(statistic: &str, distribution: &Distribution) -> Option<f64> {
    let figures = Percentiles::of(distribution);
    match statistic {
        "mean" => figures.mean,
        "p50" => figures.p50,
        "p75" => figures.p75,
        "p90" => figures.p90,
        "p95" => figures.p95,
        "p99" => figures.p99,
        "p999" => figures.p999,
        "p9999" => figures.p9999,
        _ => figures.max,
    }
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The bound of an expectation; durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// The measured value must be smaller.
    Below(f64),
    /// The measured value must be larger.
    Above(f64),
}

impl Limit {
    /// Whether a value keeps to it. A value that is exactly the limit does not.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::Below(limit) => value < limit,
            Self::Above(limit) => value > limit,
        }
    }

    /// "< 0.01", "> 250ms".
    pub fn text(self, metric: &Metric) -> String {
        let (sign, limit) = match self {
            Self::Below(limit) => ('<', limit),
            Self::Above(limit) => ('>', limit),
        };
        format!("{sign} {limit}{}", if metric.is_duration() { "ms" } else { "" })
    }
}

/// A part of the measured time, from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Its beginning.
    pub from: Duration,
    /// Its end, not included.
    pub to: Duration,
}

impl Span {
    /// "0s..30s".
    pub fn text(self) -> String {
        format!("{}..{}", units::span_text(self.from), units::span_text(self.to))
    }
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Of what.
    pub metric: Metric,
    /// Over which part; a phase is resolved to its span.
    pub span: Span,
    /// Of which variant; `None` is each of them.
    pub variant: Option<String>,
    /// The bound.
    pub limit: Limit,
    /// Where it stands in the scenario, `failover.toml:41`, for messages.
    pub place: String,
}

impl Expectation {
    /// Judges it for one variant by the tally of its span, all rounds merged; no tally, nothing
    /// measured. What was not measured fails.
    pub fn judge(&self, variant: &str, tally: Option<&Tally>) -> Judgement {
        let measured = tally.and_then(|tally| self.metric.measure(tally));
        Judgement {
            metric: self.metric.as_str().to_owned(),
            window: self.span.text(),
            variant: variant.to_owned(),
            // Milliseconds are rounded already, and counters are whole.
            measured: match self.metric.as_str().ends_with("_ratio") {
                true => measured.map(units::significant),
                false => measured,
            },
            limit: self.limit.text(&self.metric),
            passed: measured.is_some_and(|value| self.limit.holds(value)),
            place: self.place.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{FailureKind, Outcome, Time};

    use super::*;
    use crate::grid::Grid;
    use crate::tally::{Ending, SpanMeter};

    fn tally(outcomes: &[(Outcome, u64)], retries: Option<u64>) -> Tally {
        let span = Span { from: Duration::ZERO, to: Duration::from_secs(10) };
        // The window is longer than the span, which therefore records by itself.
        let grid = Grid::new(Duration::ZERO, span.to * 2, span.to * 2);
        let mut meter = SpanMeter::new(span, &grid);
        for &(outcome, latency_ms) in outcomes {
            meter.begin(&grid, 0, Time::from_nanos(1));
            let ending = Ending {
                outcome,
                latency_ns: latency_ms * 1_000_000,
                sent_ns: (outcome != Outcome::Dropped).then_some(1),
                dispatch_ns: 1_000_000,
            };
            meter.end(&grid, &ending, 0, Time::from_nanos(1));
        }
        meter.finish(&[], retries)
    }

    #[test]
    fn every_metric_parses_and_is_measured() {
        let tally = tally(&[(Outcome::Ok, 20)], Some(1));
        let mut count = 0;
        for name in Metric::all() {
            let metric = Metric::parse(&name).expect("it is listed");
            assert_eq!(metric.as_str(), name);
            assert!(metric.measure(&tally).is_some(), "{name}");
            count += 1;
        }
        assert_eq!(count, 3 * 9 + 4 + 9);
    }

    #[test]
    fn an_unknown_metric_names_its_neighbour() {
        for (text, nearest) in [
            ("latency.p98", "latency.p9"),
            ("latency_p99", "latency.p99"),
            ("fail_ratio", "failed_ratio"),
            ("requests", "rejected"),
            ("", "ok"),
        ] {
            let error = Metric::parse(text).expect_err("unknown");
            assert!(error.starts_with(&format!("unknown metric \"{text}\"")), "{error}");
            assert!(error.contains(&format!("did you mean \"{nearest}")), "{error}");
        }
    }

    #[test]
    fn metrics_measure_what_they_say() {
        let tally = tally(
            &[
                (Outcome::Ok, 20),
                (Outcome::Ok, 40),
                (Outcome::Failed(FailureKind::Timeout), 5_000),
                (Outcome::Rejected, 1),
                (Outcome::Dropped, 5_000),
            ],
            Some(2),
        );
        for (name, expected) in [
            ("intended", 5.0),
            ("sent", 4.0),
            ("ok", 2.0),
            ("failed", 1.0),
            ("rejected", 1.0),
            ("dropped", 1.0),
            ("unfinished", 0.0),
            ("attempts", 6.0),
            ("retries", 2.0),
            ("failed_ratio", 0.6),
            ("rejected_ratio", 0.2),
            ("retry_ratio", 0.4),
            ("achieved_ratio", 0.8),
            ("latency.mean", 30.0),
            ("latency.max", 40.0),
            ("service.max", 39.0),
            ("dispatch.p99", 1.0),
        ] {
            let metric = Metric::parse(name).expect("known");
            assert_eq!(metric.measure(&tally), Some(expected), "{name}");
        }
    }

    /// A metric that is measured without retries known is cut exactly; all others are sampled.
    #[test]
    fn sampled_metrics_are_those_that_need_retries() {
        let tally = tally(&[(Outcome::Ok, 20)], None);
        for metric in Metric::all() {
            let metric = Metric::parse(&metric).expect("known");
            assert_eq!(metric.is_sampled(), metric.measure(&tally).is_none(), "{metric:?}");
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        let expectation = |metric: &str, limit| Expectation {
            metric: Metric::parse(metric).expect("known"),
            span: Span { from: Duration::ZERO, to: Duration::from_secs(30) },
            variant: None,
            limit,
            place: "failover.toml:41".to_owned(),
        };
        let good = tally(&[(Outcome::Ok, 20)], None);
        let bad = tally(&[(Outcome::Rejected, 20)], None);
        let empty = tally(&[], None);
        for (metric, limit, tally, measured, passed) in [
            ("failed_ratio", Limit::Below(0.01), Some(&good), Some(0.0), true),
            ("failed_ratio", Limit::Above(0.0), Some(&good), Some(0.0), false),
            ("latency.p99", Limit::Below(250.0), Some(&good), Some(20.0), true),
            ("latency.p99", Limit::Below(20.0), Some(&good), Some(20.0), false),
            ("latency.p99", Limit::Below(250.0), Some(&bad), None, false),
            ("retries", Limit::Below(1.0), Some(&good), None, false),
            ("failed", Limit::Below(1.0), Some(&empty), None, false),
            ("failed", Limit::Below(1.0), None, None, false),
        ] {
            let judgement = expectation(metric, limit).judge("default", tally);
            assert_eq!((judgement.measured, judgement.passed), (measured, passed), "{metric}");
            assert_eq!(judgement.window, "0s..30s");
        }
    }

    #[test]
    fn limits_read_as_written() {
        for (metric, limit, text) in [
            ("failed_ratio", Limit::Below(0.01), "< 0.01"),
            ("latency.p99", Limit::Below(250.0), "< 250ms"),
            ("service.mean", Limit::Above(0.5), "> 0.5ms"),
            ("ok", Limit::Above(1000.0), "> 1000"),
        ] {
            assert_eq!(limit.text(&Metric::parse(metric).expect("known")), text);
        }
    }
}
