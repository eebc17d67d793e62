//! How close is close: the bars that published simulators are held to. It must not know where the
//! figures come from.

use serde::{Deserialize, Serialize};

/// How well a simulation meets what was measured; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// p50 within 3 %, p90 5 %, p99 10 %; Wasserstein distance 5 % of the mean; KS 0.05.
    Excellent,
    /// Twice as far, and p50 within 5 %.
    Good,
    /// Farther.
    Poor,
}

impl Grade {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Poor => "poor",
        }
    }
}

/// One thing that is graded, and up to where it is excellent and good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) what: &'static str,
    excellent: f64,
    good: f64,
    /// Shown as percent.
    percent: bool,
}

const fn bar(what: &'static str, excellent: f64, good: f64, percent: bool) -> Bar {
    Bar { what, excellent, good, percent }
}

pub(super) const P50: Bar = bar("p50", 0.03, 0.05, true);
pub(super) const P90: Bar = bar("p90", 0.05, 0.10, true);
pub(super) const P99: Bar = bar("p99", 0.10, 0.20, true);
// The source has no bound of its own for what is good here: twice that of excellent, as for p90
// and p99.
pub(super) const WASSERSTEIN: Bar = bar("the Wasserstein distance over the mean", 0.05, 0.10, true);
pub(super) const KS: Bar = bar("the KS distance", 0.05, 0.10, false);
// Nor has it one for failures. Latencies are those of good requests: where others failed, they are
// not of the same requests.
pub(super) const FAILED: Bar = bar("the failed ratio", 0.01, 0.02, true);

impl Bar {
    /// The grade of a difference, and the words for it.
    pub(super) fn judge(&self, difference: f64) -> (Grade, String) {
        let off = difference.abs();
        let grade = match off {
            _ if off <= self.excellent => Grade::Excellent,
            _ if off <= self.good => Grade::Good,
            _ => Grade::Poor,
        };
        let show = |value: f64| match self.percent {
            true => format!("{:.1} %", value * 100.0),
            false => format!("{value:.3}"),
        };
        let differs = if *self == KS || *self == WASSERSTEIN { "is" } else { "differs by" };
        let words = format!(
            "{} {differs} {} (excellent up to {}, good up to {})",
            self.what,
            show(off),
            show(self.excellent),
            show(self.good)
        );
        (grade, words)
    }

    /// Only one of the two has it.
    pub(super) fn one_sided(&self, who: &str) -> (Grade, String) {
        (Grade::Poor, format!("only {who} has a {}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_are_those_of_the_literature() {
        use Grade::{Excellent, Good, Poor};
        for (bar, difference, expected) in [
            (P50, 0.03, Excellent),
            (P50, -0.031, Good),
            (P50, 0.05, Good),
            (P50, 0.051, Poor),
            (P90, -0.05, Excellent),
            (P90, 0.1, Good),
            (P90, 0.101, Poor),
            (P99, 0.1, Excellent),
            (P99, 0.2, Good),
            (P99, -0.21, Poor),
            (WASSERSTEIN, 0.05, Excellent),
            (WASSERSTEIN, 0.1, Good),
            (WASSERSTEIN, 0.11, Poor),
            (KS, 0.05, Excellent),
            (KS, 0.06, Good),
            (KS, 0.2, Poor),
            (FAILED, 0.0, Excellent),
            (FAILED, -0.5, Poor),
        ] {
            let (grade, words) = bar.judge(difference);
            assert_eq!(grade, expected, "{words}");
        }
        assert!(Excellent < Good && Good < Poor);
        assert_eq!(
            P50.judge(-0.041).1,
            "p50 differs by 4.1 % (excellent up to 3.0 %, good up to 5.0 %)"
        );
    }
}
