//! What an operator sees of a running balancer, and what comes of the changes asked for.
//! It must not know HTTP or JSON.

use std::net::SocketAddr;
use std::time::Duration;

use base::{BackendId, Time};
use policy::{CommandError, Counts};

/// What an operator sees of one backend.
#[derive(Clone, Debug)]
pub(crate) struct BackendView {
    pub(crate) id: BackendId,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) weight: u32,
    /// What it counts now: less while it warms up.
    pub(crate) effective_weight: f64,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
    pub(crate) since: Time,
    pub(crate) in_flight: u32,
    pub(crate) connections: Connections,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    pub(crate) ejections: u64,
    pub(crate) ejected_until: Option<Time>,
    pub(crate) last_check: Option<String>,
    pub(crate) last_check_passed: Option<bool>,
    pub(crate) last_check_took: Option<Duration>,
}

/// Connections to one backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    /// All of them.
    pub(crate) open: u64,
    /// Those with nothing on them.
    pub(crate) idle: u64,
}

/// Why an operator's change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no backend {0:?}; GET /v1/backends lists those there are")]
    Unknown(String),
    #[error("{0} is in the pool as {1:?}; remove that one first or choose another address")]
    AddressTaken(SocketAddr, String),
    #[error("the backend has just left the pool")]
    Gone,
    #[error("a backend of id {0:?} is in the pool; choose another id")]
    NameTaken(String),
    #[error("the weight {0} is out of range; choose 1 to 65536")]
    BadWeight(u32),
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownBackend(_) => Self::Gone,
            CommandError::NameTaken(name) => Self::NameTaken(name),
            CommandError::BadWeight(weight) => Self::BadWeight(weight),
        }
    }
}

/// A change to one backend; what is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    pub(crate) weight: Option<u32>,
    pub(crate) drain: Option<bool>,
}

/// What a balancer tells of itself in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Requests that wait in the queue.
    pub(crate) queued: usize,
    /// The adaptive limit of the moment, where it is on.
    pub(crate) in_flight_limit: Option<u32>,
    /// Backends that are out are used, because too few are in.
    pub(crate) is_panicking: bool,
}
