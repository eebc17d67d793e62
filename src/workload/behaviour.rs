//! Who answers: one backend as a machine of queue, servers and faults.
//! It must not know sockets: the shell asks [`Behaviour::gate`] and does what a socket would.

use base::{Rng, Time};

use crate::fault::FaultChange;
use crate::service::BackendModel;

/// A request inside a backend, named by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// What happens to a request that a backend has read.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is inside; an [`Answer`] will come from [`Behaviour::poll_answer`].
    Accepted,
    /// Its connection is to be reset at once.
    Reset,
}

/// What a backend gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which request.
    pub work: WorkId,
    /// When it is due (not after the `now` of the call that returned it).
    pub at: Time,
    /// The status, or `None` when the connection is reset instead.
    pub status: Option<u16>,
    /// Bytes of its body.
    pub bytes: u32,
}

/// What new connections meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They are accepted.
    Open,
    /// They are refused; open ones are served on.
    Refusing,
    /// They are refused and open ones were reset when this began.
    Crashed,
}

/// What a health check meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthAnswer {
    /// A status, after this long.
    Status(u16, std::time::Duration),
    /// Nothing, until the hang ends.
    Silence,
    /// A reset.
    Reset,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct Behaviour {
    _private: (),
}

impl Behaviour {
    /// An idle, healthy backend.
    pub fn new(model: BackendModel) -> Self {
        let _ = model;
        todo!()
    }

    /// A request was read. `luck` (the request's, mixed with its attempt number) decides its
    /// service time and whether it meets an error.
    pub fn handle_request(&mut self, now: Time, work: WorkId, luck: u64) -> Admission {
        let _ = (now, work, luck, Rng::from_seed);
        todo!()
    }

    /// The client of a request left.
    pub fn handle_cancel(&mut self, now: Time, work: WorkId) {
        let _ = (now, work);
        todo!()
    }

    /// A fault begins or ends here. What a crash resets comes as answers without a status.
    pub fn handle_fault(&mut self, now: Time, change: &FaultChange) {
        let _ = (now, change);
        todo!()
    }

    /// When an answer will be due, as things stand.
    pub fn poll_timeout(&self) -> Option<Time> {
        todo!()
    }

    /// An answer that is due, in order of time, until `None`.
    pub fn poll_answer(&mut self, now: Time) -> Option<Answer> {
        let _ = now;
        todo!()
    }

    /// What new connections meet now.
    pub fn gate(&self) -> Gate {
        todo!()
    }

    /// What a health check meets now.
    pub fn health(&self) -> HealthAnswer {
        todo!()
    }

    /// Requests inside, served and waiting ones.
    pub fn in_flight(&self) -> u32 {
        todo!()
    }
}
