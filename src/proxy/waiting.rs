//! Requests that wait for the balancer: in its queue, for a backoff, or for a hedge. Each has a box
//! into which the balancer's decisions are put by whichever thread comes by them. It must not
//! decide anything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use base::RequestId;
use policy::Reject;

use crate::decision::Leg;
use crate::shared::Shared;

/// What is decided about a request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mail {
    /// Send it there.
    Send(Leg),
    /// It is refused.
    Reject(Reject),
}

/// The box of one request.
#[derive(Debug, Default)]
pub(crate) struct Waiter(Mutex<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    mail: VecDeque<Mail>,
    waker: Option<Waker>,
}

impl Waiter {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nothing that could panic is done under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mail: Mail) {
        let mut inbox = self.lock();
        inbox.mail.push_back(mail);
        if let Some(waker) = &inbox.waker {
            waker.wake_by_ref();
        }
    }

    /// The next decision.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut inbox = self.lock();
        if let Some(mail) = inbox.mail.pop_front() {
            return Poll::Ready(mail);
        }
        if !inbox.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            inbox.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What was put into it and not taken.
    pub(crate) fn rest(&self) -> VecDeque<Mail> {
        std::mem::take(&mut self.lock().mail)
    }
}

/// All boxes; kept under the balancer's lock, so that no decision falls between two owners.
#[derive(Debug, Default)]
pub(crate) struct Waiting(HashMap<RequestId, Arc<Waiter>>);

impl Waiting {
    /// The request's box, a new one if it has none.
    pub(crate) fn open(&mut self, id: RequestId) -> Arc<Waiter> {
        Arc::clone(self.0.entry(id).or_default())
    }

    /// Puts a decision into the request's box, if it has one.
    pub(crate) fn put(&self, id: RequestId, mail: Mail) -> bool {
        let waiter = self.0.get(&id);
        if let Some(waiter) = waiter {
            waiter.put(mail);
        }
        waiter.is_some()
    }

    pub(crate) fn close(&mut self, id: RequestId) -> Option<Arc<Waiter>> {
        self.0.remove(&id)
    }
}

/// A request's right to its box. When dropped, the box is closed, and if the request was waiting
/// the balancer hears that its client has left.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    id: RequestId,
    waiter: Arc<Waiter>,
    /// No attempt of it is out, and it is not over.
    pub(crate) pending: bool,
    /// The box was closed with the decision to deliver.
    closed: bool,
}

impl Ticket {
    pub(crate) fn new(shared: &Arc<Shared>, id: RequestId, waiter: Arc<Waiter>) -> Self {
        Self { shared: Arc::clone(shared), id, waiter, pending: false, closed: false }
    }

    /// The next decision.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        self.waiter.poll(cx)
    }

    /// The box is closed already, so there is nothing left to tell the balancer.
    pub(crate) fn spend(mut self) {
        self.closed = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.closed {
            self.shared.leave(self.id, self.pending);
        }
    }
}
