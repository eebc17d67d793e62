//! A point in a run's time. It must not know where the time came from: a clock or an agenda.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds since the run began: the run's epoch when live, zero when simulated.
///
/// Arithmetic saturates: 2⁶⁴ ns are 584 years, so saturation only ever means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Self = Self(0);
    /// Later than any event: "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The time `nanos` nanoseconds after the run began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time `seconds` after the run began, rounded once to a nanosecond; negative is zero.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self(whole(seconds * 1e9))
    }

    /// Nanoseconds since the run began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the run began, for display and for rates.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// So many nanoseconds later: adding a `Duration` takes a multiplication and its checks.
    #[must_use]
    pub const fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in nanoseconds, which takes no division.
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds from `origin` to here, negative before it.
    pub fn seconds_from(self, origin: Self) -> f64 {
        (i128::from(self.0) - i128::from(origin.0)) as f64 / 1e9
    }
}

/// From here on every number is whole.
const WHOLE_FROM: f64 = (1_u64 << 52) as f64;

/// The whole number that is nearest, the larger of two that are equally near: `round` of a number
/// above zero, without the call that it is on processors as old as the compiler must assume.
/// Saturates at both ends; NaN is zero.
pub fn whole(number: f64) -> u64 {
    if number >= WHOLE_FROM {
        return number as u64;
    }
    // Signed: for that processors have instructions.
    let below = (number as i64).max(0);
    below as u64 + u64::from(number - below as f64 >= 0.5)
}

/// A duration as whole nanoseconds; longer than 584 years saturates.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_the_nearest() {
        let below_half = 0.5_f64.next_down();
        let mut numbers = vec![0.0, 0.5, below_half, 1.5, 2.5, 1e15 + 0.5, 4.5e15, 9e15, 1.8e19];
        numbers.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.5, -0.7, -3.0]);
        let mut rng = crate::Rng::from_seed(3);
        numbers.extend((0..100_000).map(|_| rng.unit() * 10_f64.powi(rng.below(20) as i32)));
        for number in numbers {
            assert_eq!(whole(number), number.round() as u64, "{number}");
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::from_nanos(5).since(Time::from_nanos(9)), Duration::ZERO);
        assert_eq!(Time::from_nanos(9).since(Time::from_nanos(5)), Duration::from_nanos(4));
        assert_eq!(Time::from_secs_f64(-1.0), Time::ZERO);
        assert_eq!(Time::from_secs_f64(f64::NAN), Time::ZERO);
        assert_eq!(Time::from_secs_f64(1.5), Time::from_nanos(1_500_000_000));
        assert!((Time::from_nanos(1).seconds_from(Time::from_nanos(1_000_000_001)) + 1.0) < 1e-9);
    }
}
