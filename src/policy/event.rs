//! What a balancer reports of itself. It must not know who listens.

use base::{BackendId, RequestId, Time};

use crate::pool::State;

/// Something worth a line in events.csv and in the admin API's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the balancer decided it.
    pub at: Time,
    /// The backend concerned, with its name (which outlives its removal).
    pub backend: Option<(BackendId, String)>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A backend joined the pool.
    Added,
    /// A backend left the pool; why.
    Removed {
        /// "command", or how long it was silent.
        reason: String,
    },
    /// A backend's state changed; why.
    StateChanged {
        /// Before.
        from: State,
        /// After.
        to: State,
        /// For people: "2 probes failed: timeout", "connect failed", "drain asked for".
        reason: String,
    },
    /// A retry would have been right but the budget was spent. Reported once when denial begins
    /// and again with the count at most once a second, never per request.
    RetriesDenied {
        /// How many since the last such event.
        count: u64,
        /// One of them.
        example: RequestId,
    },
    /// There was cause to eject this backend, and one too many was out already. Reported once when
    /// denial begins and again with the count at most once a second, never per request.
    EjectionDenied {
        /// For people: "5 failures in a row, the last: status 500".
        cause: String,
        /// For people: "2 of 4 are ejected already".
        guard: String,
        /// How many since the last such event, of whatever backend.
        count: u64,
    },
    /// Too few backends are in service: from now on those that are out get requests too.
    PanicBegan {
        /// How many are in service.
        ready: usize,
        /// Of so many that are not drained and have been in service before.
        of: usize,
    },
    /// Enough backends are in service again: those that are out get no more requests.
    PanicEnded {
        /// How many are in service.
        ready: usize,
        /// Of so many that are not drained and have been in service before.
        of: usize,
    },
    /// The strategy was exchanged.
    StrategyChanged {
        /// Its name.
        to: String,
    },
    /// Other settings are in force.
    SettingsChanged {
        /// The tables that differ from before: "queue, timeout".
        what: String,
    },
    /// A backend's weight was changed.
    WeightChanged {
        /// The new weight.
        to: u32,
    },
}

impl EventKind {
    /// The word that stands in events.csv.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed { .. } => "removed",
            Self::StateChanged { to, .. } => to.word(),
            Self::RetriesDenied { .. } => "retries_denied",
            Self::EjectionDenied { .. } => "ejection_denied",
            Self::PanicBegan { .. } => "panic_began",
            Self::PanicEnded { .. } => "panic_ended",
            Self::StrategyChanged { .. } => "strategy_changed",
            Self::SettingsChanged { .. } => "settings_changed",
            Self::WeightChanged { .. } => "weight_changed",
        }
    }

    /// The rest of it in words, for people.
    pub fn detail(&self) -> String {
        match self {
            Self::Added => String::new(),
            Self::Removed { reason } => reason.clone(),
            Self::StateChanged { from, reason, .. } => format!("was {}: {reason}", from.word()),
            Self::RetriesDenied { count, .. } => format!("{count} retries beyond the budget"),
            Self::EjectionDenied { cause, guard, count: 1 } => format!("{cause}; but {guard}"),
            Self::EjectionDenied { cause, guard, count } => {
                format!("{cause}; but {guard} ({count} times)")
            }
            Self::PanicBegan { ready, of } => {
                format!("{ready} of {of} in service, all are used")
            }
            Self::PanicEnded { ready, of } => {
                format!("{ready} of {of} in service, the others are not used any more")
            }
            Self::StrategyChanged { to } => to.clone(),
            Self::SettingsChanged { what } => what.clone(),
            Self::WeightChanged { to } => to.to_string(),
        }
    }
}
