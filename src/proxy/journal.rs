//! What is known of a request when it is over: for metrics and the access log. It must not know
//! what they make of it, nor cost the path more than a few stores.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// Nothing: another attempt was faster, the client left, or the proxy lacked something.
    Nothing,
}

/// One attempt, up to its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) backend: BackendId,
    pub(crate) address: SocketAddr,
    /// 1 for the first attempt of the request.
    pub(crate) number: u32,
    /// It was sent beside one that was slow.
    pub(crate) hedge: bool,
    /// When the balancer decided on it.
    pub(crate) began: Time,
    /// When its connection was open; `None` for one that was kept, or that never opened.
    pub(crate) opened: Option<Time>,
    /// When that came of it.
    pub(crate) ended: Time,
    pub(crate) came: Came,
}

/// Texts of a request. Kept and used again, for their memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    /// Who asked, as far as that is believed.
    pub(crate) client: Vec<u8>,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) host: Vec<u8>,
    /// Its X-Request-Id.
    pub(crate) request_id: Vec<u8>,
    /// Why the proxy answered itself.
    pub(crate) reason: Vec<u8>,
}

impl Texts {
    fn clear(&mut self) {
        let Self { client, method, target, host, request_id, reason } = self;
        for text in [client, method, target, host, request_id, reason] {
            crate::buffers::clear_text(text);
        }
    }
}

/// One request. Kept and used again, for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) id: Option<RequestId>,
    /// What the client spoke; empty where that is not known.
    pub(crate) protocol: &'static str,
    /// Texts of the request, where the access log is on; else empty.
    pub(crate) texts: Texts,
    /// When its first byte was there, and its whole head; zero where the access log is off.
    pub(crate) began: Time,
    pub(crate) read: Time,
    /// When the balancer was asked; zero if it never was.
    pub(crate) asked: Time,
    /// The attempts in the order of their ends. The last one is the one whose answer was given.
    pub(crate) tried: Vec<Tried>,
    /// Why it got no backend.
    pub(crate) reject: Option<Reject>,
    /// When the backend's last byte was there, or the proxy knew that it would answer itself, if
    /// that was after the last attempt's head or failure.
    pub(crate) done: Option<Time>,
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
    /// From asking the balancer to the backend's last byte, or to the decision not to send it;
    /// `None` if the balancer was not asked.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let known = self.done.or(self.tried.last().map(|tried| tried.ended)).unwrap_or(self.asked);
        (self.asked != Time::ZERO).then(|| known.since(self.asked))
    }

    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        let Self { mut tried, mut texts, .. } = std::mem::take(self);
        tried.clear();
        texts.clear();
        *self = Self { tried, texts, ..Self::default() };
    }
}
