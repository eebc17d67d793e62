//! How a backend is picked: the trait, the registry, and one file for each strategy.
//! It must not know health or retries: it sees only candidates that may be picked.

mod alias;
pub mod least_request;
pub mod p2c;
pub mod random;
mod registry;
pub mod round_robin;

use base::{BackendId, RequestMeta, Rng};

pub use self::registry::{ChoiceError, Entry, Parameter, Registry};
use crate::pool::{Candidate, Pool};

/// The backends that may be picked, never empty: a dense list that the pool keeps on change.
/// Load is read only through it.
pub struct Candidates<'a> {
    pool: &'a Pool,
    entries: &'a [Candidate],
    excluded: &'a [BackendId],
}

impl<'a> Candidates<'a> {
    /// `entries` are the pool's candidates without `excluded`; `None` when there are none.
    pub(crate) fn new(
        pool: &'a Pool,
        entries: &'a [Candidate],
        excluded: &'a [BackendId],
    ) -> Option<Self> {
        if entries.is_empty() { None } else { Some(Self { pool, entries, excluded }) }
    }

    /// How many there are, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty: the balancer rejects before it asks
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The id at `index`, which must be below [`Candidates::len`] (here and below).
    pub fn id(&self, index: usize) -> BackendId {
        self.entries[index].id
    }

    /// The weight at `index`, at least 1.
    pub fn weight(&self, index: usize) -> u32 {
        self.entries[index].weight
    }

    /// The attempts in flight at `index`, connecting ones included.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.entries[index].in_flight
    }

    /// Whether this backend is among them.
    pub fn contains(&self, id: BackendId) -> bool {
        self.pool.is_candidate(id) && !self.excluded.contains(&id)
    }

    /// Whether these are all ready backends, at the same indices as in [`Pool::ready`]; a retry
    /// sees fewer, those that the request has not tried.
    pub const fn is_whole(&self) -> bool {
        self.excluded.is_empty()
    }
}

/// Whether the backend at `a` has less to do than the one at `b`: in flight per weight, compared
/// without division.
fn is_less_loaded(candidates: &Candidates<'_>, a: usize, b: usize) -> bool {
    let load =
        |index, other| u64::from(candidates.in_flight(index)) * u64::from(candidates.weight(other));
    load(a, b) < load(b, a)
}

/// A rule that picks one of the candidates.
pub trait Strategy: Send {
    /// Picks one of `candidates`.
    fn pick(
        &mut self,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId;

    /// The candidates or their weights changed since the last pick: rebuild tables here, off the
    /// hot path. Called before the first pick and before the next one after a change.
    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) {
        let _ = (pool, rng);
    }
}
