//! Results of Artillery as the figures of a run: one variant a result. It must not know the file's
//! syntax (`written` does) nor what a report makes of it.
//!
//! Artillery counts when something happens, in periods of the wall clock; the lab by intended start.
//! The run says so in its terms.

mod doubts;
mod ends;
mod line;
mod timing;
mod written;

use std::collections::BTreeMap;

use record::Figures;
use record::figures::IMPORTED;
use record::manifest::SCHEMA;
use record::summary::{Percentiles, RoundSummary, Summary, Terms, VariantSummary};

use self::ends::Ends;
use self::line::Line;
use self::timing::Timing;
pub use self::written::Written;
use crate::problem::Problem;

/// The figures of a run of these results, each with its variant's name (all different).
///
/// # Errors
/// What in a result contradicts itself beyond repair: the place, the value and the remedy.
pub fn figures(name: &str, results: &[(String, Written)]) -> Result<Figures, Problem> {
    let all: Vec<&Written> = results.iter().map(|(_, written)| written).collect();
    let timing = Timing::best(&all);
    let mut figures = Figures {
        summary: empty(name, &all, timing),
        timeline: Vec::new(),
        events: Vec::new(),
        spectrum: Vec::new(),
    };
    let lines = all.iter().map(|written| Line::of(written)).collect::<Result<Vec<_>, _>>()?;
    let duration_s = lines.iter().map(|line| line.duration_s).fold(0.0, f64::max);
    figures.summary.duration_s = duration_s;
    for ((variant, written), line) in results.iter().zip(&lines) {
        let ends = Ends::of(&written.file, &written.whole)?;
        let doubts = doubts::of(written, &ends, line, timing);
        let whole = timing.map(|timing| timing.in_period(&written.whole)).unwrap_or_default();
        figures.timeline.extend(line.rows(variant, written, timing, duration_s)?);
        figures.spectrum.extend(whole.spectrum(variant));
        let summary = &mut figures.summary;
        let named = |doubt: &String| match results.len() {
            1 => doubt.clone(),
            _ => format!("{variant}: {doubt}"),
        };
        summary.reasons.extend(doubts.iter().map(named));
        summary.variants.push(of_variant(variant, &ends, line, &whole.percentiles(), doubts));
    }
    Ok(figures)
}

/// The run without its variants.
fn empty(name: &str, all: &[&Written], timing: Option<Timing>) -> Summary {
    let files: Vec<&str> = all.iter().map(|written| written.file.as_str()).collect();
    let mut reasons = vec![
        "Artillery measured this, not the lab: what its generator, its machine and the way to the \
         target added is not in the result, nor whether the rate that was asked of it was kept"
            .to_owned(),
    ];
    reasons.push(timing.map_or_else(
        || "no timing is in every result: there are no latencies".to_owned(),
        |timing| timing.caution().to_owned(),
    ));
    Summary {
        schema: SCHEMA,
        scenario: name.to_owned(),
        question: format!("What did Artillery measure in {}?", files.join(", ")),
        engine: IMPORTED.to_owned(),
        seed: 0,
        verdict: record::Verdict::Suspect.word().to_owned(),
        reasons,
        notes: Vec::new(),
        terms: Some(Terms {
            measured_by: "Artillery".to_owned(),
            latency: timing.map_or("nothing", Timing::meaning).to_owned(),
            counted: "by when it happened".to_owned(),
            zero: "the first thing counted".to_owned(),
        }),
        duration_s: 0.0,
        window_s: line::PERIOD_S,
        phases: Vec::new(),
        variants: Vec::new(),
        expectations: Vec::new(),
    }
}

fn of_variant(
    name: &str,
    ends: &Ends,
    line: &Line,
    latency: &Percentiles,
    doubts: Vec<String>,
) -> VariantSummary {
    let achieved_rps = line.rate(ends.counts.sent);
    VariantSummary {
        name: name.to_owned(),
        subject: "unknown".to_owned(),
        generator: Some("artillery".to_owned()),
        parameters: BTreeMap::new(),
        rounds: 1,
        counts: ends.counts,
        offered_rps: line.rate(ends.counts.intended),
        achieved_rps,
        latency_ms: *latency,
        service_ms: Percentiles::default(),
        dispatch_ms: Percentiles::default(),
        failed_ms: Percentiles::default(),
        failures: ends.failures.clone(),
        backends: Vec::new(),
        resources: BTreeMap::new(),
        per_round: vec![RoundSummary {
            round: 1,
            verdict: record::Verdict::Suspect.word().to_owned(),
            reasons: doubts,
            counts: ends.counts,
            achieved_rps,
            latency_ms: *latency,
            dispatch_ms: Percentiles::default(),
        }],
    }
}
