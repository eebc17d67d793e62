//! Work in progress on a clock of its own: a piece of work is done when the lane's clock has
//! advanced by the work's demand. It must not know why the clock runs as it does.
//!
//! Because a change of speed moves the clock and not the work, starting and ending cost O(log n)
//! however many share a server, and a lane that stands still forgets nothing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::Time;

use crate::behaviour::WorkId;
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
    pub(crate) fn shared(servers: u32, jobs: u32) -> Self {
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
    const fn key(&self) -> (u128, u32) {
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

/// See the module. What a lane is that has one piece of work at a time, as those of models do, and
/// never ran but at full speed, it has in half a line of memory.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// When the first work is done, rounded up to a nanosecond; [`Time::MAX`] where none is, or the
    /// clock stands still. It is asked for more often than it changes.
    due: Time,
    /// What is done first, if anything is here.
    work: WorkId,
    seq: u32,
    /// How much work is here, without what was called off.
    len: u32,
    more: Option<Box<More>>,
}

/// What a lane has that is anything more.
#[derive(Clone, Debug)]
struct More {
    clock: Clock,
    /// When the first is done.
    target: u128,
    /// The others.
    rest: BinaryHeap<Entry>,
    /// Pieces of work that were called off, and are dropped when they come first.
    void: u32,
}

/// A clock that showed `reading` at `since` and has run at this speed from then on.
#[derive(Clone, Debug)]
struct Clock {
    reading: u128,
    /// A time of the run.
    since: Time,
    speed: Speed,
}

impl Clock {
    fn reading_at(&self, now: Time) -> u128 {
        let passed = u128::from(now.nanos_since(self.since)) << FRACTION;
        // 2⁸⁴ · 2³² fits. The common case is spared the wide division.
        self.reading
            + if self.speed == Speed::FULL {
                passed
            } else {
                passed * u128::from(self.speed.num) / u128::from(self.speed.den)
            }
    }

    fn set_speed(&mut self, now: Time, speed: Speed) {
        self.reading = self.reading_at(now);
        self.since = self.since.max(now);
        self.speed = speed;
    }

    /// When it will show this.
    fn when(&self, target: u128) -> Time {
        let left = target.saturating_sub(self.reading);
        let units = match self.speed {
            // Not even work that needs no time: a server that hangs answers nothing.
            Speed::HALT => return Time::MAX,
            Speed::FULL => left,
            // 2⁸⁵ · 2³² fits.
            Speed { num, den } => (left * u128::from(den)).div_ceil(u128::from(num)),
        };
        self.since.after_nanos(whole(units))
    }
}

/// Nanoseconds, rounded up.
fn whole(units: u128) -> u64 {
    u64::try_from(units.div_ceil(1 << FRACTION)).unwrap_or(u64::MAX)
}

impl More {
    /// Beside work that is done at this time at full speed, if there is any.
    fn beside(due: Time) -> Box<Self> {
        let clock = Clock { reading: 0, since: Time::ZERO, speed: Speed::FULL };
        let target = u128::from(due.as_nanos()) << FRACTION;
        Box::new(Self { clock, target, rest: BinaryHeap::new(), void: 0 })
    }
}

impl Lane {
    /// An empty lane whose clock runs.
    pub(crate) const fn new() -> Self {
        Self { due: Time::MAX, work: WorkId(0), seq: 0, len: 0, more: None }
    }

    /// The clock runs at this speed from `now` on.
    pub(crate) fn set_speed(&mut self, now: Time, speed: Speed) {
        if self.more.is_none() && speed == Speed::FULL {
            return;
        }
        let more = self.more.get_or_insert_with(|| More::beside(self.due));
        if speed != more.clock.speed {
            more.clock.set_speed(now, speed);
            if self.len > 0 {
                self.due = more.clock.when(more.target);
            }
        }
    }

    /// Adds work that needs so much of the lane's time.
    #[inline(always)] // every request passes here
    pub(crate) fn insert(&mut self, now: Time, job: Job, demand_ns: u64) {
        if self.more.is_none() && self.len == 0 {
            // What the lane's clock comes to.
            self.due = now.after_nanos(demand_ns);
            self.set_first(job);
            self.len = 1;
        } else {
            self.insert_among(now, job, demand_ns);
        }
    }

    #[inline(never)]
    fn insert_among(&mut self, now: Time, job: Job, demand_ns: u64) {
        let first = self.first();
        let more = self.more.get_or_insert_with(|| More::beside(self.due));
        let target = more.clock.reading_at(now) + (u128::from(demand_ns) << FRACTION);
        self.len += 1;
        if let Some(first) = first {
            if (target, job.seq) > (more.target, first.seq) {
                return more.rest.push(Entry { target, job });
            }
            more.rest.push(Entry { target: more.target, job: first });
        }
        more.target = target;
        self.due = more.clock.when(target);
        self.set_first(job);
    }

    fn set_first(&mut self, Job { work, seq }: Job) {
        (self.work, self.seq) = (work, seq);
    }

    /// When the next work is done; [`Time::MAX`] is never.
    #[inline]
    pub(crate) const fn due(&self) -> Time {
        self.due
    }

    /// The same, if it is ever, and its place among ties.
    pub(crate) fn next(&self) -> Option<(Time, u32)> {
        (self.due < Time::MAX).then_some((self.due, self.seq))
    }

    /// What is done first.
    #[inline]
    pub(crate) fn first(&self) -> Option<Job> {
        (self.len > 0).then_some(Job { work: self.work, seq: self.seq })
    }

    /// Takes out what is done first.
    #[inline(always)] // every request passes here
    pub(crate) fn pop(&mut self) -> Option<Job> {
        let first = self.first()?;
        self.len -= 1;
        self.due = Time::MAX;
        if self.more.is_some() {
            self.move_up();
        }
        Some(first)
    }

    /// What is done next is the first now.
    #[inline(never)]
    fn move_up(&mut self) {
        let Some(more) = &mut self.more else { return };
        if let Some(Entry { target, job }) = more.rest.pop() {
            more.target = target;
            self.due = more.clock.when(target);
            self.set_first(job);
        }
    }

    /// A piece of work is called off; [`Lane::drop_void`] is told which.
    pub(crate) fn call_off(&mut self) {
        self.len -= 1;
        match &mut self.more {
            Some(more) => more.void += 1,
            None => self.due = Time::MAX,
        }
    }

    /// Drops work that was called off: what stands first, which [`Lane::next`] must not tell of,
    /// and all of it when it is more than half, so that a lane that stands still does not fill up.
    pub(crate) fn drop_void(&mut self, is_void: impl Fn(Job) -> bool) {
        let void = |lane: &Self| lane.more.as_ref().map_or(0, |more| more.void);
        while void(self) > 0 && is_void(Job { work: self.work, seq: self.seq }) {
            self.due = Time::MAX;
            self.move_up();
            self.more.iter_mut().for_each(|more| more.void -= 1);
        }
        if let Some(more) = &mut self.more
            && more.void as usize > more.rest.len() / 2
        {
            more.rest.retain(|entry| !is_void(entry.job));
            more.void = 0;
        }
    }

    /// When each piece of the work that counts is done (rounded up to a nanosecond) at full speed,
    /// in any order.
    pub(crate) fn ends(&self, counts: impl Fn(Job) -> bool) -> impl Iterator<Item = Time> {
        let full = |more: &More| Clock { speed: Speed::FULL, ..more.clock.clone() };
        let clock = self.more.as_deref().map_or_else(|| More::beside(Time::ZERO).clock, full);
        self.entries().filter(move |entry| counts(entry.job)).map(move |it| clock.when(it.target))
    }

    /// How long the work that counts takes one server from `now` on.
    pub(crate) fn left(&self, now: Time, counts: impl Fn(Job) -> bool) -> Duration {
        let reading = match &self.more {
            Some(more) => more.clock.reading_at(now),
            None => u128::from(now.as_nanos()) << FRACTION,
        };
        let entries = self.entries().filter(|entry| counts(entry.job));
        let left = entries.map(|entry| entry.target.saturating_sub(reading));
        Duration::from_nanos(whole(left.fold(0, u128::saturating_add)))
    }

    /// How much work is here.
    #[inline]
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// All of it, in any order, with what was called off.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let due = u128::from(self.due.as_nanos()) << FRACTION;
        let target = self.more.as_ref().map_or(due, |more| more.target);
        let first = self.first().map(|job| Entry { target, job });
        let rest = self.more.iter().flat_map(|more| more.rest.iter());
        first.into_iter().chain(rest.cloned())
    }

    /// The same, of which only what it is counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Job> {
        self.entries().map(|entry| entry.job)
    }

    /// Forgets all work; the clock runs on.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.due = Time::MAX;
        if let Some(more) = &mut self.more {
            more.rest.clear();
            more.void = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    fn insert(lane: &mut Lane, now: u64, seq: u64, demand: u64) {
        let job = Job { work: WorkId(seq), seq: seq as u32 };
        lane.insert(at(now), job, demand);
    }

    /// Calls one off.
    fn remove(lane: &mut Lane, seq: u32) {
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
        assert_eq!((lane.due(), lane.next(), lane.len()), (Time::MAX, None, 1), "it never ends");
        lane.set_speed(at(1), Speed::FULL);
        insert(&mut lane, 5, 1, 10);
        assert_eq!(lane.next(), Some((at(15), 1)));
    }

    #[test]
    fn work_that_came_alone_is_as_exact_once_others_share() {
        let mut lane = Lane::new();
        insert(&mut lane, 7, 4, 10);
        insert(&mut lane, 8, 5, 9);
        lane.set_speed(at(8), Speed::shared(1, 2));
        // Both have 9 left, and of those that end together the older comes first.
        assert_eq!(lane.next(), Some((at(26), 4)));
        assert_eq!(lane.ends(|_| true).collect::<Vec<_>>(), [at(17); 2]);
        assert_eq!(lane.left(at(10), |job| job.seq == 5), Duration::from_nanos(8));
    }
}
