//! Least requests: a scan for the smallest in-flight count per weight. It must not keep state.

use base::{BackendId, RequestMeta, Rng, Time};

use super::{Candidates, Entry, Strategy, is_less_loaded, load_per_weight};

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "least_request",
    summary: "the backend with the fewest requests in flight per weight: best with one balancer",
    parameters: &[],
    build: |_| Box::new(LeastRequest),
};

struct LeastRequest;

impl Strategy for LeastRequest {
    fn pick(
        &mut self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        candidates.id(least_loaded(candidates, rng))
    }

    fn learns(&self) -> bool {
        false
    }

    fn score(
        &self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        Some(load_per_weight(candidates, index))
    }
}

/// The least loaded of all candidates; of several one at random, in proportion to their weights,
/// which must hold too while everybody is idle.
pub(super) fn least_loaded(candidates: &Candidates<'_>, rng: &mut Rng) -> usize {
    let mut best = 0;
    // A reservoir: of what is tied so far, the newest is kept with its share of the weights.
    let mut tied = candidates.weight(0) as usize;
    for index in 1..candidates.len() {
        if is_less_loaded(candidates, index, best) {
            best = index;
            tied = candidates.weight(index) as usize;
        } else if !is_less_loaded(candidates, best, index) {
            let weight = candidates.weight(index) as usize;
            tied += weight;
            if rng.below(tied) < weight {
                best = index;
            }
        }
    }
    best
}
