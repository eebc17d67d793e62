//! The backends' cumulative counters, cut into windows. It must not know how they were read.
//!
//! A sample is taken near a window's end, never exactly on it; what lies between two samples is
//! counted in the window whose end the later one stands for.

use serde::{Deserialize, Serialize};

use crate::gauge::{BackendSample, Sample};
use crate::grid::Grid;
use crate::rows::BackendRow;
use crate::units;

/// One backend over a whole trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTotal {
    /// Attempts that it read, probes left out.
    pub requests: u64,
    /// The most that were inside at once.
    pub max_in_flight: u32,
}

/// A trial's samples, each at its boundary.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sampled {
    /// By boundary: the nearest sample.
    at: Vec<Option<Sample>>,
    /// The last of all: after it nothing was under way any more.
    last: Option<Sample>,
    totals: Vec<BackendTotal>,
}

impl Sampled {
    /// Sorts samples (in order of time) to the boundaries of `grid`.
    pub(crate) fn new(samples: Vec<Sample>, grid: &Grid, backends: usize) -> Self {
        let mut at: Vec<Option<Sample>> = vec![None; grid.count() + 1];
        let mut totals = vec![BackendTotal::default(); backends];
        let mut before: Option<&Sample> = None;
        for sample in &samples {
            let offset = grid.offset(sample.at);
            let distance = |s: &Sample, k| grid.offset(s.at).abs_diff(grid.boundary_ns(k) as i64);
            if let Some(boundary) = grid.boundary_near(offset) {
                let held = &mut at[boundary];
                let is_nearer = held
                    .as_ref()
                    .is_none_or(|held| distance(sample, boundary) < distance(held, boundary));
                if is_nearer {
                    *held = Some(sample.clone());
                }
            }
            if offset <= 0 {
                before = Some(sample);
            }
        }
        if at[0].is_none() {
            at[0] = before.cloned();
        }
        let baseline = at[0].as_ref();
        for sample in &samples {
            if baseline.is_some_and(|baseline| sample.at <= baseline.at) {
                continue;
            }
            for (total, backend) in totals.iter_mut().zip(&sample.backends) {
                total.max_in_flight = total.max_in_flight.max(backend.max_in_flight);
            }
        }
        let last = samples.last().cloned();
        if let Some(last) = &last {
            for (index, (total, backend)) in totals.iter_mut().zip(&last.backends).enumerate() {
                let start = baseline.and_then(|sample| sample.backends.get(index));
                total.requests =
                    backend.requests.saturating_sub(start.map_or(0, |start| start.requests));
            }
        }
        Self { at, last, totals }
    }

    /// Whether it was cut by a grid of so many windows, for so many backends.
    pub(crate) fn fits(&self, windows: usize, backends: usize) -> bool {
        self.at.len() == windows + 1 && self.totals.len() == backends
    }

    /// One a backend, in the plan's order.
    pub(crate) fn totals(&self) -> &[BackendTotal] {
        &self.totals
    }

    /// Retries granted in a window; `None` where nobody can tell, or no sample was taken.
    pub(crate) fn retries_in(&self, window: usize) -> Option<u64> {
        let end = self.at[window + 1].as_ref()?.retries?;
        Some(end.saturating_sub(self.retries_by(window)?))
    }

    /// Retries granted from the end of the warm-up until everything had ended.
    pub(crate) fn retries_in_all(&self) -> Option<u64> {
        let end = self.last.as_ref()?.retries?;
        Some(end.saturating_sub(self.retries_by(0)?))
    }

    /// Retries granted between two boundaries; `None` also when no sample was taken at one of them.
    pub(crate) fn retries_between(&self, (from, to): (usize, usize)) -> Option<u64> {
        let end = self.at[to].as_ref()?.retries?;
        let start = if from == 0 { self.retries_by(0) } else { self.at[from].as_ref()?.retries };
        Some(end.saturating_sub(start?))
    }

    fn retries_by(&self, boundary: usize) -> Option<u64> {
        self.last.as_ref()?.retries?;
        let known = self.at[..=boundary].iter().rev().flatten().find_map(|sample| sample.retries);
        // Nobody has told yet: everything still stood at zero.
        Some(known.unwrap_or(0))
    }

    /// The latest sample at or before a boundary; `None`: everything still stood at zero.
    fn known_by(&self, boundary: usize) -> Option<&Sample> {
        self.at[..=boundary].iter().rev().flatten().next()
    }

    /// The rows of a window, one a backend; none where no sample was taken.
    pub(crate) fn rows(
        &self,
        window: usize,
        blank: &BackendRow,
        names: &[String],
    ) -> Vec<BackendRow> {
        let Some(end) = &self.at[window + 1] else { return Vec::new() };
        let nothing = BackendSample::default();
        let start = self.known_by(window);
        let pairs = || {
            let then = |index| start.and_then(|sample| sample.backends.get(index));
            let now = end.backends.iter().take(names.len()).enumerate();
            now.map(move |(index, now)| (now, then(index)))
        };
        let requests = |now: &BackendSample, then: Option<&BackendSample>| {
            now.requests.saturating_sub(then.map_or(0, |then| then.requests))
        };
        let all: u64 = pairs().map(|(now, then)| requests(now, then)).sum();
        let row = |((now, then), name): ((&BackendSample, Option<&BackendSample>), &String)| {
            let requests = requests(now, then);
            BackendRow {
                backend: name.clone(),
                requests,
                share: (all > 0).then(|| units::ratio(requests, all)),
                in_flight: now.in_flight,
                failed: now.failed.saturating_sub(then.unwrap_or(&nothing).failed),
                state: now.state.clone(),
                ..blank.clone()
            }
        };
        pairs().zip(names).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::Time;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn sample(at_ms: u64, requests: [u64; 2], retries: Option<u64>) -> Sample {
        let backend = |requests| BackendSample {
            requests,
            max_in_flight: requests as u32,
            ..BackendSample::default()
        };
        Sample {
            at: Time::from_nanos(at_ms * 1_000_000),
            retries,
            backends: requests.map(backend).to_vec(),
        }
    }

    fn sampled(samples: Vec<Sample>) -> Sampled {
        // Five seconds of warm-up, three windows of a second.
        let second = Duration::from_nanos(SECOND);
        Sampled::new(samples, &Grid::new(second * 5, second, second * 3), 2)
    }

    fn requests(sampled: &Sampled, window: usize) -> Vec<u64> {
        let blank = BackendRow::default();
        let names = ["a".to_owned(), "b".to_owned()];
        sampled.rows(window, &blank, &names).iter().map(|row| row.requests).collect()
    }

    #[test]
    fn counters_are_cut_at_the_windows_ends() {
        let sampled = sampled(vec![
            sample(4_000, [40, 40], Some(3)),
            sample(5_001, [50, 50], Some(5)),
            sample(6_002, [60, 70], Some(6)),
            sample(7_000, [60, 71], Some(6)),
            sample(8_001, [65, 80], Some(9)),
            sample(9_500, [66, 80], Some(10)),
        ]);
        assert_eq!(requests(&sampled, 0), [10, 20]);
        assert_eq!(requests(&sampled, 1), [0, 1]);
        assert_eq!(requests(&sampled, 2), [5, 9]);
        assert_eq!([0, 1, 2].map(|window| sampled.retries_in(window)), [Some(1), Some(0), Some(3)]);
        assert_eq!(sampled.retries_in_all(), Some(5), "until the last request had ended");
        assert_eq!(sampled.retries_between((1, 3)), Some(3));
        let totals: Vec<_> =
            sampled.totals().iter().map(|t| (t.requests, t.max_in_flight)).collect();
        assert_eq!(totals, [(16, 66), (30, 80)]);
    }

    #[test]
    fn a_missing_sample_leaves_a_gap_and_loses_nothing() {
        let sampled = sampled(vec![
            sample(5_000, [0, 0], None),
            sample(7_000, [6, 2], None),
            sample(8_000, [7, 2], None),
        ]);
        assert_eq!(requests(&sampled, 0), [0; 0]);
        assert_eq!(requests(&sampled, 1), [6, 2]);
        assert_eq!(requests(&sampled, 2), [1, 0]);
        assert_eq!(sampled.retries_in(1), None);
        assert_eq!(sampled.retries_in_all(), None);
    }

    #[test]
    fn retries_between_are_known_where_both_ends_are() {
        let sampled = sampled(vec![
            sample(5_000, [0, 0], Some(1)),
            sample(6_000, [0, 0], None),
            sample(7_000, [0, 0], Some(6)),
            sample(8_000, [0, 0], Some(9)),
        ]);
        for (ends, retries) in
            [((0, 2), Some(5)), ((2, 3), Some(3)), ((0, 1), None), ((1, 3), None)]
        {
            assert_eq!(sampled.retries_between(ends), retries, "{ends:?}");
        }
        let windows = [0, 1, 2].map(|window| sampled.retries_in(window));
        assert_eq!(windows, [None, Some(5), Some(3)], "none is lost");
    }

    #[test]
    fn shares_are_of_the_window_and_empty_without_requests() {
        let sampled = sampled(vec![
            sample(5_000, [0, 0], None),
            sample(6_000, [3, 1], None),
            sample(7_000, [3, 1], None),
        ]);
        let names = ["a".to_owned(), "b".to_owned()];
        let shares = |window| -> Vec<_> {
            let rows = sampled.rows(window, &BackendRow::default(), &names);
            rows.iter().map(|row| row.share).collect()
        };
        assert_eq!(shares(0), [Some(0.75), Some(0.25)]);
        assert_eq!(shares(1), [None, None]);
    }

    #[test]
    fn without_samples_there_is_nothing_to_tell() {
        let sampled = sampled(Vec::new());
        assert_eq!(requests(&sampled, 0), [0; 0]);
        assert_eq!(sampled.retries_in(2), None);
        assert_eq!(sampled.totals(), [BackendTotal::default(), BackendTotal::default()]);
    }
}
