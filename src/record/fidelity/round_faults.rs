//! The windows round faults, live and simulated: what the percentiles of a whole run hide. It must not
//! know which kinds of faults there are.
//!
//! A window lasts from a fault's beginning to [`AFTER_S`] after its end, or until the next fault begins.
//! It holds hundreds to some thousands of requests, and what a fault does happens to a few dozen of
//! them, so the bars of whole runs, which are for many, are too narrow here by what chance alone makes
//! of so few. A difference may be as large as the general bar plus one standard deviation of that
//! chance and be excellent, twice as large and be good:
//!
//! - **p50** 3 % and 5 %, as everywhere, beyond the quantiles of the live window that lie ½·√(1/n + 1/m)
//!   below and above the half: the standard deviation of a median's rank among n and m requests.
//! - **slow, failed, retries** are counts, a and b. They may differ by 10 % and 20 % of what was measured,
//!   the bars of p99, whose part they are to play, and by √(a + b): the standard deviation of the difference
//!   of two such counts where each request is hit by itself (Poisson). That makes 100 against 60 good,
//!   and 20 against 4 poor.
//!
//! The p99 is shown and not judged: of 1,800 requests it is the eighteenth slowest, and jumps from 80 ms
//! to the second that a timeout takes when a nineteenth meets the hang. *Slow* counts those instead: good
//! requests that took more than twice the p99 that was measured outside of all windows, which happens
//! to hardly any that meets no fault.
//!
//! Requests that a fault catches come in bunches (all that were in flight), so chance is rather larger
//! than √(a + b): a poor window of one round may be that, and several rounds tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Figure;
use super::grade::Grade;
use crate::faults::{Fault, faults};
use crate::histograms::{self, Buckets};
use crate::run::{LoadError, Run};

/// How long after its end a fault is felt: probes must pass again, what was kept waiting ends.
const AFTER_S: f64 = 5.0;
/// Windows begin and end with rows of timeline.csv, whose times are rounded to milliseconds.
const ROUNDING_S: f64 = 0.000_5;
/// A p99 of fewer says nothing about what is slow.
const LEAST_OUTSIDE: u64 = 500;
/// Slow is this many times the p99 outside.
const SLOW: f64 = 2.0;
/// The share of what was measured by which figures may differ, and of chance's standard deviation.
const MEDIAN: [(Grade, f64, f64); 2] = [(Grade::Excellent, 0.03, 1.0), (Grade::Good, 0.05, 2.0)];
const COUNT: [(Grade, f64, f64); 2] = [(Grade::Excellent, 0.10, 1.0), (Grade::Good, 0.20, 2.0)];

/// One window round a fault, of one variant, all rounds together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultWindow {
    /// "hang a-3"; several that begin together are joined.
    pub fault: String,
    /// Seconds from the end of the warm-up.
    pub from_s: f64,
    /// Likewise.
    pub to_s: f64,
    /// The worst of its figures' grades.
    pub grade: Grade,
    /// The figures that it is the grade of; none when all is excellent.
    pub decided_by: Vec<String>,
    /// Requests; the same in both, unless one was interrupted.
    pub intended: Count,
    /// Milliseconds.
    pub p50_ms: Figure,
    /// Milliseconds; shown and not judged.
    pub p99_ms: Figure,
    /// A good request that takes longer is slow; `None` where too little was measured outside.
    pub slow_ms: Option<f64>,
    /// Good requests that were slow.
    pub slow: Count,
    /// Requests that did not end well.
    pub failed: Count,
    /// Attempts beyond the first.
    pub retries: Count,
}

/// How many, in both; `None` where nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// As measured.
    pub live: Option<u64>,
    /// As simulated.
    pub sim: Option<u64>,
}

/// A window without its figures.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    faults: Vec<Fault>,
    from_s: f64,
    to_s: f64,
}

/// What one run holds of one slot: a window, or in the first slot all that is in none.
#[derive(Clone, Debug, Default)]
struct Held {
    latencies: Buckets,
    intended: u64,
    ok: u64,
    retries: Option<u64>,
}

/// The windows of each variant by its name; faults are those of the live run.
pub(super) fn compare(
    live: &Run,
    sim: &Run,
) -> Result<BTreeMap<String, Vec<FaultWindow>>, LoadError> {
    let names = live.summary.variants.iter().map(|variant| variant.name.as_str());
    let spans: BTreeMap<&str, Vec<Span>> = names.map(|name| (name, spans(live, name))).collect();
    if spans.values().all(Vec::is_empty) {
        return Ok(BTreeMap::new());
    }
    let (of_live, of_sim) = (held(live, &spans)?, held(sim, &spans)?);
    let windows = spans.iter().filter_map(|(&name, spans)| {
        let (live, sim) = (of_live.get(name)?, of_sim.get(name)?);
        let slow_ns = slow_ns(&live[0].latencies);
        let windows = spans.iter().zip(live[1..].iter().zip(&sim[1..]));
        let windows = windows.map(|(span, (live, sim))| of_window(span, live, sim, slow_ns));
        Some((name.to_owned(), windows.collect()))
    });
    Ok(windows.collect())
}

/// From each fault on. One that begins again before its window is over (a flap) has one window, and those
/// that begin with the same row share one.
fn spans(run: &Run, variant: &str) -> Vec<Span> {
    let rows = run.timeline.iter().filter(|row| row.variant == variant).map(|row| row.t_s);
    let end_s = run.summary.duration_s;
    let mut spans: Vec<Span> = Vec::new();
    for fault in faults(run, variant).into_iter().filter(|fault| fault.from_s < end_s) {
        let begun = rows.clone().filter(|row| *row <= fault.from_s + ROUNDING_S);
        let from_s = begun.fold(0.0, f64::max);
        let to_s = fault.to_s.map_or(end_s, |to_s| (to_s + AFTER_S).min(end_s));
        match spans.last_mut() {
            Some(last) if last.is_of(&fault) && from_s <= last.to_s => last.to_s = to_s,
            Some(last) if from_s <= last.from_s => {
                last.to_s = last.to_s.max(to_s);
                last.faults.push(fault);
            }
            _ => spans.push(Span { faults: vec![fault], from_s, to_s }),
        }
    }
    for next in 1..spans.len() {
        spans[next - 1].to_s = spans[next - 1].to_s.min(spans[next].from_s);
    }
    spans
}

impl Span {
    /// Whether this is the same fault once more.
    fn is_of(&self, fault: &Fault) -> bool {
        let same = |own: &Fault| (&own.kind, &own.subjects) == (&fault.kind, &fault.subjects);
        self.faults.iter().all(same)
    }

    fn holds(&self, at_s: f64) -> bool {
        self.from_s - ROUNDING_S <= at_s && at_s < self.to_s - ROUNDING_S
    }
}

/// What a run holds of each variant's slots.
fn held(
    run: &Run,
    spans: &BTreeMap<&str, Vec<Span>>,
) -> Result<BTreeMap<String, Vec<Held>>, LoadError> {
    let slot = |variant: &str, at_s: f64| {
        let found = spans.get(variant)?.iter().position(|span| span.holds(at_s));
        Some(found.map_or(0, |window| window + 1))
    };
    let latencies = histograms::sorted(&run.folder, &run.summary, &|variant, at_s| {
        slot(variant, at_s).unwrap_or(0)
    })?;
    let mut all = BTreeMap::new();
    for (variant, latencies) in run.summary.variants.iter().zip(latencies) {
        let Some(windows) = spans.get(variant.name.as_str()) else { continue };
        let mut held = vec![Held::default(); windows.len() + 1];
        held.iter_mut().zip(latencies).for_each(|(held, found)| held.latencies = found);
        all.insert(variant.name.clone(), held);
    }
    for row in &run.timeline {
        let found = slot(&row.variant, row.t_s).zip(all.get_mut(&row.variant));
        let Some((slot, held)) = found else { continue };
        let held = &mut held[slot];
        held.intended += row.intended;
        held.ok += row.ok;
        held.retries = row.retries.map(|more| held.retries.unwrap_or(0) + more).or(held.retries);
    }
    Ok(all)
}

fn of_window(span: &Span, live: &Held, sim: &Held, slow_ns: Option<u64>) -> FaultWindow {
    let ms = |held: &Held, share| at(&held.latencies, share).map(|ns| ns as f64 / 1e6);
    let figure = |share| super::relative(ms(live, share), ms(sim, share));
    let slow = |held: &Held| slow_ns.map(|slow| above(&held.latencies, slow));
    let failed = |held: &Held| Some(held.intended.saturating_sub(held.ok));
    let labels: Vec<String> = span.faults.iter().map(Fault::label).collect();
    let mut window = FaultWindow {
        fault: labels.join(", "),
        from_s: span.from_s,
        to_s: span.to_s,
        grade: Grade::Excellent,
        decided_by: Vec::new(),
        intended: Count { live: Some(live.intended), sim: Some(sim.intended) },
        p50_ms: figure(0.5),
        p99_ms: figure(0.99),
        slow_ms: slow_ns.map(|ns| ns as f64 / 1e6),
        slow: Count { live: slow(live), sim: slow(sim) },
        failed: Count { live: failed(live), sim: failed(sim) },
        retries: Count { live: live.retries, sim: sim.retries },
    };
    let judged: Vec<(Grade, String)> = [
        median(&live.latencies, &sim.latencies),
        count("slow requests", window.slow),
        count("failed requests", window.failed),
        count("retries", window.retries),
    ]
    .into_iter()
    .flatten()
    .collect();
    window.grade = judged.iter().map(|(grade, _)| *grade).max().unwrap_or(Grade::Excellent);
    let deciding = judged.into_iter().filter(|(grade, _)| *grade > Grade::Excellent);
    let deciding = deciding.filter(|(grade, _)| *grade == window.grade);
    window.decided_by = deciding.map(|(_, words)| words).collect();
    window
}

/// Twice what 99 of 100 take that meet no fault.
fn slow_ns(outside: &Buckets) -> Option<u64> {
    let enough = total(outside) >= LEAST_OUTSIDE;
    at(outside, 0.99).filter(|_| enough).map(|ns| (ns as f64 * SLOW) as u64)
}

/// The grade of the medians; none where neither has any.
fn median(live: &Buckets, sim: &Buckets) -> Option<(Grade, String)> {
    let (n, m) = (total(live), total(sim));
    let Some(found) = at(sim, 0.5) else {
        return (n > 0).then(|| (Grade::Poor, "only the live run has a p50".to_owned()));
    };
    if n == 0 {
        return Some((Grade::Poor, "only the simulation has a p50".to_owned()));
    }
    let rank = 0.5 * (1.0 / n as f64 + 1.0 / m as f64).sqrt();
    let bounds = |(share, deviations): (f64, f64)| {
        let quantile = |share: f64| at(live, share.clamp(0.0, 1.0)).unwrap_or(0) as f64;
        let (low, high) = (quantile(0.5 - deviations * rank), quantile(0.5 + deviations * rank));
        [low * (1.0 - share), high * (1.0 + share)]
    };
    let found = found as f64;
    let within = MEDIAN.iter().find(|(_, share, deviations)| {
        let [low, high] = bounds((*share, *deviations));
        (low..=high).contains(&found)
    });
    let [low, high] = bounds((MEDIAN[1].1, MEDIAN[1].2)).map(|ns| ns / 1e6);
    let words =
        format!("a p50 of {:.1} ms simulated (good from {low:.1} to {high:.1} ms)", found / 1e6);
    Some((within.map_or(Grade::Poor, |(grade, ..)| *grade), words))
}

/// The grade of two counts; none where one of them is not known.
fn count(what: &str, Count { live, sim }: Count) -> Option<(Grade, String)> {
    let (live, sim) = live.zip(sim)?;
    let chance = (live as f64 + sim as f64).sqrt();
    let most = |share: f64, deviations: f64| share * live as f64 + deviations * chance;
    let off = live.abs_diff(sim) as f64;
    let within = COUNT.iter().find(|(_, share, deviations)| off <= most(*share, *deviations));
    let good = most(COUNT[1].1, COUNT[1].2);
    let words = format!("{live} {what} live and {sim} simulated (good up to {good:.0} apart)");
    Some((within.map_or(Grade::Poor, |(grade, ..)| *grade), words))
}

fn total(of: &Buckets) -> u64 {
    of.iter().map(|(_, count)| count).sum()
}

/// How many values lie above; a bucket is counted by its upper end.
fn above(of: &Buckets, ns: u64) -> u64 {
    of.iter().filter(|(value, _)| *value > ns).map(|(_, count)| count).sum()
}

/// The value at a share of the ranks.
fn at(of: &Buckets, share: f64) -> Option<u64> {
    let rank = ((share * total(of) as f64).ceil() as u64).max(1);
    let mut seen = 0;
    let reached = of.iter().find(|(_, count)| {
        seen += count;
        seen >= rank
    });
    reached.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use Grade::{Excellent, Good, Poor};

    use super::*;

    #[test]
    fn few_may_differ_by_what_chance_makes_of_them() {
        for (live, sim, expected) in [
            (0, 0, Excellent),
            (0, 1, Excellent),
            (1, 0, Excellent),
            (0, 4, Good),
            (0, 5, Poor),
            (20, 14, Excellent),
            (20, 8, Good),
            (20, 4, Poor),
            (100, 80, Excellent),
            (100, 60, Good),
            (100, 50, Poor),
            // Of many, chance makes little: what is left are the bars of p99.
            (10_000, 8_900, Excellent),
            (10_000, 7_800, Good),
            (10_000, 7_500, Poor),
        ] {
            let count = count("x", Count { live: Some(live), sim: Some(sim) });
            assert_eq!(count.expect("both are known").0, expected, "{live} {sim}");
        }
        assert_eq!(count("x", Count { live: None, sim: Some(1) }), None);
    }

    #[test]
    fn medians_of_few_may_differ_by_more() {
        // 10 to 20 ms, evenly.
        let even = |each: u64| -> Buckets {
            (0..=100).map(|n| (10_000_000 + n * 100_000, each)).collect()
        };
        let moved = |by: u64| -> Buckets {
            even(1).into_iter().map(|(value, count)| (value * by / 100, count)).collect()
        };
        for (sim, expected) in [
            // 101 requests: the rank's standard deviation is 7 %, here 0.7 of 15 ms.
            (moved(100), Excellent),
            (moved(107), Excellent),
            (moved(113), Good),
            (moved(88), Good),
            (moved(116), Poor),
        ] {
            let (grade, words) = median(&even(1), &sim).expect("both have values");
            assert_eq!(grade, expected, "{words}");
        }
        // Of many no more than everywhere.
        let many = |by: u64| -> Buckets {
            even(10_000).into_iter().map(|(value, count)| (value * by / 100, count)).collect()
        };
        for (by, expected) in [(102, Excellent), (104, Good), (107, Poor), (93, Poor)] {
            assert_eq!(median(&many(100), &many(by)).expect("values").0, expected, "{by}");
        }
        assert_eq!(median(&vec![], &vec![]), None);
        assert_eq!(median(&even(1), &vec![]).expect("one-sided").0, Poor);
        assert_eq!(median(&vec![], &even(1)).expect("one-sided").0, Poor);
    }

    #[test]
    fn what_is_slow_is_told_by_what_met_no_fault() {
        let outside = vec![(10, 980), (50, 10), (90, 10)];
        assert_eq!(slow_ns(&outside), Some(100));
        assert_eq!(slow_ns(&vec![(10, 499)]), None);
        assert_eq!(above(&vec![(100, 7), (101, 2), (5_000, 1)], 100), 3);
    }
}
