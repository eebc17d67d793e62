//! What one backend counts, written by its worker and read by the control API.
//! It must not know what is done with the numbers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counters of one backend; `/health` is left out of all of them.
///
/// Only the backend's worker writes (but for [`Counters::restart_peak`]), and no reader needs two of
/// them to agree: relaxed loads and stores do.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests read since the start.
    requests: AtomicU64,
    /// Of these, answered with a status of 500 or above, or with a reset.
    failed: AtomicU64,
    /// Requests inside.
    in_flight: AtomicU32,
    /// The most that were inside at once since the peak was restarted.
    peak: AtomicU32,
}

impl Counters {
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
