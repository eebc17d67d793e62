//! What is told of a backend: its state, and everything for display. It must not change anything.

use base::{BackendId, Time};

use crate::outlier::Failure;

/// Whether a backend may get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// New: no probe has passed yet.
    Checking,
    /// In service.
    Ready,
    /// Failed its checks.
    Down,
    /// Failed its requests, or asked to be left alone; it comes back by itself.
    Ejected,
    /// Asked to take no new requests.
    Draining,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Checking, Self::Ready, Self::Down, Self::Ejected, Self::Draining];

    /// The word that stands in the admin API and in CSV files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Ejected => "ejected",
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
    /// What it counts now: less than its weight while it warms up after it came into service.
    pub effective_weight: f64,
    /// Whether it gets requests; in a panic those that are down or ejected do too.
    pub state: State,
    /// Why it is in this state.
    pub reason: &'a str,
    /// Since when.
    pub since: Time,
    /// Attempts sent and not ended, connecting ones included.
    pub in_flight: u32,
    /// Attempts sent so far.
    pub attempts: u64,
    /// Attempts that failed so far: no whole answer, or a status of 500 or above.
    pub failures: u64,
    /// How the last of them failed.
    pub last_failure: Option<Failure>,
    /// The last probe's result in words.
    pub last_check: Option<&'a str>,
    /// Whether the last probe that was sent passed.
    pub last_check_passed: Option<bool>,
    /// How often it was ejected.
    pub ejections: u64,
    /// When its ejection ends, while there is one, whatever else keeps it out.
    pub ejected_until: Option<Time>,
}
