//! What is read off from outside at the window's ends: backends, processes.
//! It must not know how it was read.

use base::Time;
use serde::{Deserialize, Serialize};

use crate::wire;

/// The backends as they stand; counters are cumulative since they started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When, from the beginning of the warm-up.
    #[serde(with = "wire::time")]
    pub at: Time,
    /// Attempts beyond the first of each request so far, hedges included; `None` where the subject
    /// cannot tell.
    pub retries: Option<u64>,
    /// One per backend of the plan, in its order.
    pub backends: Vec<BackendSample>,
}

/// One backend as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSample {
    /// Requests it has read so far, probes left out, in their order of arrival at the backend.
    pub requests: u64,
    /// Those of them that it answered with 5xx or reset.
    pub failed: u64,
    /// Requests inside it now.
    pub in_flight: u32,
    /// The most that were inside since the sample before.
    pub max_in_flight: u32,
    /// Its state by the balancer's word ("ready", "down", …), or empty where nobody tells.
    pub state: String,
}

/// What one process used in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceSample {
    /// When the window ended, from the beginning of the warm-up.
    #[serde(with = "wire::time")]
    pub at: Time,
    /// "proxy", "backends", "lab", "loopback".
    pub process: String,
    /// Of one core, over the window; `None` for "loopback".
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// In the window.
    pub disk_read_bytes: Option<u64>,
    /// In the window.
    pub disk_written_bytes: Option<u64>,
    /// In the window.
    pub net_rx_bytes: Option<u64>,
    /// In the window.
    pub net_tx_bytes: Option<u64>,
    /// Open file descriptors.
    pub fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// What one process used from the end of the warm-up to the end of the phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessTotals {
    /// As in [`ResourceSample::process`].
    pub process: String,
    /// User and system time.
    pub cpu_seconds: f64,
    /// The most it had resident.
    pub rss_peak_bytes: u64,
}
