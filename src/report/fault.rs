//! What there is to be drawn of faults beside the faults themselves: what was noticed of them. It must
//! not know which kinds of faults there are.

use record::Run;
use record::faults::{events, is_fault};
use record::rows::EventLine;

pub(crate) use record::faults::{Fault, faults};

/// What balancers and others noticed in the measured time, in its order.
pub(crate) fn marks<'a>(run: &'a Run, variant: &str) -> Vec<&'a EventLine> {
    let measured = 0.0..=run.summary.duration_s;
    let noticed = |event: &&EventLine| !is_fault(event) && measured.contains(&event.t_s);
    events(run, variant).into_iter().filter(noticed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn run(lines: &[(f64, u32, &str, &str, &str)]) -> Run {
        let mut run = fixture::empty("sim");
        run.events = lines
            .iter()
            .map(|&(t_s, round, source, subject, kind)| EventLine {
                variant: "v".into(),
                round,
                t_s,
                source: source.into(),
                subject: subject.into(),
                kind: kind.into(),
                detail: String::new(),
            })
            .collect();
        run
    }

    #[test]
    fn a_fault_ends_with_its_own_end() {
        let run = run(&[
            (10.0, 1, "scenario", "a-1", "crash"),
            (12.0, 1, "scenario", "a-2", "crash"),
            (14.0, 1, "scenario", "a-2", "slow"),
            (15.0, 1, "scenario", "a-2", "crash_end"),
            (20.0, 1, "scenario", "a-1", "crash_end"),
            (21.0, 1, "scenario", "a-1", "crash_end"),
        ]);
        let found: Vec<_> =
            faults(&run, "v").into_iter().map(|f| (f.label(), f.from_s, f.to_s)).collect();
        let expected = [
            ("crash a-1".to_owned(), 10.0, Some(20.0)),
            ("crash a-2".to_owned(), 12.0, Some(15.0)),
            ("slow a-2".to_owned(), 14.0, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn faults_alike_are_one_and_rounds_are_not_repeated() {
        let names = ["a-1", "a-2", "a-3", "a-4", "a-5"];
        let mut lines = Vec::new();
        for round in [1, 2] {
            lines.extend(names.map(|name| (10.0, round, "scenario", name, "hang")));
            lines.extend(names.map(|name| (20.0, round, "scenario", name, "hang_end")));
        }
        let found = faults(&run(&lines), "v");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].label(), "hang a-1, a-2, a-3 and 2 more");
    }

    #[test]
    fn what_was_noticed_before_the_measured_time_is_no_mark() {
        let run = run(&[
            (-1.0, 1, "balancer/0", "a-1", "added"),
            (1.0, 1, "scenario", "a-1", "crash"),
            (2.0, 1, "balancer/0", "a-1", "down"),
        ]);
        let kinds: Vec<&str> = marks(&run, "v").iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["down"]);
    }
}
