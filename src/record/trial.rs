//! One trial, collected, and its rows in the files. It must not know the files' syntax.

use std::time::Duration;

use base::Outcome;
use serde::{Deserialize, Serialize};

use crate::event::EventRow;
use crate::gauge::{ProcessTotals, ResourceSample};
use crate::grid::Grid;
use crate::recorder::{Exchange, Plan};
use crate::rows::{BackendRow, EventLine, RequestRow, ResourceRow, TimelineRow};
use crate::sampled::{BackendTotal, Sampled};
use crate::summary::Counts;
use crate::tally::Tally;
use crate::units;
use crate::verdict::{self, Evidence, Harness, Verdict};
use crate::window::WindowRecord;

/// One trial, collected.
#[derive(Serialize, Deserialize)]
pub struct TrialRecord {
    pub(crate) plan: Plan,
    pub(crate) grid: Grid,
    /// How much of the measured time was played.
    pub(crate) duration_ns: u64,
    pub(crate) is_interrupted: bool,
    pub(crate) windows: Vec<WindowRecord>,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) sampled: Sampled,
    pub(crate) events: Vec<EventRow>,
    pub(crate) resources: Vec<ResourceSample>,
    pub(crate) processes: Vec<ProcessTotals>,
    pub(crate) harness: Option<Harness>,
    pub(crate) requests: Vec<Exchange>,
}

impl TrialRecord {
    /// What was planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How much of the measured time was played: all, unless it was interrupted.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }

    /// The counters of the whole trial.
    pub fn counts(&self) -> Counts {
        self.whole().counts
    }

    /// The whole trial; then one tally for each distinct span of the plan.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The windows in their order.
    pub fn windows(&self) -> &[WindowRecord] {
        &self.windows
    }

    /// Each backend of the plan, in its order.
    pub fn backends(&self) -> &[BackendTotal] {
        self.sampled.totals()
    }

    /// What happened, faults included, as it was told.
    pub fn events(&self) -> &[EventRow] {
        &self.events
    }

    /// One by one, where the plan keeps them ([`Plan::keep_requests`]).
    pub fn requests(&self) -> &[Exchange] {
        &self.requests
    }

    /// Whether its measurements can be believed, and why not.
    pub fn verdict(&self) -> (Verdict, Vec<String>) {
        if self.is_interrupted {
            let at = units::duration_s(self.duration());
            let of = units::duration_s(self.plan.duration());
            return (
                Verdict::Interrupted,
                vec![format!("interrupted after {at} s of the {of} s to be measured")],
            );
        }
        let Some(harness) = &self.harness else { return (Verdict::Valid, Vec::new()) };
        let whole = self.whole();
        let peak = self.plan.phases.iter().map(|phase| phase.rate.0.max(phase.rate.1));
        verdict::judge(
            harness,
            &Evidence {
                intended: whole.counts.intended,
                never_or_late: whole.counts.dropped + whole.sent_late,
                dispatch: &whole.dispatch,
                latency_p50_ns: whole.latency.at_quantile(5_000),
                latency_p99_ns: whole.latency.at_quantile(9_900),
                failed_p99_ns: whole.failed.at_quantile(9_900),
                peak_rate: peak.fold(0.0, f64::max),
            },
        )
    }

    /// What is wrong with a record that came from a file: another program may have written it, and
    /// what is built on it indexes and divides by what is checked here.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let whole = self.plan.whole();
        let Some(grid) = Grid::checked(self.plan.warmup, self.plan.window, whole.to) else {
            return Some("it measures no time, or in too many windows");
        };
        if self.grid != grid || self.duration_ns > grid.duration_ns() {
            return Some("its windows are not those of its plan");
        }
        if self.windows.len() > grid.count()
            || !self.sampled.fits(grid.count(), self.plan.backends.len())
        {
            return Some("it has samples or windows beyond its plan");
        }
        let has_whole = self.tallies.first().is_some_and(|tally| tally.span == whole);
        (!has_whole).then_some("it has no figures of the whole")
    }

    pub(crate) fn whole(&self) -> &Tally {
        &self.tallies[0]
    }

    fn start_s(&self, window: usize) -> f64 {
        units::seconds(self.grid.start_ns(window) as i64)
    }

    pub(crate) fn timeline_rows(&self) -> impl Iterator<Item = TimelineRow> + '_ {
        self.windows.iter().enumerate().map(|(index, window)| {
            let latency = |quantile| window.latency.at_quantile(quantile).map(units::ms);
            TimelineRow {
                variant: self.plan.variant.clone(),
                round: self.plan.round,
                t_s: self.start_s(index),
                intended: window.counts.intended,
                sent: window.counts.sent,
                ok: window.counts.ok,
                failed: window.counts.failed,
                rejected: window.counts.rejected,
                retries: self.sampled.retries_in(index),
                in_flight: window.in_flight,
                p50_ms: latency(5_000),
                p90_ms: latency(9_000),
                p99_ms: latency(9_900),
                max_ms: window.latency.max().map(units::ms),
                dispatch_p99_ms: window.dispatch.at_quantile(9_900).map(units::ms),
            }
        })
    }

    pub(crate) fn backend_rows(&self) -> impl Iterator<Item = BackendRow> + '_ {
        (0..self.windows.len()).flat_map(|window| {
            let blank = BackendRow {
                variant: self.plan.variant.clone(),
                round: self.plan.round,
                t_s: self.start_s(window),
                ..BackendRow::default()
            };
            self.sampled.rows(window, &blank, &self.plan.backends)
        })
    }

    pub(crate) fn event_rows(&self) -> impl Iterator<Item = EventLine> + '_ {
        self.events.iter().map(|event| EventLine {
            variant: self.plan.variant.clone(),
            round: self.plan.round,
            t_s: units::seconds(self.grid.offset(event.at)),
            source: event.source.clone(),
            subject: event.subject.clone(),
            kind: event.kind.clone(),
            detail: event.detail.clone(),
        })
    }

    /// Samples of the warm-up and of the time after the last window have no row.
    pub(crate) fn resource_rows(&self) -> impl Iterator<Item = ResourceRow> + '_ {
        let window_of = |sample: &ResourceSample| {
            let boundary = self.grid.boundary_near(self.grid.offset(sample.at))?;
            boundary.checked_sub(1).filter(|window| *window < self.windows.len())
        };
        let mut placed: Vec<_> =
            self.resources.iter().filter_map(|s| window_of(s).map(|w| (w, s))).collect();
        placed.sort_by_key(|(window, _)| *window);
        placed.into_iter().map(|(window, sample)| ResourceRow {
            variant: self.plan.variant.clone(),
            round: self.plan.round,
            t_s: self.start_s(window),
            process: sample.process.clone(),
            cpu_percent: sample.cpu_percent.map(units::significant),
            rss_bytes: sample.rss_bytes,
            disk_read_bytes: sample.disk_read_bytes,
            disk_written_bytes: sample.disk_written_bytes,
            net_rx_bytes: sample.net_rx_bytes,
            net_tx_bytes: sample.net_tx_bytes,
            fds: sample.fds,
            threads: sample.threads,
        })
    }

    pub(crate) fn request_rows(&self) -> impl Iterator<Item = RequestRow> + '_ {
        self.requests.iter().map(|exchange| {
            let ms = |time: base::Time| units::ms(base::time::nanos(time.since(exchange.intended)));
            let backend = exchange.backend.and_then(|index| self.plan.backends.get(index as usize));
            RequestRow {
                variant: self.plan.variant.clone(),
                round: self.plan.round,
                request: exchange.request,
                intended_s: self.grid.offset(exchange.intended) as f64 / 1e9,
                latency_ms: ms(exchange.ended),
                dispatch_ms: exchange.sent.map(ms),
                outcome: exchange.outcome.word().to_owned(),
                failure: match exchange.outcome {
                    Outcome::Failed(kind) => kind.word().to_owned(),
                    _ => String::new(),
                },
                status: exchange.status,
                backend: backend.cloned().unwrap_or_default(),
            }
        })
    }
}
