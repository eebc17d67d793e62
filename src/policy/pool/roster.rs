//! The list of candidates, kept on change: in the order in which they were added, with the sums
//! over them. It must not know why somebody is a candidate.

use base::BackendId;

use super::{Candidate, Pool, Totals};

/// What of the list is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outdated {
    Nothing,
    /// This backend's entry, or that it has none.
    One(BackendId),
    All,
}

impl Pool {
    /// Something about this backend changed that the list may show.
    pub(super) fn outdate(&mut self, id: BackendId) {
        self.outdated = match self.outdated {
            Outdated::Nothing => Outdated::One(id),
            Outdated::One(same) if same == id => Outdated::One(id),
            Outdated::One(_) | Outdated::All => Outdated::All,
        };
    }

    /// Whether the candidates are no longer as they should be.
    #[inline]
    pub(crate) const fn is_outdated(&self) -> bool {
        !matches!(self.outdated, Outdated::Nothing)
    }

    /// Brings the candidates up to date; whether there was anything to do. Changes are gathered
    /// until the next pick, so that a thousand backends that become ready cost one rebuild; where
    /// picks come between them, each costs no more than moving the entries behind it.
    pub(crate) fn refresh(&mut self) -> bool {
        match std::mem::replace(&mut self.outdated, Outdated::Nothing) {
            Outdated::Nothing => return false,
            // What is gone has left its entry behind, which may be anywhere.
            Outdated::One(id) if self.get(id).is_some() => self.refresh_one(id),
            Outdated::One(_) | Outdated::All => self.refresh_all(),
        }
        true
    }

    fn refresh_all(&mut self) {
        self.full = 0;
        self.totals = Totals::default();
        let former = std::mem::take(&mut self.candidates);
        self.candidates.reserve(former.len());
        for i in 0..self.order.len() {
            let id = self.order[i];
            let place = self.place(id) as usize;
            let stood = former.get(place).filter(|row| row.id == id).copied();
            let Some(weight) = self.weight_shown(id) else {
                stood.into_iter().for_each(|row| self.rest(row));
                continue;
            };
            let row = stood.or_else(|| self.take_resting(id)).expect("all have a row");
            let row = Candidate { weight, ..row };
            self.places[id.slot as usize] = self.candidates.len() as u32;
            self.count_in_list(&row);
            self.candidates.push(row);
        }
    }

    fn refresh_one(&mut self, id: BackendId) {
        let former = self.place_of(id);
        if let Some(place) = former {
            let row = self.candidates[place];
            self.totals.weight -= u64::from(row.weight);
            self.totals.in_flight -= u64::from(row.in_flight);
            self.full -= usize::from(self.is_at_limit(&row));
        }
        match (former, self.weight_shown(id)) {
            (Some(place), Some(weight)) => {
                self.candidates[place].weight = weight;
                let row = self.candidates[place];
                self.count_in_list(&row);
            }
            (Some(place), None) => {
                let row = self.candidates.remove(place);
                self.rest(row);
                self.number_from(place);
            }
            (None, Some(weight)) => {
                let row = self.take_resting(id).expect("who is no candidate rests");
                let row = Candidate { weight, ..row };
                let joined = |id| self.get(id).map(|backend| backend.joined);
                let place = self.candidates.partition_point(|c| joined(c.id) < joined(id));
                self.candidates.insert(place, row);
                self.count_in_list(&row);
                self.number_from(place);
            }
            (None, None) => {}
        }
    }

    /// What the list says this backend weighs, if it is to be there.
    fn weight_shown(&self, id: BackendId) -> Option<u32> {
        let backend = self.get(id).filter(|backend| self.is_to_be_candidate(backend))?;
        Some(self.weight_now(backend))
    }

    fn count_in_list(&mut self, row: &Candidate) {
        self.totals.weight += u64::from(row.weight);
        self.totals.in_flight += u64::from(row.in_flight);
        self.full += usize::from(self.is_at_limit(row));
    }

    /// Whether a backend has as many attempts in flight as it may, or more.
    pub(super) fn is_at_limit(&self, row: &Candidate) -> bool {
        self.own(row) >= self.most_in_flight
    }
}

#[cfg(test)]
mod tests {
    use base::{BackendId, Time};
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    /// Whether the list is what a rebuild would make it.
    fn is_as_rebuilt(pool: &mut Pool) -> Result<(), String> {
        let shown = |pool: &Pool| {
            let entries: Vec<_> =
                pool.candidates.iter().map(|c| (c.id, c.weight, c.in_flight)).collect();
            let places: Vec<_> = entries.iter().map(|&(id, ..)| pool.place_of(id)).collect();
            format!("{entries:?} {places:?} {:?} {}", pool.totals, pool.full)
        };
        let kept = shown(pool);
        let weight: u64 = pool.candidates.iter().map(|c| u64::from(c.weight)).sum();
        let in_flight: u64 = pool.candidates.iter().map(|c| u64::from(c.in_flight)).sum();
        if pool.totals != (Totals { weight, in_flight }) {
            return Err(format!("{kept}: the sums are {weight} and {in_flight}"));
        }
        pool.refresh_all();
        let rebuilt = shown(pool);
        if kept == rebuilt { Ok(()) } else { Err(format!("{kept}, rebuilt {rebuilt}")) }
    }

    fn pool(backends: usize) -> (Pool, Vec<BackendId>) {
        let mut pool = Pool::new();
        pool.set_most_in_flight(Some(2));
        let add = |i| pool.add(Time::ZERO, format!("b-{i}"), 1, None);
        let ids = (0..backends).map(add).collect();
        pool.refresh();
        (pool, ids)
    }

    /// Wrong: whoever comes back is last, so that shares by place move with every flap.
    #[test]
    fn a_list_in_the_order_of_coming_back_is_noticed() {
        let (mut pool, ids) = pool(3);
        let entry = pool.candidates.remove(0);
        assert_eq!(entry.id, ids[0]);
        pool.candidates.push(entry);
        pool.number_from(0);
        assert!(is_as_rebuilt(&mut pool).is_err());
        assert_eq!(is_as_rebuilt(&mut pool), Ok(()));
    }

    proptest! {
        /// Changes one by one, with a refresh after some of them.
        #[test]
        fn the_kept_list_is_the_rebuilt_one(
            steps in prop::collection::vec((0..8_u8, any::<usize>(), any::<bool>()), 1..200),
        ) {
            let (mut pool, mut ids) = pool(5);
            for (i, &(kind, which, refresh)) in steps.iter().enumerate() {
                if kind == 0 || ids.is_empty() {
                    ids.push(pool.add(Time::ZERO, format!("n-{i}"), 1 + which as u32 % 9, None));
                } else {
                    let id = ids[which % ids.len()];
                    match kind {
                        1 => {
                            ids.retain(|&other| other != id);
                            pool.remove(id);
                        }
                        2 | 3 => {
                            pool.set_draining(id, kind == 2);
                            pool.settle(Time::ZERO, id, "");
                        }
                        4 => drop(pool.set_weight(id, 1 + i as u32)),
                        5 => pool.set_percent(id, 1 + i as u32 % 100),
                        6 => drop(pool.attempt_began(id)),
                        _ if pool.status(id).is_some_and(|status| status.in_flight > 0) => {
                            pool.attempt_ended(id);
                        }
                        _ => pool.set_warming(which % 2 == 0),
                    }
                }
                if refresh {
                    pool.refresh();
                    let held = is_as_rebuilt(&mut pool);
                    prop_assert!(held.is_ok(), "step {i}: {held:?}");
                }
            }
        }
    }
}
