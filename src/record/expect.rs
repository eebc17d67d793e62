//! Expectations: a metric, where, and its limit. It must not know TOML.

use std::time::Duration;

/// What can be expected of; parsed by [`Metric::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric(String);

impl Metric {
    /// `latency.p99`, `failed_ratio`, `ok` …; the error lists what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let _ = text;
        todo!()
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its values are durations (written "250ms") rather than plain numbers.
    pub fn is_duration(&self) -> bool {
        todo!()
    }
}

/// The bound of an expectation; durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The measured value must be smaller.
    Below(f64),
    /// The measured value must be larger.
    Above(f64),
}

/// A part of the measured time, from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its beginning.
    pub from: Duration,
    /// Its end, not included.
    pub to: Duration,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
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
