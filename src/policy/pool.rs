//! The backends: who is there, who is ready, how much each has in flight.
//! It must not know how one of them is picked.

use base::{BackendId, Slab, Time};

use crate::health::{Check, Standing};
use crate::strategy::Candidates;

/// Whether a backend may get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// New: no probe has passed yet.
    Checking,
    /// In service.
    Ready,
    /// Failed its checks.
    Down,
    /// Failed its requests; it comes back by itself.
    Ejected,
    /// Asked to take no new requests.
    Draining,
}

impl State {
    /// The word that stands in the admin API and in CSV files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
        }
    }
}

/// What is known of one backend, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendStatus<'a> {
    /// Its id.
    pub id: BackendId,
    /// Its name.
    pub name: &'a str,
    /// Its weight, 1 to 65 536.
    pub weight: u32,
    /// Whether it gets requests.
    pub state: State,
    /// Why it is in this state.
    pub reason: &'a str,
    /// Since when.
    pub since: Time,
    /// Attempts sent and not ended, connecting ones included.
    pub in_flight: u32,
    /// Attempts sent so far.
    pub attempts: u64,
    /// Attempts that failed so far: no whole answer, or a status of 500 or above.
    pub failures: u64,
    /// The last probe's result in words.
    pub last_check: Option<&'a str>,
}

/// A backend that may be picked, as strategies see it: 16 bytes, so that a scan stays in cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: BackendId,
    pub(crate) weight: u32,
    pub(crate) in_flight: u32,
}

/// One backend. The balancer writes it through [`Pool`] alone, which keeps the candidates in step.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: String,
    /// What its health checks say; `None` where health is off.
    pub(crate) check: Option<Check>,
    /// When it last gave a sign of life; at first when it was added.
    pub(crate) alive_at: Time,
    pub(crate) last_check: Option<String>,
    weight: u32,
    state: State,
    draining: bool,
    reason: String,
    since: Time,
    in_flight: u32,
    attempts: u64,
    failures: u64,
}

/// No place among the candidates.
const NOWHERE: u32 = u32::MAX;

/// The backends of a balancer.
#[derive(Debug)]
pub struct Pool {
    backends: Slab<Backend>,
    /// In the order in which they were added.
    order: Vec<BackendId>,
    /// The ready ones, in that order, as of the last [`Pool::refresh`].
    candidates: Vec<Candidate>,
    /// Per slot: the tenant's place among the candidates.
    places: Vec<u32>,
    /// The ready backends or their weights are no longer those of `candidates`.
    stale: bool,
}

impl Pool {
    /// All backends in the order in which they were added.
    pub fn statuses(&self) -> impl Iterator<Item = BackendStatus<'_>> {
        self.order.iter().filter_map(|&id| self.status(id))
    }

    /// One backend.
    pub fn status(&self, id: BackendId) -> Option<BackendStatus<'_>> {
        let backend = self.get(id)?;
        Some(BackendStatus {
            id,
            name: &backend.name,
            weight: backend.weight,
            state: backend.state,
            reason: &backend.reason,
            since: backend.since,
            in_flight: backend.in_flight,
            attempts: backend.attempts,
            failures: backend.failures,
            last_check: backend.last_check.as_deref(),
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

    /// Id and weight of every candidate, in the order in which [`Candidates`] shows them: what a
    /// strategy builds its tables from in [`crate::Strategy::pool_changed`].
    pub fn ready(&self) -> impl ExactSizeIterator<Item = (BackendId, u32)> + '_ {
        self.candidates.iter().map(|c| (c.id, c.weight))
    }

    pub(crate) const fn new() -> Self {
        Self {
            backends: Slab::new(),
            order: Vec::new(),
            candidates: Vec::new(),
            places: Vec::new(),
            stale: false,
        }
    }

    pub(crate) fn get(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(id.into())
    }

    pub(crate) fn get_mut(&mut self, id: BackendId) -> Option<&mut Backend> {
        self.backends.get_mut(id.into())
    }

    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.statuses().any(|backend| backend.name == name)
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
        let id = BackendId::from(self.backends.insert(Backend {
            name,
            check,
            alive_at: now,
            last_check: None,
            weight,
            state: if ready { State::Ready } else { State::Checking },
            draining: false,
            reason: if ready { "added" } else { "added: no probe has passed yet" }.into(),
            since: now,
            in_flight: 0,
            attempts: 0,
            failures: 0,
        }));
        self.order.push(id);
        if self.places.len() <= id.slot as usize {
            self.places.resize(id.slot as usize + 1, NOWHERE);
        }
        self.places[id.slot as usize] = NOWHERE;
        self.stale |= ready;
        id
    }

    /// Takes a backend out and returns its name.
    pub(crate) fn remove(&mut self, id: BackendId) -> Option<String> {
        let backend = self.backends.remove(id.into())?;
        self.order.retain(|&other| other != id);
        self.places[id.slot as usize] = NOWHERE;
        self.stale |= backend.state == State::Ready;
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
        self.stale |= changed;
        changed
    }

    /// Draws the state from health and drain; from what to what, where it changed.
    pub(crate) fn settle(
        &mut self,
        now: Time,
        id: BackendId,
        reason: &str,
    ) -> Option<(State, State)> {
        let backend = self.get_mut(id)?;
        let to = match (backend.draining, backend.check.as_ref().map(Check::standing)) {
            (true, _) => State::Draining,
            (false, None | Some(Standing::Up)) => State::Ready,
            (false, Some(Standing::New)) => State::Checking,
            (false, Some(Standing::Out)) => State::Down,
        };
        let from = backend.state;
        if from == to {
            return None;
        }
        backend.state = to;
        backend.since = now;
        backend.reason = reason.into();
        self.stale |= from == State::Ready || to == State::Ready;
        Some((from, to))
    }

    /// Brings the candidates up to date; whether there was anything to do. Changes are gathered
    /// until the next pick, so that a thousand backends that become ready cost one rebuild.
    pub(crate) fn refresh(&mut self) -> bool {
        if !self.stale {
            return false;
        }
        self.stale = false;
        self.candidates.clear();
        self.places.fill(NOWHERE);
        for &id in &self.order {
            let backend = self.backends.get(id.into()).expect("order holds present backends only");
            if backend.state == State::Ready {
                self.places[id.slot as usize] = self.candidates.len() as u32;
                self.candidates.push(Candidate {
                    id,
                    weight: backend.weight,
                    in_flight: backend.in_flight,
                });
            }
        }
        true
    }

    /// All candidates as of the last [`Pool::refresh`]; `None` when there are none.
    pub(crate) fn candidates(&self) -> Option<Candidates<'_>> {
        Candidates::new(self, &self.candidates, &[])
    }

    /// The candidates that are not among `tried`, copied to `scratch`; all of them when every one
    /// was tried.
    pub(crate) fn candidates_but<'a>(
        &'a self,
        tried: &'a [BackendId],
        scratch: &'a mut Vec<Candidate>,
    ) -> Option<Candidates<'a>> {
        scratch.clear();
        scratch.extend(self.candidates.iter().filter(|c| !tried.contains(&c.id)));
        if scratch.is_empty() || scratch.len() == self.candidates.len() {
            return self.candidates();
        }
        Candidates::new(self, scratch, tried)
    }

    /// Whether this backend is one of all candidates.
    pub(crate) fn is_candidate(&self, id: BackendId) -> bool {
        self.place_of(id).is_some()
    }

    pub(crate) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    pub(crate) fn place_of(&self, id: BackendId) -> Option<usize> {
        let place = *self.places.get(id.slot as usize)? as usize;
        // The generation is compared too: the slot may have another tenant by now.
        (self.candidates.get(place)?.id == id).then_some(place)
    }

    /// An attempt was sent to this backend.
    pub(crate) fn attempt_began(&mut self, id: BackendId) {
        let backend = self.get_mut(id).expect("a pick is checked before it is sent");
        backend.attempts += 1;
        backend.in_flight += 1;
        if let Some(place) = self.place_of(id) {
            self.candidates[place].in_flight += 1;
        }
    }

    /// An attempt at this backend ended; nothing where the backend is gone.
    pub(crate) fn attempt_ended(&mut self, id: BackendId) {
        let Some(backend) = self.get_mut(id) else { return };
        backend.in_flight -= 1;
        if let Some(place) = self.place_of(id) {
            self.candidates[place].in_flight -= 1;
        }
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
