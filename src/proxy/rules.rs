//! What the settings and the configuration ask of whoever carries a request, ready for use. It must
//! not know connections, nor what the balancer makes of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{RequestId, RequestMeta};
use config::ProxyConfig;
use config::edge::Forwarded;
use policy::{KeySource, Settings, TimeoutSettings, hash_key};

use crate::descriptors::clients_per_worker;
use crate::forwarded::Origin;
use crate::http1::Kind;

/// What a request is looked at for, and for how long things may wait. A new one is made whenever
/// the settings change.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// What the strategy knows a request by.
    pub(crate) key: Option<KeySource>,
    /// What the rate limit knows a client by.
    pub(crate) limit_key: Option<KeySource>,
    /// The cookie that keeps a client at its backend.
    pub(crate) cookie: Option<String>,
    /// Whether requests are ever sent twice: if not, no body is kept for it.
    pub(crate) may_repeat: bool,
    pub(crate) timeout: TimeoutSettings,
}

impl Rules {
    pub(crate) fn new(settings: &Settings) -> Self {
        let keyed = settings.limits.as_ref().and_then(|limits| limits.rate.keyed.as_ref());
        Self {
            key: settings.strategy.key().cloned(),
            limit_key: keyed.map(|keyed| keyed.key.clone()),
            cookie: settings.strategy.cookie().map(String::from),
            may_repeat: settings.retry.is_some() || settings.hedging.is_some(),
            timeout: settings.timeout.clone(),
        }
    }

    /// What the balancer may know of a request from its head.
    pub(crate) fn read(&self, id: RequestId, origin: &Origin<'_>) -> RequestMeta {
        let key = |source: &Option<KeySource>| key_of(source.as_ref()?, origin);
        let cookie = self.cookie.as_deref().and_then(|name| cookie(origin, name.as_bytes()));
        RequestMeta {
            key: key(&self.key),
            limit_key: key(&self.limit_key),
            pin: cookie.and_then(pin_of),
            ..RequestMeta::new(id, origin.head.method().is_idempotent())
        }
    }

    /// Whole seconds that an idle connection to a backend is kept, at least one.
    pub(crate) fn upstream_idle_s(&self) -> u64 {
        self.timeout.upstream_idle.max(Duration::from_secs(1)).as_secs()
    }
}

/// Where the rules of the moment hang: whoever has those of an earlier version takes the new ones.
pub(crate) struct Board {
    version: AtomicU64,
    rules: Mutex<Arc<Rules>>,
}

impl Board {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { version: AtomicU64::new(1), rules: Mutex::new(Arc::new(rules)) }
    }

    pub(crate) fn post(&self, rules: Rules) {
        *self.lock() = Arc::new(rules);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The version of the moment and its rules, if `known` is another one.
    pub(crate) fn newer(&self, known: u64) -> Option<(u64, Arc<Rules>)> {
        let version = self.version.load(Ordering::Acquire);
        // Rules that are posted in between are taken the next time too, for their version.
        (version != known).then(|| (version, Arc::clone(&self.lock())))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Rules>> {
        // Nothing that could panic is done under it.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's copy of the rules.
pub(crate) struct Copied(RefCell<(u64, Rc<Rules>)>);

impl Copied {
    pub(crate) fn new(board: &Board) -> Self {
        let (version, rules) = board.newer(0).expect("versions begin at 1");
        Self(RefCell::new((version, Rc::new(Rules::clone(&rules)))))
    }

    /// The rules of the moment; costs one look at a number while they are the same.
    pub(crate) fn get(&self, board: &Board) -> Rc<Rules> {
        let mut copy = self.0.borrow_mut();
        if let Some((version, rules)) = board.newer(copy.0) {
            *copy = (version, Rc::new(Rules::clone(&rules)));
        }
        Rc::clone(&copy.1)
    }
}

/// What the configuration says of the edge; it does not change while the proxy runs.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// So many proxies in front are believed.
    pub(crate) trusted_hops: usize,
    pub(crate) forwarded: Forwarded,
    /// Whether the texts of requests are kept for the access log.
    pub(crate) logs: bool,
    /// Whether answers show the candidates to who asks.
    pub(crate) explain: bool,
    /// Whether requests without a trusted id get one.
    pub(crate) request_id: bool,
    /// The most connections of clients that a worker holds.
    pub(crate) max_connections: usize,
    /// Clients speak TLS.
    pub(crate) tls: bool,
    /// Clients may speak HTTP/2.
    pub(crate) h2: bool,
}

impl Edge {
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        Self {
            trusted_hops: config.trusted_hops as usize,
            forwarded: config.forwarded,
            logs: config.access_log.is_some(),
            explain: config.explain,
            request_id: config.request_id,
            max_connections: (config.max_connections as usize)
                .min(clients_per_worker(config.workers)),
            tls: config.tls.is_some(),
            h2: config.h2,
        }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            trusted_hops: 0,
            forwarded: Forwarded::default(),
            logs: false,
            explain: false,
            request_id: false,
            max_connections: 1,
            tls: false,
            h2: false,
        }
    }

    /// The scheme that clients speak here.
    pub(crate) const fn scheme(&self) -> &'static [u8] {
        if self.tls { b"https" } else { b"http" }
    }
}

/// The hash of what `source` says of a request, if it says anything.
fn key_of(source: &KeySource, origin: &Origin<'_>) -> Option<u64> {
    let (head, bytes) = (origin.head, origin.bytes);
    let text = match source {
        KeySource::Address => origin.client(),
        KeySource::Path => {
            let path = head.path(bytes);
            match path.split(|&b| b == b'?').next() {
                // The URL of a whole target may go on with its query at once.
                None | Some(b"") => b"/",
                Some(path) => path,
            }
        }
        KeySource::Header(name) => head.get(name.as_bytes(), bytes)?,
        KeySource::Cookie(name) => cookie(origin, name.as_bytes())?,
    };
    Some(hash_key(text))
}

/// The value of the first cookie of that name (RFC 6265 §4.2); names are case-sensitive.
fn cookie<'a>(origin: &Origin<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let values = origin.head.values(Kind::Cookie, origin.bytes);
    let pairs = values.flat_map(|value| value.split(|&b| b == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// What a sticky cookie says: 16 hexadecimal digits.
fn pin_of(value: &[u8]) -> Option<u64> {
    if value.len() != 16 || !value.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;

    #[test]
    fn keys_are_what_their_sources_say() {
        let text: &[u8] = b"GET /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-User: u\r\n\
            Cookie: a=1; sid=s%20; b=\"q\"\r\ncookie: sid=later; Z=z\r\n\r\n";
        let mut head = RequestHead::new();
        assert_eq!(head.parse(text), Ok(Some(text.len())));
        let edge = Edge::plain();
        let version = head.version();
        let origin = Origin { head: &head, bytes: text, version, peer: b"10.0.0.9", edge: &edge };
        for (source, expected) in [
            ("address", Some("10.0.0.9")),
            ("path", Some("/a/b")),
            ("header:x-user", Some("u")),
            ("header:x-none", None),
            ("cookie:sid", Some("s%20")),
            ("cookie:b", Some("q")),
            ("cookie:Z", Some("z")),
            ("cookie:z", None),
            ("cookie:si", None),
        ] {
            let source = KeySource::parse(source).expect("valid");
            let expected = expected.map(|text| hash_key(text.as_bytes()));
            assert_eq!(key_of(&source, &origin), expected, "{source}");
        }
    }

    #[test]
    fn a_pin_is_sixteen_digits_and_nothing_else() {
        for (text, expected) in [
            ("00000000000000ff", Some(255)),
            ("FFFFFFFFFFFFFFFF", Some(u64::MAX)),
            ("+0000000000000ff", None),
            ("ff", None),
            ("00000000000000fg", None),
            ("", None),
        ] {
            assert_eq!(pin_of(text.as_bytes()), expected, "{text}");
        }
    }
}
