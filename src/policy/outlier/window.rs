//! Requests of late and the failures among them. It must not judge them.

use std::time::Duration;

use base::Time;
use base::time::nanos;

/// The parts of the window that are counted apart.
const SLOTS: usize = 16;

/// How many requests there were of late and how many failed, exactly: those of the last `window`,
/// less up to a sixteenth of it, because whole slots leave it. 160 bytes, and a request costs a step
/// for every slot that passed since the last, at most all.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// A ring by the number of the slot: requests and failures among them.
    slots: [(u32, u32); SLOTS],
    /// The number of the current slot since the run began, and the time when it ends.
    current: u64,
    ends: Time,
    /// All slots; counts over another window are void.
    window: Duration,
    requests: u32,
    failures: u32,
}

impl Window {
    /// Requests as of the last one counted, and failures among them.
    pub(super) const fn sums(&self) -> (u32, u32) {
        (self.requests, self.failures)
    }

    /// One more request.
    pub(super) fn count(&mut self, now: Time, window: Duration, failed: bool) {
        if now >= self.ends || window != self.window {
            self.turn(now, window);
        }
        let slot = &mut self.slots[(self.current % SLOTS as u64) as usize];
        slot.0 += 1;
        self.requests += 1;
        if failed {
            slot.1 += 1;
            self.failures += 1;
        }
    }

    /// Goes on to the slot of this time.
    #[cold]
    fn turn(&mut self, now: Time, window: Duration) {
        let width = nanos(window).div_ceil(SLOTS as u64).max(1);
        let target = now.as_nanos() / width;
        if window != self.window || target.saturating_sub(self.current) >= SLOTS as u64 {
            *self = Self { window, current: target, ..Self::default() };
        }
        while self.current < target {
            self.current += 1;
            let slot = &mut self.slots[(self.current % SLOTS as u64) as usize];
            let (requests, failures) = std::mem::take(slot);
            self.requests -= requests;
            self.failures -= failures;
        }
        self.ends = Time::from_nanos((self.current + 1).saturating_mul(width));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Anything that counts requests of late: how many there were, and how many of them failed.
    trait Counts {
        fn count(&mut self, now: Time, window: Duration, failed: bool) -> (u32, u32);
    }

    impl Counts for Window {
        fn count(&mut self, now: Time, window: Duration, failed: bool) -> (u32, u32) {
            Self::count(self, now, window, failed);
            self.sums()
        }
    }

    /// Wrong: begins anew with every window, so that an outage over a boundary is seen by halves
    /// (the interval of Envoy's success rate).
    #[derive(Default)]
    struct Tumbles(u64, u32, u32);
    impl Counts for Tumbles {
        fn count(&mut self, now: Time, window: Duration, failed: bool) -> (u32, u32) {
            let number = now.as_nanos() / nanos(window);
            if number != self.0 {
                *self = Self(number, 0, 0);
            }
            self.1 += 1;
            self.2 += u32::from(failed);
            (self.1, self.2)
        }
    }

    /// The count is that of some span that ends now and is 15/16 of the window to the whole long.
    fn counts_the_window(
        counts: &mut dyn Counts,
        window: Duration,
        steps: &[(u64, bool)],
    ) -> Result<(), String> {
        let mut now = Time::ZERO;
        let mut past: Vec<(Time, bool)> = Vec::new();
        for &(gap_ms, failed) in steps {
            now += Duration::from_millis(gap_ms);
            past.push((now, failed));
            let counted = counts.count(now, window, failed);
            let within = |span: Duration| {
                let recent = past.iter().filter(|&&(at, _)| now.since(at) < span);
                recent.fold((0, 0), |(n, f), &(_, failed)| (n + 1, f + u32::from(failed)))
            };
            let (least, most) = (within(window * 15 / 16), within(window));
            if counted.0 < least.0
                || counted.0 > most.0
                || counted.1 < least.1
                || counted.1 > most.1
            {
                return Err(format!("{counted:?} at {now}, from {least:?} to {most:?}"));
            }
        }
        Ok(())
    }

    #[test]
    fn a_tumbling_window_is_noticed() {
        let outage = [(900, true), (200, true)];
        let window = Duration::from_secs(1);
        assert!(counts_the_window(&mut Tumbles::default(), window, &outage).is_err());
        assert!(counts_the_window(&mut Window::default(), window, &outage).is_ok());
    }

    proptest! {
        #[test]
        fn the_window_slides(
            window_ms in 1..3_000_u64,
            steps in prop::collection::vec((0..400_u64, any::<bool>()), 1..400),
        ) {
            let window = Duration::from_millis(window_ms);
            let held = counts_the_window(&mut Window::default(), window, &steps);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }
}
