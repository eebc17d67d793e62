//! Do two load generators measure the same? The built-in one and Artillery, one after the other under
//! the same load. A pure function of two run folders; it must not know generators.

use serde::{Deserialize, Serialize};

use crate::run::{LoadError, Run};
use crate::same::{Difference, belong_together};
use crate::summary::{PhaseEntry, VariantSummary};
use crate::units::significant;

/// The version of the shape in comparison.json.
const SCHEMA: u32 = 1;

/// The medians from the first byte sent may differ by so much, ms: two ticks of Artillery's clock. They
/// are what is held against each other, because only from that byte on both look at the same thing, the
/// system under test; what comes before is each generator's own.
const P50_MS: f64 = 2.0;

/// And what the generators take before that byte by so much, ms: preparing a request costs Node a
/// millisecond or two, on a slow core more. Beyond it something else is hidden there, such as a wait for
/// a connection that only one of them knows.
const OWN_MS: f64 = 10.0;

/// The shares of requests that did not end well may differ by so much: which requests a fault meets
/// is a matter of milliseconds.
const FAILED: f64 = 0.01;

/// comparison.json, of two generators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The version of this shape.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it asks.
    pub question: String,
    /// The seed of both.
    pub seed: u64,
    /// "agree", "differ", or "none" where a run cannot be believed or is not whole.
    pub verdict: String,
    /// What decided it.
    pub reasons: Vec<String>,
    /// The verdict of the measurement with the built-in generator.
    pub builtin: String,
    /// The verdict of the measurement with Artillery.
    pub artillery: String,
    /// One entry for each variant that both have.
    pub variants: Vec<VariantAgreement>,
}

/// One variant under both generators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantAgreement {
    /// Its name.
    pub name: String,
    /// Whether they agree.
    pub agrees: bool,
    /// Where they do not, in words.
    pub differences: Vec<String>,
    /// Under the built-in generator.
    pub builtin: Measured,
    /// Under Artillery.
    pub artillery: Measured,
    /// Artillery's median from the first byte sent minus the other's: of the system under test.
    pub service_p50_difference_ms: Option<f64>,
    /// Likewise of the time before that byte: the generator's own work.
    pub dispatch_p50_difference_ms: Option<f64>,
    /// Likewise of the whole latency, from the intended time on.
    pub p50_difference_ms: Option<f64>,
}

/// What one generator measured of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Requests that it made.
    pub intended: u64,
    /// Completed well.
    pub ok: u64,
    /// 1 − ok ÷ intended.
    pub failed_ratio: Option<f64>,
    /// Milliseconds.
    pub p50_ms: Option<f64>,
    /// Milliseconds.
    pub p90_ms: Option<f64>,
    /// Milliseconds.
    pub p99_ms: Option<f64>,
    /// The median from the request's first byte on, without the generator's own part; milliseconds.
    pub service_p50_ms: Option<f64>,
    /// The median of the time before that byte: the generator's own part; milliseconds.
    pub dispatch_p50_ms: Option<f64>,
}

/// Compares a run under the built-in generator with one under Artillery.
///
/// # Errors
/// When they are not of the same scenario, overrides and seed, or under other generators.
pub fn compare(builtin: &Run, artillery: &Run) -> Result<Agreement, LoadError> {
    belong_together([builtin, artillery], &GENERATORS)?;
    let slack = slack(&builtin.summary.phases);
    let pairs = builtin.summary.variants.iter().filter_map(|ours| {
        let theirs = artillery.summary.variants.iter().find(|theirs| theirs.name == ours.name)?;
        Some(of_variant(ours, theirs, slack * u64::from(ours.rounds)))
    });
    let variants: Vec<VariantAgreement> = pairs.collect();
    let (verdict, reasons) = verdict(builtin, artillery, &variants);
    Ok(Agreement {
        schema: SCHEMA,
        scenario: builtin.summary.scenario.clone(),
        question: builtin.summary.question.clone(),
        seed: builtin.summary.seed,
        verdict: verdict.to_owned(),
        reasons,
        builtin: builtin.summary.verdict.clone(),
        artillery: artillery.summary.verdict.clone(),
        variants,
    })
}

const GENERATORS: Difference = Difference {
    what: "load generator",
    of: |run| run.manifest["generator"].as_str().unwrap_or_default(),
    wanted: ["builtin", "artillery"],
    option: "--load",
};

/// By how many requests a round of the two may differ, because Artillery makes whole ones: one each
/// second of a ramp, and one in a phase that holds no whole number of them.
fn slack(phases: &[PhaseEntry]) -> u64 {
    let of = |phase: &PhaseEntry| {
        let lasts = phase.to_s - phase.from_s;
        let ramps = phase.rate_from != phase.rate_to;
        let whole = (lasts * phase.rate_from).fract() == 0.0;
        match (ramps, whole) {
            (true, _) => lasts.ceil() as u64,
            (false, false) => 1,
            (false, true) => 0,
        }
    };
    phases.iter().map(of).sum()
}

fn of_variant(ours: &VariantSummary, theirs: &VariantSummary, slack: u64) -> VariantAgreement {
    let (builtin, artillery) = (Measured::of(ours), Measured::of(theirs));
    let mut differences = Vec::new();
    if builtin.intended.abs_diff(artillery.intended) > slack {
        differences.push(format!(
            "the built-in generator made {} requests and Artillery {}",
            builtin.intended, artillery.intended
        ));
    }
    let apart = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| significant(b - a));
    let failed = apart(builtin.failed_ratio, artillery.failed_ratio);
    if failed.is_some_and(|failed| failed.abs() > FAILED) {
        differences.push(format!(
            "{} of {} requests ended well under the built-in generator, {} of {} under Artillery",
            builtin.ok, builtin.intended, artillery.ok, artillery.intended
        ));
    }
    let service_p50_difference_ms = apart(builtin.service_p50_ms, artillery.service_p50_ms);
    let dispatch_p50_difference_ms = apart(builtin.dispatch_p50_ms, artillery.dispatch_p50_ms);
    differences.extend(medians(&builtin, &artillery));
    VariantAgreement {
        name: ours.name.clone(),
        agrees: differences.is_empty(),
        differences,
        builtin,
        artillery,
        service_p50_difference_ms,
        dispatch_p50_difference_ms,
        p50_difference_ms: apart(builtin.p50_ms, artillery.p50_ms),
    }
}

/// Where the medians are too far apart, in words.
fn medians(builtin: &Measured, artillery: &Measured) -> Vec<String> {
    let far = |a: Option<f64>, b: Option<f64>, most: f64| {
        a.zip(b).filter(|(a, b)| significant(b - a).abs() > most)
    };
    if builtin.service_p50_ms.is_some() != artillery.service_p50_ms.is_some() {
        return vec!["only under one of them did any request end well".to_owned()];
    }
    let service = far(builtin.service_p50_ms, artillery.service_p50_ms, P50_MS).map(|(a, b)| {
        format!(
            "from the first byte sent the medians are {a:.1} and {b:.1} ms, more than {P50_MS} ms apart"
        )
    });
    let own = far(builtin.dispatch_p50_ms, artillery.dispatch_p50_ms, OWN_MS).map(|(a, b)| {
        format!(
            "before the first byte the generators take {a:.1} and {b:.1} ms, more than {OWN_MS} ms \
             apart: that is not the work of preparing a request alone"
        )
    });
    service.into_iter().chain(own).collect()
}

impl Measured {
    fn of(variant: &VariantSummary) -> Self {
        let counts = &variant.counts;
        let share = counts.ok as f64 / counts.intended as f64;
        Self {
            intended: counts.intended,
            ok: counts.ok,
            failed_ratio: (counts.intended > 0).then(|| significant(1.0 - share)),
            p50_ms: variant.latency_ms.p50,
            p90_ms: variant.latency_ms.p90,
            p99_ms: variant.latency_ms.p99,
            service_p50_ms: variant.service_ms.p50,
            dispatch_p50_ms: variant.dispatch_ms.p50,
        }
    }
}

fn verdict(
    builtin: &Run,
    artillery: &Run,
    variants: &[VariantAgreement],
) -> (&'static str, Vec<String>) {
    let mut reasons = Vec::new();
    for (run, who) in [(builtin, "the built-in generator"), (artillery, "Artillery")] {
        let verdict = &run.summary.verdict;
        if !["valid", "suspect"].contains(&verdict.as_str()) {
            reasons.push(format!("the measurement under {who} is {verdict}"));
        }
    }
    if !reasons.is_empty() {
        return ("none", reasons);
    }
    for variant in variants {
        let of = |difference: &String| format!("{}: {difference}", variant.name);
        reasons.extend(variant.differences.iter().map(of));
    }
    (if reasons.is_empty() { "agree" } else { "differ" }, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_artillery_rounds_may_differ() {
        let phase = |lasts, rate_from, rate_to| PhaseEntry {
            name: "p".into(),
            from_s: 3.0,
            to_s: 3.0 + lasts,
            rate_from,
            rate_to,
        };
        for (phases, expected) in [
            (vec![phase(10.0, 100.0, 100.0)], 0),
            (vec![phase(10.0, 0.5, 0.5)], 0),
            (vec![phase(1.0, 0.5, 0.5)], 1),
            (vec![phase(10.0, 0.0, 100.0)], 10),
            (vec![phase(10.0, 0.0, 100.0), phase(1.5, 3.0, 3.0)], 11),
        ] {
            assert_eq!(slack(&phases), expected, "{phases:?}");
        }
    }

    #[test]
    fn what_counts_as_a_difference() {
        let variant = |intended: u64, ok: u64, own_ms: f64, service: Option<f64>| {
            let latency = service.map(|ms| ms + own_ms);
            let text = serde_json::json!({
                "name": "v", "subject": "lab", "parameters": {}, "rounds": 1,
                "intended": intended, "sent": intended, "ok": ok, "failed": intended - ok,
                "rejected": 0, "dropped": 0, "unfinished": 0, "attempts": null, "retries": null,
                "offered_rps": 1.0, "achieved_rps": 1.0,
                "latency_ms": { "p50": latency }, "service_ms": { "p50": service },
                "dispatch_ms": { "p50": own_ms },
                "failed_ms": {}, "failures": {}, "backends": [], "resources": {},
                "per_round": [],
            });
            serde_json::from_value::<VariantSummary>(text).expect("its shape")
        };
        let ours = variant(1000, 1000, 0.25, Some(20.0));
        // What Artillery measured, the slack, a part of the difference.
        for (intended, ok, own_ms, service, slack, part) in [
            (1000, 1000, 0.25, Some(22.0), 0, None),
            (1000, 1000, 0.25, Some(18.0), 0, None),
            (1000, 1000, 0.25, Some(22.1), 0, Some("20.0 and 22.1 ms, more than 2 ms apart")),
            (1000, 1000, 0.25, Some(17.9), 0, Some("20.0 and 17.9 ms, more than 2 ms apart")),
            // What the generator takes is its own, and no system's …
            (1000, 1000, 5.25, Some(21.0), 0, None),
            // … and hides nothing that is.
            (1000, 1000, 5.25, Some(22.1), 0, Some("from the first byte sent")),
            (1000, 1000, 10.5, Some(20.0), 0, Some("take 0.2 and 10.5 ms, more than 10 ms apart")),
            (999, 999, 0.25, Some(20.0), 0, Some("made 1000 requests and Artillery 999")),
            (999, 999, 0.25, Some(20.0), 1, None),
            (1000, 990, 0.25, Some(20.0), 0, None),
            (1000, 989, 0.25, Some(20.0), 0, Some("989 of 1000")),
            (1000, 0, 0.25, None, 0, Some("0 of 1000")),
            (1000, 0, 0.25, None, 0, Some("only under one of them")),
        ] {
            let found = of_variant(&ours, &variant(intended, ok, own_ms, service), slack);
            assert_eq!(found.agrees, part.is_none(), "{found:?}");
            if let Some(part) = part {
                assert!(found.differences.iter().any(|text| text.contains(part)), "{found:?}");
            }
            assert_eq!(found.dispatch_p50_difference_ms, Some(own_ms - 0.25));
            let whole = service.map(|ms| significant(ms + own_ms - 20.25));
            assert_eq!(found.p50_difference_ms, whole, "both parts together");
        }
    }
}
