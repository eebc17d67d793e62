//! When to probe whom, and which probes are out. It must not judge their results:
//! [`crate::health`] does, and the balancer acts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::{BackendId, Key, ProbeId, Rng, Slab, Time};

use crate::settings::HealthSettings;

/// Two probes of one backend begin at least this far apart, whatever interval and jitter say:
/// without it an interval of nothing would be a loop that never ends.
const MIN_GAP: Duration = Duration::from_millis(1);

/// The shell reports a probe without an answer at its deadline. If it does not, because it is late
/// or broken, the probe counts as failed this much later.
const REPORT_GRACE: Duration = Duration::from_millis(250);

/// The schedule of one backend.
#[derive(Clone, Copy, Debug)]
struct Watch {
    generation: u32,
    /// When the last probe began.
    began: Time,
    /// When the next probe is due.
    next: Time,
    /// The probe that is out, and when it counts as failed without a report.
    out: Option<(ProbeId, Time)>,
    /// The entry of `wakes` that counts; others of this backend are leftovers.
    wake: Time,
}

/// The schedule of all probes.
#[derive(Debug)]
pub(crate) struct Schedule {
    settings: HealthSettings,
    rng: Rng,
    /// By the backend's slot.
    watches: Vec<Option<Watch>>,
    probes: Slab<BackendId>,
    /// Of each backend one entry that counts, and up to two leftovers of every probe, which go when
    /// their time comes: as a rule three in all, more where the timeout is many intervals long.
    wakes: BinaryHeap<Reverse<(Time, BackendId)>>,
}

impl Schedule {
    pub(crate) const fn new(settings: HealthSettings, rng: Rng) -> Self {
        Self { settings, rng, watches: Vec::new(), probes: Slab::new(), wakes: BinaryHeap::new() }
    }

    /// A new backend, whose first probe is due at once.
    pub(crate) fn add(&mut self, now: Time, id: BackendId) {
        let slot = id.slot as usize;
        if self.watches.len() <= slot {
            self.watches.resize(slot + 1, None);
        }
        let generation = id.generation;
        let watch = Watch { generation, began: now, next: now, out: None, wake: Time::MAX };
        self.watches[slot] = Some(watch);
    }

    /// Other settings, by which no probe is due later than by the former; [`Schedule::arm`] each
    /// backend then. Probes that are out keep their deadlines.
    pub(crate) fn change(&mut self, now: Time, settings: HealthSettings) {
        self.settings = settings;
        for slot in 0..self.watches.len() {
            let latest = now + self.gap(self.settings.interval, false);
            if let Some(watch) = &mut self.watches[slot] {
                watch.next = watch.next.min(latest);
            }
        }
    }

    /// The backend is in doubt: its next probe begins a fast interval after the last began, or after
    /// `doubted_at` where that is later. Whether that is sooner than it was: then
    /// [`Schedule::arm`] it.
    pub(crate) fn hurry(&mut self, id: BackendId, doubted_at: Option<Time>) -> bool {
        let (Some(fast), Some(began)) =
            (self.settings.fast_interval, self.watch(id).map(|watch| watch.began))
        else {
            return false;
        };
        let next = doubted_at.unwrap_or(began).max(began) + self.gap(fast, false);
        match self.watches[id.slot as usize].as_mut() {
            Some(watch) if next < watch.next => {
                watch.next = next;
                true
            }
            _ => false,
        }
    }

    /// The backend is gone, and with it its probe.
    pub(crate) fn remove(&mut self, id: BackendId) {
        if let Some(Watch { out: Some((probe, _)), .. }) = self.watch(id).copied() {
            self.probes.remove(Key::unpack(probe.0));
        }
        if self.watch(id).is_some() {
            self.watches[id.slot as usize] = None;
        }
    }

    /// The next backend that wants a look: call until `None`, and [`Schedule::arm`] each.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<BackendId> {
        while let Some(&Reverse((at, id))) = self.wakes.peek() {
            if at > now {
                return None;
            }
            self.wakes.pop();
            if self.watch(id).is_some_and(|watch| watch.wake == at) {
                return Some(id);
            }
        }
        None
    }

    /// When [`Schedule::pop_due`] may have something ([`Time::MAX`]: never); a leftover may make it
    /// early, never late.
    #[inline]
    pub(crate) fn next_wake(&self) -> Time {
        self.wakes.peek().map_or(Time::MAX, |&Reverse((at, _))| at)
    }

    /// Begins a probe if one is due and none is out; its id and the deadline of its answer.
    pub(crate) fn begin_if_due(&mut self, now: Time, id: BackendId) -> Option<(ProbeId, Time)> {
        let watch = *self.watch(id)?;
        if watch.out.is_some() || watch.next > now {
            return None;
        }
        let first = watch.wake == Time::MAX;
        let gap = self.gap(self.settings.interval, first);
        let probe = ProbeId(self.probes.insert(id).pack());
        let deadline = now + self.settings.timeout;
        let watch = self.watches[id.slot as usize].as_mut()?;
        watch.began = now;
        watch.next = now + gap;
        watch.out = Some((probe, deadline + REPORT_GRACE));
        Some((probe, deadline))
    }

    /// A probe is over; whose it was, unless it is known to be over.
    pub(crate) fn end(&mut self, probe: ProbeId) -> Option<BackendId> {
        let id = self.probes.remove(Key::unpack(probe.0))?;
        if let Some(watch) = self.watches[id.slot as usize].as_mut() {
            watch.out = None;
        }
        Some(id)
    }

    /// The probe of this backend that nobody reported in time.
    pub(crate) fn overdue(&self, now: Time, id: BackendId) -> Option<ProbeId> {
        self.watch(id)?.out.filter(|&(_, expires)| expires <= now).map(|(probe, _)| probe)
    }

    /// Chooses the next look at this backend: a probe's start or end, or `also`.
    pub(crate) fn arm(&mut self, id: BackendId, also: Option<Time>) {
        let Some(watch) = self.watches.get_mut(id.slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let own = watch.out.map_or(watch.next, |(_, expires)| expires);
        let wake = also.map_or(own, |also| own.min(also));
        if watch.wake != wake {
            watch.wake = wake;
            self.wakes.push(Reverse((wake, id)));
        }
    }

    /// From one probe's start to the next's. After the first probe it is a random part of the
    /// interval, so that backends which were added together are not probed together.
    fn gap(&mut self, interval: Duration, first: bool) -> Duration {
        let factor = if first {
            self.rng.unit()
        } else {
            1.0 + self.settings.jitter.clamp(0.0, 1.0) * (2.0 * self.rng.unit() - 1.0)
        };
        let gap = Time::from_secs_f64(interval.as_secs_f64() * factor);
        gap.since(Time::ZERO).max(MIN_GAP)
    }

    fn watch(&self, id: BackendId) -> Option<&Watch> {
        let watch = self.watches.get(id.slot as usize)?.as_ref()?;
        (watch.generation == id.generation).then_some(watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn schedule(jitter: f64, seed: u64) -> Schedule {
        let settings = HealthSettings {
            interval: INTERVAL,
            timeout: Duration::from_millis(200),
            jitter,
            ..HealthSettings::default()
        };
        Schedule::new(settings, Rng::from_seed(seed))
    }

    const fn id(slot: u32) -> BackendId {
        BackendId { slot, generation: 0 }
    }

    /// Plays a schedule in which every probe is answered at once; when whose probes began.
    fn starts(schedule: &mut Schedule, backends: u32, until: Time) -> Vec<Vec<Time>> {
        let mut starts = vec![Vec::new(); backends as usize];
        let mut look = |schedule: &mut Schedule, now: Time, id: BackendId| {
            if let Some((probe, deadline)) = schedule.begin_if_due(now, id) {
                assert_eq!(deadline, now + Duration::from_millis(200));
                starts[id.slot as usize].push(now);
                assert_eq!(schedule.end(probe), Some(id));
            }
            schedule.arm(id, None);
        };
        for slot in 0..backends {
            schedule.add(Time::ZERO, id(slot));
            look(schedule, Time::ZERO, id(slot));
        }
        while schedule.next_wake() <= until {
            let now = schedule.next_wake();
            while let Some(id) = schedule.pop_due(now) {
                look(schedule, now, id);
            }
        }
        starts
    }

    #[test]
    fn probes_begin_at_once_are_spread_and_keep_their_interval() {
        let until = Time::ZERO + INTERVAL * 20;
        let starts = starts(&mut schedule(0.1, 1), 50, until);
        let (least, most) = (INTERVAL.mul_f64(0.9), INTERVAL.mul_f64(1.1));
        let mut gaps = Vec::new();
        for times in &starts {
            assert_eq!(times[0], Time::ZERO);
            assert!(times[1].since(times[0]) <= INTERVAL);
            gaps.extend(times.windows(2).skip(1).map(|pair| pair[1].since(pair[0])));
        }
        assert!(gaps.iter().all(|gap| (least..=most).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().min() < Some(&INTERVAL.mul_f64(0.92)), "jitter is used");
        assert!(gaps.iter().max() > Some(&INTERVAL.mul_f64(1.08)));
        // Second probes of 50 backends over the interval: a tenth of it holds 5 of them, ± 5 × 2.1.
        for tenth in 0..10 {
            let from = Time::ZERO + INTERVAL * tenth / 10;
            let here = |times: &&Vec<Time>| (from..from + INTERVAL / 10).contains(&times[1]);
            let count = starts.iter().filter(here).count();
            assert!(count <= 15, "{count} second probes in one tenth of the interval");
        }
    }

    #[test]
    fn without_jitter_the_interval_is_exact() {
        let starts = starts(&mut schedule(0.0, 2), 1, Time::ZERO + INTERVAL * 9);
        assert!(starts[0].len() >= 9);
        assert!(starts[0].windows(2).skip(1).all(|pair| pair[1].since(pair[0]) == INTERVAL));
    }

    #[test]
    fn an_interval_of_nothing_ends_all_the_same() {
        let mut schedule = schedule(1.0, 3);
        schedule.settings.interval = Duration::ZERO;
        let starts = starts(&mut schedule, 1, Time::from_secs_f64(0.1));
        assert!((90..=101).contains(&starts[0].len()), "{}", starts[0].len());
    }

    #[test]
    fn one_probe_a_backend_is_out_and_what_is_not_reported_expires() {
        let mut schedule = schedule(0.0, 4);
        schedule.settings.timeout = INTERVAL * 3;
        schedule.add(Time::ZERO, id(0));
        let (probe, deadline) = schedule.begin_if_due(Time::ZERO, id(0)).unwrap();
        schedule.arm(id(0), None);
        assert_eq!(schedule.begin_if_due(Time::ZERO + INTERVAL * 2, id(0)), None);
        let expires = deadline + REPORT_GRACE;
        assert_eq!(schedule.next_wake(), expires);
        assert_eq!(schedule.overdue(deadline, id(0)), None);
        assert_eq!(schedule.pop_due(expires), Some(id(0)));
        assert_eq!(schedule.overdue(expires, id(0)), Some(probe));
        assert_eq!(schedule.end(probe), Some(id(0)));
        assert_eq!(schedule.end(probe), None, "a report that comes too late");
        assert!(schedule.begin_if_due(expires, id(0)).is_some());
    }

    #[test]
    fn a_removed_backend_is_looked_at_no_more() {
        let mut schedule = schedule(0.0, 5);
        schedule.add(Time::ZERO, id(0));
        let (probe, _) = schedule.begin_if_due(Time::ZERO, id(0)).unwrap();
        schedule.arm(id(0), Some(Time::from_nanos(5)));
        schedule.remove(id(0));
        assert_eq!(schedule.end(probe), None);
        assert_eq!(schedule.pop_due(Time::MAX), None);
        // Nor is the next tenant of its slot by its leftovers.
        schedule.add(Time::ZERO, id(0));
        schedule.arm(id(0), Some(Time::from_nanos(7)));
        schedule.remove(id(0));
        schedule.add(Time::ZERO, BackendId { slot: 0, generation: 1 });
        assert_eq!(schedule.pop_due(Time::MAX), None);
    }

    /// Entries that no longer count go by themselves: the heap does not grow with the run.
    #[test]
    fn leftovers_do_not_pile_up() {
        let mut schedule = schedule(0.1, 6);
        let starts = starts(&mut schedule, 20, Time::ZERO + INTERVAL * 200);
        assert!(starts.iter().all(|times| times.len() > 180));
        assert!(schedule.wakes.len() <= 3 * 20, "{}", schedule.wakes.len());
    }

    #[test]
    fn doubt_hurries_the_next_probe_and_other_settings_delay_none() {
        let fast = Duration::from_millis(50);
        let mut schedule = schedule(0.0, 7);
        schedule.add(Time::ZERO, id(0));
        let begin = |schedule: &mut Schedule, now: Time| {
            let (probe, _) = schedule.begin_if_due(now, id(0)).expect("it is due");
            assert_eq!(schedule.end(probe), Some(id(0)));
            schedule.arm(id(0), None);
            schedule.watch(id(0)).unwrap().next
        };
        let first = begin(&mut schedule, Time::ZERO);
        assert!(!schedule.hurry(id(0), None), "there is no fast interval");
        schedule.settings.fast_interval = Some(fast);
        let second = begin(&mut schedule, first);
        assert_eq!(second, first + INTERVAL);
        assert!(schedule.hurry(id(0), None));
        assert!(!schedule.hurry(id(0), None), "twice is once");
        let next = |schedule: &Schedule| schedule.watch(id(0)).unwrap().next;
        assert_eq!(next(&schedule), first + fast);
        // A doubt that arose later, and a settlement that came since.
        let now = next(&schedule);
        let second = begin(&mut schedule, now);
        let doubted_at = second.since(Time::ZERO).checked_sub(INTERVAL / 2).unwrap();
        assert!(schedule.hurry(id(0), Some(Time::ZERO + doubted_at)));
        assert_eq!(next(&schedule), Time::ZERO + doubted_at + fast);
        let now = next(&schedule);
        assert_eq!(begin(&mut schedule, now), now + INTERVAL);

        let shorter = HealthSettings { interval: fast, ..schedule.settings.clone() };
        schedule.change(now, shorter);
        assert_eq!(next(&schedule), now + fast);
        let longer = HealthSettings { interval: INTERVAL * 9, ..schedule.settings.clone() };
        schedule.change(now, longer);
        assert_eq!(next(&schedule), now + fast, "what was promised is kept");
    }
}
