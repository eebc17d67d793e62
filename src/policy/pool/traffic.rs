//! What requests do to a backend: how many it has and had, when it last gave a sign of life.
//! It must not know its state.
//!
//! Every request writes here twice and nowhere else in the pool, so it stands apart from the rest
//! of a backend, which is ten times as long: with a thousand backends the one stays in the
//! processor's nearest cache and the other does not.

use base::{BackendId, Time, prefetch};

use super::{NOWHERE, Pool};

/// One slot's traffic: that of the tenant of this generation. Half a line of cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    generation: u32,
    /// The tenant's place among the candidates.
    pub(super) place: u32,
    /// This balancer's attempts that have not ended. Limits go by them.
    pub(super) in_flight: u32,
    /// What strategies see in their place; the same, unless the balancer is told otherwise.
    pub(super) shown: u32,
    pub(super) attempts: u64,
    alive_at: Time,
}

impl Pool {
    /// A new tenant of a slot.
    pub(super) fn open_traffic(&mut self, now: Time, id: BackendId) {
        let fresh = Traffic {
            generation: id.generation,
            place: NOWHERE,
            in_flight: 0,
            shown: 0,
            attempts: 0,
            alive_at: now,
        };
        let slot = id.slot as usize;
        if self.traffic.len() <= slot {
            self.traffic.resize(slot + 1, fresh);
        }
        self.traffic[slot] = fresh;
    }

    /// A slot's traffic will change soon.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        self.traffic.get(slot as usize).inspect(|traffic| prefetch(*traffic));
    }

    /// With it what strategies see.
    #[inline]
    pub(crate) fn prefetch_candidate(&self, slot: u32) {
        if let Some(traffic) = self.traffic.get(slot as usize) {
            self.candidates.get(traffic.place as usize).inspect(|candidate| prefetch(*candidate));
        }
    }

    /// The tenant is gone: its id finds nothing from now on.
    pub(super) fn close_traffic(&mut self, id: BackendId) {
        let traffic = &mut self.traffic[id.slot as usize];
        traffic.generation = id.generation.wrapping_add(1);
        traffic.place = NOWHERE;
    }

    #[inline]
    pub(super) fn traffic_of(&self, id: BackendId) -> Option<&Traffic> {
        self.traffic.get(id.slot as usize).filter(|traffic| traffic.generation == id.generation)
    }

    #[inline]
    pub(super) fn traffic_mut(&mut self, id: BackendId) -> Option<&mut Traffic> {
        self.traffic.get_mut(id.slot as usize).filter(|traffic| traffic.generation == id.generation)
    }

    /// Where this backend stands among the candidates, if it does.
    #[inline]
    pub(crate) fn place_of(&self, id: BackendId) -> Option<usize> {
        let place = self.traffic_of(id)?.place;
        (place != NOWHERE).then_some(place as usize)
    }

    /// When this backend last gave a sign of life; at first when it was added.
    pub(crate) fn alive_at(&self, id: BackendId) -> Option<Time> {
        self.traffic_of(id).map(|traffic| traffic.alive_at)
    }

    /// This backend gives a sign of life.
    #[inline]
    pub(crate) fn note_alive(&mut self, now: Time, id: BackendId) {
        if let Some(traffic) = self.traffic_mut(id) {
            traffic.alive_at = now;
        }
    }

    /// An attempt was sent to this backend; whether that is a candidate.
    #[inline]
    pub(crate) fn attempt_began(&mut self, id: BackendId) -> bool {
        let own = self.sights.own_shown();
        let Some(traffic) = self.traffic_mut(id) else { return false };
        traffic.attempts += 1;
        traffic.in_flight += 1;
        traffic.shown += own;
        let (place, in_flight) = (traffic.place, traffic.in_flight);
        self.at_work = true;
        let Some(candidate) = self.candidates.get_mut(place as usize) else { return false };
        candidate.in_flight += own;
        self.totals.in_flight += u64::from(own);
        self.full += usize::from(in_flight == self.most_in_flight);
        true
    }

    /// An attempt at this backend ended; how many it has left, as they are shown, or its own where
    /// what is shown is old: those it knows. `None` where the backend is gone.
    #[inline]
    pub(crate) fn attempt_ended(&mut self, id: BackendId) -> Option<u32> {
        let own = self.sights.own_shown();
        let traffic = self.traffic_mut(id)?;
        let before = traffic.in_flight;
        traffic.in_flight -= 1;
        traffic.shown -= own;
        let left = if own == 0 { traffic.in_flight } else { traffic.shown };
        let place = traffic.place;
        if let Some(candidate) = self.candidates.get_mut(place as usize) {
            self.full -= usize::from(before == self.most_in_flight);
            candidate.in_flight -= own;
            self.totals.in_flight -= u64::from(own);
        }
        Some(left)
    }
}
