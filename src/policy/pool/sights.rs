//! What a balancer is shown of the backends beyond what it has sent itself: the simulator alone can
//! show it. It must not touch what limits go by, the balancer's own attempts: what is shown stands in
//! the row, and how much of it is not their number stands here, so they are the difference.

use base::{BackendId, Time};

use super::Pool;

/// Something shown of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// So many attempts in flight, in place of what was shown of it before.
    InFlight(u32),
    /// When one of its servers will have nothing left to do, as things stand.
    FreeAt(Time),
}

/// How things are shown.
#[derive(Debug)]
pub(super) struct Sights {
    /// What an own attempt that begins or ends changes in what is shown: 1, or 0 for nothing.
    own: u32,
    /// Per slot: what is shown beyond the own attempts, wrapping where that is less. Empty until it
    /// is another number somewhere.
    beyond: Vec<u32>,
    /// Per slot; empty until somebody tells.
    free_at: Vec<Time>,
    /// See [`Pool::is_told_of_idle`].
    idle_told: bool,
}

impl Sights {
    pub(super) const fn new() -> Self {
        Self { own: 1, beyond: Vec::new(), free_at: Vec::new(), idle_told: false }
    }

    #[inline]
    pub(super) const fn own_shown(&self) -> u32 {
        self.own
    }

    /// What is shown of a slot beyond the own attempts.
    #[inline]
    pub(super) fn beyond(&self, slot: u32) -> u32 {
        self.beyond.get(slot as usize).copied().unwrap_or(0)
    }

    /// So many own attempts more, or less, of which nothing shows.
    #[cold]
    pub(super) fn hide(&mut self, slot: u32, more: i32) {
        let beyond = self.beyond(slot).wrapping_add_signed(-more);
        self.set_beyond(slot, beyond);
    }

    /// The slot has another tenant.
    pub(super) fn forget(&mut self, slot: u32) {
        if self.beyond(slot) != 0 {
            self.set_beyond(slot, 0);
        }
        if let Some(free_at) = self.free_at.get_mut(slot as usize) {
            *free_at = Time::ZERO;
        }
    }

    fn set_beyond(&mut self, slot: u32, beyond: u32) {
        let slot = slot as usize;
        if self.beyond.len() <= slot {
            self.beyond.resize(slot + 1, 0);
        }
        self.beyond[slot] = beyond;
    }
}

impl Pool {
    /// From now on own attempts show only when they are told of.
    pub(crate) const fn show_only_sights(&mut self) {
        self.sights.own = 0;
    }

    /// From now on [`Pool::is_told_of_idle`].
    pub(crate) const fn tell_of_idle(&mut self) {
        self.sights.idle_told = true;
    }

    /// Whether backends that become idle say so, to one of the balancers: that an own request has
    /// ended then says nothing.
    pub const fn is_told_of_idle(&self) -> bool {
        self.sights.idle_told
    }

    /// Shows something of a backend; nothing where it is gone.
    pub(crate) fn show(&mut self, id: BackendId, sight: Sight) {
        let Some(own) = self.traffic_of(id).map(|row| self.own(row)) else { return };
        match sight {
            Sight::InFlight(count) => {
                let hides_own = self.sights.own_shown() == 0;
                debug_assert!(hides_own || count >= own, "{count} are shown, {own} own ones show");
                self.sights.set_beyond(id.slot, count.wrapping_sub(own));
                if let Some(place) = self.place_of(id) {
                    let shown = &mut self.candidates[place].in_flight;
                    self.totals.in_flight -= u64::from(*shown);
                    self.totals.in_flight += u64::from(count);
                    *shown = count;
                } else if let Some(row) = self.resting_mut(id) {
                    row.in_flight = count;
                }
            }
            Sight::FreeAt(at) => {
                let slot = id.slot as usize;
                if self.sights.free_at.len() <= slot {
                    self.sights.free_at.resize(slot + 1, Time::ZERO);
                }
                self.sights.free_at[slot] = at;
            }
        }
    }

    /// When this backend will have a free server: at once, where nobody has told.
    pub(crate) fn free_at(&self, id: BackendId) -> Time {
        self.sights.free_at.get(id.slot as usize).copied().unwrap_or(Time::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ready_pool;
    use super::*;

    /// In flight at each candidate as shown, over all of them, and whether there is room anywhere.
    fn seen(pool: &Pool) -> (Vec<u32>, u64, bool) {
        let candidates = pool.candidates().expect("three");
        let shown = (0..candidates.len()).map(|index| candidates.in_flight(index)).collect();
        (shown, candidates.total_in_flight(), pool.has_room())
    }

    #[test]
    fn what_is_told_is_shown_and_limits_go_by_own_attempts() {
        let mut pool = ready_pool(&[(1, 0), (1, 2), (1, 1)]);
        pool.set_most_in_flight(Some(2));
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        pool.show(ids[0], Sight::InFlight(7));
        assert_eq!(seen(&pool), (vec![7, 2, 1], 10, true));
        // Own attempts show at once beside what is told …
        pool.attempt_began(ids[0]);
        assert_eq!(seen(&pool), (vec![8, 2, 1], 11, true));
        assert_eq!(pool.status(ids[0]).map(|status| status.in_flight), Some(1));
        assert_eq!(pool.attempt_ended(ids[0]), Some(7), "left, as shown");
        pool.attempt_began(ids[0]);
        // … and not at all, where old numbers are to be seen.
        pool.show_only_sights();
        pool.attempt_began(ids[0]);
        pool.attempt_began(ids[2]);
        assert_eq!(seen(&pool), (vec![8, 2, 1], 11, false), "two own ones each are full");
        let mut scratch = Vec::new();
        assert!(pool.candidates_but(&[], false, &mut scratch).is_none());
        assert_eq!(pool.attempt_ended(ids[2]), Some(1), "its own");
        let open = pool.candidates_but(&[], false, &mut scratch).expect("one has room");
        assert_eq!((open.len(), open.id(0)), (1, ids[2]));
        // A rebuild shows the same.
        let before = seen(&pool);
        pool.set_warming(true);
        assert!(pool.refresh());
        assert_eq!(seen(&pool), before);
    }

    #[test]
    fn the_time_when_a_backend_is_free_is_kept_until_told_otherwise() {
        let mut pool = ready_pool(&[(1, 0), (1, 0)]);
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        assert_eq!(pool.free_at(ids[1]), Time::ZERO);
        pool.show(ids[1], Sight::FreeAt(Time::from_nanos(9)));
        assert_eq!([0, 1].map(|i| pool.free_at(ids[i]).as_nanos()), [0, 9]);
        pool.remove(ids[1]);
        pool.show(ids[1], Sight::InFlight(4));
        pool.refresh();
        assert_eq!(seen(&pool).0, [0], "nothing of what is gone");
        let new = pool.add(Time::ZERO, "b-1".into(), 1, None);
        assert_eq!((new.slot, pool.free_at(new)), (ids[1].slot, Time::ZERO), "another tenant");
    }
}
