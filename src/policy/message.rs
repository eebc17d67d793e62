//! What passes between a balancer and its shell: verdicts, heads, ends, probes, commands.
//! It must not know how they are decided or carried.

use std::time::Duration;

use base::{AttemptId, BackendId, FailureKind, ProbeId, RequestId, Sent, Time};

use crate::event::Event;
use crate::settings::{Choice, Settings};
use crate::work::Work;

/// One sending of a request to one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// To be named in every later call about it.
    pub id: AttemptId,
    /// The request it serves.
    pub request: RequestId,
    /// Where to send it.
    pub backend: BackendId,
    /// 1 for the first attempt of the request.
    pub number: u32,
    /// The connection must be open by then.
    pub connect_by: Time,
    /// The answer's head must be there by then ([`Time::MAX`]: no limit). Where the request has a
    /// body that the client is slow to give, [`Attempt::head_due`] says how much later.
    pub head_by: Time,
    /// How long the head may take once the request is there ([`Duration::MAX`]: no limit).
    pub head_within: Duration,
    /// The answer's last byte must be there by then ([`Time::MAX`]: no limit).
    pub body_by: Time,
    /// What is left of the rate limit that is nearest to its end, where there is one.
    pub quota: Option<Quota>,
}

/// What is left of a rate limit: the numbers of the RateLimit header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The most requests at once: what the bucket holds.
    pub limit: u32,
    /// In what time an empty bucket fills.
    pub window: Duration,
    /// Requests that may come at once now.
    pub remaining: u32,
    /// Until one more may come than now; zero with the bucket full.
    pub reset: Duration,
}

impl Attempt {
    /// When the head is due if the client gave the last piece of the request at `given_at`, which
    /// is now while that is still to come: a slow upload is no fault of the backend.
    pub fn head_due(&self, given_at: Time) -> Time {
        self.head_by.max(given_at + self.head_within).min(self.body_by)
    }
}

/// Why a request gets no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// No backend is ready. 503.
    NoBackend,
    /// More requests than the rate allows; when one may come is [`Quota::reset`]. 429.
    RateLimited(Quota),
    /// As many are in flight as the adaptive limit allows, and nothing may wait. 503.
    Overloaded,
    /// No backend has room, and the queue is full or absent. 503.
    QueueFull,
    /// It waited in the queue for as long as a request may. 503.
    QueueTimeout,
}

impl Reject {
    /// The word that stands in logs; metrics have the same.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::RateLimited(_) => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
        }
    }

    /// The status with which the client is told, as the variants say.
    pub const fn status(self) -> u16 {
        match self {
            Self::RateLimited(_) => 429,
            Self::NoBackend | Self::Overloaded | Self::QueueFull | Self::QueueTimeout => 503,
        }
    }
}

/// What to do with a new request.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send(Attempt),
    /// It waits inside; an [`Output::Send`] or [`Output::Reject`] will follow.
    Wait(RequestId),
    /// Refuse it.
    Reject(Reject),
}

/// The head of an attempt's answer, or what came instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A status line.
    Status {
        /// The status.
        status: u16,
        /// The shell can send the whole request again.
        replayable: bool,
        /// The answer's Retry-After, if it has one.
        retry_after: Option<Duration>,
    },
    /// None: the attempt failed.
    Failed {
        /// Why.
        error: FailureKind,
        /// How much of the request had been written.
        sent: Sent,
        /// The connection had served another request before.
        reused: bool,
        /// The shell can send the whole request again.
        replayable: bool,
    },
}

/// What to do now that the head, or the failure, is known.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Give the answer to the client.
    Deliver,
    /// Drop this attempt (its [`crate::Balancer::handle_end`] still follows) and send this one.
    Retry(Attempt),
    /// Drop this attempt (its [`crate::Balancer::handle_end`] still follows). The request is not
    /// over: another attempt of it is out, or an [`Output::Send`] follows after a backoff (or
    /// an [`Output::Reject`], when nobody is left to send it to).
    Later,
    /// Tell the client of the failure.
    GiveUp,
}

/// How an attempt ended. Every attempt ends exactly once, failed and dropped ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole answer was relayed.
    Complete,
    /// The backend broke it off: no head, or a body cut short, or too late.
    UpstreamBroke,
    /// The client left.
    ClientLeft,
    /// Neither side's doing: a retry took over, or the shell could not send it for want of
    /// something of its own (then without a head).
    Aborted,
}

/// A health probe to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be named in [`crate::Balancer::handle_probe`].
    pub id: ProbeId,
    /// Whom.
    pub backend: BackendId,
    /// What to do.
    pub kind: ProbeKind,
    /// No answer by then is a failure, which the shell reports.
    pub deadline: Time,
}

/// What a probe is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A GET of this path.
    Http(String),
    /// To open a connection; the status of the result is then 0.
    Tcp,
    /// A GET of this path, asked by the strategy: its answer may tell the backend's load.
    Load(String),
}

/// The load that a backend tells of itself: in HTTP the fields `X-In-Flight` and
/// `X-Estimated-Latency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests that it is working on.
    pub in_flight: u32,
    /// How long it believes that one takes at this load; zero: it cannot tell.
    pub latency: Duration,
}

/// What came of a probe; whether that is a pass is the balancer's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// An answer.
    Status {
        /// Its status.
        status: u16,
        /// From the probe's start to the answer.
        after: Duration,
        /// The load that it told.
        load: Option<Load>,
    },
    /// No answer in time; why, for people: "connection refused", "timeout".
    Failed(String),
    /// The shell could not send it, for want of something of its own; what, for people. It says
    /// nothing of the backend.
    Unsent(String),
}

/// What a balancer wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a waiting request, or one that is out already for a second time: a hedge.
    Send(Attempt),
    /// Refuse a waiting request.
    Reject(RequestId, Reject),
    /// Break off a running attempt, because another of its request was faster; its
    /// [`crate::Balancer::handle_end`] follows.
    Abort(AttemptId),
    /// Do this without the lock and give the result to [`crate::Balancer::handle_built`].
    Build(Work),
    /// Send a probe and report with [`crate::Balancer::handle_probe`].
    Probe(Probe),
    /// Tell whoever listens.
    Event(Event),
}

/// A change asked for at runtime.
#[derive(Clone, Debug)]
pub enum Command {
    /// A new backend; it joins as [`crate::State::Checking`] where health is on, else ready.
    Add {
        /// Unique among the present backends.
        name: String,
        /// At least 1.
        weight: u32,
    },
    /// Out of the pool at once; its running attempts end in their own time.
    Remove(BackendId),
    /// No new requests.
    Drain(BackendId),
    /// Ends a drain.
    Ready(BackendId),
    /// A new weight, at least 1.
    Weight(BackendId, u32),
    /// Another strategy from now on.
    Strategy(Choice),
    /// All that it decides by, from now on. Requests in flight keep their deadlines; those that wait
    /// get the new ones, and where the queue is smaller now, the last to come are refused.
    Settings(Box<Settings>),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No such backend (any more).
    UnknownBackend(BackendId),
    /// A backend of this name is in the pool.
    NameTaken(String),
    /// Weights are 1 to 65 536.
    BadWeight(u32),
}
