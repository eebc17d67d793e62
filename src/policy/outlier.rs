//! What its requests say of one backend: failures in a row, the share of failures, and for how long
//! it is left alone. It must not know the other backends: whether there is one to spare is the
//! balancer's to say.
//!
//! The triggers are those of Envoy's outlier detection and of linkerd's breaker: exact counts over a
//! window rather than a moving average, which hides a total outage in a burst of requests.

use std::fmt;
use std::time::Duration;

use base::time::nanos;
use base::{FailureKind, Rng, Time};

use crate::settings::EjectionSettings;

/// How an attempt failed its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer with a status of 500 or more.
    Status(u16),
    /// No answer.
    NoAnswer(FailureKind),
    /// An answer that broke off after its head.
    Cut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::NoAnswer(FailureKind::Connect) => f.write_str("connect failed"),
            Self::NoAnswer(FailureKind::ConnectTimeout) => f.write_str("connect timed out"),
            Self::NoAnswer(FailureKind::Reset) => f.write_str("connection reset"),
            Self::NoAnswer(FailureKind::Timeout) => f.write_str("timeout"),
            Self::NoAnswer(FailureKind::Protocol) => f.write_str("not HTTP"),
            Self::NoAnswer(FailureKind::Status) => f.write_str("error status"),
            Self::Cut => f.write_str("answer broken off"),
        }
    }
}

/// What speaks for leaving a backend alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Streak {
        failures: u32,
        last: Failure,
    },
    Share {
        failures: u32,
        requests: u32,
        window: Duration,
    },
    /// Its own word: a Retry-After.
    Asked(Duration),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Streak { failures: 1, last } => write!(f, "1 failure: {last}"),
            Self::Streak { failures, last } => {
                write!(f, "{failures} failures in a row, the last: {last}")
            }
            Self::Share { failures, requests, window } => {
                let percent = 100.0 * f64::from(failures) / f64::from(requests.max(1));
                let window = window.as_secs_f64();
                write!(f, "{percent:.0} % of {requests} requests failed in {window} s")
            }
            Self::Asked(time) => write!(f, "asked to be left alone for {}", Seconds(time)),
        }
    }
}

/// A duration for people: "5.2 s", "30 s".
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", (self.0.as_secs_f64() * 10.0).round() / 10.0)
    }
}

/// The shortest ejection: one that ends when it begins would be none, and said all the same.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is remembered of one backend's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Failures since the last good answer.
    streak: u32,
    recent: Window,
    /// Attempts that began before say nothing any more.
    since: Time,
    /// How often the base time doubles at the next ejection.
    doublings: u32,
    /// Time in service since the last ejection, or since the last doubling was taken back.
    served: Duration,
}

impl Record {
    /// Of a backend that has been in service since then.
    pub(crate) fn new(since: Time) -> Self {
        Self { since, ..Self::default() }
    }

    /// The client has its whole answer.
    pub(crate) fn succeeded(&mut self, now: Time, began: Time, settings: &EjectionSettings) {
        if began >= self.since {
            self.streak = 0;
            self.recent.count(now, settings.window, false);
        }
    }

    /// The client has none; what follows from it.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        began: Time,
        failure: Failure,
        settings: &EjectionSettings,
    ) -> Option<Cause> {
        if began < self.since {
            return None;
        }
        self.streak = self.streak.saturating_add(1);
        self.recent.count(now, settings.window, true);
        if settings.consecutive.is_some_and(|most| self.streak >= most.max(1)) {
            return Some(Cause::Streak { failures: self.streak, last: failure });
        }
        let Window { requests, failures, .. } = self.recent;
        let too_many = |ratio| f64::from(failures) >= ratio * f64::from(requests);
        (requests >= settings.min_requests && settings.ratio.is_some_and(too_many))
            .then_some(Cause::Share { failures, requests, window: settings.window })
    }

    /// The backend came into service: what was counted before is void, and so are the ends of
    /// attempts that began before. How long the next ejection lasts is not forgotten.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        self.streak = 0;
        self.recent = Window::default();
        self.since = now;
    }

    /// The backend was in service for so long.
    pub(crate) const fn add_service(&mut self, time: Duration) {
        self.served = self.served.saturating_add(time);
    }

    /// How long this ejection lasts: `base`·2ᵏ, at most `max`, and by up to `jitter` of itself
    /// longer or shorter, but never above `max`. k is 0 at first and grows by one with every
    /// ejection until `max` is reached. It falls by one for every time in service that is as long
    /// as the next ejection would be (before jitter): with base 5 s and k = 2 after 20 s in service
    /// to 1, after 10 s more to 0.
    pub(crate) fn eject(&mut self, settings: &EjectionSettings, rng: &mut Rng) -> Duration {
        let nominal = |doublings| {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            settings.base.saturating_mul(factor).min(settings.max)
        };
        let mut served = std::mem::take(&mut self.served);
        while self.doublings > 0 && served >= nominal(self.doublings) {
            served -= nominal(self.doublings);
            self.doublings -= 1;
        }
        let time = nominal(self.doublings);
        // Growth ends with `max`, or the way back would be longer than what it takes back.
        if time < settings.max && self.doublings < 31 {
            self.doublings += 1;
        }
        let jitter = settings.jitter.clamp(0.0, 1.0) * (2.0 * rng.unit() - 1.0);
        let jittered = Time::from_secs_f64(time.as_secs_f64() * (1.0 + jitter)).since(Time::ZERO);
        jittered.min(settings.max).max(SHORTEST)
    }
}

/// The parts of the window that are counted apart.
const SLOTS: usize = 16;

/// How many requests there were of late and how many failed, exactly: those of the last `window`,
/// less up to a sixteenth of it, because whole slots leave it. 160 bytes, and a request costs a step
/// for every slot that passed since the last, at most all.
#[derive(Clone, Debug, Default)]
struct Window {
    /// A ring by the number of the slot: requests and failures among them.
    slots: [(u32, u32); SLOTS],
    /// The number of the current slot since the run began.
    current: u64,
    /// A slot's width in nanoseconds; counts of another width are void.
    width: u64,
    requests: u32,
    failures: u32,
}

impl Window {
    fn count(&mut self, now: Time, window: Duration, failed: bool) {
        let width = nanos(window).div_ceil(SLOTS as u64).max(1);
        let target = now.as_nanos() / width;
        if width != self.width || target.saturating_sub(self.current) >= SLOTS as u64 {
            *self = Self { width, current: target, ..Self::default() };
        }
        while self.current < target {
            self.current += 1;
            let slot = &mut self.slots[(self.current % SLOTS as u64) as usize];
            let (requests, failures) = std::mem::take(slot);
            self.requests -= requests;
            self.failures -= failures;
        }
        let slot = &mut self.slots[(self.current % SLOTS as u64) as usize];
        slot.0 += 1;
        self.requests += 1;
        if failed {
            slot.1 += 1;
            self.failures += 1;
        }
    }
}
