//! Where a time lies: in the warm-up, in which window, nearest to which window's end.
//! It must not know what happened there.

use std::ops::Range;
use std::time::Duration;

use base::Time;
use base::time::nanos;
use serde::{Deserialize, Serialize};

use crate::expect::Span;

/// The most windows a trial may have: 600 is what the scenario chooses by itself, and each window
/// costs a row in every file, so far more than this is a mistake in the unit of `window`.
pub const MAX_WINDOWS: u64 = 100_000;

/// The measured time, cut into windows; the last one is shorter where the lengths do not divide.
///
/// "Measured" times are nanoseconds from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grid {
    warmup_ns: u64,
    window_ns: u64,
    duration_ns: u64,
    count: usize,
    /// 1 / window: a multiplication and two comparisons cost a third of a 64-bit division, and
    /// every request needs three.
    inverse: f64,
}

impl Grid {
    /// # Panics
    /// When there is no measured time, no window length, or more than [`MAX_WINDOWS`].
    pub(crate) fn new(warmup: Duration, window: Duration, duration: Duration) -> Self {
        let (window_ns, duration_ns) = (nanos(window), nanos(duration));
        assert!(duration_ns > 0, "a plan needs phases that last");
        assert!(window_ns > 0, "a window of no length");
        let count = duration_ns.div_ceil(window_ns);
        assert!(count <= MAX_WINDOWS, "{count} windows; at most {MAX_WINDOWS}");
        Self {
            warmup_ns: nanos(warmup),
            window_ns,
            duration_ns,
            count: count as usize,
            inverse: 1.0 / window_ns as f64,
        }
    }

    /// The same, or `None` where [`Grid::new`] would panic.
    pub(crate) fn checked(warmup: Duration, window: Duration, duration: Duration) -> Option<Self> {
        let (window_ns, duration_ns) = (nanos(window), nanos(duration));
        let sane =
            duration_ns > 0 && window_ns > 0 && duration_ns.div_ceil(window_ns) <= MAX_WINDOWS;
        sane.then(|| Self::new(warmup, window, duration))
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// The end of the warm-up, as a time of the run.
    pub(crate) fn origin(&self) -> Time {
        Time::from_nanos(self.warmup_ns)
    }

    /// The measured time of an intended time; `None` in the warm-up. A schedule that ends on the
    /// very end of the last phase (rounding) still belongs to it.
    pub(crate) fn measured(&self, intended: Time) -> Option<u64> {
        let at = intended.as_nanos().checked_sub(self.warmup_ns)?;
        Some(at.min(self.duration_ns - 1))
    }

    /// The measured time of anything, negative in the warm-up.
    pub(crate) fn offset(&self, time: Time) -> i64 {
        time.as_nanos().min(i64::MAX as u64) as i64 - self.warmup_ns.min(i64::MAX as u64) as i64
    }

    /// The window that holds this measured time.
    pub(crate) fn window_of(&self, measured_ns: u64) -> usize {
        // Below 2^63 ns the estimate is off by one at most, either way.
        let mut index = (measured_ns as f64 * self.inverse) as u64;
        if index * self.window_ns > measured_ns {
            index -= 1;
        } else if (index + 1) * self.window_ns <= measured_ns {
            index += 1;
        }
        (index as usize).min(self.count - 1)
    }

    /// The beginning of a window.
    pub(crate) fn start_ns(&self, window: usize) -> u64 {
        window as u64 * self.window_ns
    }

    /// Boundary 0 is the end of the warm-up, boundary `k` the end of window `k - 1`.
    pub(crate) fn boundary_ns(&self, boundary: usize) -> u64 {
        self.start_ns(boundary).min(self.duration_ns)
    }

    /// The windows that lie in a span as a whole.
    pub(crate) fn windows_within(&self, span: Span) -> Range<usize> {
        let (from, to) = (nanos(span.from), nanos(span.to));
        let count = self.count as u64;
        let first = from.div_ceil(self.window_ns).min(count);
        let end = if to >= self.duration_ns { count } else { to / self.window_ns };
        first as usize..end as usize
    }

    /// The boundaries at a span's ends; `None` when the span cuts a window.
    pub(crate) fn span_boundaries(&self, span: Span) -> Option<(usize, usize)> {
        let exact = |at: Duration| match nanos(at) {
            at if at == self.duration_ns => Some(self.count),
            at => (at < self.duration_ns && at % self.window_ns == 0)
                .then_some((at / self.window_ns) as usize),
        };
        exact(span.from).zip(exact(span.to))
    }

    /// The boundary nearest to a measured time; `None` more than half a window outside.
    pub(crate) fn boundary_near(&self, offset_ns: i64) -> Option<usize> {
        let Ok(at) = u64::try_from(offset_ns) else {
            return (offset_ns.unsigned_abs() <= self.boundary_ns(1) / 2).then_some(0);
        };
        if at >= self.duration_ns {
            let last = self.duration_ns - self.start_ns(self.count - 1);
            return (at - self.duration_ns <= last / 2).then_some(self.count);
        }
        let window = self.window_of(at);
        let (from, to) = (self.boundary_ns(window), self.boundary_ns(window + 1));
        Some(if at - from < to - at { window } else { window + 1 })
    }
}

/// Finds windows of times that lie close together, most of them by two comparisons.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nearby {
    window: usize,
    /// When it begins and ends, as times of the run.
    from: Time,
    to: Time,
}

impl Nearby {
    /// The window of an intended time; `None` in the warm-up.
    #[inline]
    pub(crate) fn window_of(&mut self, grid: &Grid, intended: Time) -> Option<usize> {
        if self.from <= intended && intended < self.to {
            return Some(self.window);
        }
        Some(self.turn_to(grid, grid.measured(intended)?))
    }

    /// The first window whose end lies at or after `time`; `None` behind the last one.
    #[inline]
    pub(crate) fn first_end_from(&mut self, grid: &Grid, time: Time) -> Option<usize> {
        if self.from < time && time <= self.to {
            return Some(self.window);
        }
        let at = time.as_nanos().saturating_sub(grid.warmup_ns);
        (at <= grid.duration_ns).then(|| self.turn_to(grid, at.saturating_sub(1)))
    }

    /// Whether a request that was sent and ended at these times was under way at no window's end.
    #[inline]
    pub(crate) fn holds(&self, sent: Time, ended: Time) -> bool {
        self.from < sent && sent <= ended && ended <= self.to
    }

    /// When the window that was found last begins and ends, as times of the run.
    pub(crate) const fn ends(&self) -> (Time, Time) {
        (self.from, self.to)
    }

    #[cold]
    fn turn_to(&mut self, grid: &Grid, measured_ns: u64) -> usize {
        self.window = grid.window_of(measured_ns);
        let ends = [self.window, self.window + 1].map(|boundary| grid.boundary_ns(boundary));
        [self.from, self.to] = ends.map(|ns| grid.origin() + Duration::from_nanos(ns));
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(warmup: u64, window: u64, duration: u64) -> Grid {
        let ns = Duration::from_nanos;
        Grid::new(ns(warmup), ns(window), ns(duration))
    }

    #[test]
    fn a_time_belongs_to_the_window_that_begins_at_or_before_it() {
        let grid = grid(100, 10, 25);
        assert_eq!(grid.count(), 3);
        for (time, window) in
            [(99, None), (100, Some(0)), (109, Some(0)), (110, Some(1)), (124, Some(2))]
        {
            let found = grid.measured(Time::from_nanos(time)).map(|at| grid.window_of(at));
            assert_eq!(found, window, "{time}");
        }
        assert_eq!(grid.measured(Time::from_nanos(9_999)), Some(24), "held by the last window");
    }

    #[test]
    fn what_is_nearby_is_found_as_from_afar() {
        for (window, duration) in [(1, 3), (7, 100), (10, 25), (1_000, 999)] {
            let (grid, mut near) = (grid(5, window, duration), Nearby::default());
            let mut rng = base::Rng::from_seed(window);
            for _ in 0..1_000 {
                let at = Time::from_nanos(rng.below(10 + 2 * duration as usize) as u64);
                let mut afar = Nearby::default();
                let found = [near.window_of(&grid, at), near.first_end_from(&grid, at)];
                let measured = grid.measured(at).map(|measured| grid.window_of(measured));
                let expected = [measured, afar.first_end_from(&grid, at)];
                assert_eq!(found, expected, "{at} by {window}");
                let later = at + Duration::from_nanos(rng.below(3) as u64);
                let holds = near.holds(at, later);
                let ends = [at, later].map(|time| afar.first_end_from(&grid, time));
                assert!(!holds || ends[0] == ends[1], "{at} and {later} by {window}");
            }
        }
    }

    #[test]
    fn the_estimate_is_mended_for_any_size() {
        for window in [1, 3, 7, 999_999_937, 1_000_000_000, 300_000_000_000] {
            let grid = grid(0, window, window * 1000);
            for index in [0u64, 1, 2, 332, 333, 500, 998] {
                for (at, expected) in [
                    (index * window, index),
                    (index * window + window - 1, index),
                    ((index + 1) * window, index + 1),
                ] {
                    assert_eq!(grid.window_of(at), expected as usize, "{at} by {window}");
                }
            }
        }
    }

    #[test]
    fn in_flight_changes_at_the_first_end_that_sees_it() {
        let (grid, mut near) = (grid(100, 10, 25), Nearby::default());
        for (time, window) in [
            (0, Some(0)),
            (100, Some(0)),
            (110, Some(0)),
            (111, Some(1)),
            (121, Some(2)),
            (125, Some(2)),
            (126, None),
        ] {
            assert_eq!(near.first_end_from(&grid, Time::from_nanos(time)), window, "{time}");
        }
    }

    #[test]
    fn a_span_holds_the_windows_that_it_does_not_cut() {
        let grid = grid(100, 10, 25);
        for (from, to, windows) in [
            (0, 25, 0..3),
            (0, 24, 0..2),
            (0, 20, 0..2),
            (1, 20, 1..2),
            (10, 19, 1..1),
            (20, 25, 2..3),
            (21, 25, 3..3),
            (40, 90, 3..3),
        ] {
            let span = Span { from: Duration::from_nanos(from), to: Duration::from_nanos(to) };
            assert_eq!(grid.windows_within(span), windows, "{from}..{to}");
        }
    }

    #[test]
    fn only_spans_that_cut_no_window_have_boundaries() {
        let grid = grid(100, 10, 25);
        for (from, to, boundaries) in [
            (0, 25, Some((0, 3))),
            (10, 20, Some((1, 2))),
            (20, 25, Some((2, 3))),
            (0, 24, None),
            (9, 20, None),
            (11, 20, None),
            (10, 26, None),
            (10, 30, None),
        ] {
            let span = Span { from: Duration::from_nanos(from), to: Duration::from_nanos(to) };
            assert_eq!(grid.span_boundaries(span), boundaries, "{from}..{to}");
        }
    }

    #[test]
    fn samples_are_matched_to_the_nearest_boundary() {
        let grid = grid(0, 10, 24);
        for (offset, boundary) in [
            (-6, None),
            (-5, Some(0)),
            (4, Some(0)),
            (5, Some(1)),
            (11, Some(1)),
            (21, Some(2)),
            (22, Some(3)),
            (24, Some(3)),
            (26, Some(3)),
            (27, None),
        ] {
            assert_eq!(grid.boundary_near(offset), boundary, "{offset}");
        }
    }
}
