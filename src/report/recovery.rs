//! How each variant bore each fault: what failed, how slow it got, when it was over.
//! It must not know charts or pages.

use record::Run;

use crate::fault::{self, Fault};
use crate::timeline::{self, Window, median_of};

/// "Back" is this near to what was before.
const NEAR: f64 = 1.1;
/// The p99 of one window is the luck of a few requests; the median of five is not.
const SMOOTH: usize = 5;
/// Just before the next fault or the end there are fewer; a single one is believed nothing.
const LEAST: usize = 2;

/// One fault in one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recovery {
    pub(crate) fault: Fault,
    /// In the windows that the fault touches, over all rounds.
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    /// The median p99 of the windows before the first fault.
    pub(crate) before_ms: Option<f64>,
    /// The highest p99 of a window from the fault's beginning to the next fault's; infinite when
    /// there was a window whose requests got no good answer at all.
    pub(crate) worst_ms: Option<f64>,
    pub(crate) back: Back,
}

/// When p99 was back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Back {
    /// It never rose more than a tenth above the highest window before the first fault.
    NeverLeft,
    /// So many seconds after the fault's beginning.
    After(f64),
    /// Not within so many seconds, when the next fault began or the run ended.
    NotWithin(f64),
    /// There was nothing before the fault to compare with.
    Unknown,
}

/// Every fault of a variant in the order of time.
pub(crate) fn recoveries(run: &Run, variant: &str) -> Vec<Recovery> {
    let windows = timeline::windows(run, variant);
    let faults = fault::faults(run, variant);
    let Some(first) = faults.first().map(|fault| fault.from_s) else { return Vec::new() };
    let before: Vec<f64> =
        windows.iter().filter(|w| w.to_s <= first).filter_map(|w| w.p99.map(|s| s.mid)).collect();
    faults
        .iter()
        .map(|fault| {
            let next = faults.iter().map(|f| f.from_s).find(|from| *from > fault.from_s + 0.01);
            let horizon = next.unwrap_or(run.summary.duration_s);
            recovery(fault, &windows, &before, horizon)
        })
        .collect()
}

fn recovery(fault: &Fault, windows: &[Window], before: &[f64], horizon: f64) -> Recovery {
    let end = fault.to_s.unwrap_or(f64::INFINITY);
    let touched = || windows.iter().filter(|w| w.to_s > fault.from_s && w.from_s < end);
    let sum = |of: fn(&Window) -> u64| touched().map(of).fold(0, u64::saturating_add);
    let after: Vec<&Window> =
        windows.iter().filter(|w| w.to_s > fault.from_s && w.from_s < horizon).collect();
    let slowness = |w: &&Window| match w.p99 {
        Some(p99) => Some(p99.mid),
        None => (w.intended_rate > 0.0).then_some(f64::INFINITY),
    };
    let worst = after.iter().filter_map(slowness).max_by(f64::total_cmp);
    Recovery {
        fault: fault.clone(),
        failed: sum(|w| w.failed),
        rejected: sum(|w| w.rejected),
        before_ms: median_of(before.iter().copied()),
        worst_ms: worst,
        back: back(fault.from_s, &after, before, horizon),
    }
}

fn back(from_s: f64, after: &[&Window], before: &[f64], horizon: f64) -> Back {
    let (Some(usual), Some(highest)) =
        (median_of(before.iter().copied()), before.iter().copied().max_by(f64::total_cmp))
    else {
        return Back::Unknown;
    };
    // A window without a single good request is as slow as can be.
    let p99: Vec<f64> = after.iter().map(|w| w.p99.map_or(f64::MAX, |s| s.mid)).collect();
    let Some(worst) = (0..p99.len()).rev().max_by(|a, b| p99[*a].total_cmp(&p99[*b])) else {
        return Back::Unknown;
    };
    if p99[worst] <= highest * NEAR {
        return Back::NeverLeft;
    }
    let near =
        |values: &[f64]| median_of(values.iter().copied()).is_some_and(|m| m <= usual * NEAR);
    (worst..=p99.len().saturating_sub(LEAST))
        .find(|&i| p99[i] <= usual * NEAR && near(&p99[i..p99.len().min(i + SMOOTH)]))
        .map_or(Back::NotWithin(horizon - from_s), |i| {
            Back::After((after[i].from_s - from_s).max(0.0))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Spread;

    fn windows(p99: &[f64]) -> Vec<Window> {
        let at = |(i, p99): (usize, &f64)| Window {
            from_s: i as f64,
            to_s: i as f64 + 1.0,
            failed: u64::from(*p99 > 500.0),
            rejected: 0,
            intended_rate: 100.0,
            sent_rate: 100.0,
            ok_rate: 100.0,
            failed_rate: 0.0,
            rejected_rate: 0.0,
            retries_rate: None,
            p50: None,
            p99: (*p99 > 0.0).then_some(Spread { low: *p99, mid: *p99, high: *p99 }),
        };
        p99.iter().enumerate().map(at).collect()
    }

    /// Five windows of 90 to 110 ms, then the fault for three seconds.
    fn judged(after: &[f64]) -> Recovery {
        let mut all = vec![90.0, 100.0, 110.0, 100.0, 100.0];
        all.extend(after);
        let fault = Fault {
            kind: "crash".into(),
            subjects: vec!["a-1".into()],
            from_s: 5.0,
            to_s: Some(8.0),
        };
        recovery(&fault, &windows(&all), &[90.0, 100.0, 110.0, 100.0, 100.0], all.len() as f64)
    }

    #[test]
    fn p99_is_back_when_it_stays_near_what_it_was() {
        let calm = [100.0; 6];
        for (name, after, back) in [
            ("quiet", vec![100.0, 110.0, 120.0, 100.0, 100.0, 100.0], Back::NeverLeft),
            ("two bad seconds", [&[900.0, 800.0][..], &calm].concat(), Back::After(2.0)),
            (
                "slow to begin",
                [&[100.0, 100.0, 900.0, 800.0][..], &calm].concat(),
                Back::After(4.0),
            ),
            (
                "one lucky window",
                [&[900.0, 100.0, 900.0, 900.0, 900.0][..], &calm].concat(),
                Back::After(5.0),
            ),
            (
                "one unlucky window later",
                [&[900.0][..], &calm, &[160.0][..], &calm].concat(),
                Back::After(1.0),
            ),
            ("no good request at all", [&[0.0, 0.0, 0.0][..], &calm].concat(), Back::After(3.0)),
            ("just before the end", vec![900.0, 900.0, 100.0, 100.0], Back::After(2.0)),
            (
                "one good window is no recovery",
                vec![900.0, 900.0, 900.0, 100.0],
                Back::NotWithin(4.0),
            ),
            ("never", vec![900.0; 9], Back::NotWithin(9.0)),
        ] {
            assert_eq!(judged(&after).back, back, "{name}");
        }
    }

    #[test]
    fn failures_are_those_of_the_windows_that_the_fault_touches() {
        let recovery = judged(&[900.0, 900.0, 900.0, 900.0, 900.0, 100.0]);
        assert_eq!((recovery.failed, recovery.worst_ms), (3, Some(900.0)));
        assert_eq!(recovery.before_ms, Some(100.0));
    }

    #[test]
    fn no_good_answer_at_all_is_the_worst() {
        assert_eq!(judged(&[900.0, 0.0, 100.0]).worst_ms, Some(f64::INFINITY));
    }

    #[test]
    fn without_a_before_there_is_no_back() {
        let fault = Fault { kind: "crash".into(), subjects: vec![], from_s: 0.0, to_s: None };
        assert_eq!(recovery(&fault, &windows(&[100.0; 9]), &[], 9.0).back, Back::Unknown);
    }
}
