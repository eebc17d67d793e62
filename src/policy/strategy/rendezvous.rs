//! Rendezvous hashing: every backend draws a number for the key, and the best wins (Thaler,
//! Ravishankar, IEEE/ACM Transactions on Networking 1998). It must not look at load, unless bounded.

use std::collections::BTreeMap;

use base::rng::mix;
use base::{BackendId, RequestMeta, Rng, Time};

use super::bounded::{self, Bound, Room};
use super::hashed::{KEY, Member, spread};
use super::random::Random;
use super::{Candidates, Entry, Job, PerBackend, Strategy};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "rendezvous",
    summary: "a key's backend is the one that scores best for it: exact weights, nobody else's keys \
              move, no table; looks at all, so for some hundreds at most",
    parameters: &[KEY, bounded::PARAMETER],
    build: |parameters| Box::new(Rendezvous::new(parameters)),
};

struct Rendezvous {
    bound: Option<Bound>,
    keyless: Random,
    scores: Scores,
}

impl Rendezvous {
    fn new(parameters: &BTreeMap<String, ParameterValue>) -> Self {
        Self { bound: Bound::of(parameters), keyless: Random::new(), scores: Scores::default() }
    }
}

impl Strategy for Rendezvous {
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
        self.scores.best(key, candidates, room)
    }

    fn learns(&self) -> bool {
        false
    }

    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) -> Option<Job> {
        self.scores.follow(&Member::all_of(pool));
        self.keyless.pool_changed(pool, rng)
    }

    /// The time it drew for the key, in units of a backend of weight 1.
    fn score(
        &self,
        _now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let member = self.scores.members.get(candidates.id(index))?;
        let key = spread(request.key?);
        Some(-base::math::ln(luck(key, member)) / f64::from(member.weight))
    }
}

/// What every backend draws for a key: the order in which the scores stand.
///
/// The score is −w / ln u with u uniform in (0, 1] (Schindelhauer, Schomaker, SPAA 2005), the
/// greatest wins. Its inverse is an exponential time at rate w, so the smallest of them belongs to
/// each backend with its share of the weights, and no other's depends on who else there is.
#[derive(Default)]
pub(super) struct Scores {
    members: PerBackend<Member>,
}

/// The draw of this backend for this key, in (0, 1].
fn luck(key: u64, member: &Member) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((mix(member.seed, key) >> 11) + 1) as f64 * STEP
}

impl Scores {
    /// Learns names and weights; those of backends that are gone do not matter.
    pub(super) fn follow(&mut self, members: &[Member]) {
        for &member in members {
            if let Some(known) = self.members.or_insert_with(member.id, || member) {
                *known = member;
            }
        }
    }

    /// The candidate with the best score for this key among those that have room.
    pub(super) fn best(
        &self,
        key: u64,
        candidates: &Candidates<'_>,
        room: Option<Room>,
    ) -> BackendId {
        // The smallest time so far, and whose it is; a tie goes by name.
        let mut best: Option<(f64, u64, BackendId)> = None;
        for index in 0..candidates.len() {
            let id = candidates.id(index);
            let member = self.members.get(id).expect("the pool's changes are followed");
            let (luck, weight) = (luck(key, member), f64::from(member.weight));
            // −ln u ≥ 1 − u, so most need no logarithm to lose.
            if best.is_some_and(|(time, ..)| 1.0 - luck > time * weight)
                || room.is_some_and(|room| !room.is_at(candidates, index))
            {
                continue;
            }
            let time = -base::math::ln(luck) / weight;
            if best.is_none_or(|(first, seed, _)| (time, member.seed) < (first, seed)) {
                best = Some((time, member.seed, id));
            }
        }
        best.expect("the capacities of all candidates add up to more than is in flight").2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;

    /// The shortcut without the logarithm leaves nobody out who would have won.
    #[test]
    fn the_best_is_the_best_of_all_scores() {
        let pool = ready_pool(&[(1, 0), (7, 0), (3, 0), (65_536, 0), (20_000, 0), (3, 0)]);
        let (candidates, mut scores) = (pool.candidates().expect("some"), Scores::default());
        let members = Member::all_of(&pool);
        scores.follow(&members);
        for key in (0..20_000).map(spread) {
            let score = |m: &Member| -f64::from(m.weight) / luck(key, m).ln();
            let greatest =
                members.iter().max_by(|a, b| score(a).total_cmp(&score(b))).expect("some");
            assert_eq!(scores.best(key, &candidates, None), greatest.id, "{key}");
        }
    }
}
