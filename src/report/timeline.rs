//! The rows of a run by variant and window, rounds put together. It must not know how they are drawn.
//!
//! Counts of rounds add up and are given a second and round. Percentiles of rounds are never
//! averaged: a window has their median, the lowest and the highest.

use std::collections::BTreeMap;

use record::Run;
use record::rows::TimelineRow;

/// A value over the rounds of a variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) mid: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// `None` of nothing; what is no number is left out.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        Some(Self { low, mid: median(&values), high })
    }
}

/// The median of sorted values, of which there is at least one.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The median of any finite values.
pub(crate) fn median_of(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.mid)
}

/// One window of a variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// Its beginning and end, seconds from the end of the warm-up.
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// Over all rounds.
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    /// A second, the mean of the rounds.
    pub(crate) intended_rate: f64,
    pub(crate) sent_rate: f64,
    pub(crate) ok_rate: f64,
    pub(crate) failed_rate: f64,
    pub(crate) rejected_rate: f64,
    pub(crate) retries_rate: Option<f64>,
    /// Milliseconds.
    pub(crate) p50: Option<Spread>,
    pub(crate) p99: Option<Spread>,
}

impl Window {
    pub(crate) fn middle(&self) -> f64 {
        f64::midpoint(self.from_s, self.to_s)
    }
}

/// Windows of one variant in the order of time.
pub(crate) fn windows(run: &Run, variant: &str) -> Vec<Window> {
    let mut rows: BTreeMap<i64, Vec<&TimelineRow>> = BTreeMap::new();
    for row in run.timeline.iter().filter(|row| row.variant == variant && row.t_s.is_finite()) {
        rows.entry(key(row.t_s)).or_default().push(row);
    }
    let begins: Vec<f64> = rows.values().map(|rows| rows[0].t_s).collect();
    let next = begins.iter().skip(1).copied().chain([f64::INFINITY]);
    rows.values().zip(next).map(|(rows, next)| merged(run, rows, next)).collect()
}

/// A window's beginning as a key that rounds share, in milliseconds.
fn key(t_s: f64) -> i64 {
    (t_s * 1e3).round() as i64
}

/// The end of the window that begins at `from_s`: the last one of a run may be cut.
pub(crate) fn window_end(run: &Run, from_s: f64) -> f64 {
    let end = from_s + run.summary.window_s;
    if from_s < run.summary.duration_s { end.min(run.summary.duration_s) } else { end }
}

/// `next` is where the next window begins: the first one of a run whose windows follow the wall clock
/// is cut there.
fn merged(run: &Run, rows: &[&TimelineRow], next: f64) -> Window {
    let from_s = rows[0].t_s;
    let whole = window_end(run, from_s);
    // Not by a float's dust: times in files have microseconds.
    let to_s = if next < whole - 1e-6 { next } else { whole };
    let seconds = (to_s - from_s).max(1e-3) * rows.len() as f64;
    let sum = |of: fn(&TimelineRow) -> u64| -> u64 {
        rows.iter().map(|row| of(row)).fold(0, u64::saturating_add)
    };
    let rate = |of: fn(&TimelineRow) -> u64| sum(of) as f64 / seconds;
    let retries: Option<Vec<u64>> = rows.iter().map(|row| row.retries).collect();
    Window {
        from_s,
        to_s,
        failed: sum(|row| row.failed),
        rejected: sum(|row| row.rejected),
        intended_rate: rate(|row| row.intended),
        sent_rate: rate(|row| row.sent),
        ok_rate: rate(|row| row.ok),
        failed_rate: rate(|row| row.failed),
        rejected_rate: rate(|row| row.rejected),
        retries_rate: retries
            .map(|counts| counts.into_iter().fold(0, u64::saturating_add) as f64 / seconds),
        p50: Spread::of(rows.iter().filter_map(|row| row.p50_ms)),
        p99: Spread::of(rows.iter().filter_map(|row| row.p99_ms)),
    }
}

/// One backend over a variant, windows in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BackendLine {
    pub(crate) name: String,
    /// Over the whole variant, all rounds.
    pub(crate) requests: u64,
    pub(crate) points: Vec<BackendPoint>,
}

/// One backend in one window (or several neighbours, see [`BackendLine::thinned`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackendPoint {
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// Over all rounds.
    pub(crate) requests: u64,
    /// The highest of the rounds.
    pub(crate) in_flight: u32,
}

impl BackendLine {
    /// The same with at most `limit` points: `n` neighbours become one, their requests added and
    /// the highest of their in-flight figures kept.
    fn thinned(self, limit: usize) -> Self {
        let together = self.points.len().div_ceil(limit).max(1);
        let points = self.points.chunks(together).map(|chunk| {
            chunk.iter().skip(1).fold(chunk[0], |sum, point| BackendPoint {
                to_s: point.to_s,
                requests: sum.requests.saturating_add(point.requests),
                in_flight: sum.in_flight.max(point.in_flight),
                ..sum
            })
        });
        Self { points: points.collect(), ..self }
    }
}

/// The backends of one variant in the order of the files, each with at most `limit` points.
pub(crate) fn backends(run: &Run, variant: &str, limit: usize) -> Vec<BackendLine> {
    let mut order: Vec<&str> = Vec::new();
    let mut lines: BTreeMap<&str, BTreeMap<i64, BackendPoint>> = BTreeMap::new();
    for row in run.backends.iter().filter(|row| row.variant == variant && row.t_s.is_finite()) {
        let line = lines.entry(&row.backend).or_insert_with(|| {
            order.push(&row.backend);
            BTreeMap::new()
        });
        let empty = BackendPoint {
            from_s: row.t_s,
            to_s: window_end(run, row.t_s),
            requests: 0,
            in_flight: 0,
        };
        let point = line.entry(key(row.t_s)).or_insert(empty);
        point.requests = point.requests.saturating_add(row.requests);
        point.in_flight = point.in_flight.max(row.in_flight);
    }
    order
        .into_iter()
        .filter_map(|name| {
            let points: Vec<BackendPoint> = lines.remove(name)?.into_values().collect();
            let requests = points.iter().map(|point| point.requests).fold(0, u64::saturating_add);
            Some(BackendLine { name: name.to_owned(), requests, points }.thinned(limit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Shape;

    #[test]
    fn rounds_add_up_and_percentiles_are_never_averaged() {
        let mut run = Shape { variants: &["v"], rounds: 3, ..Shape::FAILOVER }.run();
        let rows = run.timeline.iter_mut().filter(|row| row.t_s == 5.0);
        for (row, (p99, failed)) in rows.zip([(10.0, 1), (1_000.0, 2), (20.0, 6)]) {
            (row.p99_ms, row.failed, row.retries) = (Some(p99), failed, Some(0));
        }
        let window = &windows(&run, "v")[5];
        assert_eq!(window.p99, Some(Spread { low: 10.0, mid: 20.0, high: 1_000.0 }));
        assert_eq!((window.failed, window.failed_rate), (9, 3.0));
    }

    #[test]
    fn the_last_window_is_as_long_as_what_is_left() {
        let mut run = Shape { variants: &["v"], ..Shape::FAILOVER }.run();
        run.summary.duration_s = 59.5;
        let last = windows(&run, "v").pop().expect("there are sixty");
        assert_eq!((last.from_s, last.to_s), (59.0, 59.5));
        let row = run.timeline.last().expect("likewise");
        assert!((last.intended_rate - row.intended as f64 * 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_window_ends_where_the_next_one_begins() {
        let mut run = Shape { variants: &["v"], ..Shape::FAILOVER }.run();
        // Of another program: the first window is the rest of a second of the wall clock.
        run.timeline.iter_mut().skip(1).for_each(|row| row.t_s -= 0.75);
        let windows = windows(&run, "v");
        let ends: Vec<(f64, f64)> = windows.iter().take(2).map(|w| (w.from_s, w.to_s)).collect();
        assert_eq!(ends, [(0.0, 0.25), (0.25, 1.25)]);
        let intended = run.timeline[0].intended as f64;
        assert!((windows[0].intended_rate - intended * 4.0).abs() < 1e-9);
    }

    #[test]
    fn fewer_points_keep_every_request_and_the_peak() {
        let mut run = Shape { variants: &["v"], ..Shape::FAILOVER }.run();
        run.backends.iter_mut().filter(|row| row.t_s == 31.0).for_each(|row| row.in_flight = 99);
        let (all, few) = (backends(&run, "v", 1_000), backends(&run, "v", 7));
        assert_eq!(all.len(), 4);
        for (all, few) in all.iter().zip(&few) {
            assert!(all.points.len() == 60 && few.points.len() <= 7);
            assert_eq!(few.points.iter().map(|p| p.requests).sum::<u64>(), all.requests);
            assert_eq!(few.points.iter().map(|p| p.in_flight).max(), Some(99));
            assert_eq!(few.points.last().map(|p| p.to_s), all.points.last().map(|p| p.to_s));
        }
    }
}
