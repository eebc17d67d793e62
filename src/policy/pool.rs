//! The backends: who is there, who is ready, how much each has in flight.
//! It must not know how one of them is picked.

#[cfg(test)]
mod books;
mod roster;
mod service;
mod sights;
mod status;
mod traffic;

use std::collections::BTreeSet;

use base::{BackendId, Slab, Time};

use self::roster::Outdated;
pub(crate) use self::service::Ejection;
pub use self::sights::Sight;
use self::sights::Sights;
pub use self::status::{BackendStatus, State};
use crate::health::Check;
use crate::outlier::Failure;
use crate::settings::PanicSettings;
use crate::strategy::Candidates;

/// A backend as strategies see it that may be picked, with what requests do to it: 24 bytes, so that a
/// scan stays in cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: BackendId,
    pub(crate) weight: u32,
    /// What is shown: the balancer's own attempts, unless it is told otherwise (see `sights`).
    pub(crate) in_flight: u32,
    /// This balancer's attempts so far.
    attempts: u64,
}

/// One backend. The balancer writes it through [`Pool`] alone, which keeps the candidates in step.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: String,
    /// What its health checks say; `None` where health is off.
    pub(crate) check: Option<Check>,
    pub(crate) last_check: Option<String>,
    pub(crate) last_check_passed: Option<bool>,
    pub(crate) last_failure: Option<Failure>,
    /// It would be slow at first: new to a pool at work, or it was down or ejected. A backend that
    /// was only drained is warm.
    pub(crate) cold: bool,
    /// Since when it warms up, while it does.
    pub(crate) warming_since: Option<Time>,
    /// What it counts of its weight, in percent, 1 to 100.
    percent: u32,
    weight: u32,
    state: State,
    draining: bool,
    /// While it is ejected, whatever else keeps it out.
    pub(crate) ejection: Option<Ejection>,
    ejections: u64,
    /// Not draining, and not only just begun: one of those whose ready share decides on a panic.
    eligible: bool,
    reason: String,
    since: Time,
    /// The number of its coming, which is its place in the order.
    joined: u64,
    failures: u64,
}

/// Sums over the candidates, kept on change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) weight: u64,
    pub(crate) in_flight: u64,
}

/// The backends of a balancer.
#[derive(Debug)]
pub struct Pool {
    backends: Slab<Backend>,
    /// In the order in which they were added.
    order: Vec<BackendId>,
    names: BTreeSet<String>,
    /// The ready ones, in a panic the eligible ones, in that order, as of the last
    /// [`Pool::refresh`].
    candidates: Vec<Candidate>,
    totals: Totals,
    /// The rows of those that are no candidates.
    resting: Vec<Candidate>,
    /// By slot: where its tenant's row is.
    places: Vec<u32>,
    /// By slot: when its tenant gave the latest sign of life.
    alive_at: Vec<Time>,
    /// See [`Pool::note_life`].
    notes_life: bool,
    /// What of the candidates or their weights is no longer as in `candidates`.
    outdated: Outdated,
    /// Backends added so far.
    joined: u64,
    /// How many are in service.
    ready: usize,
    /// How many of the ready and of the others may be used in a panic.
    eligible: usize,
    /// How many have an ejection that has not ended.
    ejected: usize,
    /// When there is a panic; `None`: never.
    panic: Option<PanicSettings>,
    panicking: bool,
    /// Backends may warm up: then candidates weigh a hundred times their weight, so that a percent
    /// of it is a whole number.
    in_percent: bool,
    /// A request was sent to a backend: who comes now is new to a pool at work.
    at_work: bool,
    /// The most attempts in flight at one backend ([`u32::MAX`]: any number).
    most_in_flight: u32,
    /// How many candidates have that many or more.
    full: usize,
    /// What else is shown of the backends, and how.
    sights: Sights,
}

impl Pool {
    /// All backends in the order in which they were added.
    pub fn statuses(&self) -> impl Iterator<Item = BackendStatus<'_>> {
        self.order.iter().filter_map(|&id| self.status(id))
    }

    /// One backend.
    pub fn status(&self, id: BackendId) -> Option<BackendStatus<'_>> {
        let backend = self.get(id)?;
        let traffic = self.traffic_of(id)?;
        Some(BackendStatus {
            id,
            name: &backend.name,
            weight: backend.weight,
            effective_weight: f64::from(backend.weight) * f64::from(backend.percent) / 100.0,
            state: backend.state,
            reason: &backend.reason,
            since: backend.since,
            in_flight: self.own(traffic),
            attempts: traffic.attempts,
            failures: backend.failures,
            last_failure: backend.last_failure,
            last_check: backend.last_check.as_deref(),
            last_check_passed: backend.last_check_passed,
            ejections: backend.ejections,
            ejected_until: backend.ejection.as_ref().map(|ejection| ejection.until),
        })
    }

    /// How many backends there are, in whatever state.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many backends are in service.
    pub const fn ready_count(&self) -> usize {
        self.ready
    }

    /// How many backends have an ejection that has not ended, whatever else keeps them out.
    pub const fn ejected_count(&self) -> usize {
        self.ejected
    }

    /// Whether backends that are out are used because too few are in.
    pub const fn is_panicking(&self) -> bool {
        self.panicking
    }

    /// Id and weight of every candidate, in the order in which [`Candidates`] shows them: what a
    /// strategy builds its tables from in [`crate::Strategy::pool_changed`]. Only the proportions
    /// of the weights mean something: they are less for a backend that warms up, and the unit is
    /// not that of the settings.
    pub fn ready(&self) -> impl ExactSizeIterator<Item = (BackendId, u32)> + '_ {
        self.candidates.iter().map(|c| (c.id, c.weight))
    }

    pub(crate) const fn new() -> Self {
        Self {
            backends: Slab::new(),
            order: Vec::new(),
            names: BTreeSet::new(),
            candidates: Vec::new(),
            totals: Totals { weight: 0, in_flight: 0 },
            resting: Vec::new(),
            places: Vec::new(),
            alive_at: Vec::new(),
            notes_life: false,
            outdated: Outdated::Nothing,
            joined: 0,
            ready: 0,
            eligible: 0,
            ejected: 0,
            panic: None,
            panicking: false,
            in_percent: false,
            at_work: false,
            most_in_flight: u32::MAX,
            full: 0,
            sights: Sights::new(),
        }
    }

    pub(crate) fn get(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(id.into())
    }

    pub(crate) fn get_mut(&mut self, id: BackendId) -> Option<&mut Backend> {
        self.backends.get_mut(id.into())
    }

    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// A new backend; its state follows from `check`.
    pub(crate) fn add(
        &mut self,
        now: Time,
        name: String,
        weight: u32,
        check: Option<Check>,
    ) -> BackendId {
        let ready = check.is_none();
        self.names.insert(name.clone());
        let id = BackendId::from(self.backends.insert(Backend {
            name,
            check,
            last_check: None,
            last_check_passed: None,
            last_failure: None,
            cold: self.at_work,
            warming_since: None,
            percent: 100,
            weight,
            state: if ready { State::Ready } else { State::Checking },
            draining: false,
            ejection: None,
            ejections: 0,
            eligible: false,
            reason: if ready { "added" } else { "added: no probe has passed yet" }.into(),
            since: now,
            joined: self.joined,
            failures: 0,
        }));
        self.joined += 1;
        self.order.push(id);
        self.open_traffic(now, id);
        self.count_in(id);
        id
    }

    /// Takes a backend out and returns its name.
    pub(crate) fn remove(&mut self, id: BackendId) -> Option<String> {
        let joined = self.get(id)?.joined;
        let is_before = |&other: &BackendId| self.get(other).is_some_and(|b| b.joined < joined);
        self.order.remove(self.order.partition_point(is_before));
        let backend = self.backends.remove(id.into())?;
        self.names.remove(&backend.name);
        self.close_traffic(id);
        self.count_out(&backend);
        Some(backend.name)
    }

    /// Begins or ends a drain; [`Pool::settle`] draws the conclusion.
    pub(crate) fn set_draining(&mut self, id: BackendId, draining: bool) {
        if let Some(backend) = self.get_mut(id) {
            backend.draining = draining;
        }
    }

    /// A new weight; whether it is another one.
    pub(crate) fn set_weight(&mut self, id: BackendId, weight: u32) -> bool {
        let Some(backend) = self.get_mut(id) else { return false };
        let changed = backend.weight != weight;
        backend.weight = weight;
        if changed {
            self.outdate(id);
        }
        changed
    }

    /// All candidates as of the last [`Pool::refresh`]; `None` when there are none.
    pub(crate) fn candidates(&self) -> Option<Candidates<'_>> {
        Candidates::new(self, &self.candidates, &[], false)
    }

    /// The candidates with room that are not among `tried`, copied to `scratch`. Where every
    /// candidate was tried: all that have room, or none if it must be an `untried` one.
    pub(crate) fn candidates_but<'a>(
        &'a self,
        tried: &'a [BackendId],
        untried: bool,
        scratch: &'a mut Vec<Candidate>,
    ) -> Option<Candidates<'a>> {
        scratch.clear();
        scratch.extend(self.candidates.iter().filter(|c| !tried.contains(&c.id)));
        let mut excluded = tried;
        if scratch.is_empty() && !untried {
            scratch.extend(&self.candidates);
        }
        if scratch.len() == self.candidates.len() {
            excluded = &[];
        }
        let before = scratch.len();
        if self.full > 0 {
            scratch.retain(|c| !self.is_at_limit(c));
        }
        Candidates::new(self, scratch, excluded, scratch.len() < before)
    }

    /// The most attempts in flight at one backend from now on; those beyond it end in peace.
    pub(crate) fn set_most_in_flight(&mut self, most: Option<u32>) {
        self.most_in_flight = most.unwrap_or(u32::MAX);
        self.full = self.candidates.iter().filter(|c| self.is_at_limit(c)).count();
    }

    /// Whether one of the candidates may have one more attempt.
    pub(crate) const fn has_room(&self) -> bool {
        self.full < self.candidates.len()
    }

    /// Whether this backend may have no more attempts.
    pub(crate) fn is_full(&self, id: BackendId) -> bool {
        self.full > 0 && self.traffic_of(id).is_some_and(|row| self.is_at_limit(row))
    }

    /// Whether this backend is one of all candidates.
    pub(crate) fn is_candidate(&self, id: BackendId) -> bool {
        self.place_of(id).is_some()
    }

    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// An attempt at this backend failed.
    pub(crate) fn attempt_failed(&mut self, id: BackendId) {
        if let Some(backend) = self.get_mut(id) {
            backend.failures += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pool of ready backends with these weights and in-flight counts, for the strategies' tests.
    pub(crate) fn ready_pool(backends: &[(u32, u32)]) -> Pool {
        let mut pool = Pool::new();
        for (i, &(weight, in_flight)) in backends.iter().enumerate() {
            let id = pool.add(Time::ZERO, format!("b-{i}"), weight, None);
            for _ in 0..in_flight {
                pool.attempt_began(id);
            }
        }
        pool.refresh();
        pool
    }

    #[test]
    fn a_candidate_takes_three_words() {
        assert_eq!(std::mem::size_of::<Candidate>(), 24);
    }

    #[test]
    fn the_candidates_follow_state_weight_and_in_flight() {
        let mut pool = ready_pool(&[(1, 0), (2, 3), (4, 1)]);
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        let seen = |pool: &Pool| -> Vec<(u32, u32, u32)> {
            pool.candidates.iter().map(|c| (c.id.slot, c.weight, c.in_flight)).collect()
        };
        assert_eq!(seen(&pool), [(0, 1, 0), (1, 2, 3), (2, 4, 1)]);

        pool.attempt_began(ids[0]);
        pool.attempt_ended(ids[1]);
        assert_eq!(seen(&pool), [(0, 1, 1), (1, 2, 2), (2, 4, 1)]);

        pool.set_draining(ids[0], true);
        assert_eq!(pool.settle(Time::ZERO, ids[0], "x"), Some((State::Ready, State::Draining)));
        assert!(pool.set_weight(ids[2], 5));
        assert!(!pool.set_weight(ids[2], 5));
        assert!(pool.refresh());
        assert!(!pool.refresh(), "once");
        assert_eq!(seen(&pool), [(1, 2, 2), (2, 5, 1)]);
        pool.attempt_ended(ids[0]);
        assert_eq!(pool.status(ids[0]).unwrap().in_flight, 0, "counted outside the candidates too");
    }

    #[test]
    fn a_slot_with_a_new_tenant_is_another_backend() {
        let mut pool = ready_pool(&[(1, 1), (1, 0)]);
        let old = pool.ready().next().unwrap().0;
        assert_eq!(pool.remove(old).as_deref(), Some("b-0"));
        let new = pool.add(Time::ZERO, "b-0".into(), 1, None);
        assert_eq!(new.slot, old.slot);
        assert!(!pool.is_candidate(old) && !pool.is_candidate(new), "before the refresh");
        pool.attempt_ended(old);
        pool.attempt_failed(old);
        pool.refresh();
        assert!(!pool.is_candidate(old) && pool.is_candidate(new));
        assert_eq!(pool.status(old), None);
        let status = pool.status(new).unwrap();
        assert_eq!((status.in_flight, status.failures), (0, 0), "the old tenant's end is not its");
    }
}
