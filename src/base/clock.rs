//! The one reader of the operating system's clock. It must not wait: timers belong to the shells.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Time;

/// CLOCK_MONOTONIC counted from an epoch that all processes of a run share.
///
/// The epoch travels to child processes as nanoseconds of CLOCK_MONOTONIC, which is one clock for
/// the whole machine, so that all of them mean the same instant by the same [`Time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    epoch_ns: u64,
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // CLOCK_MONOTONIC is never negative; `as` is exact for both parts.
    (now.tv_sec as u64) * 1_000_000_000 + (now.tv_nsec as u64)
}

impl Clock {
    /// A clock whose time zero is now.
    pub fn start() -> Self {
        Self { epoch_ns: monotonic_ns() }
    }

    /// The clock of another process of this machine, from its [`Clock::epoch_ns`].
    pub const fn from_epoch_ns(epoch_ns: u64) -> Self {
        Self { epoch_ns }
    }

    /// The epoch in nanoseconds of CLOCK_MONOTONIC, to hand to a child process.
    pub const fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// The time since the epoch; zero before it.
    pub fn now(&self) -> Time {
        Time::from_nanos(monotonic_ns().saturating_sub(self.epoch_ns))
    }

    /// The CLOCK_MONOTONIC reading that corresponds to `at`, for absolute timers.
    pub fn monotonic(&self, at: Time) -> Duration {
        Duration::from_nanos(self.epoch_ns.saturating_add(at.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_epoch_means_the_same_time() {
        let mine = Clock::start();
        let theirs = Clock::from_epoch_ns(mine.epoch_ns());
        let (a, b, c) = (mine.now(), theirs.now(), mine.now());
        assert!(a <= b && b <= c);
        assert_eq!(mine.monotonic(Time::ZERO), Duration::from_nanos(mine.epoch_ns()));
    }
}
