//! When to probe whom, and which probes are out. It must not judge their results:
//! [`crate::health`] does, and the balancer acts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::{BackendId, ProbeId, Rng, Time};

use crate::settings::HealthSettings;
use crate::slab::{Key, Slab};

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
    /// At most three entries a backend: a probe's start, its report and a look at its silence.
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
        self.watches[slot] =
            Some(Watch { generation: id.generation, next: now, out: None, wake: Time::MAX });
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

    /// When [`Schedule::pop_due`] may have something; a leftover may make it early, never late.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        self.wakes.peek().map(|&Reverse((at, _))| at)
    }

    /// Begins a probe if one is due and none is out; its id and the deadline of its answer.
    pub(crate) fn begin_if_due(&mut self, now: Time, id: BackendId) -> Option<(ProbeId, Time)> {
        let watch = *self.watch(id)?;
        if watch.out.is_some() || watch.next > now {
            return None;
        }
        let first = watch.wake == Time::MAX;
        let gap = self.gap(first);
        let probe = ProbeId(self.probes.insert(id).pack());
        let deadline = now + self.settings.timeout;
        let watch = self.watches[id.slot as usize].as_mut()?;
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
    fn gap(&mut self, first: bool) -> Duration {
        let factor = if first {
            self.rng.unit()
        } else {
            1.0 + self.settings.jitter.clamp(0.0, 1.0) * (2.0 * self.rng.unit() - 1.0)
        };
        let gap = Time::from_secs_f64(self.settings.interval.as_secs_f64() * factor);
        gap.since(Time::ZERO).max(MIN_GAP)
    }

    fn watch(&self, id: BackendId) -> Option<&Watch> {
        let watch = self.watches.get(id.slot as usize)?.as_ref()?;
        (watch.generation == id.generation).then_some(watch)
    }
}
