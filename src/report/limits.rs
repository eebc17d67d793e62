//! Expectations that can be drawn: a limit on a latency over a part of the time. It must not judge.

use record::Run;

/// A limit as a line: milliseconds, from and to in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitLine {
    pub(crate) metric: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    pub(crate) limit_ms: f64,
    pub(crate) passed: bool,
}

/// The limits on the percentiles of latency that stand for one variant; what cannot be read as
/// such is left out here and stands in the table all the same.
pub(crate) fn latency_limits(run: &Run, variant: &str) -> Vec<LimitLine> {
    run.summary
        .expectations
        .iter()
        .filter(|judgement| judgement.variant == variant)
        .filter_map(|judgement| {
            let metric = judgement.metric.strip_prefix("latency.")?;
            let (from, to) = judgement.window.split_once("..")?;
            Some(LimitLine {
                metric: metric.to_owned(),
                from_s: milliseconds(from)? / 1e3,
                to_s: milliseconds(to)? / 1e3,
                limit_ms: milliseconds(judgement.limit.trim_start_matches(['<', '>', '=', ' ']))?,
                passed: judgement.passed,
            })
        })
        .collect()
}

/// "250ms", "1.5s", "1m30s" in milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit.trim() {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_expectations_are_read() {
        for (text, ms) in [
            ("250ms", Some(250.0)),
            ("22s", Some(22_000.0)),
            ("1.5s", Some(1_500.0)),
            ("1m30s", Some(90_000.0)),
            ("500us", Some(0.5)),
            ("0.01", None),
            ("", None),
            ("ms", None),
            ("5 parsecs", None),
        ] {
            assert_eq!(milliseconds(text), ms, "{text}");
        }
    }
}
