//! Least work left: the backend that will be free first, which no balancer can know: it would have
//! to know how long every request will take. An ideal, to see how far from it the others are. It
//! must not look at counts.
//!
//! With one balancer and no network delay, requests begin exactly when they would from one queue
//! that all servers share: that of Kiefer and Wolfowitz (1955).

use base::{BackendId, RequestMeta, Rng, Time};

use super::{Candidates, Entry, Strategy};

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "least_work_left",
    summary: "the backend that will have a free server first: needs to know how long requests will \
              take, so the simulator alone can play it; the same as one queue for all",
    parameters: &[],
    build: |_| Box::new(LeastWorkLeft),
};

struct LeastWorkLeft;

impl Strategy for LeastWorkLeft {
    /// Of several that are free at once one at random, in proportion to their weights.
    fn pick(
        &mut self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let (mut best, mut earliest, mut tied) = (0, Time::MAX, 0);
        for index in 0..candidates.len() {
            let free_at = candidates.free_at(index).max(now);
            let weight = candidates.weight(index) as usize;
            if free_at < earliest || tied == 0 {
                (best, earliest, tied) = (index, free_at, weight);
            } else if free_at == earliest {
                tied += weight;
                if rng.below(tied) < weight {
                    best = index;
                }
            }
        }
        candidates.id(best)
    }

    fn learns(&self) -> bool {
        false
    }

    fn needs_work(&self) -> bool {
        true
    }

    /// Seconds until it has a free server.
    fn score(
        &self,
        now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        Some(candidates.free_at(index).since(now).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use base::RequestId;

    use super::*;
    use crate::pool::Sight;
    use crate::pool::tests::ready_pool;

    #[test]
    fn the_first_to_be_free_is_picked_and_ties_go_by_weight() {
        let mut pool = ready_pool(&[(1, 0), (3, 9), (1, 0), (1, 0)]);
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        let now = Time::from_nanos(100);
        let request = RequestMeta::new(RequestId(1), true);
        for (free_at, shares) in [
            ([150, 140, 160, 170], [0.0, 1.0, 0.0, 0.0]),
            // Free is free, since whenever: 1 to 3.
            ([90, 40, 101, 170], [0.25, 0.75, 0.0, 0.0]),
            ([500, 500, 500, 300], [0.0, 0.0, 0.0, 1.0]),
        ] {
            for (&id, at) in ids.iter().zip(free_at) {
                pool.show(id, Sight::FreeAt(Time::from_nanos(at)));
            }
            let candidates = pool.candidates().expect("four");
            let mut rng = Rng::from_seed(5);
            let mut counts = [0_u32; 4];
            for _ in 0..10_000 {
                let id = LeastWorkLeft.pick(now, &request, &candidates, &mut rng);
                counts[id.slot as usize] += 1;
            }
            for (count, share) in counts.into_iter().zip(shares) {
                // Six standard deviations are 260.
                assert!((f64::from(count) - 10_000.0 * share).abs() < 260.0, "{counts:?}");
            }
        }
    }
}
