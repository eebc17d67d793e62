//! Numbers onto an axis: its range, its ticks and their labels. It must not know pixels.

use crate::format;

/// One mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    /// Empty where a line says enough.
    pub(crate) label: String,
}

/// The range of an axis. Its ends are finite and apart, whatever it was made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<Tick>,
}

/// Beyond this a linear axis would squeeze most values onto its bottom line.
const LINEAR_UP_TO: f64 = 30.0;

impl Scale {
    /// From zero to a round number that is no smaller than any of `values`.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|v| v.is_finite()).fold(0.0, f64::max).min(1e15);
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round_step(most / 4.5);
        let count = (most / step - 1e-9).ceil().max(1.0) as usize;
        let ticks = (0..=count).map(|i| plain_tick(i as f64 * step, step)).collect();
        Self { low: 0.0, high: count as f64 * step, log: false, ticks }
    }

    /// Like [`Scale::from_zero`] for counts, which have no fractions.
    pub(crate) fn of_counts(values: impl IntoIterator<Item = f64>) -> Self {
        let mut scale = Self::from_zero(values.into_iter().chain([1.0]));
        scale.ticks.retain(|tick| tick.value.fract() == 0.0);
        for tick in &mut scale.ticks {
            tick.label = format::fixed(tick.value, 0);
        }
        scale
    }

    /// Latencies: logarithmic where the largest is more than thirty times the smallest.
    pub(crate) fn of_latencies(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values
            .into_iter()
            .filter(|v| v.is_finite() && *v > 0.0)
            .map(|v| v.clamp(1e-6, 1e12))
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        if most > least * LINEAR_UP_TO {
            Self::logarithmic(least, most)
        } else {
            Self::from_zero(values)
        }
    }

    /// From the 1, 2 or 5 × 10ⁿ below `least` to the one above `most`; both above zero.
    fn logarithmic(least: f64, most: f64) -> Self {
        let first = least.log10().floor() as i32;
        let last = most.log10().ceil() as i32;
        let steps: Vec<f64> = (first..=last)
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)))
            .collect();
        let low = steps.iter().copied().rfind(|v| *v <= least * 1.000_001).unwrap_or(least);
        let high = steps.iter().copied().find(|v| *v >= most * 0.999_999).unwrap_or(most * 2.0);
        let decades = (high / low).log10();
        let ticks = steps
            .into_iter()
            .filter(|v| (low..=high).contains(v))
            .map(|value| {
                let digit = value / 10_f64.powi(value.log10().floor() as i32);
                // The labels of three decades with all their digits still stand apart.
                let shown = decades <= 3.2 || (digit - 1.0).abs() < 0.5;
                Tick { value, label: if shown { plain(value) } else { String::new() } }
            })
            .collect();
        Self { low, high, log: true, ticks }
    }

    /// Quantiles as 1 ÷ (1 − q), on which each further nine is as wide as the one before.
    pub(crate) fn of_tails(most: f64) -> Self {
        let most = if most.is_finite() { most.clamp(10.0, 1e9) } else { 1e9 };
        let labels = ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
        let mut ticks = vec![
            Tick { value: 1.0, label: "0 %".into() },
            Tick { value: 2.0, label: "50 %".into() },
        ];
        ticks.extend(
            (1..)
                .zip(labels)
                .map(|(n, label)| Tick { value: 10_f64.powi(n), label: label.into() })
                .take_while(|tick| tick.value <= most),
        );
        Self { low: 1.0, high: most, log: true, ticks }
    }

    /// Seconds from zero to `duration`, ticks at whole seconds, minutes or hours.
    pub(crate) fn of_time(duration: f64) -> (Self, TimeUnit) {
        let high = if duration.is_finite() && duration > 0.0 { duration.min(1e9) } else { 1.0 };
        let unit = TimeUnit::of(high);
        let step = if unit == TimeUnit::Seconds {
            round_step(high / 10.0)
        } else {
            let nice = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0];
            let about = high / unit.seconds() / 12.0;
            let whole = nice.into_iter().find(|n| *n >= about).unwrap_or_else(|| round_step(about));
            whole * unit.seconds()
        };
        let count = (high / step + 1e-9) as usize;
        let ticks = (0..=count)
            .map(|i| {
                let value = i as f64 * step;
                Tick { value, label: format::trimmed(value / unit.seconds()) }
            })
            .collect();
        (Self { low: 0.0, high, log: false, ticks }, unit)
    }

    /// Deviations, as far below zero as above: at least to `half`.
    pub(crate) fn around_zero(half: f64) -> Self {
        let most = Self::from_zero([half]);
        let above = most.ticks.iter().filter(|tick| tick.value > 0.0);
        let below = above
            .clone()
            .rev()
            .map(|tick| Tick { value: -tick.value, label: format!("−{}", tick.label) });
        let ticks = below.chain(most.ticks.iter().cloned()).collect();
        Self { low: -most.high, high: most.high, log: false, ticks }
    }

    /// A share, from nothing to all.
    pub(crate) fn of_shares() -> Self {
        let ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
            .map(|value| Tick { value, label: format!("{:.0} %", value * 100.0) });
        Self { low: 0.0, high: 1.0, log: false, ticks: ticks.into() }
    }

    /// Where a value lies, from 0 to 1; what lies outside lies at the nearer end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    pub(crate) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    pub(crate) const fn is_log(&self) -> bool {
        self.log
    }
}

/// What a time axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Minutes,
    Hours,
}

impl TimeUnit {
    fn of(duration: f64) -> Self {
        match duration {
            d if d <= 600.0 => Self::Seconds,
            d if d <= 4.0 * 3600.0 => Self::Minutes,
            _ => Self::Hours,
        }
    }

    const fn seconds(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Minutes => 60.0,
            Self::Hours => 3600.0,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }
}

/// The smallest of 1, 2, 5 × 10ⁿ that is no smaller than `about`.
fn round_step(about: f64) -> f64 {
    let magnitude = 10_f64.powi(about.log10().floor() as i32);
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|d| d * magnitude >= about * 0.999_999);
    digit.unwrap_or(10.0) * magnitude
}

fn plain_tick(value: f64, step: f64) -> Tick {
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    Tick { value, label: format::fixed(value, decimals) }
}

fn plain(value: f64) -> String {
    let decimals = (-value.log10().floor()).clamp(0.0, 9.0) as usize;
    format::fixed(value, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks().iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        assert_eq!(labels(&Scale::from_zero([83.0])), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Scale::from_zero([100.0])), ["0", "50", "100"]);
        assert_eq!(labels(&Scale::from_zero([0.7])), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&Scale::of_counts([1.0])), ["0", "1"]);
        assert_eq!(labels(&Scale::of_latencies([20.0, 500.0])), ["0", "200", "400", "600"]);
        assert_eq!(
            labels(&Scale::of_latencies([20.0, 2_100.0])),
            ["20", "50", "100", "200", "500", "1,000", "2,000", "5,000"]
        );
        assert_eq!(labels(&Scale::of_tails(2_000.0)), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        assert_eq!(
            labels(&Scale::around_zero(4.5)),
            ["−5", "−4", "−3", "−2", "−1", "0", "1", "2", "3", "4", "5"]
        );
        let (seconds, unit) = Scale::of_time(60.0);
        assert_eq!((labels(&seconds)[..3].to_vec(), unit.word()), (vec!["0", "10", "20"], "s"));
        let (minutes, unit) = Scale::of_time(3_600.0);
        assert_eq!((labels(&minutes)[..3].to_vec(), unit.word()), (vec!["0", "5", "10"], "min"));
    }

    #[test]
    fn no_data_breaks_a_scale() {
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 1e300];
        for values in [&odd[..], &odd[..1], &[], &[5.0, 5.0]] {
            for scale in [
                Scale::from_zero(values.iter().copied()),
                Scale::of_counts(values.iter().copied()),
                Scale::of_latencies(values.iter().copied()),
                Scale::of_tails(values.first().copied().unwrap_or(0.0)),
                Scale::of_time(values.last().copied().unwrap_or(0.0)).0,
            ] {
                assert!(scale.high > scale.low && scale.high.is_finite(), "{scale:?}");
                assert!(scale.ticks().len() < 80, "{scale:?}");
                for value in odd {
                    assert!((0.0..=1.0).contains(&scale.place(value)), "{value} on {scale:?}");
                }
            }
        }
    }

    #[test]
    fn a_log_scale_gives_each_decade_the_same_room() {
        let scale = Scale::of_latencies([1.0, 1_000.0]);
        assert!(scale.is_log());
        assert!((scale.place(10.0) - 1.0 / 3.0).abs() < 1e-9);
        assert!((scale.place(100.0) - 2.0 / 3.0).abs() < 1e-9);
    }
}
