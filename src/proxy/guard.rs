//! The end of an attempt, reported exactly once. It must not know what ended it.

use std::rc::Rc;

use base::{AttemptId, Time};
use policy::End;

use crate::worker::Worker;

/// Ends an attempt when told how, or as the client's leaving when dropped: whatever happens to the
/// task that serves a request, the balancer's in-flight count falls.
pub(crate) struct Guard {
    worker: Rc<Worker>,
    attempt: Option<AttemptId>,
    ended: Option<Time>,
}

impl Guard {
    pub(crate) fn new(worker: &Rc<Worker>, attempt: AttemptId) -> Self {
        Self { worker: Rc::clone(worker), attempt: Some(attempt), ended: None }
    }

    /// Nothing happens at the second call.
    pub(crate) fn end(&mut self, end: End) {
        if let Some(attempt) = self.attempt.take() {
            self.ended = Some(self.worker.shared.end(attempt, end));
        }
    }

    /// When it ended, if it was by this.
    pub(crate) const fn ended(&self) -> Option<Time> {
        self.ended
    }

    /// The attempt has been ended by other means.
    pub(crate) fn disarm(&mut self) {
        self.attempt = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(End::ClientLeft);
    }
}
