//! What passes between balancer and strategy beside picks: changes of the pool, tables that are
//! made elsewhere, what attempts showed, questions for a backend's load.
//! It must not know what a strategy makes of it.

use base::{BackendId, Key, ProbeId, Slab, Time};

use super::Balancer;
use super::requests::seen;
use crate::message::{Head, Output, Probe, ProbeKind, ProbeResult};
use crate::pool::Sight;
use crate::strategy::{LoadReport, MAX_LOAD_PROBES, Observation, Seen, Strategy};
use crate::work::{Built, Work};

/// Load probes and health probes are numbered apart: theirs have this bit.
const LOAD_PROBE: u64 = 1 << 63;

pub(super) const fn is_load_probe(probe: ProbeId) -> bool {
    probe.0 & LOAD_PROBE != 0
}

/// A load probe that is out.
#[derive(Debug)]
struct Asked {
    backend: BackendId,
    /// A later answer is none.
    expires: Time,
}

/// What the strategy asked for beside picks.
#[derive(Debug)]
pub(super) struct Consultation {
    /// The strategy has not been told of the pool.
    is_new: bool,
    /// The strategy learns from attempts.
    learns: bool,
    /// The number of the latest job.
    job: u64,
    asked: Slab<Asked>,
}

impl Consultation {
    pub(super) fn new(strategy: &dyn Strategy) -> Self {
        Self { is_new: true, learns: strategy.learns(), job: 0, asked: Slab::new() }
    }

    /// See [`Strategy::learns`].
    pub(super) const fn learns(&self) -> bool {
        self.learns
    }

    /// The strategy was exchanged: the tables of the former are void. The load of a backend is what
    /// it is, whoever asked.
    pub(super) fn begin_anew(&mut self, strategy: &dyn Strategy) {
        self.is_new = true;
        self.learns = strategy.learns();
        self.job += 1;
    }
}

impl Balancer {
    /// A table is there that was asked for with [`Output::Build`].
    pub fn handle_built(&mut self, _now: Time, built: Built) {
        if built.number == self.consultation.job {
            self.strategy.built(built.result);
        }
    }

    /// Shows the strategy what this balancer could not know by itself. Only the simulator can. Attempts
    /// in flight are no fewer than this balancer's own, where those show: they go on to be counted
    /// up and down.
    pub fn handle_sight(&mut self, backend: BackendId, sight: Sight) {
        self.pool.show(backend, sight);
    }

    /// From now on the strategy sees no attempt in flight but by [`Balancer::handle_sight`], not
    /// even this balancer's own: what it sees is old.
    pub const fn rely_on_sights(&mut self) {
        self.pool.show_only_sights();
    }

    /// From now on backends say to this balancer, or to another one, that they are idle. Only the
    /// simulator's do. Comes before the first request.
    pub const fn rely_on_idle_reports(&mut self) {
        self.pool.tell_of_idle();
    }

    /// A backend says that it has nothing to do.
    pub fn handle_idle(&mut self, backend: BackendId) {
        if self.pool.get(backend).is_some() {
            self.strategy.idle(backend);
        }
    }

    /// Whether the strategy needs [`Sight::FreeAt`].
    pub fn needs_work(&self) -> bool {
        self.strategy.needs_work()
    }

    /// Lets candidates and strategy follow the changes since the last pick.
    #[inline]
    pub(super) fn refresh(&mut self) {
        if self.is_behind() {
            self.refresh_now();
        }
    }

    /// Whether candidates or strategy do not know of the latest change.
    #[inline]
    const fn is_behind(&self) -> bool {
        self.pool.is_outdated() || self.consultation.is_new
    }

    /// A hint for speed: further requests will come soon. Returns the slot of the backend that the one
    /// after the next is likely to be sent to, whom the shell may want to fetch too. Nothing follows
    /// from it.
    #[inline]
    pub fn foresee(&self) -> Option<u32> {
        let candidates = self.pool.candidates().filter(|_| !self.is_behind())?;
        let foreseen = self.strategy.foresee(&candidates, &mut self.strategy_rng.clone())?;
        let [first, second] = foreseen.compared;
        candidates.prefetch(first);
        candidates.prefetch(second);
        self.pool.prefetch(foreseen.taken.slot);
        Some(foreseen.taken.slot)
    }

    #[cold]
    fn refresh_now(&mut self) {
        self.pool.refresh();
        self.consultation.is_new = false;
        if let Some(job) = self.strategy.pool_changed(&self.pool, &mut self.strategy_rng) {
            self.consultation.job += 1;
            self.outputs.push_back(Output::Build(Work::new(self.consultation.job, job)));
        }
    }

    /// Passes on what the strategy wants to know after a pick.
    pub(super) fn ask_for_load(&mut self, now: Time) {
        while let Some(ask) = self.strategy.poll_load_probe() {
            let asked = &mut self.consultation.asked;
            if asked.len() >= MAX_LOAD_PROBES || self.pool.get(ask.backend).is_none() {
                continue;
            }
            let deadline = now + ask.within;
            let key = asked.insert(Asked { backend: ask.backend, expires: deadline });
            self.outputs.push_back(Output::Probe(Probe {
                id: ProbeId(key.pack() | LOAD_PROBE),
                backend: ask.backend,
                kind: ProbeKind::Load(ask.path),
                deadline,
            }));
        }
    }

    /// A load probe was answered, or not.
    pub(super) fn judge_load(&mut self, now: Time, probe: ProbeId, result: &ProbeResult) {
        let key = Key::unpack(probe.0 & !LOAD_PROBE);
        let Some(asked) = self.consultation.asked.remove(key) else { return };
        let report = match *result {
            ProbeResult::Status { status, after, load }
                if (200..300).contains(&status) && now <= asked.expires =>
            {
                Some(LoadReport { after, load })
            }
            _ => None,
        };
        if self.pool.get(asked.backend).is_some() {
            self.strategy.load_reported(now, asked.backend, report);
        }
    }

    /// Tells the strategy of an attempt's head, or failure.
    #[inline(never)] // few strategies listen
    pub(super) fn tell_of_head(&mut self, now: Time, backend: BackendId, began: Time, head: &Head) {
        let observation = Observation { after: now.since(began), seen: seen(head) };
        self.strategy.observed(now, backend, observation);
    }

    /// Tells the strategy of an attempt's end, and of what was seen only there; its backend has so
    /// many left, if it is not gone.
    #[inline(never)] // as above
    pub(super) fn tell_of_end(
        &mut self,
        now: Time,
        backend: BackendId,
        began: Time,
        seen: Option<Seen>,
        left: Option<u32>,
    ) {
        if let Some(seen) = seen {
            self.strategy.observed(now, backend, Observation { after: now.since(began), seen });
        }
        if let Some(in_flight) = left {
            self.strategy.ended(backend, in_flight);
        }
    }
}
