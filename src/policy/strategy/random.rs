//! Weighted random: no state to share, no order to fall into step with. It must not look at load.

use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::ByWeight;
use super::{Candidates, Entry, Foreseen, Job, Strategy};
use crate::pool::Pool;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "random",
    summary: "weighted random: any backend, in proportion to its weight: simple, but queues differ \
              widely",
    parameters: &[],
    build: |_| Box::new(Random::new()),
};

pub(super) struct Random {
    by_weight: ByWeight,
}

impl Random {
    pub(super) const fn new() -> Self {
        Self { by_weight: ByWeight::new() }
    }
}

impl Strategy for Random {
    fn pick(
        &mut self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        candidates.id(self.by_weight.one(candidates, rng))
    }

    fn foresee(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<Foreseen> {
        let [_, taken, later] = [(); 3].map(|()| self.by_weight.one(candidates, rng));
        Some(Foreseen { taken: candidates.id(taken), compared: [later; 2] })
    }

    fn learns(&self) -> bool {
        false
    }

    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        self.by_weight.pool_changed(pool);
        None
    }
}
