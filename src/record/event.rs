//! A line of events.csv. It must not know what caused it.

use base::Time;
use serde::{Deserialize, Serialize};

use crate::wire;

/// Something that happened at a point in time: a fault, an ejection, a removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// When, from the beginning of the warm-up.
    #[serde(with = "wire::time")]
    pub at: Time,
    /// Who says so: "scenario", "balancer/0", "lab".
    pub source: String,
    /// Whom it concerns: a backend's name, or empty.
    pub subject: String,
    /// One word: "crash", "crash_end", "down", "ready", "removed", "retries_denied" …
    pub kind: String,
    /// The rest, for people.
    pub detail: String,
}
