//! The clients: requests that arrive on their own schedule, wait, and lose patience.
//! It must not know what happens to a request in between.

use std::time::Duration;

use base::{Key, Outcome, RequestId, RequestMeta, Rng, Slab, Time};
use policy::Settings;
use policy::settings::{KeySource, hash_key};
use record::{Exchange, Recorder};
use scenario::{KEY_FIELD, LoadSpec};
use workload::{Arrival, Arrivals, Keys};

use crate::agenda::Ticket;
use crate::patience::{Patience, Waiting};

/// A request without its end: what that asks for, in one line of the processor's cache.
#[derive(Debug)]
pub(crate) struct Open {
    arrival: Arrival,
    /// Its attempts under way; none while it waits inside the subject.
    pub(crate) legs: Legs,
}

/// The key of no attempt: no slab has so many slots.
const NOBODY: Key = Key { slot: u32::MAX, generation: u32::MAX };

/// Attempts under way of one request. There is seldom more than one, so the first costs no memory
/// of its own.
#[derive(Debug)]
pub(crate) struct Legs {
    first: Key,
    more: Vec<Key>,
}

impl Default for Legs {
    fn default() -> Self {
        Self { first: NOBODY, more: Vec::new() }
    }
}

impl Legs {
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NOBODY && self.more.is_empty()
    }

    pub(crate) fn add(&mut self, leg: Key) {
        if self.first == NOBODY {
            self.first = leg;
        } else {
            self.more.push(leg);
        }
    }

    pub(crate) fn remove(&mut self, leg: Key) {
        if self.first == leg {
            self.first = NOBODY;
        } else {
            self.more.retain(|&other| other != leg);
        }
    }
}

impl IntoIterator for Legs {
    type Item = Key;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Key>, std::vec::IntoIter<Key>>;

    fn into_iter(self) -> Self::IntoIter {
        let first = (self.first != NOBODY).then_some(self.first);
        first.into_iter().chain(self.more)
    }
}

/// The load and its open requests.
#[derive(Debug)]
pub(crate) struct Client {
    arrivals: Arrivals,
    timeout: Duration,
    idempotent: bool,
    keys: Option<Keys>,
    /// What the strategy and the rate limit know a request by.
    known_by: [KnownBy; 2],
    open: Slab<Open>,
    /// Of all that are open only the first to lose patience need stand in the agenda.
    patience: Patience,
}

/// By what a policy recognises the requests of this load.
#[derive(Clone, Copy, Debug)]
enum KnownBy {
    /// It asks for nothing, or for what no request has.
    Nothing,
    /// All are alike.
    Alike(u64),
    /// Each by its key.
    Key,
}

impl KnownBy {
    fn new(source: Option<&KeySource>, load: &LoadSpec) -> Self {
        match source {
            Some(KeySource::Header(name)) if name == KEY_FIELD && load.keys.is_some() => Self::Key,
            // There is one client, as there is one generator.
            Some(KeySource::Address) => Self::Alike(hash_key(b"127.0.0.1")),
            Some(KeySource::Path) => {
                let path = load.path.split('?').next().unwrap_or_default();
                Self::Alike(hash_key(path.as_bytes()))
            }
            Some(KeySource::Header(_) | KeySource::Cookie(_)) | None => Self::Nothing,
        }
    }
}

/// Methods whose second sending does what the first did (RFC 9110 §9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

impl Client {
    pub(crate) fn new(load: &LoadSpec, policy: &Settings, rng: &Rng) -> Self {
        let limits = policy.limits.as_ref();
        let limited_by =
            limits.and_then(|limits| limits.rate.keyed.as_ref()).map(|keyed| &keyed.key);
        Self {
            keys: load.keys.map(Keys::new),
            known_by: [policy.strategy.key(), limited_by].map(|source| KnownBy::new(source, load)),
            arrivals: load.shape.arrivals(rng),
            timeout: load.timeout,
            idempotent: IDEMPOTENT.contains(&load.method.as_str()),
            open: Slab::new(),
            patience: Patience::new(),
        }
    }

    #[inline]
    pub(crate) fn next_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.next()
    }

    /// A request arrives; `ticket` is for its client's patience.
    pub(crate) fn begin(
        &mut self,
        arrival: Arrival,
        balancer: u32,
        ticket: Ticket,
        recorder: &mut Recorder,
    ) -> Key {
        recorder.begin(arrival.at);
        let key = self.open.insert(Open { arrival, legs: Legs::default() });
        self.patience.begin(Waiting { key, balancer, ticket });
        key
    }

    /// Whether the client of an open request is the first to lose patience.
    pub(crate) const fn is_oldest(&self, key: Key) -> bool {
        self.patience.is_oldest(key)
    }

    /// When the first client will have lost patience.
    pub(crate) fn next_patience(&self) -> Option<(Time, Waiting)> {
        let waiting = self.patience.oldest()?;
        let open = self.open.get(waiting.key)?;
        Some((open.arrival.at + self.timeout, *waiting))
    }

    /// All that a policy may know of an open request.
    #[inline(always)] // every request passes here
    pub(crate) fn meta(&self, key: Key) -> RequestMeta {
        let [key_hash, limit_key] = self.known_by.map(|known_by| match known_by {
            KnownBy::Nothing => None,
            KnownBy::Alike(hash) => Some(hash),
            KnownBy::Key => self.hash_of_key(key),
        });
        let plain = RequestMeta::new(Self::id(key), self.idempotent);
        // Simulated requests have no body that could not be sent again.
        RequestMeta { replayable: true, key: key_hash, limit_key, ..plain }
    }

    #[inline(never)]
    fn hash_of_key(&self, key: Key) -> Option<u64> {
        let luck = self.open.get(key)?.arrival.luck;
        Some(hash_key(self.keys.as_ref()?.of(luck).to_string().as_bytes()))
    }

    /// What a request is called where it is spoken of. The id is its key here, so that it is found
    /// without a search.
    pub(crate) const fn id(key: Key) -> RequestId {
        RequestId(key.pack())
    }

    /// The reverse of [`Client::id`].
    pub(crate) const fn key(id: RequestId) -> Key {
        Key::unpack(id.0)
    }

    /// A request will end soon.
    #[inline]
    pub(crate) fn prefetch(&self, key: Key) {
        self.open.prefetch(key);
        self.patience.prefetch(key);
    }

    /// Its end will move its neighbours in the order of patience.
    #[inline]
    pub(crate) fn prefetch_neighbours(&self, key: Key) {
        self.patience.prefetch_neighbours(key);
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Open> {
        self.open.get_mut(key)
    }

    /// How many requests have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// A request ends as its client sees it: with this status, or without an answer. `backend` is
    /// the one that answered. What is still under way for it is given back.
    #[inline(always)] // every request passes here
    pub(crate) fn end(
        &mut self,
        now: Time,
        key: Key,
        outcome: Outcome,
        status: Option<u16>,
        backend: Option<u32>,
        recorder: &mut Recorder,
    ) -> Legs {
        let open = self.open.remove(key).expect("a request ends once");
        self.patience.end(key);
        recorder.end(&open.exchange(now, outcome, status, backend));
        open.legs
    }

    /// The run is interrupted: what is open stays unfinished.
    pub(crate) fn abandon(&mut self, now: Time, recorder: &mut Recorder) {
        for (_, open) in std::mem::take(&mut self.open).iter() {
            recorder.end(&open.exchange(now, Outcome::Unfinished, None, None));
        }
    }
}

impl Open {
    /// The luck of an attempt: other than that of the one before, the same whoever gets it.
    pub(crate) const fn luck(&self, number: u32) -> u64 {
        base::rng::mix(self.arrival.luck, number as u64)
    }

    const fn exchange(
        &self,
        now: Time,
        outcome: Outcome,
        status: Option<u16>,
        backend: Option<u32>,
    ) -> Exchange {
        let intended = self.arrival.at;
        Exchange {
            request: self.arrival.request,
            intended,
            // A simulated client is never late.
            sent: Some(intended),
            ended: now,
            outcome,
            status,
            backend,
        }
    }
}
