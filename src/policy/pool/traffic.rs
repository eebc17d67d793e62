//! What requests do to a backend: how many it has and had, when it last gave a sign of life.
//! It must not know its state.
//!
//! Every request writes here twice and nowhere else in the pool, and strategies read what is
//! written. So it stands in the candidate's row, apart from the rest of a backend, which is ten times
//! as long: with a thousand backends the rows stay in the processor's nearest cache and the rest does
//! not. Who is no candidate has a row too, elsewhere.

use base::{BackendId, Time, prefetch};

use super::{Candidate, Pool};

/// Where a slot's row is: among the candidates, or with this bit among the resting.
const RESTING: u32 = 1 << 31;

/// Nowhere, for the slot has no tenant: there are never so many who rest.
const NOWHERE: u32 = u32::MAX;

impl Pool {
    /// A new tenant of a slot.
    pub(super) fn open_traffic(&mut self, now: Time, id: BackendId) {
        let slot = id.slot as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, NOWHERE);
            self.alive_at.resize(slot + 1, now);
        }
        self.alive_at[slot] = now;
        self.sights.forget(id.slot);
        self.rest(Candidate { id, weight: 0, in_flight: 0, attempts: 0 });
    }

    /// The tenant is gone: its id finds nothing from now on. Among the candidates it leaves its row
    /// behind until they are refreshed.
    pub(super) fn close_traffic(&mut self, id: BackendId) {
        self.take_resting(id);
        self.places[id.slot as usize] = NOWHERE;
    }

    /// Puts a row among the resting.
    pub(super) fn rest(&mut self, row: Candidate) {
        self.places[row.id.slot as usize] = RESTING | self.resting.len() as u32;
        self.resting.push(row);
    }

    /// Takes a row from the resting, if it is there.
    pub(super) fn take_resting(&mut self, id: BackendId) -> Option<Candidate> {
        let place = self.places[id.slot as usize];
        let index = (place ^ RESTING) as usize;
        self.resting.get(index).filter(|row| row.id == id)?;
        let row = self.resting.swap_remove(index);
        if let Some(moved) = self.resting.get(index) {
            self.places[moved.id.slot as usize] = place;
        }
        Some(row)
    }

    /// The candidates from `first` on stand where they stand.
    pub(super) fn number_from(&mut self, first: usize) {
        for (place, candidate) in self.candidates.iter().enumerate().skip(first) {
            self.places[candidate.id.slot as usize] = place as u32;
        }
    }

    /// A slot's traffic will change soon.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        self.places.get(slot as usize).inspect(|place| prefetch(*place));
    }

    /// The second half, when the first is there.
    #[inline]
    pub(crate) fn prefetch_candidate(&self, slot: u32) {
        if let Some(&place) = self.places.get(slot as usize) {
            self.candidates.get(place as usize).inspect(|candidate| prefetch(*candidate));
        }
    }

    #[inline]
    pub(super) fn place(&self, id: BackendId) -> u32 {
        self.places.get(id.slot as usize).copied().unwrap_or(NOWHERE)
    }

    /// Where this backend stands among the candidates, if it does.
    #[inline]
    pub(crate) fn place_of(&self, id: BackendId) -> Option<usize> {
        let place = self.place(id) as usize;
        self.candidates.get(place).is_some_and(|row| row.id == id).then_some(place)
    }

    /// A backend's row, wherever it is.
    #[inline]
    pub(super) fn traffic_of(&self, id: BackendId) -> Option<&Candidate> {
        let place = self.place(id);
        let row = self.candidates.get(place as usize);
        let row = row.or_else(|| self.resting.get((place ^ RESTING) as usize));
        row.filter(|row| row.id == id)
    }

    /// A backend's row that is not among the candidates.
    #[cold]
    pub(super) fn resting_mut(&mut self, id: BackendId) -> Option<&mut Candidate> {
        let index = (self.place(id) ^ RESTING) as usize;
        self.resting.get_mut(index).filter(|row| row.id == id)
    }

    /// This balancer's attempts that have not ended. Limits go by them, whatever is shown.
    #[inline]
    pub(super) fn own(&self, row: &Candidate) -> u32 {
        row.in_flight.wrapping_sub(self.sights.beyond(row.id.slot))
    }

    /// From now on signs of life are noted, or not: few want to know, and each is a place in memory
    /// to go to. Who has not been listened to is taken for alive.
    pub(crate) fn note_life(&mut self, now: Time, notes: bool) {
        if notes && !self.notes_life {
            self.alive_at.fill(now);
        }
        self.notes_life = notes;
    }

    /// When this backend last gave a sign of life, as far as they are noted; at first when it was
    /// added.
    pub(crate) fn alive_at(&self, id: BackendId) -> Option<Time> {
        self.traffic_of(id).map(|_| self.alive_at[id.slot as usize])
    }

    /// This backend gives a sign of life.
    #[inline]
    pub(crate) fn note_alive(&mut self, now: Time, id: BackendId) {
        if self.notes_life && self.traffic_of(id).is_some() {
            self.alive_at[id.slot as usize] = now;
        }
    }

    /// An attempt was sent to this backend; whether that is a candidate.
    #[inline]
    pub(crate) fn attempt_began(&mut self, id: BackendId) -> bool {
        self.at_work = true;
        let own = self.sights.own_shown();
        let place = self.place(id) as usize;
        let Some(row) = self.candidates.get_mut(place).filter(|row| row.id == id) else {
            self.attempt_began_elsewhere(id, own);
            return false;
        };
        row.attempts += 1;
        row.in_flight += own;
        let row = *row;
        if own == 0 {
            self.sights.hide(id.slot, 1);
        }
        self.totals.in_flight += u64::from(own);
        self.full += usize::from(self.own(&row) == self.most_in_flight);
        true
    }

    #[cold]
    fn attempt_began_elsewhere(&mut self, id: BackendId, own: u32) {
        let Some(row) = self.resting_mut(id) else { return };
        row.attempts += 1;
        row.in_flight += own;
        if own == 0 {
            self.sights.hide(id.slot, 1);
        }
    }

    /// An attempt at this backend ended; how many it has left, as they are shown, or its own where
    /// what is shown is old: those it knows. `None` where the backend is gone.
    #[inline]
    pub(crate) fn attempt_ended(&mut self, id: BackendId) -> Option<u32> {
        let own = self.sights.own_shown();
        let place = self.place(id) as usize;
        let Some(row) = self.candidates.get_mut(place).filter(|row| row.id == id) else {
            let row = self.resting_mut(id)?;
            row.in_flight -= own;
            let row = *row;
            return Some(self.left(&row));
        };
        row.in_flight -= own;
        let row = *row;
        self.totals.in_flight -= u64::from(own);
        let left = self.left(&row);
        self.full -= usize::from(self.own(&row) + 1 == self.most_in_flight);
        Some(left)
    }

    /// How many a backend has left one of whose attempts has just left its row.
    #[inline]
    fn left(&mut self, row: &Candidate) -> u32 {
        if self.sights.own_shown() > 0 {
            return row.in_flight;
        }
        self.sights.hide(row.id.slot, -1);
        self.own(row)
    }
}
