//! Can the measurement be believed? (DESIGN.md §9.) It must not know what was measured.

use std::time::Duration;

/// How the harness itself behaved during the measured part of a live trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Harness {
    /// The longest the generator's thread was kept from running.
    pub max_stall: Duration,
    /// CPU time stolen by the hypervisor, as a share of all.
    pub steal_ratio: f64,
    /// CPU used by each generator thread, as a share of one core.
    pub generator_cpu: f64,
    /// Requests that waited though a connection was free, or were never sent for that reason.
    pub late_by_generator: u64,
    /// Requests that waited because every connection was busy: back-pressure, not a fault.
    pub waited_for_connection: u64,
    /// File descriptors or ports that will not do, in words; predicted before the start.
    pub shortages: Vec<String>,
}

/// Whether a measurement can be believed; ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It can.
    Valid,
    /// Look at the reasons first.
    Suspect,
    /// It cannot: exit 13, and no winner is named.
    Invalid,
    /// The run was stopped before its end.
    Interrupted,
}

impl Verdict {
    /// The word that stands in summary.json.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}
