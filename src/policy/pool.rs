//! The backends: who is there, who is ready, how much each has in flight.
//! It must not know how one of them is picked.

use base::{BackendId, Time};

/// Whether a backend may get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// New: no probe has passed yet.
    Checking,
    /// In service.
    Ready,
    /// Failed its checks.
    Down,
    /// Asked to take no new requests.
    Draining,
}

impl State {
    /// The word that stands in the admin API and in CSV files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Draining => "draining",
        }
    }
}

/// What is known of one backend, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendStatus<'a> {
    /// Its id.
    pub id: BackendId,
    /// Its name.
    pub name: &'a str,
    /// Its weight, 1 to 65 536.
    pub weight: u32,
    /// Whether it gets requests.
    pub state: State,
    /// Why it is in this state.
    pub reason: &'a str,
    /// Since when.
    pub since: Time,
    /// Attempts sent and not ended, connecting ones included.
    pub in_flight: u32,
    /// Attempts sent so far.
    pub attempts: u64,
    /// Attempts that failed so far.
    pub failures: u64,
    /// The last probe's result in words.
    pub last_check: Option<&'a str>,
}

/// The backends of a balancer.
pub struct Pool {
    _private: (),
}

impl Pool {
    /// All backends in the order in which they were added.
    pub fn statuses(&self) -> impl Iterator<Item = BackendStatus<'_>> {
        std::iter::empty()
    }

    /// One backend.
    pub fn status(&self, id: BackendId) -> Option<BackendStatus<'_>> {
        let _ = id;
        todo!()
    }
}
