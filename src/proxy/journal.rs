//! What is known of a request when it is over: for metrics and the access log. It must not know
//! what they make of it, nor cost the path more than a few stores.

use std::net::SocketAddr;

use base::{BackendId, FailureKind, RequestId, Time};
use policy::Reject;

/// How a request ended, as far as its client is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client left before the answer's last byte, or broke its request off.
    #[default]
    ClientLeft,
    /// A backend's answer was written whole.
    Answered,
    /// The proxy answered itself.
    Own,
    /// The backend broke its answer off.
    UpstreamBroke,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The head of an answer, with this status.
    Status(u16),
    Failed(FailureKind),
    /// Nothing: another attempt was faster.
    Nothing,
}

/// One attempt, up to its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) backend: BackendId,
    pub(crate) address: SocketAddr,
    /// When the balancer decided on it.
    pub(crate) began: Time,
    /// When its connection was open; `None` for one that was kept, or that never opened.
    pub(crate) opened: Option<Time>,
    /// When that came of it.
    pub(crate) ended: Time,
    pub(crate) came: Came,
}

/// One request. Kept and used again, for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) id: Option<RequestId>,
    /// Method, target and X-Request-Id, where the access log is on; else empty.
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) request_id: Vec<u8>,
    /// When the balancer was asked; zero if it never was.
    pub(crate) asked: Time,
    /// The attempts that came to something, in the order of their ends; those that the client's
    /// leaving or a want of the proxy cut off are missing. The last one is the one whose answer was
    /// given.
    pub(crate) tried: Vec<Tried>,
    /// Why it got no backend.
    pub(crate) reject: Option<Reject>,
    /// Of the answer; 0 if there was none.
    pub(crate) status: u16,
    /// Bytes of the request's body that were sent to backends, as they were framed.
    pub(crate) bytes_in: u64,
    /// Bytes written to the client, heads included.
    pub(crate) bytes_out: u64,
    pub(crate) ending: Ending,
    /// When it was over; zero where the access log is off.
    pub(crate) ended: Time,
}

impl Journal {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        let mut kept = std::mem::take(self);
        kept.tried.clear();
        for text in [&mut kept.method, &mut kept.target, &mut kept.request_id] {
            crate::buffers::clear_text(text);
        }
        let Self { tried, method, target, request_id, .. } = kept;
        *self = Self { tried, method, target, request_id, ..Self::default() };
    }
}
