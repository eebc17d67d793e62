//! A simulated run held against the live run of the same scenario: how far they are apart, and
//! whether that is close. A pure function of two run folders; it must not know engines.

mod distance;
mod grade;
mod ranking;
mod round_faults;

use serde::{Deserialize, Serialize};

use crate::calibration;
use crate::histograms;
use crate::run::{LoadError, Run};
use crate::same::{Difference, belong_together};
use crate::summary::{Counts, VariantSummary};
use crate::units::significant;

pub use grade::Grade;
pub use ranking::{Order, Pair, Ranking};
pub use round_faults::{Count, FaultWindow};

/// The version of comparison.json's shape.
const SCHEMA: u32 = 1;

/// comparison.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The version of this shape.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it asks.
    pub question: String,
    /// The seed of both.
    pub seed: u64,
    /// "excellent", "good", "poor", or "none" where a run cannot be believed or is not whole.
    pub verdict: String,
    /// What decided it.
    pub reasons: Vec<String>,
    /// The verdict of the live measurement.
    pub live: String,
    /// The verdict of the simulation.
    pub sim: String,
    /// What it added to the service times, in a sentence.
    #[serde(default)]
    pub overhead: String,
    /// One entry for each variant that both have.
    pub variants: Vec<VariantComparison>,
    /// Whether both order the variants alike.
    pub ranking: Ranking,
}

/// A figure as both have it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// As measured.
    pub live: Option<f64>,
    /// As simulated.
    pub sim: Option<f64>,
    /// Simulated minus measured: of durations as a share of what was measured.
    pub difference: Option<f64>,
}

/// One variant, live and simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantComparison {
    /// Its name.
    pub name: String,
    /// The worst of its figures' grades.
    pub grade: Grade,
    /// The figures that it is the grade of; none when all is excellent.
    pub decided_by: Vec<String>,
    /// Milliseconds.
    pub mean_ms: Figure,
    /// Milliseconds.
    pub p50_ms: Figure,
    /// Milliseconds.
    pub p90_ms: Figure,
    /// Milliseconds.
    pub p99_ms: Figure,
    /// 1 − ok ÷ intended; the difference is absolute.
    pub failed_ratio: Figure,
    /// The largest difference of a backend's share, absolute; `None` where neither counted any.
    pub share_difference: Option<f64>,
    /// The backend that has it.
    pub share_backend: Option<String>,
    /// Wasserstein-1 over the live mean.
    pub wasserstein: Option<f64>,
    /// Kolmogorov and Smirnov.
    pub ks: Option<f64>,
    /// The windows round faults, each with a grade of its own that counts for the verdict as well.
    #[serde(default)]
    pub faults: Vec<FaultWindow>,
}

/// Compares a live run and a simulated one.
///
/// # Errors
/// When they are not of the same scenario, overrides and seed; or a histogram cannot be read.
pub fn compare(live: &Run, sim: &Run) -> Result<Comparison, LoadError> {
    belong_together([live, sim], &ENGINES)?;
    let live_values = histograms::read(&live.folder, &live.summary)?;
    let sim_values = histograms::read(&sim.folder, &sim.summary)?;
    let sims: Vec<_> = sim.summary.variants.iter().zip(&sim_values).collect();
    let both: Vec<_> = (live.summary.variants.iter().zip(&live_values))
        .filter_map(|of_live| {
            let of_sim = sims.iter().find(|(variant, _)| variant.name == of_live.0.name)?;
            Some((of_live, *of_sim))
        })
        .collect();
    let mut windows = round_faults::compare(live, sim)?;
    let variants = both.iter().map(|((live, live_values), (sim, sim_values))| VariantComparison {
        faults: windows.remove(&live.name).unwrap_or_default(),
        ..of_variant(live, sim, distance::between(live_values, sim_values))
    });
    let variants: Vec<_> = variants.collect();
    let pairs: Vec<_> = both.iter().map(|((live, _), (sim, _))| (*live, *sim)).collect();
    let ranking = ranking::rank(&pairs);
    let (verdict, reasons) = verdict(live, sim, &variants, &ranking);
    Ok(Comparison {
        schema: SCHEMA,
        scenario: live.summary.scenario.clone(),
        question: live.summary.question.clone(),
        seed: live.summary.seed,
        verdict: verdict.to_owned(),
        reasons,
        live: live.summary.verdict.clone(),
        sim: sim.summary.verdict.clone(),
        overhead: calibration::added(&sim.manifest)
            .unwrap_or_else(|| "proxy, connections and timers take no time".to_owned()),
        variants,
        ranking,
    })
}

const ENGINES: Difference = Difference {
    what: "engine",
    of: |run| &run.summary.engine,
    wanted: ["live", "sim"],
    option: "--engine",
};

fn of_variant(
    live: &VariantSummary,
    sim: &VariantSummary,
    distances: Option<distance::Distances>,
) -> VariantComparison {
    let (l, s) = (&live.latency_ms, &sim.latency_ms);
    let mean_ns = l.mean.filter(|mean| *mean > 0.0).map(|mean| mean * 1e6);
    let wasserstein =
        distances.zip(mean_ns).map(|(found, mean)| significant(found.wasserstein_ns / mean));
    let ks = distances.map(|found| significant(found.ks));
    let (failed_live, failed_sim) = (failed_ratio(&live.counts), failed_ratio(&sim.counts));
    let failed_ratio = Figure {
        live: failed_live,
        sim: failed_sim,
        difference: failed_live.zip(failed_sim).map(|(live, sim)| significant(sim - live)),
    };
    let share = share_difference(live, sim);
    let mut compared = VariantComparison {
        name: live.name.clone(),
        grade: Grade::Excellent,
        decided_by: Vec::new(),
        mean_ms: relative(l.mean, s.mean),
        p50_ms: relative(l.p50, s.p50),
        p90_ms: relative(l.p90, s.p90),
        p99_ms: relative(l.p99, s.p99),
        failed_ratio,
        share_difference: share.as_ref().map(|(difference, _)| significant(*difference)),
        share_backend: share.map(|(_, name)| name),
        wasserstein,
        ks,
        faults: Vec::new(),
    };
    (compared.grade, compared.decided_by) = judge(&compared);
    compared
}

/// The worst grade of a variant's figures, and which have it.
fn judge(of: &VariantComparison) -> (Grade, Vec<String>) {
    let whole = |value: Option<f64>| Figure { live: value, sim: value, difference: value };
    let figures = [
        (grade::P50, of.p50_ms),
        (grade::P90, of.p90_ms),
        (grade::P99, of.p99_ms),
        (grade::WASSERSTEIN, whole(of.wasserstein)),
        (grade::KS, whole(of.ks)),
        (grade::FAILED, of.failed_ratio),
    ];
    let judged = figures.iter().filter_map(|(bar, figure)| match figure {
        Figure { difference: Some(difference), .. } => Some(bar.judge(*difference)),
        Figure { live: Some(_), .. } => Some(bar.one_sided("the live run")),
        Figure { sim: Some(_), .. } => Some(bar.one_sided("the simulation")),
        // Neither has any: nothing came back good in both, and they agree on that.
        _ => None,
    });
    let judged: Vec<_> = judged.collect();
    let worst = judged.iter().map(|(grade, _)| *grade).max().unwrap_or(Grade::Excellent);
    if worst == Grade::Excellent {
        return (worst, Vec::new());
    }
    let deciding = judged.into_iter().filter(|(grade, _)| *grade == worst);
    (worst, deciding.map(|(_, words)| words).collect())
}

fn relative(live: Option<f64>, sim: Option<f64>) -> Figure {
    let difference = live.zip(sim).and_then(|(live, sim)| match live {
        _ if live == sim => Some(0.0),
        0.0 => None,
        _ => Some(significant((sim - live) / live)),
    });
    Figure { live, sim, difference }
}

fn failed_ratio(counts: &Counts) -> Option<f64> {
    (counts.intended > 0).then(|| significant(1.0 - counts.ok as f64 / counts.intended as f64))
}

/// The largest difference of a share, and the backend that has it. One that only one run knows has
/// a share of nothing in the other.
fn share_difference(live: &VariantSummary, sim: &VariantSummary) -> Option<(f64, String)> {
    let share = |of: &VariantSummary, name: &str| {
        let entry = of.backends.iter().find(|backend| backend.name == name);
        entry.and_then(|backend| backend.share)
    };
    let mut largest: Option<(f64, String)> = None;
    for backend in live.backends.iter().chain(&sim.backends) {
        let (a, b) = (share(live, &backend.name), share(sim, &backend.name));
        if a.is_none() && b.is_none() {
            continue;
        }
        let difference = (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs();
        if largest.as_ref().is_none_or(|(most, _)| difference > *most) {
            largest = Some((difference, backend.name.clone()));
        }
    }
    largest
}

/// The verdict, and what decided it.
fn verdict(
    live: &Run,
    sim: &Run,
    variants: &[VariantComparison],
    ranking: &Ranking,
) -> (&'static str, Vec<String>) {
    let mut barred = Vec::new();
    for (run, engine) in [(live, "live"), (sim, "simulated")] {
        if matches!(run.summary.verdict.as_str(), "invalid" | "interrupted") {
            let why = run.summary.reasons.first().map_or("no reason is given", String::as_str);
            barred.push(format!("the {engine} run is {}: {why}", run.summary.verdict));
        }
    }
    if variants.is_empty() {
        barred.push("there is no variant that both runs have".to_owned());
    }
    if !barred.is_empty() {
        return ("none", barred);
    }
    let windows =
        || variants.iter().flat_map(|of| of.faults.iter().map(move |window| (of, window)));
    let grades = variants.iter().map(|of| of.grade);
    let grades = grades.chain(windows().map(|(_, window)| window.grade));
    let mut worst = grades.max().unwrap_or(Grade::Excellent);
    let mut reasons: Vec<String> = ranking
        .pairs
        .iter()
        .filter(|pair| !pair.agrees)
        .map(|pair| {
            let Pair { metric, lower, higher, .. } = pair;
            format!("by {metric}, {lower} is below {higher} live, and not simulated")
        })
        .collect();
    if !reasons.is_empty() {
        worst = Grade::Poor;
    }
    let deciding = variants.iter().filter(|of| of.grade == worst);
    reasons.extend(deciding.flat_map(|of| {
        of.decided_by.iter().map(|why| format!("{} is {}: {why}", of.name, of.grade.word()))
    }));
    let deciding = windows().filter(|(_, window)| window.grade == worst);
    reasons.extend(deciding.flat_map(|(of, window)| {
        let FaultWindow { fault, from_s, to_s, grade, decided_by, .. } = window;
        let place = format!("{}, {fault} ({from_s} to {to_s} s)", of.name);
        decided_by.iter().map(move |why| format!("{place} is {}: {why}", grade.word()))
    }));
    if worst == Grade::Excellent {
        reasons.push("every figure of every variant is within the bounds of excellent".to_owned());
    }
    reasons.push(format!("ranking: {}", ranking.note));
    (worst.word(), reasons)
}
