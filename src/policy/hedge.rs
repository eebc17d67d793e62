//! When a request is so slow that a second one beside it is worth its cost. It must not send it.

use std::time::Duration;

use base::Time;
use base::time::nanos;

use crate::latencies::Latencies;
use crate::settings::{HedgingSettings, RetrySettings};

/// The quantile is taken over the present stretch of this length and the one before it, so that
/// old times count for at most twice as long: tower's rotating histogram.
const STRETCH: Duration = Duration::from_secs(10);
/// After so many new times the quantile is looked up again: the bound of what a look costs each.
const REFRESH: u32 = 32;

/// The delay of hedges, from recent times to the head.
#[derive(Debug)]
pub(crate) struct Hedger {
    settings: HedgingSettings,
    /// What hedges are counted against where retries are off.
    default_budget: RetrySettings,
    recent: Latencies,
    before: Latencies,
    turn_at: Time,
    /// Times recorded since the delay was looked up.
    fresh: u32,
    delay_ns: Option<u64>,
}

impl Hedger {
    pub(crate) fn new(settings: HedgingSettings) -> Self {
        Self {
            settings,
            default_budget: RetrySettings::default(),
            recent: Latencies::new(),
            before: Latencies::new(),
            turn_at: Time::ZERO,
            fresh: 0,
            delay_ns: None,
        }
    }

    /// Other rules from now on, for the same times.
    pub(crate) fn set(&mut self, settings: HedgingSettings) {
        self.settings = settings;
        self.delay_ns = self.look_up();
    }

    pub(crate) const fn default_budget(&self) -> &RetrySettings {
        &self.default_budget
    }

    /// When a hedge is sent if an attempt that begins now has no head by then; `None` while too
    /// little is known.
    pub(crate) fn due(&mut self, now: Time) -> Option<Time> {
        self.advance(now);
        self.delay_ns.map(|delay| now.after_nanos(delay))
    }

    /// An attempt took so long to the head of an answer that is no failure; or it was given up
    /// after so long because its hedge was faster, and would have taken longer. Without those the
    /// slow ones would be missing, and every hedge would make the next one come earlier.
    pub(crate) fn record(&mut self, now: Time, began: Time) {
        self.advance(now);
        self.recent.record(now.nanos_since(began));
        self.fresh += 1;
        if self.delay_ns.is_none() || self.fresh >= REFRESH {
            self.delay_ns = self.look_up();
            self.fresh = 0;
        }
    }

    #[inline]
    fn advance(&mut self, now: Time) {
        if now >= self.turn_at {
            self.turn(now);
        }
    }

    #[cold]
    fn turn(&mut self, now: Time) {
        std::mem::swap(&mut self.recent, &mut self.before);
        self.recent.clear();
        if now >= self.turn_at + STRETCH {
            self.before.clear();
        }
        self.turn_at = now + STRETCH;
        self.delay_ns = self.look_up();
    }

    /// The delay in nanoseconds.
    fn look_up(&self) -> Option<u64> {
        let known = self.recent.len() + self.before.len();
        if known < u64::from(self.settings.min_requests) {
            return None;
        }
        let quantile = self.recent.quantile_with(&self.before, self.settings.percentile)?;
        Some(nanos(quantile.max(self.settings.min_delay)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn record(hedger: &mut Hedger, now: Time, took: Duration) {
        hedger.record(now, now - took);
    }

    fn delay(hedger: &mut Hedger, now: Time) -> Option<Duration> {
        hedger.due(now).map(|at| at.since(now))
    }

    fn hedger() -> Hedger {
        Hedger::new(HedgingSettings { percentile: 0.9, min_requests: 100, min_delay: ms(5) })
    }

    #[test]
    fn the_delay_is_a_quantile_of_recent_times() {
        let (mut hedger, mut now) = (hedger(), Time::from_secs_f64(50.0));
        for i in 1..=100 {
            assert_eq!(delay(&mut hedger, now), None, "after {i} - 1");
            record(&mut hedger, now, ms(i));
        }
        let near = |delay: Option<Duration>, expected: f64| {
            let delay = delay.expect("enough is known").as_secs_f64() * 1e3;
            assert!((expected..=expected * 1.04).contains(&delay), "{delay} {expected}");
        };
        near(delay(&mut hedger, now), 90.0);
        // Faster times come and are noticed; then slower ones, which are all after 20 s at most.
        now += ms(9_999);
        (0..2_000).for_each(|_| record(&mut hedger, now, ms(10)));
        near(delay(&mut hedger, now), 10.0);
        now += ms(5_000);
        (0..100).for_each(|_| record(&mut hedger, now, ms(40)));
        near(delay(&mut hedger, now), 10.0);
        now += ms(10_001);
        near(delay(&mut hedger, now), 40.0);
        now += ms(20_001);
        assert_eq!(delay(&mut hedger, now), None, "nothing is recent");
    }

    #[test]
    fn it_is_never_too_short() {
        let (mut hedger, now) = (hedger(), Time::from_secs_f64(50.0));
        (0..200).for_each(|_| record(&mut hedger, now, Duration::from_micros(50)));
        assert_eq!(delay(&mut hedger, now), Some(ms(5)));
        hedger.set(HedgingSettings { percentile: 0.5, min_requests: 201, min_delay: ms(1) });
        assert_eq!(delay(&mut hedger, now), None);
        hedger.set(HedgingSettings { percentile: 0.5, min_requests: 200, min_delay: ms(1) });
        assert_eq!(delay(&mut hedger, now), Some(ms(1)));
    }
}
