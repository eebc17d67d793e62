//! Join-idle-queue (Lu, Xie, Kliot, Geller, Larus, Greenberg, 2011): backends that become idle
//! queue up, and a request takes the first of the queue. It must not search for idle ones.
//!
//! In the paper a backend that becomes idle tells one of many balancers. Real backends tell nobody:
//! a balancer takes one for idle that has ended all of its own requests, which with several
//! balancers it may not be. The simulator can do either (see [`Strategy::idle`]).

use std::collections::VecDeque;

use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::ByWeight;
use super::draw::{MAX_DRAWN, less_loaded, shuffle};
use super::registry::integer;
use super::{Candidates, Entry, Job, Parameter, PerBackend, Strategy, load_per_weight};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "join_idle_queue",
    summary: "the backend that has been idle for longest, and when none is, the less loaded of a \
              few drawn: one balancer with many backends, at any cost of a scan; weights count \
              only when none is idle",
    parameters: &[Parameter {
        name: "choices",
        default: ParameterValue::Integer(2),
        min: 1.0,
        max: MAX_DRAWN as f64,
        summary: "how many backends are drawn when none is idle; 1 is any, as in the paper",
    }],
    build: |parameters| {
        Box::new(JoinIdleQueue {
            choices: integer(parameters, "choices"),
            idle: VecDeque::new(),
            queued: PerBackend::default(),
            is_told: false,
            by_weight: ByWeight::new(),
        })
    },
};

struct JoinIdleQueue {
    choices: usize,
    /// Backends that were idle when they joined; whether they still are is seen when their turn
    /// comes.
    idle: VecDeque<BackendId>,
    /// Those that stand in `idle`, so that each stands there once.
    queued: PerBackend<()>,
    /// Backends say when they are idle: then the own requests' ends mean nothing.
    is_told: bool,
    /// For when nobody is idle.
    by_weight: ByWeight,
}

impl JoinIdleQueue {
    fn join(&mut self, id: BackendId) {
        if self.queued.get(id).is_none() && self.queued.or_insert_with(id, || ()).is_some() {
            self.idle.push_back(id);
        }
    }

    fn leave(&mut self, place: usize) {
        if let Some(id) = self.idle.remove(place) {
            self.queued.remove(id);
        }
    }

    /// The first in the queue that is idle and may be picked. Whoever is not idle any more leaves
    /// the queue, and joins again when it is; whoever only this retry may not have stays. Who has
    /// told is taken at its word, as in the paper: another balancer may have found it meanwhile. It
    /// stays while it is out of service, too, for it tells nobody else before it gets a request.
    fn first_idle(&mut self, candidates: &Candidates<'_>) -> Option<BackendId> {
        let mut place = 0;
        while let Some(&id) = self.idle.get(place) {
            if candidates.contains(id) {
                self.leave(place);
                let index = candidates.find(id).expect("it is among them");
                if self.is_told || candidates.in_flight(index) == 0 {
                    return Some(id);
                }
            } else if candidates.is_whole() && !self.is_told {
                self.leave(place);
            } else {
                place += 1;
            }
        }
        None
    }
}

impl Strategy for JoinIdleQueue {
    fn pick(
        &mut self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        self.first_idle(candidates).unwrap_or_else(|| {
            let drawn = self.by_weight.several(self.choices, candidates, rng);
            candidates.id(less_loaded(candidates, drawn))
        })
    }

    /// All join, in an order of chance: balancers that start together, or hear of a change
    /// together, do not go on in step. Where backends tell, those stay that have.
    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) -> Option<Job> {
        self.by_weight.pool_changed(pool);
        self.is_told = pool.is_told_of_idle();
        if self.is_told {
            self.idle.retain(|id| pool.get(*id).is_some());
            return None;
        }
        let mut ready: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        shuffle(&mut ready, rng);
        self.queued = PerBackend::default();
        self.idle.clear();
        for id in ready {
            self.join(id);
        }
        None
    }

    fn ended(&mut self, backend: BackendId, in_flight: u32) {
        if in_flight == 0 && !self.is_told {
            self.join(backend);
        }
    }

    fn idle(&mut self, backend: BackendId) {
        self.join(backend);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;
    use base::RequestId;

    fn pick(strategy: &mut JoinIdleQueue, pool: &mut Pool, tried: &[BackendId]) -> BackendId {
        let mut scratch = Vec::new();
        let candidates = pool.candidates_but(tried, false, &mut scratch).expect("there are some");
        let request = RequestMeta::new(RequestId(0), true);
        let id = strategy.pick(Time::ZERO, &request, &candidates, &mut Rng::from_seed(1));
        pool.attempt_began(id);
        id
    }

    fn end(strategy: &mut JoinIdleQueue, pool: &mut Pool, id: BackendId) {
        pool.attempt_ended(id);
        strategy.ended(id, pool.status(id).expect("present").in_flight);
    }

    fn strategy() -> JoinIdleQueue {
        JoinIdleQueue {
            choices: 1,
            idle: VecDeque::new(),
            queued: PerBackend::default(),
            is_told: false,
            by_weight: ByWeight::new(),
        }
    }

    #[test]
    fn whoever_has_been_idle_for_longest_is_first() {
        let mut pool = ready_pool(&[(1, 0); 4]);
        let mut strategy = strategy();
        strategy.pool_changed(&pool, &mut Rng::from_seed(5));
        let mut begun: Vec<BackendId> =
            (0..4).map(|_| pick(&mut strategy, &mut pool, &[])).collect();
        for (i, id) in begun.iter().enumerate() {
            assert!(!begun[..i].contains(id), "each idle one is taken once");
        }
        begun.reverse();
        for &id in &begun {
            end(&mut strategy, &mut pool, id);
        }
        // A retry passes over the first, which stays the first.
        assert_eq!(pick(&mut strategy, &mut pool, &begun[..1]), begun[1]);
        assert_eq!(pick(&mut strategy, &mut pool, &[]), begun[0]);
        // Who got a request in another way is not idle when its turn comes.
        pool.attempt_began(begun[2]);
        assert_eq!(pick(&mut strategy, &mut pool, &[]), begun[3]);
        assert!(strategy.idle.is_empty());
        // Idle means nothing in flight, and nobody stands there twice.
        end(&mut strategy, &mut pool, begun[2]);
        strategy.ended(begun[2], 0);
        assert_eq!(strategy.idle, [begun[2]]);
        pool.attempt_began(begun[3]);
        end(&mut strategy, &mut pool, begun[3]);
        assert_eq!(strategy.idle, [begun[2]]);
    }

    #[test]
    fn where_backends_tell_nothing_else_counts() {
        let mut pool = ready_pool(&[(1, 0); 3]);
        pool.tell_of_idle();
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        let mut strategy = strategy();
        strategy.idle(ids[2]);
        strategy.pool_changed(&pool, &mut Rng::from_seed(5));
        assert_eq!(strategy.idle, [ids[2]], "nobody joins unasked, and who has told stays");
        assert_eq!(pick(&mut strategy, &mut pool, &[]), ids[2]);
        end(&mut strategy, &mut pool, ids[2]);
        assert!(strategy.idle.is_empty(), "an own request's end says nothing");
        strategy.idle(ids[1]);
        strategy.idle(ids[0]);
        strategy.idle(ids[1]);
        assert_eq!(strategy.idle, [ids[1], ids[0]], "once each");
        // Out of service it keeps its place; who is gone has none.
        pool.set_draining(ids[1], true);
        pool.settle(Time::ZERO, ids[1], "drained");
        pool.refresh();
        assert_eq!(pick(&mut strategy, &mut pool, &[]), ids[0]);
        assert_eq!(strategy.idle, [ids[1]]);
        pool.set_draining(ids[1], false);
        pool.settle(Time::ZERO, ids[1], "back");
        pool.refresh();
        assert_eq!(pick(&mut strategy, &mut pool, &[]), ids[1]);
        strategy.idle(ids[2]);
        pool.remove(ids[2]);
        strategy.pool_changed(&pool, &mut Rng::from_seed(5));
        assert!(strategy.idle.is_empty());
    }
}
