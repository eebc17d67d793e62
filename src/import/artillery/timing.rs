//! Which of Artillery's timings stands for the latency, and what is known of it. It must not know
//! counters.

use record::rows::SpectrumRow;
use record::summary::Percentiles;

use super::written::{Period, Quantiles, Written};

/// A timing, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timing {
    /// A request with everything in it.
    Total,
    /// A virtual user's life: of one request, that request.
    Session,
    /// A request without the wait for a connection and without the body.
    FirstByte,
}

impl Timing {
    const ALL: [Self; 3] = [Self::Total, Self::Session, Self::FirstByte];

    /// Its name in a result.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Total => "http.total",
            Self::Session => "vusers.session_length",
            Self::FirstByte => "http.response_time",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timing| timing.name() == name)
    }

    /// The best that all results have, so that they can be compared.
    pub(super) fn best(results: &[&Written]) -> Option<Self> {
        let has = |timing: &Self| results.iter().all(|result| timing.is_in(&result.whole));
        Self::ALL.into_iter().find(has)
    }

    fn is_in(self, whole: &Period) -> bool {
        let timed = whole.timings.get(&self).and_then(|quantiles| quantiles.count);
        // A user of several requests lives longer than each of them.
        let one = whole.count("http.requests") <= whole.count("vusers.created");
        timed.is_some_and(|count| count > 0.0) && (one || self != Self::Session)
    }

    /// Whose time it is and from when to when, as the report says it.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Total => {
                "answers of any status, request's start to last byte (http.total, whole ms)"
            }
            Self::Session => {
                "virtual users that completed, one request each, start to end (vusers.session_length)"
            }
            Self::FirstByte => {
                "answers of any status, request sent to answer's head (http.response_time, whole ms)"
            }
        }
    }

    /// What a reader must know of it.
    pub(super) const fn caution(self) -> &'static str {
        match self {
            Self::Total => {
                "latency is http.total: by a clock of whole milliseconds that may be set meanwhile, in a \
                 sketch whose percentiles have an error of 1 %"
            }
            Self::Session => {
                "latency is vusers.session_length, for not every result has http.total (it takes \
                 http.extendedMetrics): pauses (think) of the scenario are in it, and percentiles have an \
                 error of 1 %"
            }
            Self::FirstByte => {
                "latency is http.response_time, for not every result has http.total (it takes \
                 http.extendedMetrics): neither the wait for a connection nor the body is in it, so the \
                 longest waits are missing; whole milliseconds, percentiles with an error of 1 %"
            }
        }
    }

    /// What a period knows of it; nothing where nothing was timed.
    pub(super) fn in_period(self, period: &Period) -> Quantiles {
        let quantiles = period.timings.get(&self).copied().unwrap_or_default();
        // Artillery writes zeros for the quantiles of nothing.
        if quantiles.count.is_some_and(|count| count > 0.0) {
            quantiles
        } else {
            Quantiles::default()
        }
    }
}

impl Quantiles {
    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            mean: self.mean,
            p50: self.p50,
            p75: self.p75,
            p90: self.p90,
            p95: self.p95,
            p99: self.p99,
            p999: self.p999,
            p9999: None,
            max: self.max,
        }
    }

    /// The quantiles that are known, and no others.
    pub(super) fn spectrum(&self, variant: &str) -> Vec<SpectrumRow> {
        let count = self.count.unwrap_or(0.0);
        let known = [
            (0.0, self.min),
            (0.5, self.p50),
            (0.75, self.p75),
            (0.9, self.p90),
            (0.95, self.p95),
            (0.99, self.p99),
            (0.999, self.p999),
            (1.0, self.max),
        ];
        // A quantile that is beyond the last request but one is the maximum under another name.
        let told = |quantile: f64| quantile == 1.0 || count * (1.0 - quantile) >= 1.0;
        known
            .into_iter()
            .filter(|(quantile, _)| told(*quantile))
            .filter_map(|(quantile, value)| {
                Some(SpectrumRow {
                    variant: variant.to_owned(),
                    metric: "latency".to_owned(),
                    quantile,
                    value_ms: value?,
                    count: (count * quantile).ceil().max(1.0) as u64,
                })
            })
            .collect()
    }
}
