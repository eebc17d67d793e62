//! latency.hlog: the HdrHistogram interval log (V2, compressed) of good requests' latencies, in
//! nanoseconds, one interval a window and one tag a trial. It must not know the other files.
//!
//! HistogramLogProcessor, HdrHistogramVisualizer and their kin read it; times are seconds from the
//! end of the warm-up, for a simulated run has no wall clock.

use std::io;
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::trial::TrialRecord;

/// The maximum is shown in milliseconds, as the field's tools do by default.
const NS_PER_MS: f64 = 1e6;

/// The lines before the first interval.
pub(crate) fn header() -> io::Result<Vec<u8>> {
    log(None)
}

/// The lines of one trial, to be appended.
pub(crate) fn lines(trial: &TrialRecord) -> io::Result<Vec<u8>> {
    // The writer begins every log with its header.
    Ok(log(Some(trial))?.split_off(header()?.len()))
}

fn log(trial: Option<&TrialRecord>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(
            "[Latencies of good requests in ns; Interval_Max in ms; one tag a variant and round]",
        )
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut bytes, &mut serializer)?;
    if let Some(trial) = trial {
        let tag = tag(&trial.plan.variant, trial.plan.round);
        for (index, window) in trial.windows.iter().enumerate() {
            let start = trial.grid.start_ns(index);
            let lasts = trial.grid.boundary_ns(index + 1) - start;
            writer
                .write_histogram(
                    &window.latency.to_histogram(),
                    Duration::from_nanos(start),
                    Duration::from_nanos(lasts),
                    Tag::new(&tag),
                )
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
    }
    Ok(bytes)
}

/// `least_request/1`; commas and white space separate fields and stand as `_`.
pub(crate) fn tag(variant: &str, round: u32) -> String {
    let is_barred = |c: char| c == ',' || c.is_whitespace() || c.is_control();
    let name: String = variant.chars().map(|c| if is_barred(c) { '_' } else { c }).collect();
    format!("{name}/{round}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_what_the_format_allows() {
        for (variant, round, expected) in [
            ("least_request", 1, "least_request/1"),
            ("p2c, 2\n\r", 12, "p2c__2__/12"),
            ("ü", 1, "ü/1"),
        ] {
            let tag = tag(variant, round);
            assert_eq!(tag, expected);
            assert!(Tag::new(&tag).is_some());
        }
    }
}
