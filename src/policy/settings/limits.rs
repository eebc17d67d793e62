//! How many requests may come, be in flight, and wait. It must not know how that is counted.

use std::time::Duration;

use super::KeySource;

/// So many requests a second, with bursts: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second, above 0.
    pub rate: f64,
    /// What the bucket holds, at least 1.
    pub burst: u32,
}

/// How many requests may come.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSettings {
    /// Of all clients together.
    pub global: Option<Rate>,
    /// Of those that share a key.
    pub keyed: Option<KeyedRate>,
}

/// A rate for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedRate {
    /// What tells clients apart; the shell hashes it into [`base::RequestMeta::limit_key`].
    /// Requests without it share one bucket.
    pub key: KeySource,
    /// Of each.
    pub each: Rate,
    /// The most keys that are remembered, at least 1; beyond it the one that was used least
    /// recently is forgotten.
    pub keys: u32,
}

/// How many requests may come, and how many may be in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSettings {
    /// How many may come.
    pub rate: RateSettings,
    /// How many may be in flight at one backend; `None`: any number.
    pub max_in_flight: Option<u32>,
    /// How many may be in flight in all, found by measuring; `None`: any number.
    pub adaptive: Option<AdaptiveSettings>,
}

/// A limit on the requests in flight that follows the latency: the gradient rule of Envoy's
/// adaptive concurrency, from Netflix's concurrency-limits.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptiveSettings {
    /// The smallest limit, at least 1.
    pub min: u32,
    /// The largest.
    pub max: u32,
    /// How often the limit is drawn anew.
    pub update: Duration,
    /// How often the latency without load is measured anew, with the limit at `min`.
    pub interval: Duration,
    /// Requests in such a measurement.
    pub requests: u32,
    /// By how much the latency may exceed that without load before the limit falls (0.25: by a
    /// quarter).
    pub buffer: f64,
}

/// Where requests wait that no backend has room for, first come, first served.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// How many may wait, at least 1.
    pub size: u32,
    /// How long one may wait.
    pub wait: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            rate: RateSettings { global: None, keyed: None },
            max_in_flight: Some(1024),
            adaptive: None,
        }
    }
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            min: 3,
            max: 1000,
            update: Duration::from_millis(100),
            interval: Duration::from_secs(30),
            requests: 50,
            buffer: 0.25,
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { size: 1024, wait: Duration::from_secs(1) }
    }
}
