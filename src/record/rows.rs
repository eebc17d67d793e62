//! The rows of a run folder's CSV files: one struct a file, its fields the columns in their order.
//! They must not hold anything that the files do not.
//!
//! Times are seconds from the end of the warm-up, latencies milliseconds, sizes bytes. An empty
//! cell is a value that does not exist (the p99 of no requests, the CPU of the loopback).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A file of rows.
pub trait Row: Serialize + DeserializeOwned {
    /// The file's name in the run folder.
    const FILE: &'static str;
    /// The header, which a file without rows has as well; a test holds it to the fields.
    const COLUMNS: &'static [&'static str];
    /// The variant that the row belongs to.
    fn variant(&self) -> &str;
    /// Whether all its numbers are finite: "NaN" parses, and no chart can show it.
    fn is_finite(&self) -> bool;
}

/// `floats` are the columns that can hold something else than a finite number.
macro_rules! row {
    ($row:ty, $file:literal, $($column:ident)+; floats $($float:ident)+) => {
        impl Row for $row {
            const FILE: &'static str = $file;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];
            fn variant(&self) -> &str {
                &self.variant
            }
            fn is_finite(&self) -> bool {
                [$(Into::<Option<f64>>::into(self.$float)),+].iter().flatten().all(|v| v.is_finite())
            }
        }
    };
}

row!(TimelineRow, "timeline.csv",
    variant round t_s intended sent ok failed rejected retries in_flight
    p50_ms p90_ms p99_ms max_ms dispatch_p99_ms;
    floats t_s p50_ms p90_ms p99_ms max_ms dispatch_p99_ms);
row!(BackendRow, "backends.csv",
    variant round t_s backend requests share in_flight failed state; floats t_s share);
row!(EventLine, "events.csv", variant round t_s source subject kind detail; floats t_s);
row!(ResourceRow, "resources.csv",
    variant round t_s process cpu_percent rss_bytes disk_read_bytes disk_written_bytes
    net_rx_bytes net_tx_bytes fds threads;
    floats t_s cpu_percent);
row!(SpectrumRow, "spectrum.csv",
    variant metric quantile value_ms count; floats quantile value_ms);
row!(RequestRow, "requests.csv",
    variant round request intended_s latency_ms dispatch_ms outcome failure status backend;
    floats intended_s latency_ms dispatch_ms);

/// timeline.csv: one row per variant, round and window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn header<R: Row + Default>() -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(R::default()).expect("writing to memory");
        let bytes = writer.into_inner().expect("writing to memory");
        String::from_utf8(bytes).expect("ASCII").lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn headers_are_the_fields_in_their_order() {
        for (columns, written) in [
            (TimelineRow::COLUMNS, header::<TimelineRow>()),
            (BackendRow::COLUMNS, header::<BackendRow>()),
            (EventLine::COLUMNS, header::<EventLine>()),
            (ResourceRow::COLUMNS, header::<ResourceRow>()),
            (SpectrumRow::COLUMNS, header::<SpectrumRow>()),
            (RequestRow::COLUMNS, header::<RequestRow>()),
        ] {
            assert_eq!(columns.join(","), written);
        }
    }
}
