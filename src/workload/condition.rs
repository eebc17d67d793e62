//! What is wrong with one backend now: its active faults and their joint effect.
//! It must not know time: a [`FaultChange`] says that a fault begins or ends, not this file.
//!
//! Faults that overlap: a crash hides everything else, a hang hides what lies below it (resets,
//! errors, slowness), a reset hides errors; slow factors multiply; of several errors faults the one
//! that began first decides first. When the stronger fault ends, the weaker ones show again.

use std::time::Duration;

use base::{Distribution, Rng};

use crate::behaviour::{Gate, HealthAnswer};
use crate::fault::{FaultChange, FaultKind};

/// The longest that a slow health answer waits: the longest duration a scenario can write (10⁷ s).
/// The mean service time that scales it can be infinite.
const LONGEST: Duration = Duration::from_secs(10_000_000);

/// An error that a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: u16,
    pub(crate) after: Duration,
}

/// See the module. The faults that are active, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition(Vec<(u32, FaultKind)>);

impl Condition {
    /// All is well.
    pub(crate) const SOUND: Self = Self(Vec::new());

    pub(crate) const fn is_sound(&self) -> bool {
        self.0.is_empty()
    }

    /// A fault begins or ends. A fault that begins again is replaced; the end of one that is not
    /// active changes nothing.
    ///
    /// # Panics
    /// On a flap: plans hold its crashes instead.
    pub(crate) fn change(&mut self, change: &FaultChange) {
        assert!(
            !matches!(change.kind, FaultKind::Flap { .. }),
            "a flap reaches a backend as crashes; FaultPlan::new resolves it"
        );
        self.0.retain(|(fault, _)| *fault != change.fault);
        if change.begins {
            self.0.push((change.fault, change.kind.clone()));
        }
    }

    fn any(&self, wanted: impl Fn(&FaultKind) -> bool) -> bool {
        self.0.iter().any(|(_, kind)| wanted(kind))
    }

    pub(crate) fn crashed(&self) -> bool {
        self.any(|kind| matches!(kind, FaultKind::Crash))
    }

    pub(crate) fn hangs(&self) -> bool {
        self.any(|kind| matches!(kind, FaultKind::Hang))
    }

    /// Whether a request that is read has its connection reset. A hanging backend does not even
    /// look at it.
    pub(crate) fn resets(&self) -> bool {
        self.crashed() || (!self.hangs() && self.any(|kind| matches!(kind, FaultKind::Reset)))
    }

    pub(crate) fn gate(&self) -> Gate {
        if self.crashed() {
            Gate::Crashed
        } else if self.any(|kind| matches!(kind, FaultKind::Refuse)) {
            Gate::Refusing
        } else {
            Gate::Open
        }
    }

    /// By how much a request that starts now is slower.
    pub(crate) fn factor(&self) -> f64 {
        self.0.iter().fold(1.0, |product, (_, kind)| match kind {
            FaultKind::Slow { factor, .. } => product * factor,
            _ => product,
        })
    }

    /// Whether the request of this luck meets an error. Errors draw from a stream of their own, so
    /// that they move no service time.
    pub(crate) fn error(&self, luck: &Rng) -> Option<ErrorAnswer> {
        let mut draws = None;
        self.0.iter().find_map(|(_, kind)| match *kind {
            FaultKind::Errors { status, ratio, after, .. } => {
                let draws = draws.get_or_insert_with(|| luck.fork("errors"));
                draws.chance(ratio).then_some(ErrorAnswer { status, after })
            }
            _ => None,
        })
    }

    /// What a health check meets.
    pub(crate) fn health(&self, service: &Distribution) -> HealthAnswer {
        if self.crashed() {
            return HealthAnswer::Reset;
        }
        if self.hangs() {
            return HealthAnswer::Silence;
        }
        if self.resets() {
            return HealthAnswer::Reset;
        }
        let (mut status, mut wait, mut factor) = (200, Duration::ZERO, 1.0);
        for (_, kind) in &self.0 {
            match *kind {
                FaultKind::Slow { factor: by, health: true } => factor *= by,
                FaultKind::Errors { status: wrong, after, health: true, .. } if status == 200 => {
                    (status, wait) = (wrong, after);
                }
                _ => {}
            }
        }
        if factor > 1.0 {
            let seconds = (factor - 1.0) * service.mean();
            wait += Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
        }
        HealthAnswer::Status(status, wait)
    }
}
