//! Artillery's periods as the windows of a run. It must not know what a report draws.
//!
//! A period is ten seconds by the wall clock. Time zero is the first thing counted, so the first window
//! is the rest of its period. A period in which nothing happened is not in a result; here it is, with
//! zeros, or a line in a chart would lead over it.

use record::rows::TimelineRow;

use super::ends::Flow;
use super::timing::Timing;
use super::written::{Period, Quantiles, Written};
use crate::problem::{Place, Problem};

/// Artillery knows no other length.
pub(super) const PERIOD_S: f64 = 10.0;
const PERIOD_MS: u64 = 10_000;
/// Eleven days: more is a mistake in a time.
const MAX_WINDOWS: u64 = record::MAX_WINDOWS;

/// The course of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Time zero, in milliseconds of the wall clock.
    zero_ms: u64,
    /// From the first to the last thing counted.
    pub(super) duration_s: f64,
    /// Periods that share their beginning with the one before.
    pub(super) twice: usize,
    /// The longest time between two periods in which nothing was counted, s.
    pub(super) longest_gap_s: f64,
    /// What the whole says of its beginning or its end lies outside of its periods.
    pub(super) is_elsewhere: bool,
}

impl Line {
    pub(super) fn of(written: &Written) -> Result<Self, Problem> {
        let whole = &written.whole;
        let (first, last) = (written.periods.first(), written.periods.last());
        // What the whole says must lie in the periods, or it is not of this run.
        let within = |at: &u64, period: Option<&Period>| {
            period.is_none_or(|p| (p.start_ms..=p.start_ms + PERIOD_MS).contains(at))
        };
        let is_elsewhere = whole.first_ms.is_some_and(|at| !within(&at, first))
            || whole.last_ms.is_some_and(|at| !within(&at, last));
        let zero_ms = whole.first_ms.filter(|at| within(at, first));
        let zero_ms = zero_ms.or(first.map(|p| p.start_ms)).unwrap_or(0);
        let end_ms = whole.last_ms.filter(|at| within(at, last));
        let end_ms = end_ms.or(last.map(|p| p.start_ms + PERIOD_MS)).unwrap_or(zero_ms);
        let lasted_ms = end_ms.saturating_sub(zero_ms);
        if lasted_ms / PERIOD_MS >= MAX_WINDOWS {
            let message = format!(
                "from {zero_ms} to {end_ms} ms, more than {MAX_WINDOWS} periods: one of these times is \
                 wrong; copy the file again, or repeat the run"
            );
            let place = Place::Value("intermediate".to_owned());
            return Err(Problem { file: written.file.clone(), place, message });
        }
        let pairs = written.periods.windows(2);
        let twice = pairs.filter(|pair| pair[0].start_ms == pair[1].start_ms).count();
        let gaps = written.periods.windows(2).map(|pair| {
            pair[1].start_ms.saturating_sub(pair[0].start_ms.saturating_add(PERIOD_MS))
        });
        let longest_gap_s = gaps.max().unwrap_or(0) as f64 / 1e3;
        let duration_s = lasted_ms as f64 / 1e3;
        Ok(Self { zero_ms, duration_s, twice, longest_gap_s, is_elsewhere })
    }

    /// A second; zero over no time at all.
    pub(super) fn rate(&self, count: u64) -> f64 {
        if self.duration_s > 0.0 {
            (count as f64 / self.duration_s * 1e3).round() / 1e3
        } else {
            0.0
        }
    }

    /// Of a result that ends before `run_s`, the last row tells that nothing came any more: it is what
    /// the window before it ends at.
    pub(super) fn rows(
        &self,
        variant: &str,
        written: &Written,
        timing: Option<Timing>,
        run_s: f64,
    ) -> Result<Vec<TimelineRow>, Problem> {
        let mut rows: Vec<TimelineRow> = Vec::new();
        let mut last_ms = None;
        let mut users = 0_i64;
        for period in &written.periods {
            let flow = Flow::of(&written.file, period)?;
            let twice = last_ms == Some(period.start_ms);
            let gap = last_ms.map_or(0..0, |last| last + PERIOD_MS..period.start_ms);
            let under_way = u64::try_from(users).unwrap_or(0);
            for start_ms in gap.step_by(PERIOD_MS as usize) {
                rows.push(TimelineRow { in_flight: under_way, ..self.blank(variant, start_ms) });
            }
            let mut row = match rows.pop_if(|_| twice) {
                // Counters add up; quantiles do not.
                Some(row) => with_latency(row, &Quantiles::default()),
                None => with_latency(
                    self.blank(variant, period.start_ms),
                    &timing.map(|timing| timing.in_period(period)).unwrap_or_default(),
                ),
            };
            add(&mut row, &flow);
            users += flow.users;
            row.in_flight = u64::try_from(users).unwrap_or(0);
            rows.push(row);
            last_ms = Some(period.start_ms);
        }
        if !rows.is_empty() && self.duration_s < run_s {
            let mut after = self.blank(variant, self.zero_ms);
            after.t_s = self.duration_s;
            rows.push(after);
        }
        Ok(rows)
    }

    fn blank(&self, variant: &str, start_ms: u64) -> TimelineRow {
        TimelineRow {
            variant: variant.to_owned(),
            round: 1,
            t_s: start_ms.saturating_sub(self.zero_ms) as f64 / 1e3,
            ..TimelineRow::default()
        }
    }
}

fn with_latency(row: TimelineRow, known: &Quantiles) -> TimelineRow {
    TimelineRow {
        p50_ms: known.p50,
        p90_ms: known.p90,
        p99_ms: known.p99,
        max_ms: known.max,
        ..row
    }
}

fn add(row: &mut TimelineRow, flow: &Flow) {
    row.intended += flow.begun + flow.skipped;
    row.sent += flow.begun;
    row.ok += flow.good;
    row.failed += flow.bad + flow.cut;
    row.rejected += flow.rejected;
}
