//! The windows of one trial: counters for all, histograms for those that are open.
//! It must not know the clock: it is told what time has passed.
//!
//! Only a few windows are open at once (those that still have requests under way), and their
//! histograms are reused, so a trial takes the same memory however long it lasts.

use crate::distribution::Distribution;
use crate::meter::Meter;
use crate::summary::Counts;
use crate::tally::{self, Ending};
use base::Outcome;
use serde::{Deserialize, Serialize};

/// The histograms of an open window.
struct Open {
    /// Good requests that were sent when they were intended, as all simulated ones are: their
    /// latency and their service are the same, and one record does for both.
    prompt: Meter,
    /// Good requests that were not.
    latency: Meter,
    service: Meter,
    /// Sent requests that were not prompt …
    dispatch: Meter,
    /// … and how many were.
    undelayed: u64,
}

impl Open {
    fn new() -> Self {
        Self {
            prompt: Meter::new(),
            latency: Meter::new(),
            service: Meter::new(),
            dispatch: Meter::new(),
            undelayed: 0,
        }
    }

    #[inline(always)] // see Recorder::end
    fn record(&mut self, ending: &Ending) {
        if ending.outcome == Outcome::Ok {
            if ending.dispatch_ns == 0 {
                self.prompt.record(ending.latency_ns);
            } else {
                self.latency.record(ending.latency_ns);
                self.service.record(ending.service_ns());
            }
        }
        match (ending.sent_ns, ending.dispatch_ns) {
            (None, _) => {}
            (Some(_), 0) => self.undelayed += 1,
            (Some(_), dispatch_ns) => self.dispatch.record(dispatch_ns),
        }
    }

    /// Takes up what was closed before.
    fn absorb(&mut self, closed: &Closed) {
        self.latency.absorb(&closed.latency);
        self.service.absorb(&closed.service);
        self.dispatch.absorb(&closed.dispatch);
    }

    /// What was recorded; then it is empty again.
    fn close(&mut self) -> Closed {
        self.dispatch.record_zeros(std::mem::take(&mut self.undelayed));
        let prompt = self.prompt.distribution();
        let with_prompt = |meter: &Meter| {
            let mut all = meter.distribution();
            all.merge(&prompt);
            all
        };
        let closed = Closed {
            latency: with_prompt(&self.latency),
            service: with_prompt(&self.service),
            dispatch: self.dispatch.distribution(),
        };
        let meters = [&mut self.prompt, &mut self.latency, &mut self.service, &mut self.dispatch];
        meters.into_iter().for_each(Meter::clear);
        closed
    }
}

#[derive(Default)]
struct Slot {
    counts: Counts,
    /// Begun and not ended.
    under_way: u64,
    /// Sent minus ended, of those that this window's end is the first to see.
    flow: i64,
    open: Option<Box<Open>>,
    closed: Closed,
}

#[derive(Default)]
struct Closed {
    latency: Distribution,
    service: Distribution,
    dispatch: Distribution,
}

/// One window, recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The counters, without attempts and retries.
    pub counts: Counts,
    /// Requests sent and not ended at its end.
    pub in_flight: u64,
    /// Good requests, from the intended start to the last byte.
    pub latency: Distribution,
    /// Good requests, from the first byte written to the last byte.
    pub service: Distribution,
    /// All sent requests, from the intended start to the first byte written.
    pub dispatch: Distribution,
}

pub(crate) struct Windows {
    slots: Vec<Slot>,
    /// The window of the latest intended time; those before it close when nothing is under way.
    front: usize,
    spare: Vec<Open>,
}

impl Windows {
    pub(crate) fn new(count: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(count, Slot::default);
        Self { slots, front: 0, spare: Vec::new() }
    }

    #[inline]
    pub(crate) fn begin(&mut self, window: usize) {
        if window > self.front {
            for passed in self.front..window {
                self.close_if_done(passed);
            }
            self.front = window;
        }
        let slot = &mut self.slots[window];
        slot.counts.intended += 1;
        slot.under_way += 1;
    }

    /// # Panics
    /// When more requests end in a window than began: the engine ended one twice.
    #[inline(always)] // see Recorder::end
    pub(crate) fn end(&mut self, window: usize, ending: &Ending) {
        let slot = &mut self.slots[window];
        assert!(slot.under_way > 0, "a request ended that did not begin, or ended twice");
        slot.under_way -= 1;
        tally::count(&mut slot.counts, ending);
        if ending.outcome == Outcome::Ok || ending.sent_ns.is_some() {
            let open = slot.open.get_or_insert_with(|| reopen(&mut self.spare, &slot.closed));
            open.record(ending);
        }
        if window < self.front {
            self.close_if_done(window);
        }
    }

    /// So many requests of a window have begun, and some, of these latencies, have ended well,
    /// sent when they were intended.
    ///
    /// # Panics
    /// As [`Windows::end`].
    pub(crate) fn prompt(&mut self, window: usize, begun: u64, latencies_ns: &[u64]) {
        let ended = latencies_ns.len() as u64;
        let slot = &mut self.slots[window];
        slot.under_way += begun;
        assert!(slot.under_way >= ended, "a request ended that did not begin, or ended twice");
        slot.under_way -= ended;
        slot.counts.intended += begun;
        slot.counts.sent += ended;
        slot.counts.ok += ended;
        if ended > 0 {
            let open = slot.open.get_or_insert_with(|| reopen(&mut self.spare, &slot.closed));
            open.undelayed += ended;
            open.prompt.record_all(latencies_ns);
        }
        if window < self.front {
            self.close_if_done(window);
        }
    }

    /// A request was sent, and ended, by these windows' ends (`None`: after the last one).
    #[inline]
    pub(crate) fn flow(&mut self, sent: Option<usize>, ended: Option<usize>) {
        if sent == ended {
            return;
        }
        if let Some(window) = sent {
            self.slots[window].flow += 1;
        }
        if let Some(window) = ended {
            self.slots[window].flow -= 1;
        }
    }

    #[inline]
    fn close_if_done(&mut self, window: usize) {
        if self.slots[window].under_way == 0 {
            self.close(window);
        }
    }

    fn close(&mut self, window: usize) {
        let slot = &mut self.slots[window];
        if let Some(mut open) = slot.open.take() {
            slot.closed = open.close();
            self.spare.push(*open);
        }
    }

    /// The first `least` windows, and further ones up to the last that a request belongs to.
    pub(crate) fn finish(mut self, least: usize) -> Vec<WindowRecord> {
        let used = self.slots.iter().rposition(|slot| slot.counts.intended > 0);
        let count = used.map_or(least, |last| least.max(last + 1));
        for window in 0..count {
            self.close(window);
        }
        let mut in_flight = 0i64;
        self.slots.truncate(count);
        self.slots
            .into_iter()
            .map(|mut slot| {
                tally::close(&mut slot.counts);
                in_flight += slot.flow;
                WindowRecord {
                    counts: slot.counts,
                    in_flight: u64::try_from(in_flight).unwrap_or(0),
                    latency: slot.closed.latency,
                    service: slot.closed.service,
                    dispatch: slot.closed.dispatch,
                }
            })
            .collect()
    }

    /// Windows that hold histograms at this moment, and histograms that wait for the next one.
    #[cfg(test)]
    fn memory(&self) -> (usize, usize) {
        (self.slots.iter().filter(|slot| slot.open.is_some()).count(), self.spare.len())
    }
}

/// Histograms for a window: recycled ones where there are. A window that was closed already is
/// taken up where it ended (a feeder out of order, or two rounds in one recorder).
#[cold]
fn reopen(spare: &mut Vec<Open>, closed: &Closed) -> Box<Open> {
    let mut open = spare.pop().unwrap_or_else(Open::new);
    open.absorb(closed);
    Box::new(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(latency_ns: u64) -> Ending {
        Ending { outcome: Outcome::Ok, latency_ns, sent_ns: Some(0), dispatch_ns: 0 }
    }

    #[test]
    fn a_window_closes_when_time_has_passed_and_nothing_is_under_way() {
        let mut windows = Windows::new(5);
        windows.begin(0);
        windows.begin(0);
        windows.end(0, &ok(1));
        assert_eq!(windows.memory(), (1, 0), "its time has not passed");
        windows.begin(1);
        assert_eq!(windows.memory(), (1, 0), "one is under way");
        windows.end(0, &ok(2));
        assert_eq!(windows.memory(), (0, 1));
        windows.end(1, &ok(3));
        assert_eq!(windows.memory(), (1, 0), "recycled");
        windows.begin(4);
        assert_eq!(windows.memory(), (0, 1));
    }

    #[test]
    fn memory_does_not_grow_with_the_length_of_a_trial() {
        let mut windows = Windows::new(5_000);
        for window in 0..5_000 {
            windows.begin(window);
            if window >= 2 {
                windows.end(window - 2, &ok(1_000_000));
            }
        }
        let (open, spare) = windows.memory();
        assert!(open + spare <= 4, "{open} open, {spare} spare");
    }

    #[test]
    fn a_late_beginning_takes_a_closed_window_up_again() {
        let mut windows = Windows::new(2);
        for window in [0, 1, 0] {
            windows.begin(window);
            windows.end(window, &ok(5_000_000));
        }
        let records = windows.finish(2);
        assert_eq!(records[0].latency.count(), 2);
        assert_eq!(records[0].latency.sum_ns(), 10_000_000);
    }

    #[test]
    fn prompt_and_late_requests_are_in_the_same_histograms() {
        let mut windows = Windows::new(2);
        for (window, dispatch_ns) in [(0, 0), (0, 2_000_000), (1, 0), (0, 0)] {
            windows.begin(window);
            windows.end(window, &Ending { dispatch_ns, ..ok(5_000_000) });
        }
        let first = windows.finish(2).swap_remove(0);
        assert_eq!((first.latency.count(), first.latency.sum_ns()), (3, 15_000_000));
        assert_eq!((first.service.count(), first.service.sum_ns()), (3, 13_000_000));
        assert_eq!((first.dispatch.count(), first.dispatch.max_ns()), (3, 2_000_000));
        assert_eq!(first.dispatch.at_rank(2), Some(511), "nothing is below a microsecond");
    }

    #[test]
    #[should_panic(expected = "ended twice")]
    fn ending_twice_is_a_programmers_mistake() {
        let mut windows = Windows::new(1);
        windows.begin(0);
        windows.end(0, &ok(1));
        windows.end(0, &ok(1));
    }
}
