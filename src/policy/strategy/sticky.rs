//! Sticky sessions: a client that comes back goes to the backend that its cookie names. It must
//! not know cookies: it sees a number, [`pin_of`] the backend's name.

use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::ByWeight;
use super::draw::less_loaded;
use super::{Candidates, Entry, Job, Parameter, PerBackend, Strategy, load_per_weight};
use crate::pool::Pool;
use crate::settings::{ParameterValue, pin_of};

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "sticky",
    summary: "the backend that the request's cookie names, as long as it is in service; else the \
              better of two, whom the cookie names from then on: sessions that live in one backend",
    parameters: &[Parameter {
        name: "cookie",
        default: ParameterValue::Text(std::borrow::Cow::Borrowed("lab_backend")),
        min: 1.0,
        max: 256.0,
        summary: "the cookie's name",
    }],
    // The cookie is the shell's to read and to set, by `Choice::cookie`.
    build: |_| Box::new(Sticky::new()),
};

struct Sticky {
    /// In ascending order. It may name backends that are gone.
    pins: Vec<(u64, BackendId)>,
    /// Those that stand in `pins`.
    listed: PerBackend<()>,
    /// For those who have no cookie.
    by_weight: ByWeight,
}

impl Sticky {
    const fn new() -> Self {
        Self { pins: Vec::new(), listed: PerBackend::new(), by_weight: ByWeight::new() }
    }

    /// The place of the candidate that this request is pinned to. Two names may have the same pin
    /// (once in 2⁶⁴ pairs): then the first that may be picked.
    fn pinned(&self, request: &RequestMeta, candidates: &Candidates<'_>) -> Option<usize> {
        let pin = request.pin?;
        let from = self.pins.partition_point(|&(other, _)| other < pin);
        let same = self.pins[from..].iter().take_while(|&&(other, _)| other == pin);
        same.filter(|&&(_, id)| candidates.contains(id)).find_map(|&(_, id)| candidates.find(id))
    }
}

impl Strategy for Sticky {
    fn pick(
        &mut self,
        _now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let pinned = self.pinned(request, candidates);
        candidates.id(pinned
            .unwrap_or_else(|| less_loaded(candidates, self.by_weight.several(2, candidates, rng))))
    }

    fn learns(&self) -> bool {
        false
    }

    /// The list is of all backends, in service or not, and so is made again only when one has come
    /// that is not in it: not whenever a weight changes or a backend goes down and up.
    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        self.by_weight.pool_changed(pool);
        if pool.ready().any(|(id, _)| self.listed.get(id).is_none()) {
            self.listed = PerBackend::default();
            self.pins.clear();
            for backend in pool.statuses() {
                self.listed.or_insert_with(backend.id, || ());
                self.pins.push((pin_of(backend.name), backend.id));
            }
            self.pins.sort_unstable();
        }
        None
    }

    /// Requests in flight per weight; −1, before all others, for whom the cookie names.
    fn score(
        &self,
        _now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let pinned = self.pinned(request, candidates) == Some(index);
        Some(if pinned { -1.0 } else { load_per_weight(candidates, index) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;
    use base::RequestId;

    #[test]
    fn a_cookie_is_followed_where_it_leads_to_somebody() {
        let mut pool = ready_pool(&[(1, 9), (1, 0), (1, 0)]);
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        let mut strategy = Sticky::new();
        let mut rng = Rng::from_seed(1);
        let mut picks = |strategy: &mut Sticky, pool: &Pool, pin, tried: &[BackendId]| {
            let request = RequestMeta { pin, ..RequestMeta::new(RequestId(0), true) };
            let mut scratch = Vec::new();
            let candidates =
                pool.candidates_but(tried, false, &mut scratch).expect("there are some");
            let mut picks: Vec<u32> = (0..50)
                .map(|_| strategy.pick(Time::ZERO, &request, &candidates, &mut rng).slot)
                .collect();
            picks.sort_unstable();
            picks.dedup();
            picks
        };
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        for slot in 0..3 {
            let pin = Some(pin_of(&format!("b-{slot}")));
            assert_eq!(picks(&mut strategy, &pool, pin, &[]), [slot], "however busy");
        }
        for pin in [None, Some(pin_of("b-9")), Some(0), Some(u64::MAX)] {
            assert_eq!(picks(&mut strategy, &pool, pin, &[]), [1, 2], "never the busiest");
        }
        let pin = Some(pin_of("b-1"));
        assert_eq!(picks(&mut strategy, &pool, pin, &ids[1..2]), [2], "tried: the better of two");

        pool.set_draining(ids[1], true);
        pool.settle(Time::ZERO, ids[1], "x");
        pool.refresh();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        assert_eq!(picks(&mut strategy, &pool, pin, &[]), [2], "out of service");
        let listed = strategy.pins.clone();
        pool.set_draining(ids[1], false);
        pool.settle(Time::ZERO, ids[1], "x");
        pool.refresh();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        assert_eq!(strategy.pins, listed, "nobody is new");
        assert_eq!(picks(&mut strategy, &pool, pin, &[]), [1], "and back");

        // The name of a new backend in the old one's slot leads to it.
        pool.remove(ids[1]);
        pool.add(Time::ZERO, "b-1".into(), 1, None);
        pool.refresh();
        strategy.pool_changed(&pool, &mut Rng::from_seed(1));
        assert_eq!(picks(&mut strategy, &pool, pin, &[]), [1]);
        assert_eq!(strategy.pins.len(), 3, "who is gone is forgotten");
    }
}
