//! The rows of a run folder's CSV files: one struct a file, its fields the columns in their order.
//! They must not hold anything that the files do not.
//!
//! Times are seconds from the end of the warm-up, latencies milliseconds, sizes bytes. An empty
//! cell is a value that does not exist (the p99 of no requests, the CPU of the loopback).

use serde::{Deserialize, Serialize};

/// timeline.csv: one row per variant, round and window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineRow {
    /// The variant's name.
    pub variant: String,
    /// From 1.
    pub round: u32,
    /// The window's beginning.
    pub t_s: f64,
    /// Requests whose intended time lies in the window (all counters likewise).
    pub intended: u64,
    /// Those that were sent.
    pub sent: u64,
    /// A whole answer below 500 other than 429.
    pub ok: u64,
    /// Every other end but rejected, dropped and unfinished.
    pub failed: u64,
    /// 429 or 503.
    pub rejected: u64,
    /// Retries that balancers granted in the window; empty where nobody can tell.
    pub retries: Option<u64>,
    /// Sent and not ended, at the window's end.
    pub in_flight: u64,
    /// Of good requests, from the intended start to the last byte.
    pub p50_ms: Option<f64>,
    /// See `p50_ms`.
    pub p90_ms: Option<f64>,
    /// See `p50_ms`.
    pub p99_ms: Option<f64>,
    /// See `p50_ms`.
    pub max_ms: Option<f64>,
    /// From the intended start to the first byte written, of all sent requests.
    pub dispatch_p99_ms: Option<f64>,
}

/// backends.csv: one row per variant, round, window and backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRow {
    /// The variant's name.
    pub variant: String,
    /// From 1.
    pub round: u32,
    /// The window's beginning.
    pub t_s: f64,
    /// The backend's name.
    pub backend: String,
    /// Attempts it read in the window, probes left out.
    pub requests: u64,
    /// Its part of all backends' requests in the window; empty when there were none.
    pub share: Option<f64>,
    /// Requests inside it at the window's end.
    pub in_flight: u32,
    /// Attempts that it failed in the window.
    pub failed: u64,
    /// Its state at the window's end by the balancer's word, or empty.
    pub state: String,
}

/// events.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLine {
    /// The variant's name.
    pub variant: String,
    /// From 1.
    pub round: u32,
    /// When.
    pub t_s: f64,
    /// Who says so.
    pub source: String,
    /// Whom it concerns.
    pub subject: String,
    /// One word; a fault's end is its word with `_end`.
    pub kind: String,
    /// The rest, for people.
    pub detail: String,
}

/// resources.csv: one row per variant, round, window and process; live only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRow {
    /// The variant's name.
    pub variant: String,
    /// From 1.
    pub round: u32,
    /// The window's beginning.
    pub t_s: f64,
    /// "proxy", "backends", "lab" or "loopback".
    pub process: String,
    /// Of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory at the window's end.
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

/// spectrum.csv: the percentile spectrum of good requests, all rounds merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectrumRow {
    /// The variant's name.
    pub variant: String,
    /// "latency", "service" or "dispatch".
    pub metric: String,
    /// 0 to 1.
    pub quantile: f64,
    /// The value there.
    pub value_ms: f64,
    /// Requests up to and including this value.
    pub count: u64,
}

/// requests.csv, when asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRow {
    /// The variant's name.
    pub variant: String,
    /// From 1.
    pub round: u32,
    /// Its number in the schedule.
    pub request: u64,
    /// Its intended time.
    pub intended_s: f64,
    /// From the intended start to the end.
    pub latency_ms: f64,
    /// From the intended start to the first byte written; empty if never sent.
    pub dispatch_ms: Option<f64>,
    /// "ok", "failed", "rejected", "dropped", "unfinished".
    pub outcome: String,
    /// For failed ones: "connect", "reset", "timeout", "protocol", "status".
    pub failure: String,
    /// The answer's status.
    pub status: Option<u16>,
    /// The backend that answered.
    pub backend: String,
}
