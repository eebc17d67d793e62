//! Weighted random: no state to share, no order to fall into step with. It must not look at load.

use base::{BackendId, RequestMeta, Rng, Time};

use super::alias::Alias;
use super::{Candidates, Entry, Job, Strategy};
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
    /// `None` while all weights are equal: then one plain draw does.
    weighted: Option<Alias>,
}

impl Random {
    pub(super) const fn new() -> Self {
        Self { weighted: None }
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
        let index = match &self.weighted {
            None => rng.below(candidates.len()),
            Some(table) if candidates.is_whole() => table.draw(rng),
            Some(_) => draw_by_weight(candidates, rng),
        };
        candidates.id(index)
    }

    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        let weights: Vec<u32> = pool.ready().map(|(_, weight)| weight).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        self.weighted = (!equal).then(|| Alias::new(&weights));
        None
    }
}

/// A weighted draw without a table, for a retry, whose candidates are fewer: one pass over them.
pub(super) fn draw_by_weight(candidates: &Candidates<'_>, rng: &mut Rng) -> usize {
    let total: usize = (0..candidates.len()).map(|i| candidates.weight(i) as usize).sum();
    let mut ticket = rng.below(total);
    for index in 0..candidates.len() {
        let weight = candidates.weight(index) as usize;
        if ticket < weight {
            return index;
        }
        ticket -= weight;
    }
    unreachable!("a ticket lies below the sum of the weights")
}
