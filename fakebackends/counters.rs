//! What one backend counts, written by its worker and read by the control API.
//! It must not know what is done with the numbers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use base::Time;

/// Cuts of one backend that are kept; whoever fetches them has as many windows' time to do so.
pub(crate) const KEPT_CUTS: usize = 64;

/// Counters of one backend; `/health` is left out of all of them.
///
/// Only the backend's worker writes (but for [`Counters::restart_peak`]), and no reader needs two of
/// them to agree: relaxed loads and stores do.
///
/// At planned times they are cut, exactly: nothing changes between two changes, so whoever comes
/// first behind a time (a change, a reader) notes what held at it. No timer is needed, and none can
/// be late. At worst a change that was on its way when a reader cut counts as made after the time.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Requests read since the start.
    requests: AtomicU64,
    /// Of these, answered with a status of 500 or above, or with a reset.
    failed: AtomicU64,
    /// Requests inside.
    in_flight: AtomicU32,
    /// The most that were inside at once since the peak was restarted.
    peak: AtomicU32,
    /// The next time to cut at, in nanoseconds on the run's clock.
    next_cut: AtomicU64,
    cuts: Mutex<Cuts>,
}

#[derive(Debug, Default)]
struct Cuts {
    /// In order of time.
    planned: Arc<[Time]>,
    /// How many of them are made.
    made: usize,
    /// The last [`KEPT_CUTS`].
    kept: VecDeque<Cut>,
}

/// Counters as they stood at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: Time,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: u32,
    /// The most inside since the cut before (or since the peak was restarted otherwise).
    pub(crate) peak: u32,
}

/// Never.
const NO_CUT: u64 = u64::MAX;

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            failed: AtomicU64::default(),
            in_flight: AtomicU32::default(),
            peak: AtomicU32::default(),
            next_cut: AtomicU64::new(NO_CUT),
            cuts: Mutex::default(),
        }
    }
}

impl Counters {
    /// Cuts at these times (in order) and at no others; forgets all cuts made.
    pub(crate) fn plan_cuts(&self, planned: Arc<[Time]>) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        *cuts = Cuts { planned, ..Cuts::default() };
        self.next_cut.store(cuts.next(), Relaxed);
    }

    /// Makes the cuts whose time has come. To be called before anything is changed.
    pub(crate) fn cut(&self, now: Time) {
        if now.as_nanos() >= self.next_cut.load(Relaxed) {
            self.cut_all(now);
        }
    }

    #[cold]
    fn cut_all(&self, now: Time) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&at) = cuts.planned.get(cuts.made).filter(|&&at| at <= now) {
            if cuts.kept.len() == KEPT_CUTS {
                cuts.kept.pop_front();
            }
            cuts.kept.push_back(Cut {
                at,
                requests: self.requests(),
                failed: self.failed(),
                in_flight: self.in_flight(),
                peak: self.restart_peak(),
            });
            cuts.made += 1;
        }
        self.next_cut.store(cuts.next(), Relaxed);
    }

    /// The cuts kept, in order of time.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.kept.iter().copied().collect()
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_in_flight(&self, now: u32) {
        self.in_flight.store(now, Relaxed);
        if now > self.peak.load(Relaxed) {
            self.peak.fetch_max(now, Relaxed);
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }

    /// The peak, which begins again with what is inside now.
    pub(crate) fn restart_peak(&self) -> u32 {
        self.peak.swap(self.in_flight(), Relaxed)
    }
}

impl Cuts {
    fn next(&self) -> u64 {
        self.planned.get(self.made).map_or(NO_CUT, |at| at.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_cut_at_the_planned_times_whoever_comes_when() {
        let at = Time::from_nanos;
        let counters = Counters::default();
        counters.plan_cuts([10, 20, 30, 40].map(at).into());
        for (now, inside) in [(3, 1), (9, 2), (10, 1), (19, 3), (31, 2)] {
            counters.cut(at(now));
            counters.count_request();
            counters.set_in_flight(inside);
        }
        let cut = |time, requests, in_flight, peak| Cut {
            at: at(time),
            requests,
            failed: 0,
            in_flight,
            peak,
        };
        // A request of the very time of a cut lies behind it; 30 is made when 31 comes.
        let made = [cut(10, 2, 2, 2), cut(20, 4, 3, 3), cut(30, 4, 3, 3)];
        assert_eq!(counters.cuts(), made);
        counters.cut(at(39));
        assert_eq!(counters.cuts().len(), 3, "40 has not come");
        counters.plan_cuts([50].map(at).into());
        assert_eq!(counters.cuts(), []);
    }

    #[test]
    fn only_the_last_cuts_are_kept() {
        let counters = Counters::default();
        counters.plan_cuts((1..=100).map(Time::from_nanos).collect());
        counters.cut(Time::from_nanos(1000));
        let kept = counters.cuts();
        assert_eq!((kept.len(), kept[0].at.as_nanos()), (KEPT_CUTS, 37));
    }
}
