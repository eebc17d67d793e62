//! Expectations that can be drawn: a limit on a latency over a part of the time. It must not judge.

use record::Run;

/// A limit as a line: milliseconds, from and to in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitLine {
    pub(crate) metric: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    pub(crate) limit_ms: f64,
    /// Whether more is expected than the limit, not less.
    pub(crate) above: bool,
    pub(crate) passed: bool,
}

/// The percentiles of which the chart has lines.
const DRAWN: [&str; 2] = ["p50", "p99"];

/// The limits that stand for one variant, on the percentiles that are drawn: the line of p99
/// crossing a limit on p95 would look like a failure. The table has them all.
pub(crate) fn latency_limits(run: &Run, variant: &str) -> Vec<LimitLine> {
    run.summary
        .expectations
        .iter()
        .filter(|judgement| judgement.variant == variant)
        .filter_map(|judgement| {
            let metric = judgement.metric.strip_prefix("latency.")?;
            if !DRAWN.contains(&metric) {
                return None;
            }
            let (from, to) = judgement.window.split_once("..")?;
            Some(LimitLine {
                metric: metric.to_owned(),
                from_s: milliseconds(from)? / 1e3,
                to_s: milliseconds(to)? / 1e3,
                limit_ms: milliseconds(judgement.limit.trim_start_matches(['<', '>', '=', ' ']))?,
                above: judgement.limit.starts_with('>'),
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
    use record::summary::Judgement;

    use super::*;
    use crate::fixture::Shape;

    #[test]
    fn only_what_is_drawn_has_a_line() {
        let mut run = Shape::FAILOVER.run();
        let template = run.summary.expectations[1].clone();
        run.summary.expectations = ["latency.p99", "latency.p95", "service.p99", "failed_ratio"]
            .map(|metric| Judgement {
                metric: metric.into(),
                window: "1s..2.5s".into(),
                limit: "> 250ms".into(),
                ..template.clone()
            })
            .into();
        let expected = LimitLine {
            metric: "p99".into(),
            from_s: 1.0,
            to_s: 2.5,
            limit_ms: 250.0,
            above: true,
            passed: template.passed,
        };
        assert_eq!(latency_limits(&run, &template.variant), [expected]);
        assert!(latency_limits(&run, "another").is_empty());
    }

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
