//! summary.csv: one row a variant, the figures of summary.json side by side with their units.
//! It must not calculate any.

use std::collections::BTreeSet;
use std::io;

use crate::summary::{Percentiles, VariantSummary};

type Cells = Vec<(String, String)>;

/// The file's bytes. Columns are the same for all rows: varied values and processes that only some
/// variants have are empty elsewhere.
pub(crate) fn csv(variants: &[VariantSummary]) -> io::Result<Vec<u8>> {
    let keys: BTreeSet<&String> = variants.iter().flat_map(|v| v.parameters.keys()).collect();
    let processes: BTreeSet<&String> = variants.iter().flat_map(|v| v.resources.keys()).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (index, variant) in variants.iter().enumerate() {
        let cells = cells(variant, &keys, &processes);
        if index == 0 {
            writer.write_record(cells.iter().map(|(name, _)| name))?;
        }
        writer.write_record(cells.iter().map(|(_, value)| value))?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

fn cells(
    variant: &VariantSummary,
    keys: &BTreeSet<&String>,
    processes: &BTreeSet<&String>,
) -> Cells {
    let counts = &variant.counts;
    let mut cells: Cells = Vec::new();
    let mut cell = |name: &str, value: String| cells.push((name.to_owned(), value));
    cell("variant", variant.name.clone());
    cell("subject", variant.subject.clone());
    if let Some(generator) = &variant.generator {
        // Variants of one run are all played, or all simulated.
        cell("generator", generator.clone());
    }
    for key in keys {
        cell(key, variant.parameters.get(*key).cloned().unwrap_or_default());
    }
    cell("rounds", variant.rounds.to_string());
    for (name, value) in [
        ("intended", Some(counts.intended)),
        ("sent", Some(counts.sent)),
        ("ok", Some(counts.ok)),
        ("failed", Some(counts.failed)),
        ("rejected", Some(counts.rejected)),
        ("dropped", Some(counts.dropped)),
        ("unfinished", Some(counts.unfinished)),
        ("attempts", counts.attempts),
        ("retries", counts.retries),
    ] {
        cell(name, optional(value));
    }
    cell("offered_rps", variant.offered_rps.to_string());
    cell("achieved_rps", variant.achieved_rps.to_string());
    for (name, figures) in [
        ("latency", &variant.latency_ms),
        ("service", &variant.service_ms),
        ("dispatch", &variant.dispatch_ms),
        ("failed", &variant.failed_ms),
    ] {
        percentiles(name, figures, &mut cell);
    }
    for process in processes {
        let entry = variant.resources.get(*process);
        let per_request = entry.and_then(|entry| entry.cpu_us_per_request);
        cell(&format!("{process}_cpu_seconds"), optional(entry.map(|entry| entry.cpu_seconds)));
        cell(&format!("{process}_cpu_us_per_request"), optional(per_request));
        let peak = entry.map(|entry| entry.rss_peak_bytes);
        cell(&format!("{process}_rss_peak_bytes"), optional(peak));
    }
    cells
}

fn percentiles(name: &str, figures: &Percentiles, cell: &mut impl FnMut(&str, String)) {
    for (statistic, value) in [
        ("mean", figures.mean),
        ("p50", figures.p50),
        ("p75", figures.p75),
        ("p90", figures.p90),
        ("p95", figures.p95),
        ("p99", figures.p99),
        ("p999", figures.p999),
        ("p9999", figures.p9999),
        ("max", figures.max),
    ] {
        cell(&format!("{name}_{statistic}_ms"), optional(value));
    }
}

fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
