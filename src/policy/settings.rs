//! What a balancer is told to do, typed and already valid. It must not know the text it came from.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::strategy::{Entry, Strategy};

/// Everything that a balancer decides by. A part that is `None` is off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How a backend is picked.
    pub strategy: Choice,
    /// Active health checks.
    pub health: Option<HealthSettings>,
    /// Further attempts after a failed one.
    pub retry: Option<RetrySettings>,
    /// How long things may take.
    pub timeout: TimeoutSettings,
}

/// The value of a strategy's parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParameterValue {
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// A switch.
    Flag(bool),
    /// A length of time.
    Duration(Duration),
}

/// A strategy and its parameters, checked by [`Entry::choose`].
#[derive(Clone, Debug)]
pub struct Choice {
    entry: &'static Entry,
    parameters: BTreeMap<String, ParameterValue>,
}

impl Choice {
    /// For [`Entry::choose`] alone: `parameters` hold every parameter of the entry, valid.
    pub(crate) const fn new(
        entry: &'static Entry,
        parameters: BTreeMap<String, ParameterValue>,
    ) -> Self {
        Self { entry, parameters }
    }

    /// The strategy's name.
    pub const fn name(&self) -> &'static str {
        self.entry.name
    }

    /// Every parameter with its value, defaults included.
    pub const fn parameters(&self) -> &BTreeMap<String, ParameterValue> {
        &self.parameters
    }

    /// A fresh strategy of this choice.
    pub fn build(&self) -> Box<dyn Strategy> {
        (self.entry.build)(&self.parameters)
    }
}

/// Active health checks: a probe to every backend each `interval`.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSettings {
    /// What the probe asks for; the shell knows what it means (HTTP: the path of a GET).
    pub path: String,
    /// From one probe's start to the next's, per backend.
    pub interval: Duration,
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

/// Further attempts after a failed one.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// Attempts in all, the first included, at least 1.
    pub attempts: u32,
    /// Of the last 10 s at most this share of the requests may be retries …
    pub budget: f64,
    /// … plus this many a second, so that a quiet balancer may retry at all.
    pub budget_min: f64,
    /// Answers that count as a failed attempt when the request may be sent again.
    pub statuses: Vec<u16>,
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
}

impl Settings {
    /// The strategy alone: no probes, one attempt, no limits but 1 s to connect.
    pub const fn plain(strategy: Choice) -> Self {
        Self {
            strategy,
            health: None,
            retry: None,
            timeout: TimeoutSettings {
                connect: Duration::from_secs(1),
                attempt: None,
                total: None,
            },
        }
    }
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            path: "/health".into(),
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
        Self { attempts: 2, budget: 0.2, budget_min: 10.0, statuses: vec![502, 503, 504] }
    }
}
