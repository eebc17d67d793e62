//! Can the measurement be believed? (DESIGN.md §9.) It must not know what was measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;
use crate::foreign::Foreign;
use crate::units;

/// Of the intended requests, those that the generator must have sent in time.
const LEAST_ACHIEVED: f64 = 0.99;
/// The generator's own dispatch p99 may reach this …
const DISPATCH_FLOOR: Duration = Duration::from_millis(1);
/// … or this part of the latency p99, whichever is more.
const DISPATCH_OF_LATENCY: f64 = 0.05;
/// A stall of this length or more leaves a mark on what was measured.
const LONGEST_STALL: Duration = Duration::from_millis(20);
/// CPU time that the hypervisor may steal.
const MOST_STEAL: f64 = 0.01;
/// CPU a generator thread may use of its core; above it queueing begins in the generator.
const MOST_GENERATOR_CPU: f64 = 0.80;

/// How the harness itself behaved during the measured part of a live trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// The longest the generator's thread was kept from running.
    pub max_stall: Duration,
    /// CPU time stolen by the hypervisor, as a share of all.
    pub steal_ratio: f64,
    /// CPU used by each generator thread, as a share of one core.
    pub generator_cpu: f64,
    /// Requests that waited though a connection was free, or were never sent for that reason.
    pub late_by_generator: u64,
    /// Requests that waited because every connection was busy: back-pressure, not a fault.
    pub waited_for_connection: u64,
    /// The 99th percentile of the delay that is the generator's own doing; `None` where it does not
    /// keep one apart, and the rule has to make do with the counters.
    pub own_dispatch_p99: Option<Duration>,
    /// File descriptors or ports that will not do, in words; predicted before the start.
    pub shortages: Vec<String>,
    /// What is known of a generator that is not ours; then it cannot say itself what it was late
    /// with. Never in the parts of a sweep, which are simulated.
    #[serde(skip)]
    pub foreign: Option<Foreign>,
}

/// Whether a measurement can be believed; ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It can.
    Valid,
    /// Look at the reasons first.
    Suspect,
    /// It cannot: exit 13, and no winner is named.
    Invalid,
    /// The run was stopped before its end.
    Interrupted,
}

impl Verdict {
    /// The verdict of a word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Valid, Self::Suspect, Self::Invalid, Self::Interrupted];
        all.into_iter().find(|verdict| verdict.word() == word)
    }

    /// The word that stands in summary.json.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a trial's record says about its harness.
pub(crate) struct Evidence<'a> {
    /// Requests in the schedule.
    pub(crate) intended: u64,
    /// Those that waited until their time had passed, or until after the last phase. Requests that
    /// could not connect are not among them: that is an answer.
    pub(crate) never_or_late: u64,
    /// Of all sent requests.
    pub(crate) dispatch: &'a Distribution,
    /// Of good requests.
    pub(crate) latency_p50_ns: Option<u64>,
    /// Likewise.
    pub(crate) latency_p99_ns: Option<u64>,
    /// Of failed ones, for a run in which nothing was good.
    pub(crate) failed_p99_ns: Option<u64>,
    /// The highest intended rate, requests a second.
    pub(crate) peak_rate: f64,
}

/// Applies the rules; reasons are sentences with figures, the worst first.
pub(crate) fn judge(harness: &Harness, evidence: &Evidence<'_>) -> (Verdict, Vec<String>) {
    let mut invalid: Vec<String> = harness.shortages.clone();
    let mut suspect = Vec::new();
    if let Some(foreign) = &harness.foreign {
        invalid.extend(foreign.flaws());
        suspect.extend(foreign.doubts(evidence.peak_rate, evidence.latency_p50_ns));
    } else {
        invalid.extend(too_few_sent(harness, evidence));
        invalid.extend(dispatched_late(harness, evidence));
    }
    if evidence.intended == 0 {
        suspect.push(
            "not one request was due after the warm-up, so nothing was measured: raise the rate, or \
             lengthen the phases"
                .to_owned(),
        );
    }
    suspect.extend(doubts(harness));
    let verdict = match (invalid.is_empty(), suspect.is_empty()) {
        (false, _) => Verdict::Invalid,
        (true, false) => Verdict::Suspect,
        (true, true) => Verdict::Valid,
    };
    invalid.extend(suspect);
    (verdict, invalid)
}

/// Back-pressure (every connection busy, as when backends hang) is no fault of the generator: what
/// is missing because of it is left out, and of the rest only what the generator was late with.
fn too_few_sent(harness: &Harness, evidence: &Evidence<'_>) -> Option<String> {
    let unexplained = evidence.never_or_late.saturating_sub(harness.waited_for_connection);
    let missing = unexplained.min(harness.late_by_generator);
    let intended = evidence.intended;
    let achieved = 1.0 - missing as f64 / intended.max(1) as f64;
    (achieved < LEAST_ACHIEVED).then(|| {
        format!(
            "the generator could send only {} of the {intended} intended requests in time ({} are \
             needed): lower the rate, or give it a core of its own",
            percent(achieved),
            percent(LEAST_ACHIEVED),
        )
    })
}

/// The generator's own p99, of requests that had a connection free, without a single long stall:
/// that makes a run suspect, by a rule of its own.
///
/// Which requests a stall delayed the record does not say, only how many they can be. Were they,
/// and those that waited for a connection, the latest of all, the p99 of the others would be found
/// at this rank; wherever else they are, it lies higher. So what explains lateness is never blamed
/// on the generator, and lateness behind more of it than there is of the rest is left to
/// [`too_few_sent`].
fn dispatched_late(harness: &Harness, evidence: &Evidence<'_>) -> Option<String> {
    let stalled = match harness.max_stall >= LONGEST_STALL {
        true => (harness.max_stall.as_secs_f64() * evidence.peak_rate).ceil() as u64,
        false => 0,
    };
    let explained = harness.waited_for_connection.saturating_add(stalled);
    let others = evidence.dispatch.count().saturating_sub(explained);
    let of_others = evidence.dispatch.at_rank((u128::from(others) * 99).div_ceil(100) as u64)?;
    let own_p99 = harness.own_dispatch_p99.map_or(u64::MAX, base::time::nanos).min(of_others);
    let latency_p99 = evidence.latency_p99_ns.or(evidence.failed_p99_ns).unwrap_or(0);
    let floor = DISPATCH_FLOOR.as_nanos() as u64;
    let most = floor.max((latency_p99 as f64 * DISPATCH_OF_LATENCY) as u64);
    (own_p99 > most).then(|| {
        format!(
            "the generator itself sent late: its dispatch p99 is {} ms, and above {} ms (the \
             greater of 1 ms and 5 % of the latency p99, {} ms) it colours the latencies: lower \
             the rate, or give it a core of its own",
            units::ms(own_p99),
            units::ms(most),
            units::ms(latency_p99),
        )
    })
}

fn doubts(harness: &Harness) -> Vec<String> {
    let mut doubts = Vec::new();
    if harness.max_stall >= LONGEST_STALL {
        // Ours knows when a request was due, others only when they came to make it.
        let shows = match harness.foreign {
            None => "requests of that moment show it in their dispatch",
            Some(_) => "requests that were due then came later, which no latency shows",
        };
        doubts.push(format!(
            "the generator was kept from running for {} ms (20 ms is the limit): {shows}",
            harness.max_stall.as_millis(),
        ));
    }
    if harness.steal_ratio > MOST_STEAL {
        doubts.push(format!(
            "the hypervisor took {} of the CPU time (1 % is the limit): other guests are busy",
            percent(harness.steal_ratio),
        ));
    }
    if harness.generator_cpu > MOST_GENERATOR_CPU {
        doubts.push(format!(
            "the generator used {} of its core (80 % is the limit): it is near what it can send",
            percent(harness.generator_cpu),
        ));
    }
    doubts
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Meter;

    const MS: u64 = 1_000_000;

    /// 10,000 requests dispatched in 0.05 ms, but for `late` of them.
    fn dispatch(late: u64, late_ns: u64) -> Distribution {
        let mut meter = Meter::new();
        for index in 0..10_000 {
            meter.record(if index < late { late_ns } else { 50_000 });
        }
        meter.distribution()
    }

    fn verdict(harness: &Harness, never_or_late: u64, dispatch: &Distribution) -> Verdict {
        let evidence = Evidence {
            intended: 10_000,
            never_or_late,
            dispatch,
            latency_p50_ns: Some(20 * MS),
            latency_p99_ns: Some(80 * MS),
            failed_p99_ns: None,
            peak_rate: 1000.0,
        };
        let (verdict, reasons) = judge(harness, &evidence);
        assert_eq!(reasons.is_empty(), verdict == Verdict::Valid, "{reasons:?}");
        verdict
    }

    #[test]
    fn the_rules() {
        use Verdict::{Invalid, Suspect, Valid};
        let calm = Harness::default();
        let stalled = |ms| Harness { max_stall: Duration::from_millis(ms), ..Harness::default() };
        let late = |late_by_generator| Harness { late_by_generator, ..Harness::default() };
        let waited =
            |waited_for_connection| Harness { waited_for_connection, ..Harness::default() };
        for (name, harness, never_or_late, dispatch, expected) in [
            ("calm", calm.clone(), 0, dispatch(0, 0), Valid),
            ("1 % late", calm.clone(), 0, dispatch(100, 500 * MS), Valid),
            ("5 % of 80 ms", calm.clone(), 0, dispatch(200, 3_900_000), Valid),
            ("more than that", calm.clone(), 0, dispatch(200, 4_100_000), Invalid),
            ("backends hang: all wait", waited(4_000), 3_000, dispatch(4_000, 900 * MS), Valid),
            ("some wait, more are late", waited(400), 0, dispatch(600, 900 * MS), Invalid),
            ("rate far too high", late(9_000), 9_000, dispatch(1_000, 900 * MS), Invalid),
            (
                "and with all connections busy",
                Harness { waited_for_connection: 1_000, ..late(9_000) },
                9_000,
                dispatch(1_000, 900 * MS),
                Invalid,
            ),
            (
                "backends hang, and the machine is noisy",
                Harness { waited_for_connection: 6_000, ..late(300) },
                6_000,
                dispatch(4_000, 900 * MS),
                Valid,
            ),
            (
                "the generator knows that others waited, and where",
                Harness { own_dispatch_p99: Some(Duration::from_micros(80)), ..calm.clone() },
                0,
                dispatch(4_000, 900 * MS),
                Valid,
            ),
            (
                "the generator knows that it was late",
                Harness { own_dispatch_p99: Some(Duration::from_millis(9)), ..calm.clone() },
                0,
                dispatch(4_000, 900 * MS),
                Invalid,
            ),
            ("late, but sent", late(101), 0, dispatch(0, 0), Valid),
            ("1 % never sent", late(100), 100, dispatch(0, 0), Valid),
            ("more than that", late(101), 101, dispatch(0, 0), Invalid),
            (
                "another generator sends late and cannot know",
                Harness {
                    foreign: Some(Foreign {
                        threads: 2,
                        planned: 9,
                        made: 9,
                        ..Foreign::default()
                    }),
                    ..late(9_000)
                },
                9_000,
                dispatch(4_000, 900 * MS),
                Valid,
            ),
            (
                "another generator makes too few",
                Harness {
                    foreign: Some(Foreign { planned: 9, made: 8, ..Foreign::default() }),
                    ..calm.clone()
                },
                0,
                dispatch(0, 0),
                Invalid,
            ),
            (
                "another generator has too coarse a clock",
                Harness {
                    foreign: Some(Foreign {
                        clock: Duration::from_millis(7),
                        threads: 2,
                        planned: 9,
                        made: 9,
                        ..Foreign::default()
                    }),
                    ..calm.clone()
                },
                0,
                dispatch(0, 0),
                Suspect,
            ),
            ("short stall", stalled(19), 0, dispatch(0, 0), Valid),
            ("stall", stalled(20), 0, dispatch(0, 0), Suspect),
            ("SIGSTOP for 300 ms", stalled(300), 0, dispatch(300, 290 * MS), Suspect),
            ("more than it explains", stalled(300), 0, dispatch(600, 290 * MS), Invalid),
            ("steal", Harness { steal_ratio: 0.02, ..calm.clone() }, 0, dispatch(0, 0), Suspect),
            ("busy", Harness { generator_cpu: 0.81, ..calm.clone() }, 0, dispatch(0, 0), Suspect),
            (
                "short of fds",
                Harness { shortages: vec!["1024 fds".into()], ..calm },
                0,
                dispatch(0, 0),
                Invalid,
            ),
        ] {
            assert_eq!(verdict(&harness, never_or_late, &dispatch), expected, "{name}");
        }
    }

    #[test]
    fn without_good_requests_the_failed_ones_are_the_measure() {
        let dispatch = dispatch(10_000, 30 * MS);
        for (failed_p99_ns, expected) in
            [(Some(5_000 * MS), Verdict::Valid), (None, Verdict::Invalid)]
        {
            let evidence = Evidence {
                intended: 10_000,
                never_or_late: 0,
                dispatch: &dispatch,
                latency_p50_ns: None,
                latency_p99_ns: None,
                failed_p99_ns,
                peak_rate: 1.0,
            };
            assert_eq!(judge(&Harness::default(), &evidence).0, expected);
        }
    }

    #[test]
    fn nothing_to_send_is_nobodys_fault_and_is_said() {
        let evidence = Evidence {
            intended: 0,
            never_or_late: 0,
            dispatch: &Distribution::default(),
            latency_p50_ns: None,
            latency_p99_ns: None,
            failed_p99_ns: None,
            peak_rate: 0.0,
        };
        let (verdict, reasons) = judge(&Harness::default(), &evidence);
        assert_eq!(verdict, Verdict::Suspect);
        assert!(reasons[0].contains("nothing was measured"), "{reasons:?}");
    }
}
