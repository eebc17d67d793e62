//! How a backend is picked: the trait, the registry, and one file for each strategy.
//! It must not know health or retries: it sees only candidates that may be picked.

mod alias;
mod bounded;
mod by_weight;
mod draw;
mod hashed;
pub mod join_idle_queue;
pub mod least_request;
pub mod least_work_left;
pub mod maglev;
pub mod p2c;
pub mod peak_ewma;
mod per_backend;
pub mod prequal;
pub mod random;
mod registry;
pub mod rendezvous;
pub mod ring_hash;
pub mod round_robin;
pub mod sticky;

use std::any::Any;
use std::time::Duration;

use base::{BackendId, RequestMeta, Rng, Time, prefetch};

pub use self::per_backend::PerBackend;
pub use self::registry::{ChoiceError, Entry, Parameter, Registry};
use crate::message::Load;
use crate::pool::{Candidate, Pool};
pub use crate::work::Job;

/// The backends that may be picked, never empty: a dense list that the pool keeps on change.
/// Load is read only through it.
pub struct Candidates<'a> {
    pool: &'a Pool,
    entries: &'a [Candidate],
    excluded: &'a [BackendId],
    /// Those that have no room are not among them.
    without_full: bool,
}

impl<'a> Candidates<'a> {
    /// `entries` are the pool's candidates without `excluded` and, where it says so, without those
    /// that are full; `None` when there are none.
    pub(crate) fn new(
        pool: &'a Pool,
        entries: &'a [Candidate],
        excluded: &'a [BackendId],
        without_full: bool,
    ) -> Option<Self> {
        if entries.is_empty() {
            return None;
        }
        Some(Self { pool, entries, excluded, without_full })
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

    /// The attempts in flight at `index`, connecting ones included: the balancer's own, unless the
    /// simulator shows it those of all, or old numbers.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.entries[index].in_flight
    }

    /// When the backend at `index` will have a free server, in the past if it has one. Only the
    /// simulator knows, and only where [`Strategy::needs_work`] says so; else all have one.
    pub fn free_at(&self, index: usize) -> Time {
        self.pool.free_at(self.entries[index].id)
    }

    /// The row at `index` will be read soon.
    pub(crate) fn prefetch(&self, index: usize) {
        self.entries.get(index).inspect(|row| prefetch(*row));
    }

    /// The attempts in flight over all of them.
    pub fn total_in_flight(&self) -> u64 {
        if self.is_whole() {
            return self.pool.totals().in_flight;
        }
        self.entries.iter().map(|candidate| u64::from(candidate.in_flight)).sum()
    }

    /// The sum of their weights.
    pub fn total_weight(&self) -> u64 {
        if self.is_whole() {
            return self.pool.totals().weight;
        }
        self.entries.iter().map(|candidate| u64::from(candidate.weight)).sum()
    }

    /// Where this backend stands among them, if it does.
    pub fn find(&self, id: BackendId) -> Option<usize> {
        if self.is_whole() {
            return self.pool.place_of(id);
        }
        self.entries.iter().position(|candidate| candidate.id == id)
    }

    /// The name at `index`.
    pub fn name(&self, index: usize) -> &str {
        self.pool.get(self.entries[index].id).map_or("", |backend| &backend.name)
    }

    /// Whether this backend is among them.
    pub fn contains(&self, id: BackendId) -> bool {
        self.pool.is_candidate(id)
            && !self.excluded.contains(&id)
            && !(self.without_full && self.pool.is_full(id))
    }

    /// Whether these are all ready backends, at the same indices as in [`Pool::ready`]; a retry
    /// sees fewer, those that the request has not tried, and where some are full only the others
    /// are seen.
    pub const fn is_whole(&self) -> bool {
        self.excluded.is_empty() && !self.without_full
    }
}

/// Whether the backend at `a` has less to do than the one at `b`: in flight per weight, compared
/// without division.
fn is_less_loaded(candidates: &Candidates<'_>, a: usize, b: usize) -> bool {
    let load =
        |index, other| u64::from(candidates.in_flight(index)) * u64::from(candidates.weight(other));
    load(a, b) < load(b, a)
}

/// The same as a number, for people.
fn load_per_weight(candidates: &Candidates<'_>, index: usize) -> f64 {
    f64::from(candidates.in_flight(index)) / f64::from(candidates.weight(index))
}

/// What an attempt showed of its backend, once its head or its failure was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// From the attempt's start, connecting included.
    pub after: Duration,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A head that is no failure.
    Answer,
    /// A failure: none, or a status of 500 or more, or 429; with its Retry-After.
    Failure {
        /// How long the backend asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// Nothing until the client left, or another attempt was faster: it took at least so long.
    Nothing,
}

/// A question to a backend for its load, asked by a strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProbe {
    /// Whom.
    pub backend: BackendId,
    /// The path of a GET.
    pub path: String,
    /// How long the answer may take.
    pub within: Duration,
}

/// What a strategy will look at: see [`Strategy::foresee`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// Whom the pick after the next one would take, as things stand: for the next one it is too late.
    pub taken: BackendId,
    /// Where those stand among the candidates whom the pick after that one compares; one of them
    /// twice, where it does not compare.
    pub compared: [usize; 2],
}

/// A rule that picks one of the candidates.
pub trait Strategy: Send {
    /// Picks one of `candidates`.
    fn pick(
        &mut self,
        now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId;

    /// A hint for speed: what the next picks will look at, as far as it is known before a request
    /// is. `rng` is a copy of what they will be given. Nothing follows from a wrong one.
    fn foresee(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<Foreseen> {
        let _ = (candidates, rng);
        None
    }

    /// The candidates or their weights changed since the last pick. Called before the first pick
    /// and before the next one after a change. Tables that take more than some microseconds to
    /// make are asked for as a [`Job`] and come back through [`Strategy::built`]; until then, and
    /// for good if the pool changes again before, the old ones have to do.
    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) -> Option<Job> {
        let _ = (pool, rng);
        None
    }

    /// The result of the latest job.
    fn built(&mut self, result: Box<dyn Any + Send>) {
        let _ = result;
    }

    /// Whether it learns from attempts. One that does not is spared the calls of every attempt:
    /// [`Strategy::observed`], [`Strategy::ended`] and [`Strategy::poll_load_probe`].
    fn learns(&self) -> bool {
        true
    }

    /// An attempt showed something of its backend, which may be gone. Once per attempt; once more,
    /// as a failure, when an answer breaks off after its head.
    fn observed(&mut self, now: Time, backend: BackendId, observation: Observation) {
        let _ = (now, backend, observation);
    }

    /// Whether it needs [`Candidates::free_at`], which no balancer can know but in the simulator.
    fn needs_work(&self) -> bool {
        false
    }

    /// An attempt ended, and its backend has so many left. Not for backends that are gone.
    fn ended(&mut self, backend: BackendId, in_flight: u32) {
        let _ = (backend, in_flight);
    }

    /// A backend says that it has nothing to do. Only simulated ones do, and where they do,
    /// [`Pool::is_told_of_idle`].
    fn idle(&mut self, backend: BackendId) {
        let _ = backend;
    }

    /// A load probe was answered: how long that took, and what the backend told; `None`, when no
    /// answer came.
    fn load_reported(&mut self, now: Time, backend: BackendId, report: Option<LoadReport>) {
        let _ = (now, backend, report);
    }

    /// The next backend to ask for its load; asked after every pick, until `None`. At most
    /// [`MAX_LOAD_PROBES`] are out at once, and what is asked beyond them is dropped.
    fn poll_load_probe(&mut self) -> Option<LoadProbe> {
        None
    }

    /// How the candidate at `index` stands with this request: the lower, the likelier it is
    /// picked. For people who ask why; `None` where the rule has no such number.
    fn score(
        &self,
        now: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let _ = (now, request, candidates, index);
        None
    }
}

/// The answer to a load probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// From the probe's start to its answer.
    pub after: Duration,
    /// What the backend told of itself, if it did.
    pub load: Option<Load>,
}

/// The most load probes of a balancer that are out at once.
pub const MAX_LOAD_PROBES: usize = 1024;
