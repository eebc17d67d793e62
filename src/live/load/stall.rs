//! How long the generator's thread was kept from running. It must not read a clock.
//!
//! The loop wakes at least every tick, so it can watch itself: a wake-up later than its timer was
//! due, or one turn that took long, is time in which nothing was sent and no answer was stamped.
//! A second thread that watches its own sleep would see a stopped process, but not this thread
//! waiting for a core.

use std::time::Duration;

use base::Time;

/// The longest stall within a span of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct StallWatch {
    from: Time,
    to: Time,
    longest: Duration,
    at: Option<Time>,
}

impl StallWatch {
    /// Watches between these times.
    pub(super) fn new(from: Time, to: Time) -> Self {
        Self { from, to, longest: Duration::ZERO, at: None }
    }

    /// The loop went to sleep at `slept`, its timer due at `due`, and woke at `now`.
    pub(super) fn handle_wake(&mut self, slept: Time, due: Time, now: Time) {
        self.note(slept.max(due), now);
    }

    /// One turn's work lasted from `begun` to `ended`.
    pub(super) fn handle_work(&mut self, begun: Time, ended: Time) {
        self.note(begun, ended);
    }

    /// The longest stall.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// When the longest stall began, if there was any.
    pub(super) fn at(&self) -> Option<Time> {
        self.at
    }

    fn note(&mut self, begun: Time, ended: Time) {
        // A stall that reaches into the span counts whole: it shifted what was measured.
        if ended < self.from || begun > self.to {
            return;
        }
        let stall = ended.since(begun);
        if stall > self.longest {
            self.longest = stall;
            self.at = Some(begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Time {
        Time::from_nanos(value * 1_000_000)
    }

    #[test]
    fn the_longest_stall_within_the_span_counts() {
        // (slept, due, woke) → longest so far, ms
        let wakes = [
            ((50, 60, 90), 0, "before the span"),
            ((100, 105, 105), 0, "on time"),
            ((105, 110, 130), 20, "20 ms after it was due"),
            ((130, 120, 145), 20, "a timer already due when it went to sleep: 15 ms"),
            ((140, 190, 150), 20, "woken early by a socket"),
            ((195, 199, 260), 61, "over the end of the span"),
            ((260, 261, 999), 61, "after the span"),
        ];
        let mut watch = StallWatch::new(ms(100), ms(200));
        for ((slept, due, woke), longest, why) in wakes {
            watch.handle_wake(ms(slept), ms(due), ms(woke));
            assert_eq!(watch.longest(), Duration::from_millis(longest), "{why}");
        }
        assert_eq!(watch.at(), Some(ms(199)));
        watch.handle_work(ms(110), ms(180));
        assert_eq!((watch.longest(), watch.at()), (Duration::from_millis(70), Some(ms(110))));
    }
}
