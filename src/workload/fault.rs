//! What goes wrong, and when. It must not know how a fault looks on a wire.

use std::time::Duration;

use base::Time;

/// A way to fail.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// All connections are reset, the listener is closed.
    Crash,
    /// The listener is closed; open connections are served on.
    Refuse,
    /// Accepts, answers nothing; requests in service stand still and go on afterwards.
    Hang,
    /// A connection is reset when a request has been read from it.
    Reset,
    /// Requests that start from now on take `factor` times as long.
    Slow {
        /// Above 0.
        factor: f64,
        /// The health answer is slow too (by `factor − 1` mean service times).
        health: bool,
    },
    /// A share of the requests is answered with an error.
    Errors {
        /// The status, 400 to 599.
        status: u16,
        /// The share, 0 to 1.
        ratio: f64,
        /// How long the error takes, in place of a service time and past the queue.
        after: Duration,
        /// The health answer fails too.
        health: bool,
    },
    /// Crashes at the start of every `period`, for `duty` of it.
    Flap {
        /// From one crash to the next.
        period: Duration,
        /// The share of it that is down, between 0 and 1.
        duty: f64,
    },
}

/// A fault of a scenario, its backends resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When, from the end of the warm-up.
    pub at: Duration,
    /// For how long; `None` is to the end.
    pub length: Option<Duration>,
    /// Indices of the backends concerned, in the trial's order.
    pub backends: Vec<usize>,
    /// What.
    pub kind: FaultKind,
}

/// A fault that begins or ends at one backend (flaps are crashes here).
#[derive(Clone, Debug, PartialEq)]
pub struct FaultChange {
    /// When, from the beginning of the warm-up.
    pub at: Time,
    /// Which backend.
    pub backend: usize,
    /// Names the fault, so that its end is matched to its beginning when faults overlap.
    pub fault: u32,
    /// What; never [`FaultKind::Flap`].
    pub kind: FaultKind,
    /// It begins, or it ends.
    pub begins: bool,
}

/// All changes of a trial in order of time; ties in the order of the scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// In order of time.
    pub changes: Vec<FaultChange>,
}

impl FaultPlan {
    /// Resolves faults into changes. `warmup` shifts them to the beginning of the warm-up; flaps
    /// stop at `length` (warm-up and phases together).
    pub fn new(faults: &[Fault], warmup: Duration, length: Duration) -> Self {
        let _ = (faults, warmup, length);
        todo!()
    }
}

impl FaultKind {
    /// The word that stands in scenarios and events.csv.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Slow { .. } => "slow",
            Self::Errors { .. } => "errors",
            Self::Flap { .. } => "flap",
        }
    }
}
