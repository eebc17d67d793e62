//! What a balancer is told to do, typed and already valid. It must not know the text it came from.

mod choice;
mod key;
mod limits;

use std::time::Duration;

pub use self::choice::{Choice, ParameterValue};
pub use self::key::{KeySource, hash_key, pin_of};
pub use self::limits::{
    AdaptiveSettings, KeyedRate, LimitSettings, QueueSettings, Rate, RateSettings,
};

/// Everything that a balancer decides by. A part that is `None` is off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How a backend is picked.
    pub strategy: Choice,
    /// Active health checks.
    pub health: Option<HealthSettings>,
    /// Passive ejection of backends that fail requests.
    pub ejection: Option<EjectionSettings>,
    /// A share that grows, for backends that come into service.
    pub slow_start: Option<SlowStartSettings>,
    /// Using backends that are out when too few are in.
    pub panic: Option<PanicSettings>,
    /// Further attempts after a failed one.
    pub retry: Option<RetrySettings>,
    /// A second attempt beside a slow one.
    pub hedging: Option<HedgingSettings>,
    /// How many requests may come, and how many may be in flight.
    pub limits: Option<LimitSettings>,
    /// Where requests wait that no backend has room for.
    pub queue: Option<QueueSettings>,
    /// How long things may take.
    pub timeout: TimeoutSettings,
}

/// How a backend is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A GET, whose status counts.
    Http,
    /// A connection that opens.
    Tcp,
}

/// Active health checks: a probe to every backend each `interval`.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSettings {
    /// How a backend is probed.
    pub check: CheckKind,
    /// What the probe asks for; the shell knows what it means (HTTP: the path of a GET).
    pub path: String,
    /// The statuses that pass, as ranges with both ends in.
    pub statuses: Vec<(u16, u16)>,
    /// From one probe's start to the next's, per backend.
    pub interval: Duration,
    /// The same while a backend is in doubt: it has failed a probe and is not down, or passed one
    /// and is not up. `None`: as always.
    pub fast_interval: Option<Duration>,
    /// How long an answer may take; a later one is a failure.
    pub timeout: Duration,
    /// Failures in a row that take a ready backend down, at least 1.
    pub fall: u32,
    /// Passes in a row that bring a backend that was down back, at least 1. A new backend needs one.
    pub rise: u32,
    /// Each interval is stretched or shortened by up to this share of itself, so that probes of
    /// many balancers do not march in step (0 to 1).
    pub jitter: f64,
    /// Time since the backend last passed a probe or answered a request (at first: since it was
    /// added) after which it is removed from the pool for good.
    pub remove_after: Option<Duration>,
}

/// Passive ejection: a backend that fails requests is left alone for a while. The triggers and the
/// four guards (most ejected, growing time, reset on return, and [`PanicSettings`]) are those of
/// Envoy's outlier detection, its times shortened for small pools.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionSettings {
    /// So many failures in a row eject; `None`: never for that.
    pub consecutive: Option<u32>,
    /// So large a share of failures among the requests of the last `window` ejects, at a failure;
    /// above 0, at most 1; `None`: never for that.
    pub ratio: Option<f64>,
    /// Fewer requests than this in the window say nothing of a ratio.
    pub min_requests: u32,
    /// Over what the ratio is taken.
    pub window: Duration,
    /// How long the first ejection lasts; each further one twice as long as the one before, and a
    /// time in service as long as that takes one doubling back.
    pub base: Duration,
    /// The longest ejection.
    pub max: Duration,
    /// Each ejection is longer or shorter by up to this share of itself (0 to 1).
    pub jitter: f64,
    /// At most this share of the backends is ejected at once, but always one if there are two.
    pub max_ejected: f64,
}

/// A backend that comes into service, because it is new to a pool at work or was down or ejected,
/// gets a share that grows linearly from `min` to its own, in steps of a tenth of the window. At
/// the start, when all are new, and after a drain it gets its own at once. Strategies that give
/// every key a backend of its own do not move keys for it.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowStartSettings {
    /// How long that takes.
    pub window: Duration,
    /// The share it begins with, above 0, at most 1; less than 0.01 counts as 0.01.
    pub min: f64,
}

/// When fewer than `threshold` of the backends are in service, those that are down or ejected are
/// used too: better some failures than the whole load on the few that are left. Backends that are
/// drained, or have never passed a probe, are not used then and do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct PanicSettings {
    /// A share, 0 to 1.
    pub threshold: f64,
}

/// A second attempt at another backend when the first is slow (Dean and Barroso, The Tail at
/// Scale, 2013). For requests that may be sent twice; counted against the retry budget, which has
/// its defaults where `[retry]` is off.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgingSettings {
    /// The quantile of recent times to the head after which a hedge is sent, above 0, below 1.
    pub percentile: f64,
    /// With fewer recent requests than this there is none.
    pub min_requests: u32,
    /// Never sooner than this.
    pub min_delay: Duration,
}

/// The most attempts of a request: who has failed so often will not be helped by one more, and a
/// request can count them in a byte.
pub const MAX_ATTEMPTS: u32 = 100;

/// Further attempts after a failed one.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// Attempts in all, the first included, at least 1, and never more than [`MAX_ATTEMPTS`].
    pub attempts: u32,
    /// Of the last 10 s at most this share of the requests may be retries …
    pub budget: f64,
    /// … plus this many a second, so that a quiet balancer may retry at all.
    pub budget_min: f64,
    /// Answers that count as a failed attempt when the request may be sent again.
    pub statuses: Vec<u16>,
    /// Before retry k the request waits uniformly between 0 and `backoff`·(2ᵏ − 1), as in Envoy;
    /// zero: not at all.
    pub backoff: Duration,
    /// The longest such wait.
    pub max_backoff: Duration,
    /// An answer's Retry-After takes the backend out of the choice for so long at most; it does
    /// not hold back a retry at another one.
    pub max_retry_after: Duration,
}

/// How long things may take; `None` is without limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// To an open connection.
    pub connect: Duration,
    /// From an attempt's start to its answer's head.
    pub attempt: Option<Duration>,
    /// From the request's arrival to its answer's last byte, retries included.
    pub total: Option<Duration>,
    /// From a request's first byte to its head's last.
    pub request_head: Duration,
    /// Between requests on a client's connection, and without a byte of a body or an answer moved.
    pub client_idle: Duration,
    /// How long an unused connection to a backend is kept: less than the backend keeps it.
    pub upstream_idle: Duration,
}

impl Settings {
    /// The strategy alone: no probes, one attempt, no limits but 1 s to connect.
    pub const fn plain(strategy: Choice) -> Self {
        Self {
            strategy,
            health: None,
            ejection: None,
            slow_start: None,
            panic: None,
            retry: None,
            hedging: None,
            limits: None,
            queue: None,
            timeout: TimeoutSettings::STANDARD,
        }
    }
}

impl TimeoutSettings {
    const STANDARD: Self = Self {
        connect: Duration::from_secs(1),
        attempt: None,
        total: None,
        request_head: Duration::from_secs(10),
        client_idle: Duration::from_secs(60),
        upstream_idle: Duration::from_secs(55),
    };
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            check: CheckKind::Http,
            path: "/health".into(),
            statuses: vec![(200, 299)],
            fast_interval: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            jitter: 0.1,
            remove_after: None,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget: 0.2,
            budget_min: 10.0,
            statuses: vec![502, 503, 504],
            backoff: Duration::ZERO,
            max_backoff: Duration::from_millis(250),
            max_retry_after: Duration::from_secs(30),
        }
    }
}

impl Default for EjectionSettings {
    fn default() -> Self {
        Self {
            consecutive: Some(5),
            ratio: Some(0.85),
            min_requests: 20,
            window: Duration::from_secs(10),
            base: Duration::from_secs(5),
            max: Duration::from_secs(60),
            jitter: 0.1,
            max_ejected: 0.5,
        }
    }
}

impl Default for SlowStartSettings {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), min: 0.1 }
    }
}

impl Default for PanicSettings {
    fn default() -> Self {
        Self { threshold: 0.5 }
    }
}

impl Default for HedgingSettings {
    fn default() -> Self {
        Self { percentile: 0.95, min_requests: 100, min_delay: Duration::from_millis(1) }
    }
}
