//! What passes between client, balancer and backend: ids, what is known of a request, how it ended.
//! It must not know HTTP's syntax.

use std::fmt;

/// A request of one run: its number in the schedule, or in the order of arrival at a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One sending of a request to one backend; retries and hedges are further attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// One health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// A backend in a pool: a slot, and which tenant of that slot. The id of a removed backend never
/// means another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId {
    /// Index into the pool's slots; small and reused, so per-backend tables can be plain vectors.
    pub slot: u32,
    /// Counts the tenants of the slot.
    pub generation: u32,
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// All that a policy may know of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// Its id.
    pub id: RequestId,
    /// Whether sending it twice has the effect of sending it once (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// Whether the shell can send it from its beginning at any time: it has no body, or all of it
    /// is at hand.
    pub replayable: bool,
    /// The hash of the key that the strategy asked for (header, cookie, address, path), if any.
    pub key: Option<u64>,
    /// The hash of the key that the rate limit asked for, if any.
    pub limit_key: Option<u64>,
    /// What a sticky cookie says of the backend that its client was at, if it has one.
    pub pin: Option<u64>,
}

impl RequestMeta {
    /// A request of which nothing else is known; it is not taken to be replayable.
    pub const fn new(id: RequestId, idempotent: bool) -> Self {
        Self { id, idempotent, replayable: false, key: None, limit_key: None, pin: None }
    }
}

/// How much of a request had been written to the backend when its attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte: the backend cannot have acted on it.
    Nothing,
    /// A part of it.
    Part,
    /// Head and body.
    All,
}

/// Why a request or an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The connection was refused, or could not be opened.
    Connect,
    /// No connection within the time allowed for it.
    ConnectTimeout,
    /// The connection broke before a whole head or body was there.
    Reset,
    /// No answer within the time allowed.
    Timeout,
    /// What came was not HTTP.
    Protocol,
    /// A whole answer whose status is 5xx, other than 503.
    Status,
}

impl FailureKind {
    /// The word that stands in CSV files, events and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status => "status",
        }
    }

    /// The status with which a gateway tells its client that its last attempt failed so: 504 where
    /// time ran out, 502 for the rest (RFC 9110 §15.6.3 and §15.6.5).
    pub const fn gateway_status(self) -> u16 {
        match self {
            Self::Timeout | Self::ConnectTimeout => 504,
            Self::Connect | Self::Reset | Self::Protocol | Self::Status => 502,
        }
    }
}

/// How a request ended, by what its client saw, whatever stood between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer with a status below 500 that is not 429.
    Ok,
    /// A whole answer that refuses: 429 or 503.
    Rejected,
    /// Every other end.
    Failed(FailureKind),
    /// Never sent: its time passed while it waited for a connection.
    Dropped,
    /// Still open when the run was interrupted.
    Unfinished,
}

impl Outcome {
    /// The outcome of a whole answer with this status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            429 | 503 => Self::Rejected,
            500.. => Self::Failed(FailureKind::Status),
            _ => Self::Ok,
        }
    }

    /// The word that stands in CSV files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Failed(_) => "failed",
            Self::Dropped => "dropped",
            Self::Unfinished => "unfinished",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_map_to_outcomes() {
        for (status, outcome) in [
            (200, Outcome::Ok),
            (304, Outcome::Ok),
            (404, Outcome::Ok),
            (429, Outcome::Rejected),
            (499, Outcome::Ok),
            (500, Outcome::Failed(FailureKind::Status)),
            (503, Outcome::Rejected),
            (504, Outcome::Failed(FailureKind::Status)),
        ] {
            assert_eq!(Outcome::of_status(status), outcome, "{status}");
        }
    }

    #[test]
    fn a_gateway_says_what_became_of_its_last_attempt() {
        for (failure, status) in [
            (FailureKind::Connect, 502),
            (FailureKind::ConnectTimeout, 504),
            (FailureKind::Reset, 502),
            (FailureKind::Timeout, 504),
            (FailureKind::Protocol, 502),
            (FailureKind::Status, 502),
        ] {
            assert_eq!(failure.gateway_status(), status, "{failure:?}");
        }
    }
}
