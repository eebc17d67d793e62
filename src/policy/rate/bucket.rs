//! One token bucket: how full it is follows from one number. It must not know whose it is.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, virtual scheduling): instead of tokens it
//! keeps the time when the bucket will be full. A token is a stretch of time; taking one moves that
//! time on. Nothing is refilled, so that nothing is rounded between two requests, and a bucket that
//! nobody looks at costs nothing.

use std::time::Duration;

use base::Time;

use crate::message::Quota;
use crate::settings::Rate;

/// Time in parts of 2⁻³² ns: at 10⁸ tokens a second a token's stretch is right to 10⁻¹¹.
type Parts = u128;

const PARTS: u32 = 32;

/// Longer than any run (292 years), so that no sum of a few such stretches overflows.
const LONGEST: Parts = 1 << 95;

const fn parts(now: Time) -> Parts {
    (now.as_nanos() as Parts) << PARTS
}

/// The time that has passed for certain at the end of so many parts.
fn duration(parts: Parts) -> Duration {
    let nanos = parts.div_ceil(1 << PARTS);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A rate, and how much of it may come at once.
#[derive(Debug)]
pub(super) struct Pace {
    burst: u32,
    /// What one token is worth. Rounded up: never more than the rate.
    gap: Parts,
    /// What a full bucket is worth.
    full: Parts,
    /// The two as durations.
    refill: Duration,
    window: Duration,
}

/// When the bucket is full; in the past, that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket(Parts);

impl Bucket {
    pub(super) const FULL: Self = Self(0);
}

impl Pace {
    pub(super) fn new(rate: &Rate) -> Self {
        let burst = rate.burst.max(1);
        // `as` saturates, and turns NaN into zero.
        let gap = ((1e9 * (1_u64 << PARTS) as f64 / rate.rate).ceil() as Parts).clamp(1, LONGEST);
        let full = gap.saturating_mul(Parts::from(burst));
        Self { burst, gap, full, refill: duration(gap), window: duration(full) }
    }

    /// What is left in a bucket; where that is nothing, `reset` is when there is one again.
    pub(super) fn quota(&self, now: Time, bucket: &Bucket) -> Quota {
        let (limit, window) = (self.burst, self.window);
        let debt = bucket.0.saturating_sub(parts(now)).min(self.full);
        if debt == 0 {
            return Quota { limit, window, remaining: limit, reset: Duration::ZERO };
        }
        let credit = self.full - debt;
        let tokens = credit / self.gap;
        let remaining = u32::try_from(tokens).unwrap_or(limit);
        // Not the remainder: one more division of such numbers costs more than all the rest.
        let reset = duration(self.gap - (credit - tokens * self.gap));
        Quota { limit, window, remaining, reset }
    }

    /// Takes one token from a bucket in which there is `left`; what is left then.
    pub(super) fn take(&self, now: Time, bucket: &mut Bucket, left: Quota) -> Quota {
        bucket.0 = bucket.0.max(parts(now)).saturating_add(self.gap);
        let reset = if left.reset.is_zero() { self.refill } else { left.reset };
        Quota { remaining: left.remaining - 1, reset, ..left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Anything that grants tokens.
    trait Grants {
        fn take(&mut self, now: Time) -> bool;
    }

    struct Real(Pace, Bucket);

    impl Grants for Real {
        fn take(&mut self, now: Time) -> bool {
            let left = self.0.quota(now, &self.1);
            if left.remaining == 0 {
                return false;
            }
            let after = self.0.take(now, &mut self.1, left);
            assert_eq!(after, self.0.quota(now, &self.1), "what is left is what is told");
            true
        }
    }

    const fn real(rate: Rate) -> impl Fn() -> Real {
        move || Real(Pace::new(&rate), Bucket::FULL)
    }

    /// Wrong: as many as the bucket holds in each window of its own length, so that the end of one
    /// and the beginning of the next grant twice as many at once.
    struct FixedWindow {
        rate: Rate,
        window: u64,
        granted: u32,
    }

    impl Grants for FixedWindow {
        fn take(&mut self, now: Time) -> bool {
            let window = (now.as_secs_f64() * self.rate.rate / f64::from(self.rate.burst)) as u64;
            if window != self.window {
                (self.window, self.granted) = (window, 0);
            }
            self.granted += 1;
            self.granted <= self.rate.burst
        }
    }

    /// Wrong: fills up at every look by whole thousandths of tokens and forgets the rest. Who asks
    /// often enough never gets a second one.
    struct ForgetsTheRest {
        rate: Rate,
        last: Time,
        thousandths: u64,
    }

    impl Grants for ForgetsTheRest {
        fn take(&mut self, now: Time) -> bool {
            let fresh = (now.since(self.last).as_secs_f64() * self.rate.rate * 1e3) as u64;
            self.last = now;
            self.thousandths = (self.thousandths + fresh).min(1000 * u64::from(self.rate.burst));
            let granted = self.thousandths >= 1000;
            self.thousandths -= 1000 * u64::from(granted);
            granted
        }
    }

    /// In any interval at most rate × its length + burst are granted; and who is refused has got
    /// all of it, less a part of one: since the bucket was full last, as many as have run in.
    fn keeps_its_rate(bucket: &mut dyn Grants, rate: Rate, gaps: &[u64]) -> Result<(), String> {
        let (mut now, mut granted) = (Time::ZERO, Vec::new());
        // The level of an ideal bucket, in tokens.
        let (mut level, mut last) = (f64::from(rate.burst), Time::ZERO);
        for &gap in gaps {
            now += Duration::from_nanos(gap);
            level = (level + now.seconds_from(last) * rate.rate).min(f64::from(rate.burst));
            last = now;
            if bucket.take(now) {
                granted.push(now);
                level -= 1.0;
                for (i, &from) in granted.iter().enumerate() {
                    let most = rate.rate * now.seconds_from(from) + f64::from(rate.burst);
                    let count = granted.len() - i;
                    if count as f64 > most * (1.0 + 1e-9) {
                        return Err(format!("{count} from {from} to {now}"));
                    }
                }
            } else if level >= 1.0 + 1e-6 {
                return Err(format!("refused at {now} with {level} left"));
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_buckets_are_noticed() {
        let rate = Rate { rate: 10.0, burst: 10 };
        // Ten at the end of the first second, ten at the beginning of the next.
        let straddling = [&[999_999_999][..], &[0; 9], &[1], &[0; 9]].concat();
        let mut fixed = FixedWindow { rate, window: 0, granted: 0 };
        assert!(keeps_its_rate(&mut fixed, rate, &straddling).is_err());
        assert!(keeps_its_rate(&mut real(rate)(), rate, &straddling).is_ok());
        // Asked every 99 µs, in which a bit less than a thousandth runs in.
        let often = vec![99_000; 5_000];
        let mut forgets = ForgetsTheRest { rate, last: Time::ZERO, thousandths: 10_000 };
        assert!(keeps_its_rate(&mut forgets, rate, &often).is_err());
        assert!(keeps_its_rate(&mut real(rate)(), rate, &often).is_ok());
    }

    proptest! {
        #[test]
        fn buckets_keep_their_rate(
            exponent in -1.0..8.0_f64,
            burst in 1..50_u32,
            gaps in prop::collection::vec(0.0..3.0_f64, 1..200),
        ) {
            let rate = Rate { rate: 10_f64.powf(exponent), burst };
            let gaps: Vec<u64> = gaps.iter().map(|gap| (gap * gap * 1e9 / rate.rate) as u64).collect();
            let held = keeps_its_rate(&mut real(rate)(), rate, &gaps);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }

    #[test]
    fn over_a_day_not_one_token_is_lost_or_won() {
        for per_second in [3.0, 7.0, 0.3, 1e5 / 7.0] {
            let rate = Rate { rate: per_second, burst: 1 };
            let (pace, mut bucket) = (Pace::new(&rate), Bucket::FULL);
            // As soon as there is one it is taken, a hundred thousand times.
            let mut now = Time::ZERO;
            for _ in 0..100_000 {
                let left = pace.quota(now, &bucket);
                assert_eq!(left.remaining, 1);
                now += pace.take(now, &mut bucket, left).reset;
            }
            // Each wait is rounded up to a nanosecond, and no more.
            let late = now.as_secs_f64() - 1e5 / per_second;
            assert!((0.0..=1e5 * 1e-9).contains(&late), "{per_second}/s: {late} s late");
        }
    }

    #[test]
    fn extreme_rates_do_no_harm() {
        for (rate, burst) in [(f64::MIN_POSITIVE, u32::MAX), (1e308, u32::MAX), (1e8, 1), (1e-9, 1)]
        {
            let mut bucket = real(Rate { rate, burst })();
            for now in [0, 1, u64::MAX / 2, u64::MAX] {
                bucket.take(Time::from_nanos(now));
            }
        }
    }
}
