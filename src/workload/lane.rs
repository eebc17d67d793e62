//! Work in progress on a clock of its own: a piece of work is done when the lane's clock has
//! advanced by the work's demand. It must not know what the work is or why the clock runs as it does.
//!
//! Because a change of speed moves the clock and not the work, starting, ending and cancelling cost
//! O(log n) however many share a server, and a lane that stands still forgets nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Time, time};

use crate::behaviour::WorkId;

/// Binary digits of a nanosecond that the lane's clock counts. Each change of speed drops less than
/// one unit, so a million changes during one request's service shift its end by less than 1 ns.
const FRACTION: u32 = 20;

/// How fast a lane's clock runs against the run's: `num / den`, at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speed {
    num: u32,
    den: u32,
}

impl Speed {
    /// Stands still.
    pub(crate) const HALT: Self = Self { num: 0, den: 1 };
    /// As fast as the run's clock.
    pub(crate) const FULL: Self = Self { num: 1, den: 1 };

    /// `servers` shared equally by `jobs`, each of which can use at most one.
    pub(crate) fn shared(servers: u32, jobs: usize) -> Self {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        if jobs <= servers { Self::FULL } else { Self { num: servers, den: jobs } }
    }
}

/// Names a piece of work in a lane: when it is done by the lane's clock, then order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    target: u128,
    seq: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The run's time at which the lane's clock showed `reading`.
    since: Time,
    reading: u128,
    speed: Speed,
    work: BTreeMap<Slot, WorkId>,
}

impl Lane {
    /// An empty lane whose clock runs.
    pub(crate) const fn new() -> Self {
        Self { since: Time::ZERO, reading: 0, speed: Speed::FULL, work: BTreeMap::new() }
    }

    fn reading_at(&self, now: Time) -> u128 {
        let passed = u128::from(time::nanos(now.since(self.since))) << FRACTION;
        // 2⁸⁴ · 2³² fits. The common case is spared the wide division.
        self.reading
            + if self.speed == Speed::FULL {
                passed
            } else {
                passed * u128::from(self.speed.num) / u128::from(self.speed.den)
            }
    }

    /// The clock runs at this speed from `now` on.
    pub(crate) fn set_speed(&mut self, now: Time, speed: Speed) {
        if speed != self.speed {
            self.reading = self.reading_at(now);
            self.since = now;
            self.speed = speed;
        }
    }

    /// Adds work that needs `demand` of the lane's time; `seq` orders what ends together.
    pub(crate) fn insert(&mut self, now: Time, work: WorkId, seq: u64, demand: Duration) -> Slot {
        let target = self.reading_at(now) + (u128::from(time::nanos(demand)) << FRACTION);
        let slot = Slot { target, seq };
        self.work.insert(slot, work);
        slot
    }

    /// Takes work out, done or not.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.work.remove(&slot);
    }

    /// The next work to be done, when (rounded up to a nanosecond), and its place among ties.
    pub(crate) fn next(&self) -> Option<(Time, u64, WorkId)> {
        let (slot, &work) = self.work.first_key_value()?;
        let left = slot.target.saturating_sub(self.reading);
        let units = match self.speed {
            // Not even work that needs no time: a server that hangs answers nothing.
            Speed::HALT => return None,
            Speed::FULL => left,
            // 2⁸⁵ · 2³² fits.
            Speed { num, den } => (left * u128::from(den)).div_ceil(u128::from(num)),
        };
        let wait = u64::try_from(units.div_ceil(1 << FRACTION)).unwrap_or(u64::MAX);
        Some((self.since + Duration::from_nanos(wait), slot.seq, work))
    }

    /// How much work is here.
    pub(crate) fn len(&self) -> usize {
        self.work.len()
    }

    /// Forgets all work; the clock runs on.
    pub(crate) fn clear(&mut self) {
        self.work.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    fn insert(lane: &mut Lane, now: u64, seq: u64, demand: u64) -> Slot {
        lane.insert(at(now), WorkId(seq), seq, Duration::from_nanos(demand))
    }

    #[test]
    fn work_is_due_when_the_lanes_clock_says_so() {
        let mut lane = Lane::new();
        insert(&mut lane, 100, 0, 50);
        assert_eq!(lane.next(), Some((at(150), 0, WorkId(0))));
        // Half speed from 120 on: 30 left take 60.
        lane.set_speed(at(120), Speed::shared(1, 2));
        assert_eq!(lane.next(), Some((at(180), 0, WorkId(0))));
        // A halt of 1000 shifts it by 1000.
        lane.set_speed(at(140), Speed::HALT);
        let nothing = insert(&mut lane, 140, 1, 0);
        assert_eq!(lane.next(), None);
        lane.remove(nothing);
        lane.set_speed(at(1140), Speed::shared(1, 2));
        assert_eq!(lane.next(), Some((at(1180), 0, WorkId(0))));
    }

    #[test]
    fn ties_keep_the_order_of_arrival_and_removed_work_is_gone() {
        let mut lane = Lane::new();
        let first = insert(&mut lane, 0, 0, 10);
        insert(&mut lane, 5, 1, 5);
        assert_eq!(lane.next(), Some((at(10), 0, WorkId(0))));
        lane.remove(first);
        assert_eq!((lane.next(), lane.len()), (Some((at(10), 1, WorkId(1))), 1));
        lane.clear();
        assert_eq!(lane.next(), None);
    }

    #[test]
    fn parts_of_a_nanosecond_are_not_lost() {
        // Speed 1/3 in even nanoseconds and 2/3 in odd ones: half of 1 800 is done by then, and
        // each of the 1 800 changes has dropped less than one unit.
        let mut lane = Lane::new();
        insert(&mut lane, 0, 0, 1_000);
        for now in 0..1_800 {
            lane.set_speed(at(now), Speed { num: 1 + (now % 2) as u32, den: 3 });
        }
        lane.set_speed(at(1_800), Speed::FULL);
        assert_eq!(lane.next(), Some((at(1_901), 0, WorkId(0))));
    }

    #[test]
    fn the_largest_demand_saturates_instead_of_overflowing() {
        let mut lane = Lane::new();
        lane.set_speed(at(0), Speed { num: 1, den: u32::MAX });
        insert(&mut lane, u64::MAX - 1, 0, u64::MAX);
        assert_eq!(lane.next(), Some((Time::MAX, 0, WorkId(0))));
    }
}
