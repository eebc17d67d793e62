//! How large a share a backend has while it warms up. It must not know which backend it is.

use base::Time;
use base::time::nanos;

use crate::settings::SlowStartSettings;

/// Shares grow this often in a window: each time the strategies make their tables anew, and ten
/// steps are smooth enough for caches and compilers to warm up.
const STEPS: u64 = 10;

/// The share in percent, 1 to 100, of a backend that came into service at `since`, and when it grows
/// next; `None` when it is whole. It begins at `min` and grows linearly, as in HAProxy and in Envoy
/// with an aggression of 1.
///
/// The steps lie at whole tenths of the window since the run began, the same for all backends: a
/// thousand that came back one after the other cost ten tables a window, not ten thousand. So the
/// first step comes early and the last up to a tenth of the window late.
pub(crate) fn share(settings: &SlowStartSettings, since: Time, now: Time) -> (u32, Option<Time>) {
    let served = now.since(since);
    if served >= settings.window {
        return (100, None);
    }
    let min = settings.min.clamp(0.0, 1.0);
    let part = min + (1.0 - min) * served.as_secs_f64() / settings.window.as_secs_f64();
    // Whole only when it is over: until then there is a next step.
    let percent = ((100.0 * part).round() as u32).max(1);
    let step = nanos(settings.window).div_ceil(STEPS);
    let next = (now.as_nanos() / step + 1).saturating_mul(step);
    (percent, Some(Time::from_nanos(next)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// When it steps, in milliseconds, and to what share.
    fn steps(window: Duration, min: f64, since_ms: u64) -> Vec<(u64, u32)> {
        let settings = SlowStartSettings { window, min };
        let since = Time::from_nanos(since_ms * 1_000_000);
        let (mut now, mut steps) = (since, Vec::new());
        loop {
            let (percent, next) = share(&settings, since, now);
            steps.push((now.as_nanos() / 1_000_000, percent));
            let Some(next) = next else { return steps };
            assert!(next > now, "{next:?}");
            now = next;
        }
    }

    #[test]
    fn the_share_grows_linearly_in_ten_steps() {
        let seconds = Duration::from_secs;
        let shares = |window, min, since_ms| -> Vec<u32> {
            steps(window, min, since_ms).into_iter().map(|(_, percent)| percent).collect()
        };
        let tenth = [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100];
        assert_eq!(shares(seconds(10), 0.1, 0), tenth);
        assert_eq!(shares(seconds(10), 0.1, 7_000), tenth);
        assert_eq!(shares(seconds(10), 0.0, 0), [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(shares(seconds(3), 1.0, 0), [100; 11]);
        assert_eq!(shares(Duration::ZERO, 0.5, 3), [100]);
        assert_eq!(shares(seconds(18_000_000_000), 0.1, 0).len(), 11);
        assert_eq!(shares(Duration::from_nanos(7), 0.5, 0).last(), Some(&100));
    }

    #[test]
    fn the_steps_of_all_lie_together() {
        for since_ms in [0, 1, 250, 999] {
            let steps = steps(Duration::from_secs(10), 0.1, since_ms);
            assert!(steps[1..].iter().all(|&(at, _)| at % 1_000 == 0), "{steps:?}");
            for &(at, percent) in &steps {
                let exact = 10.0 + 90.0 * ((at - since_ms) as f64 / 10_000.0).min(1.0);
                assert!((f64::from(percent) - exact).abs() <= 0.5, "{steps:?}");
            }
        }
    }
}
