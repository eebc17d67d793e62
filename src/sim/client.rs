//! The clients: requests that come on their own schedule, and what is known of them before they are sent.
//! It must not know what happens to a request.

use base::{Key, RequestId, RequestMeta, Rng, rng};
use policy::Settings;
use policy::settings::{KeySource, hash_key};
use scenario::{KEY_FIELD, LoadSpec};
use workload::{Arrival, Arrivals, Keys};

/// The load.
#[derive(Debug)]
pub(crate) struct Client {
    arrivals: Arrivals,
    /// What the luck of each request is made of, beside its number.
    seed: u64,
    idempotent: bool,
    keys: Option<Keys>,
    /// What the strategy and the rate limit know a request by.
    known_by: [KnownBy; 2],
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
            seed: rng.seed(),
            idempotent: IDEMPOTENT.contains(&load.method.as_str()),
        }
    }

    #[inline]
    pub(crate) fn next_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.next()
    }

    /// The luck of an attempt: other than that of the one before, the same whoever gets it. Of a request
    /// its number is enough, as in [`Arrival::luck`].
    #[inline]
    pub(crate) const fn luck(&self, request: u64, attempt: u32) -> u64 {
        rng::mix(rng::mix(self.seed, request), attempt as u64)
    }

    /// All that a policy may know of an open request of this number.
    #[inline(always)] // every request passes here
    pub(crate) fn meta(&self, key: Key, request: u64) -> RequestMeta {
        let [key_hash, limit_key] = self.known_by.map(|known_by| match known_by {
            KnownBy::Nothing => None,
            KnownBy::Alike(hash) => Some(hash),
            KnownBy::Key => self.hash_of_key(request),
        });
        let plain = RequestMeta::new(Self::id(key), self.idempotent);
        // Simulated requests have no body that could not be sent again.
        RequestMeta { replayable: true, key: key_hash, limit_key, ..plain }
    }

    #[inline(never)]
    fn hash_of_key(&self, request: u64) -> Option<u64> {
        let luck = rng::mix(self.seed, request);
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
}
