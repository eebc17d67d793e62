//! Work in progress on a clock of its own: a piece of work is done when the lane's clock has
//! advanced by the work's demand. It must not know why the clock runs as it does.
//!
//! Because a change of speed moves the clock and not the work, starting and ending cost O(log n)
//! however many share a server, and a lane that stands still forgets nothing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::Time;

use crate::job::Job;

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

/// A piece of work and when it is done by the lane's clock.
#[derive(Clone, Debug)]
struct Entry {
    target: u128,
    job: Job,
}

impl Entry {
    /// What is done together is done in order of arrival.
    const fn key(&self) -> (u128, u64) {
        (self.target, self.job.seq)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Reversed: the heap's greatest is done first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// What the lane's clock showed at `since`.
    reading: u128,
    /// What is done first. It stands apart because a backend that serves one at a time, as those of
    /// models do, then has no heap: with a thousand backends each line of memory counts.
    first: Option<Entry>,
    rest: BinaryHeap<Entry>,
    /// When the first work is done; `None` where nothing is, or the clock stands still. It is asked
    /// for more often than it changes.
    due: Option<Time>,
    /// A time of the run.
    since: Time,
    speed: Speed,
    /// Pieces of work that were called off, and are dropped when they come first.
    void: u32,
}

impl Lane {
    /// An empty lane whose clock runs.
    pub(crate) const fn new() -> Self {
        Self {
            reading: 0,
            first: None,
            rest: BinaryHeap::new(),
            due: None,
            since: Time::ZERO,
            speed: Speed::FULL,
            void: 0,
        }
    }

    fn reading_at(&self, now: Time) -> u128 {
        let passed = now.as_nanos().saturating_sub(self.since.as_nanos());
        let passed = u128::from(passed) << FRACTION;
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
            self.due = self.due_now();
        }
    }

    /// Adds work that needs so much of the lane's time.
    #[inline(always)] // every request passes here
    pub(crate) fn insert(&mut self, now: Time, job: Job, demand_ns: u64) {
        let target = self.reading_at(now) + (u128::from(demand_ns) << FRACTION);
        let entry = Entry { target, job };
        if self.first.is_none() && self.speed == Speed::FULL {
            self.first = Some(entry);
            // What the lane's clock comes to.
            self.due = Some(Time::from_nanos(now.as_nanos().saturating_add(demand_ns)));
        } else {
            self.insert_among(entry);
        }
    }

    fn insert_among(&mut self, entry: Entry) {
        match &mut self.first {
            None => self.first = Some(entry),
            Some(first) if entry.key() < first.key() => {
                self.rest.push(std::mem::replace(first, entry));
            }
            Some(_) => return self.rest.push(entry),
        }
        self.due = self.due_now();
    }

    /// When the next work is done, rounded up to a nanosecond.
    #[inline]
    pub(crate) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// The same, and its place among ties.
    pub(crate) fn next(&self) -> Option<(Time, u64)> {
        Some((self.due?, self.first.as_ref()?.job.seq))
    }

    /// What is done first.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Job> {
        self.first.as_ref().map(|entry| &entry.job)
    }

    fn due_now(&self) -> Option<Time> {
        let left = self.first.as_ref()?.target.saturating_sub(self.reading);
        let units = match self.speed {
            // Not even work that needs no time: a server that hangs answers nothing.
            Speed::HALT => return None,
            Speed::FULL => left,
            // 2⁸⁵ · 2³² fits.
            Speed { num, den } => (left * u128::from(den)).div_ceil(u128::from(num)),
        };
        let wait = u64::try_from(units.div_ceil(1 << FRACTION)).unwrap_or(u64::MAX);
        Some(Time::from_nanos(self.since.as_nanos().saturating_add(wait)))
    }

    /// Takes out what is done first.
    #[inline(always)] // every request passes here
    pub(crate) fn pop(&mut self) -> Option<Job> {
        let first = self.first.take()?;
        self.due = None;
        if !self.rest.is_empty() {
            self.first = self.rest.pop();
            self.due = self.due_now();
        }
        Some(first.job)
    }

    /// A piece of work is called off; [`Lane::drop_void`] is told which.
    pub(crate) fn call_off(&mut self) {
        self.void += 1;
    }

    /// Drops work that was called off: what stands first, which [`Lane::next`] must not tell of,
    /// and all of it when it is more than half, so that a lane that stands still does not fill up.
    pub(crate) fn drop_void(&mut self, is_void: impl Fn(&Job) -> bool) {
        while self.void > 0 && self.first.as_ref().is_some_and(|entry| is_void(&entry.job)) {
            self.pop();
            self.void -= 1;
        }
        if self.void as usize > self.rest.len() / 2 {
            self.rest.retain(|entry| !is_void(&entry.job));
            self.void = 0;
        }
    }

    /// When each piece of the work that counts is done (rounded up to a nanosecond) at full speed,
    /// in any order.
    pub(crate) fn ends(&self, counts: impl Fn(&Job) -> bool) -> impl Iterator<Item = Time> {
        let entries = self.first.iter().chain(&self.rest);
        entries.filter(move |entry| counts(&entry.job)).map(|entry| {
            let units = entry.target.saturating_sub(self.reading).div_ceil(1 << FRACTION);
            self.since + Duration::from_nanos(u64::try_from(units).unwrap_or(u64::MAX))
        })
    }

    /// How long the work that counts takes one server from `now` on.
    pub(crate) fn left(&self, now: Time, counts: impl Fn(&Job) -> bool) -> Duration {
        let reading = self.reading_at(now);
        let entries = self.first.iter().chain(&self.rest).filter(|entry| counts(&entry.job));
        let left = entries.map(|entry| entry.target.saturating_sub(reading));
        let units = left.fold(0, u128::saturating_add).div_ceil(1 << FRACTION);
        Duration::from_nanos(u64::try_from(units).unwrap_or(u64::MAX))
    }

    /// How much work is here.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len() - self.void as usize
    }

    /// All of it, in any order, with what was called off.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.first.iter().chain(&self.rest).map(|entry| &entry.job)
    }

    /// Forgets all work; the clock runs on.
    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.due = None;
        self.rest.clear();
        self.void = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::WorkId;
    use crate::job::Kind;

    const fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    fn insert(lane: &mut Lane, now: u64, seq: u64, demand: u64) {
        let job = Job { work: WorkId(seq), seq, began: at(now), met: 0, kind: Kind::Served };
        lane.insert(at(now), job, demand);
    }

    /// Calls one off.
    fn remove(lane: &mut Lane, seq: u64) {
        lane.call_off();
        lane.drop_void(|job| job.seq == seq);
    }

    #[test]
    fn work_is_due_when_the_lanes_clock_says_so() {
        let mut lane = Lane::new();
        insert(&mut lane, 100, 0, 50);
        assert_eq!(lane.next(), Some((at(150), 0)));
        // Half speed from 120 on: 30 left take 60.
        lane.set_speed(at(120), Speed::shared(1, 2));
        assert_eq!(lane.next(), Some((at(180), 0)));
        // A halt of 1000 shifts it by 1000.
        lane.set_speed(at(140), Speed::HALT);
        insert(&mut lane, 140, 1, 0);
        assert_eq!(lane.next(), None);
        remove(&mut lane, 1);
        lane.set_speed(at(1140), Speed::shared(1, 2));
        assert_eq!(lane.next(), Some((at(1180), 0)));
    }

    #[test]
    fn ties_keep_the_order_of_arrival_and_work_called_off_is_gone() {
        let mut lane = Lane::new();
        insert(&mut lane, 0, 0, 10);
        insert(&mut lane, 5, 1, 5);
        insert(&mut lane, 6, 2, 9);
        insert(&mut lane, 6, 3, 4);
        assert_eq!((lane.next(), lane.len()), (Some((at(10), 0)), 4));
        remove(&mut lane, 0);
        assert_eq!((lane.next(), lane.len()), (Some((at(10), 1)), 3));
        // One that does not stand first is not counted either.
        remove(&mut lane, 2);
        assert_eq!((lane.next(), lane.len()), (Some((at(10), 1)), 2));
        assert_eq!([lane.pop(), lane.pop()].map(|job| job.map(|job| job.seq)), [Some(1), Some(3)]);
        lane.drop_void(|job| job.seq == 2);
        assert_eq!((lane.next(), lane.iter().count()), (None, 0));
        insert(&mut lane, 6, 4, 4);
        lane.clear();
        assert_eq!((lane.next(), lane.len()), (None, 0));
    }

    #[test]
    fn a_lane_that_stands_still_keeps_no_more_than_its_work() {
        let mut lane = Lane::new();
        insert(&mut lane, 0, 0, 10);
        lane.set_speed(at(1), Speed::HALT);
        for seq in 1..10_000 {
            insert(&mut lane, 1, seq, 20);
            lane.call_off();
            lane.drop_void(|job| job.seq != 0);
            assert_eq!(lane.len(), 1);
            assert!(lane.iter().count() < 4, "{} are kept", lane.iter().count());
        }
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
        assert_eq!(lane.next(), Some((at(1_901), 0)));
    }

    #[test]
    fn the_largest_demand_saturates_instead_of_overflowing() {
        let mut lane = Lane::new();
        lane.set_speed(at(0), Speed { num: 1, den: u32::MAX });
        insert(&mut lane, u64::MAX - 1, 0, u64::MAX);
        assert_eq!(lane.next(), Some((Time::MAX, 0)));
    }
}
