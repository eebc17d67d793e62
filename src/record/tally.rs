//! The counters and histograms of one span of the measured time.
//! It must not know whether that span is the whole, or one that an expectation names.

use std::ops::Range;

use base::{FailureKind, Outcome, Time};
use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;
use crate::expect::Span;
use crate::grid::Grid;
use crate::meter::Meter;
use crate::summary::Counts;
use crate::window::WindowRecord;

/// Every kind of failure, in the order of its discriminants.
pub(crate) const FAILURE_KINDS: [FailureKind; 6] = [
    FailureKind::Connect,
    FailureKind::ConnectTimeout,
    FailureKind::Reset,
    FailureKind::Timeout,
    FailureKind::Protocol,
    FailureKind::Status,
];

/// How a request ended, in durations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    /// From the intended start to the end.
    pub(crate) latency_ns: u64,
    /// When its first byte was written, measured time; `None` if never.
    pub(crate) sent_ns: Option<i64>,
    /// From the intended start to that.
    pub(crate) dispatch_ns: u64,
}

impl Ending {
    /// From the first byte written to the last byte.
    #[inline]
    pub(crate) fn service_ns(&self) -> u64 {
        self.latency_ns.saturating_sub(self.dispatch_ns)
    }
}

/// Adds an outcome to counters (whose `intended` was counted when the request began).
#[inline]
pub(crate) fn count(counts: &mut Counts, ending: &Ending) {
    counts.sent += u64::from(ending.sent_ns.is_some());
    match ending.outcome {
        Outcome::Ok => counts.ok += 1,
        Outcome::Rejected => counts.rejected += 1,
        Outcome::Failed(_) => counts.failed += 1,
        Outcome::Dropped => counts.dropped += 1,
        Outcome::Unfinished => counts.unfinished += 1,
    }
}

/// Calls a request that has not ended by now unfinished, so that the counters add up whatever an
/// engine forgot.
pub(crate) fn close(counts: &mut Counts) {
    let ended = counts.ok + counts.rejected + counts.failed + counts.dropped + counts.unfinished;
    counts.unfinished += counts.intended - ended;
}

/// A span being recorded.
///
/// Counters and histograms of the windows that lie in it as a whole are added at the end, so that a
/// request costs next to nothing more however many spans it belongs to; only those of windows that
/// the span cuts are recorded here, and what no window knows.
pub(crate) struct SpanMeter {
    span: Span,
    whole_windows: Range<usize>,
    from_ns: u64,
    to_ns: u64,
    counts: Counts,
    failures: [u64; FAILURE_KINDS.len()],
    sent_late: u64,
    edges: Option<Box<Edges>>,
    failed: Meter,
}

/// Requests of windows that the span cuts.
struct Edges {
    latency: Meter,
    service: Meter,
    dispatch: Meter,
}

impl SpanMeter {
    pub(crate) fn new(span: Span, grid: &Grid) -> Self {
        Self {
            span,
            whole_windows: grid.windows_within(span),
            from_ns: base::time::nanos(span.from),
            to_ns: base::time::nanos(span.to),
            counts: Counts::default(),
            failures: [0; FAILURE_KINDS.len()],
            sent_late: 0,
            edges: None,
            failed: Meter::new(),
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Whether a request that was intended then, which is in this window, is of this span without
    /// the window being so as a whole.
    #[inline]
    fn cuts(&self, grid: &Grid, window: usize, intended: Time) -> bool {
        let is_within = |at| self.from_ns <= at && at < self.to_ns;
        !self.whole_windows.contains(&window) && grid.measured(intended).is_some_and(is_within)
    }

    /// Whether some requests of this window may be of this span without the window being so as a whole.
    pub(crate) fn cuts_window(&self, grid: &Grid, window: usize) -> bool {
        let [from_ns, to_ns] = [window, window + 1].map(|boundary| grid.boundary_ns(boundary));
        !self.whole_windows.contains(&window) && self.from_ns < to_ns && from_ns < self.to_ns
    }

    #[inline]
    pub(crate) fn begin(&mut self, grid: &Grid, window: usize, intended: Time) {
        if self.cuts(grid, window, intended) {
            self.counts.intended += 1;
        }
    }

    #[inline]
    pub(crate) fn end(&mut self, grid: &Grid, ending: &Ending, window: usize, intended: Time) {
        if self.cuts(grid, window, intended) {
            self.record_edge(*ending);
        } else if !self.whole_windows.contains(&window) {
            return;
        }
        self.sent_late += u64::from(ending.sent_ns.is_some_and(|sent| sent >= self.to_ns as i64));
        if let Outcome::Failed(kind) = ending.outcome {
            self.failures[kind as usize] += 1;
            self.failed.record(ending.latency_ns);
        }
    }

    #[cold]
    fn record_edge(&mut self, ending: Ending) {
        count(&mut self.counts, &ending);
        let edges = self.edges.get_or_insert_with(|| {
            let (latency, service, dispatch) = (Meter::new(), Meter::new(), Meter::new());
            Box::new(Edges { latency, service, dispatch })
        });
        if ending.outcome == Outcome::Ok {
            edges.latency.record(ending.latency_ns);
            edges.service.record(ending.service_ns());
        }
        if ending.sent_ns.is_some() {
            edges.dispatch.record(ending.dispatch_ns);
        }
    }

    /// `retries`: those granted within the span.
    pub(crate) fn finish(mut self, windows: &[WindowRecord], retries: Option<u64>) -> Tally {
        let end = self.whole_windows.end.min(windows.len());
        let inside = &windows[self.whole_windows.start.min(end)..end];
        let edges = self.edges.take();
        let sum = |edge: Option<&Meter>, of: fn(&WindowRecord) -> &Distribution| {
            let mut sum = Meter::new();
            if let Some(edge) = edge {
                sum.absorb(&edge.distribution());
            }
            for window in inside {
                sum.absorb(of(window));
            }
            sum.distribution()
        };
        inside.iter().for_each(|window| self.counts.merge(&window.counts));
        close(&mut self.counts);
        self.counts.retries = retries;
        self.counts.attempts = retries.map(|retries| self.counts.sent + retries);
        Tally {
            span: self.span,
            counts: self.counts,
            failures: self.failures,
            sent_in_time: self.counts.sent - self.sent_late,
            sent_late: self.sent_late,
            latency: sum(edges.as_ref().map(|edges| &edges.latency), |window| &window.latency),
            service: sum(edges.as_ref().map(|edges| &edges.service), |window| &window.service),
            dispatch: sum(edges.as_ref().map(|edges| &edges.dispatch), |window| &window.dispatch),
            failed: self.failed.distribution(),
        }
    }
}

/// A span, recorded. Rounds of the same span merge exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Which part of the measured time.
    pub span: Span,
    /// The counters.
    pub counts: Counts,
    /// Failures by kind, in the order of [`FAILURE_KINDS`].
    pub(crate) failures: [u64; FAILURE_KINDS.len()],
    /// Sent before the span's end.
    pub sent_in_time: u64,
    /// Sent after it.
    pub sent_late: u64,
    /// Good requests, from the intended start to the last byte.
    pub latency: Distribution,
    /// Good requests, from the first byte written to the last byte.
    pub service: Distribution,
    /// All sent requests, from the intended start to the first byte written.
    pub dispatch: Distribution,
    /// Failed requests, from the intended start to their end.
    pub failed: Distribution,
}

impl Tally {
    /// Adds another round of the same span.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.span, other.span, "rounds of one span");
        self.counts.merge(&other.counts);
        for (mine, theirs) in self.failures.iter_mut().zip(other.failures) {
            *mine += theirs;
        }
        self.sent_in_time += other.sent_in_time;
        self.sent_late += other.sent_late;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.dispatch.merge(&other.dispatch);
        self.failed.merge(&other.failed);
    }
}

impl Counts {
    /// Adds another round; what one of them cannot tell, the sum cannot.
    pub fn merge(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.ok += other.ok;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.dropped += other.dropped;
        self.unfinished += other.unfinished;
        self.attempts = self.attempts.zip(other.attempts).map(|(a, b)| a + b);
        self.retries = self.retries.zip(other.retries).map(|(a, b)| a + b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_under_their_own_word() {
        for (index, kind) in FAILURE_KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.word());
        }
    }

    #[test]
    fn what_one_round_cannot_tell_the_sum_cannot() {
        let known = Counts { attempts: Some(5), retries: Some(2), ..Counts::default() };
        let mut sum = known;
        sum.merge(&known);
        assert_eq!((sum.attempts, sum.retries), (Some(10), Some(4)));
        sum.merge(&Counts::default());
        assert_eq!((sum.attempts, sum.retries), (None, None));
    }
}
