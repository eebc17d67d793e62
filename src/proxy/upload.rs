//! A request's body on its way to a backend: what an attempt asks of whoever reads it from the
//! client, and tells the client before there is an answer. It must not know connections, nor which
//! protocol the client speaks.

use std::task::{Context, Poll};

use base::Time;

use crate::http1::{ResponseHead, Violation};

/// So much of interim answers (1xx) to one request is passed on. RFC 9110 §15.2 knows no limit; this
/// is ours, so that a client that reads slowly costs no more memory than that. What is beyond is
/// dropped.
pub(crate) const MAX_INTERIM_BYTES: usize = 16 * 1024;

/// Why a request's body will never be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client left.
    Left,
    /// Its framing was refused.
    Framing(Violation),
}

/// A request's body as it goes to an HTTP/1.1 backend: framed, and past the framing check.
pub(crate) trait Upload {
    /// The bytes that are there and not consumed; empty when the body has ended.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Fault>>;

    /// So many of them were sent.
    fn consume(&mut self, count: usize);

    /// Whether everything was consumed.
    fn has_ended(&self) -> bool;

    /// Whether nothing of the body is still to come, or there is none.
    fn is_at_hand(&self) -> bool;

    /// Why the body will never be whole, if that is known.
    fn fault(&self) -> Option<Fault>;

    /// Whether the next step is the client's.
    fn client_owes(&self) -> bool;

    /// When the client gave the latest piece: now, while one is waited for.
    fn given_at(&self) -> Time;

    /// Ready when the client has left; may be asked whenever no bytes are waited for.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// A backend's interim answer (RFC 9110 §15.2) of this head, `bytes`, is for the client. It is
    /// a hint and no promise: another attempt may be the one that answers, and who cannot take it
    /// misses nothing.
    fn put_interim(&mut self, head: &ResponseHead, bytes: &[u8]);

    /// Sends on what was put of them, as far as the client takes it.
    fn poll_interim(&mut self, cx: &mut Context<'_>);
}

/// No body, or none that is still to come.
pub(crate) struct Nothing;

impl Upload for Nothing {
    fn poll_bytes(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], Fault>> {
        Poll::Ready(Ok(&[]))
    }

    fn consume(&mut self, _: usize) {}

    fn has_ended(&self) -> bool {
        true
    }

    fn is_at_hand(&self) -> bool {
        true
    }

    fn fault(&self) -> Option<Fault> {
        None
    }

    fn client_owes(&self) -> bool {
        false
    }

    fn given_at(&self) -> Time {
        Time::ZERO
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// The client hears of the attempt that has its body.
    fn put_interim(&mut self, _: &ResponseHead, _: &[u8]) {}

    fn poll_interim(&mut self, _: &mut Context<'_>) {}
}
