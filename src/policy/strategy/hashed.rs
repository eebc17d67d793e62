//! What the strategies by key share: the same key goes to the same backend, as long as that may be
//! picked. It must not know how a table is laid out.
//!
//! Every key puts all backends into an order of its own, by their names alone, and gets the first
//! of them that may be picked. The order is made over *all* members of the pool, whatever their
//! state: a backend that goes down, drains or has no room is skipped, and nobody else's keys move;
//! when it is back, it has exactly its keys again, and no table was made for it. (Sōzu does so;
//! where the table is made anew of the healthy, as in Envoy, a flap of one moves keys between
//! others, and costs every balancer a table.) Tables change when a member comes, goes or gets
//! another weight; a weight that is reduced while a backend warms up moves no key.

use std::any::Any;
use std::collections::BTreeMap;

use base::rng::mix;
use base::{BackendId, RequestMeta, Rng, Time};

use super::bounded::{Bound, Room};
use super::random::Random;
use super::rendezvous::Scores;
use super::{Candidates, Job, Parameter, Strategy};
use crate::pool::{BackendStatus, Pool};
use crate::settings::{KeySource, ParameterValue};

/// The parameter of every strategy by key.
pub(super) const KEY: Parameter = Parameter {
    name: "key",
    default: ParameterValue::Key(KeySource::Address),
    min: 0.0,
    max: 0.0,
    summary: "what is the same for requests that belong together: \"address\", \"path\", \
              \"header:NAME\" or \"cookie:NAME\"; a request without it goes anywhere, by weight",
};

/// So many places of a table are looked at for one request; where none of them may be picked, the
/// rest of the key's order is that of rendezvous hashing. With nine of ten backends away, one
/// request in a thousand gets so far.
const MAX_WALK: usize = 64;

/// A backend as tables know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its id, which no place in a table depends on.
    pub(super) id: BackendId,
    /// The hash of its name.
    pub(super) seed: u64,
    /// Its configured weight.
    pub(super) weight: u32,
}

impl Member {
    /// All backends of the pool, in whatever state.
    pub(super) fn all_of(pool: &Pool) -> Vec<Self> {
        let member = |backend: BackendStatus<'_>| Self {
            id: backend.id,
            seed: base::rng::hash_text(backend.name),
            weight: backend.weight,
        };
        pool.statuses().map(member).collect()
    }
}

/// A closed circle of places, each some member's, that every key enters at a place of its own.
pub(super) trait Table: Send + 'static {
    /// Makes it; `size` is a parameter of the strategy. `members` is not empty, and in an order
    /// that depends on their names alone.
    fn build(size: usize, members: &[Member]) -> Self
    where
        Self: Sized;

    /// How many places there are, at least 1.
    fn places(&self) -> usize;

    /// The place at which this key enters.
    fn locate(&self, key: u64) -> usize;

    /// Whose place this is: an index into `members`.
    fn owner(&self, place: usize) -> usize;
}

/// A table, and whom its indices mean.
struct Made<T> {
    table: T,
    ids: Vec<BackendId>,
}

/// A strategy by a table that is made off the hot path; until the first is there, by scores.
pub(super) struct Tabled<T> {
    size: usize,
    bound: Option<Bound>,
    keyless: Random,
    scores: Scores,
    /// Of whom the latest table was asked for, in the pool's order.
    asked: Vec<Member>,
    made: Option<Made<T>>,
}

impl<T: Table> Tabled<T> {
    pub(super) fn new(size: usize, parameters: &BTreeMap<String, ParameterValue>) -> Self {
        Self {
            size,
            bound: Bound::of(parameters),
            keyless: Random::new(),
            scores: Scores::default(),
            asked: Vec::new(),
            made: None,
        }
    }

    /// The first places of this key's order; one backend may come more than once.
    fn walk(&self, key: u64) -> impl Iterator<Item = BackendId> + '_ {
        self.made.iter().flat_map(move |Made { table, ids }| {
            let first = table.locate(key);
            let circle = (first..table.places()).chain(0..first);
            circle.take(MAX_WALK).map(|place| ids[table.owner(place)])
        })
    }
}

/// Whether this backend may be picked, and has room.
fn accepts(candidates: &Candidates<'_>, room: Option<Room>, id: BackendId) -> bool {
    candidates.contains(id)
        && room.is_none_or(|room| {
            candidates.find(id).is_some_and(|index| room.is_at(candidates, index))
        })
}

impl<T: Table> Strategy for Tabled<T> {
    fn pick(
        &mut self,
        now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let Some(key) = request.key.map(spread) else {
            return self.keyless.pick(now, request, candidates, rng);
        };
        let room = self.bound.map(|bound| bound.room(candidates));
        let near = self.walk(key).find(|&id| accepts(candidates, room, id));
        near.unwrap_or_else(|| self.scores.best(key, candidates, room))
    }

    fn learns(&self) -> bool {
        false
    }

    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) -> Option<Job> {
        let _ = self.keyless.pool_changed(pool, rng);
        let mut members = Member::all_of(pool);
        if members == self.asked {
            return None;
        }
        self.scores.follow(&members);
        self.asked.clone_from(&members);
        if members.is_empty() {
            self.made = None;
            return None;
        }
        let size = self.size;
        Some(Box::new(move || {
            members.sort_by_key(|member| member.seed);
            let ids = members.iter().map(|member| member.id).collect();
            Box::new(Made { table: T::build(size, &members), ids })
        }))
    }

    fn built(&mut self, result: Box<dyn Any + Send>) {
        let made = result.downcast().expect("the latest job was this strategy's");
        self.made = Some(*made);
    }

    /// How many places after the key's own it stands first; none beyond those that are walked.
    fn score(
        &self,
        _now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let key = spread(request.key?);
        let id = candidates.id(index);
        self.walk(key).position(|other| other == id).map(|place| place as f64)
    }
}

/// A key as tables take it: spread over all 64 bits, however it was made, and related to nothing
/// else that is made of the same key.
pub(super) const fn spread(key: u64) -> u64 {
    mix(key, 0x6861_7368)
}

#[cfg(test)]
mod tests {
    use base::RequestId;

    use super::*;
    use crate::pool::tests::ready_pool;
    use crate::strategy::Registry;

    /// With its table, where it has one.
    fn strategy(name: &str, pool: &Pool, rng: &mut Rng) -> Box<dyn Strategy> {
        let choice = Registry::standard().choose(name, &BTreeMap::new()).expect("it is known");
        let mut strategy = choice.build();
        if let Some(job) = strategy.pool_changed(pool, rng) {
            strategy.built(job());
        }
        strategy
    }

    #[test]
    fn who_is_picked_has_the_lowest_score() {
        let (pool, mut rng) = (ready_pool(&[(1, 5), (3, 0), (2, 9), (7, 1)]), Rng::from_seed(1));
        let candidates = pool.candidates().expect("some");
        for name in ["ring_hash", "maglev", "rendezvous"] {
            let mut strategy = strategy(name, &pool, &mut rng);
            for key in 0..500 {
                let keyless = RequestMeta::new(RequestId(key), true);
                assert_eq!(strategy.score(Time::ZERO, &keyless, &candidates, 0), None);
                let request = RequestMeta { key: Some(key), ..keyless };
                let score = |index| strategy.score(Time::ZERO, &request, &candidates, index);
                let lowest = (0..candidates.len())
                    .filter_map(|index| Some((score(index)?, candidates.id(index))))
                    .min_by(|a, b| a.0.total_cmp(&b.0));
                let picked = strategy.pick(Time::ZERO, &request, &candidates, &mut rng);
                assert_eq!(lowest.map(|(_, id)| id), Some(picked), "{name} {key}");
            }
        }
    }

    /// A change of state asks for no table; one of members or of configured weights does.
    #[test]
    fn tables_are_made_when_members_change() {
        let (mut pool, mut rng) = (ready_pool(&[(1, 0), (1, 0)]), Rng::from_seed(1));
        let ids: Vec<BackendId> = pool.ready().map(|(id, _)| id).collect();
        let mut strategy = strategy("maglev", &pool, &mut rng);
        let mut asks = |pool: &mut Pool| {
            assert!(pool.refresh(), "it changed");
            strategy.pool_changed(pool, &mut rng).is_some()
        };
        pool.set_draining(ids[0], true);
        let _ = pool.settle(Time::ZERO, ids[0], "x");
        assert!(!asks(&mut pool), "a state");
        assert!(pool.set_weight(ids[1], 2));
        assert!(asks(&mut pool), "a weight");
        pool.add(Time::ZERO, "new".into(), 1, None);
        assert!(asks(&mut pool), "a new member");
        pool.remove(ids[1]);
        assert!(asks(&mut pool), "one fewer");
    }
}
