//! What the balancer's decisions are for whoever carries a request: with addresses, times, and where
//! to wait. It must not know how they are made.

use std::net::SocketAddr;
use std::sync::Arc;

use base::Time;
use policy::{Attempt, Reject};

use crate::waiting::Waiter;

/// An attempt and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) attempt: Attempt,
    pub(crate) address: SocketAddr,
    /// What a sticky cookie says of the backend.
    pub(crate) pin: u64,
    /// When it was decided.
    pub(crate) at: Time,
}

/// What follows the head, or the failure, of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Give the answer to the client; the attempt goes on.
    Deliver,
    /// The attempt has ended; send this one.
    Retry(Leg),
    /// The attempt has ended, the request has not: another attempt of it is out, or its box gets
    /// mail.
    Later(Arc<Waiter>),
    /// The attempt has ended; tell the client of the failure.
    GiveUp,
}

/// What a delivery ends at once, so that the balancer is not asked again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Over {
    /// The attempt: its backend is done with it.
    pub(crate) attempt: bool,
    /// The request's box: it had one, and needs it no more.
    pub(crate) waiting: bool,
}

/// What becomes of a new request, and its box if it may get mail.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) verdict: Opening,
    pub(crate) at: Time,
    pub(crate) waiter: Option<Arc<Waiter>>,
}

/// What becomes of a new request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    Send(Leg),
    /// Its box gets mail.
    Wait,
    Reject(Reject),
}
