//! How large a share a backend has while it warms up. It must not know when it came into service.

use std::time::Duration;

use base::time::nanos;

use crate::settings::SlowStartSettings;

/// The share grows in this many steps: each of them makes the strategies' tables anew, and ten are
/// smooth enough for caches and compilers to warm up.
const STEPS: u64 = 10;

/// The share in percent, 1 to 100, after so long in service, and after how long in service it grows
/// next; `None` when it is whole. It begins at `min` and grows linearly, as in HAProxy and in Envoy
/// with an aggression of 1.
pub(crate) fn share(settings: &SlowStartSettings, served: Duration) -> (u32, Option<Duration>) {
    let window = u128::from(nanos(settings.window));
    let served = u128::from(nanos(served));
    if served >= window {
        return (100, None);
    }
    let step = (served * u128::from(STEPS) / window) as u64;
    let min = settings.min.clamp(0.0, 1.0);
    let part = min + (1.0 - min) * step as f64 / STEPS as f64;
    // Rounded up, so that the step has been made when it is due.
    let next = (window * u128::from(step + 1)).div_ceil(u128::from(STEPS));
    (((100.0 * part).round() as u32).max(1), Some(Duration::from_nanos(next as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_in_ten_steps_that_come_when_they_are_due() {
        let shares = |window: Duration, min: f64| {
            let settings = SlowStartSettings { window, min };
            let (mut at, mut shares) = (Duration::ZERO, Vec::new());
            loop {
                let (percent, next) = share(&settings, at);
                shares.push(percent);
                let Some(next) = next else { break };
                assert!(next > at, "{next:?}");
                let before = next.checked_sub(Duration::from_nanos(1)).unwrap();
                assert_eq!(share(&settings, before), (percent, Some(next)), "not before");
                at = next;
            }
            assert_eq!(at, window, "whole when the window is over");
            shares
        };
        let seconds = Duration::from_secs;
        assert_eq!(shares(seconds(10), 0.1), [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100]);
        assert_eq!(shares(seconds(10), 0.0), [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(shares(seconds(3), 1.0), [100; 11]);
        assert_eq!(shares(Duration::from_nanos(7), 0.5).last(), Some(&100), "a step is skipped");
        assert_eq!(shares(Duration::ZERO, 0.5), [100]);
        assert_eq!(shares(Duration::MAX.min(seconds(18_000_000_000)), 0.1).len(), 11);
    }
}
