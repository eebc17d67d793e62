//! Numbers as the files show them: milliseconds to 0.1 µs, ratios to six significant digits.
//! It must not know what they are numbers of.
//!
//! Rounding happens in integers or once, so that the shortest decimal is printed and a simulated
//! run has the same bytes on every platform.

use std::time::Duration;

/// Nanoseconds as milliseconds, to four decimals.
pub(crate) fn ms(ns: u64) -> f64 {
    // The nearest double of a decimal prints as that decimal.
    (ns / 100 + u64::from(ns % 100 >= 50)) as f64 / 1e4
}

/// The mean of `count` values in milliseconds, to four decimals.
pub(crate) fn mean_ms(sum_ns: u128, count: u64) -> Option<f64> {
    let count = u128::from(count);
    (count > 0).then(|| ms(u64::try_from((sum_ns + count / 2) / count).unwrap_or(u64::MAX)))
}

/// Nanoseconds as seconds, to a microsecond.
pub(crate) fn seconds(ns: i64) -> f64 {
    let micros = (ns.abs() + 500) / 1000;
    (micros * ns.signum()) as f64 / 1e6
}

/// A duration as seconds, to a microsecond.
pub(crate) fn duration_s(duration: Duration) -> f64 {
    seconds(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// `part / whole` to six significant digits; `whole` must not be zero.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    significant(part as f64 / whole as f64)
}

/// Six significant digits.
pub(crate) fn significant(value: f64) -> f64 {
    // Through the decimal, since no power of ten below one is exact.
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// "30s", "0.5s": a duration for people, in seconds.
pub(crate) fn span_text(duration: Duration) -> String {
    format!("{}s", duration_s(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_print_short_and_round_once() {
        for (ns, text) in
            [(0, "0"), (49, "0"), (50, "0.0001"), (20_004_863, "20.0049"), (1_000_000, "1")]
        {
            assert_eq!(ms(ns).to_string(), text);
        }
        assert_eq!(mean_ms(3, 2), Some(0.0));
        assert_eq!(mean_ms(40_000_300, 2), Some(20.0002));
        assert_eq!(mean_ms(0, 0), None);
        assert_eq!(seconds(-1_500_000_000).to_string(), "-1.5");
        assert_eq!(seconds(1_000_000_499).to_string(), "1");
        assert_eq!(ratio(1, 3).to_string(), "0.333333");
        assert_eq!(ratio(1, 10_000_000).to_string(), "0.0000001");
        assert_eq!(ratio(0, 5).to_string(), "0");
        assert_eq!(significant(1234567.0).to_string(), "1234570");
        assert_eq!(span_text(Duration::from_millis(22_500)), "22.5s");
        assert_eq!(span_text(Duration::from_secs(30)), "30s");
    }
}
