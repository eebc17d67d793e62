//! The faults of a run, read from its events. It must not know which kinds of faults there are.
//!
//! A fault is a line whose source is the scenario and which has a subject; the line whose kind is
//! the same word with `_end` ends it. All other lines are marks: things that somebody noticed.

use record::Run;
use record::rows::EventLine;

/// A fault, or several alike: same kind, same beginning, same end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// "crash", "hang" …
    pub(crate) kind: String,
    /// The backends concerned.
    pub(crate) subjects: Vec<String>,
    /// Seconds from the end of the warm-up.
    pub(crate) from_s: f64,
    /// `None`: to the end of the run.
    pub(crate) to_s: Option<f64>,
}

/// Names of subjects that are written out; more are counted.
const NAMED: usize = 3;

impl Fault {
    /// "crash a-2", "crash a-1, a-2, a-3 and 5 more".
    pub(crate) fn label(&self) -> String {
        let named =
            self.subjects.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.subjects.len().saturating_sub(NAMED) {
            0 => format!("{} {named}", self.kind),
            more => format!("{} {named} and {more} more", self.kind),
        }
    }
}

/// The events of a variant's first round, which stands for all: faults come by the schedule.
pub(crate) fn events<'a>(run: &'a Run, variant: &str) -> Vec<&'a EventLine> {
    let of_variant =
        || run.events.iter().filter(|event| event.variant == variant && event.t_s.is_finite());
    let first = of_variant().map(|event| event.round).min();
    let mut events: Vec<&EventLine> =
        of_variant().filter(|event| Some(event.round) == first).collect();
    events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    events
}

fn is_fault(event: &EventLine) -> bool {
    event.source == "scenario" && !event.subject.is_empty()
}

/// The faults of a variant in the order of time.
pub(crate) fn faults(run: &Run, variant: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for event in events(run, variant).into_iter().filter(|event| is_fault(event)) {
        if let Some(kind) = event.kind.strip_suffix("_end") {
            let open = faults.iter_mut().find(|fault| {
                fault.kind == kind && fault.to_s.is_none() && fault.subjects[0] == event.subject
            });
            if let Some(fault) = open {
                fault.to_s = Some(event.t_s);
            }
        } else {
            faults.push(Fault {
                kind: event.kind.clone(),
                subjects: vec![event.subject.clone()],
                from_s: event.t_s,
                to_s: None,
            });
        }
    }
    grouped(faults)
}

/// Faults alike become one; a hundredth of a second apart is alike.
fn grouped(faults: Vec<Fault>) -> Vec<Fault> {
    let near = |a: f64, b: f64| (a - b).abs() < 0.01;
    let mut groups: Vec<Fault> = Vec::new();
    for fault in faults {
        let same = groups.iter_mut().find(|group| {
            group.kind == fault.kind
                && near(group.from_s, fault.from_s)
                && match (group.to_s, fault.to_s) {
                    (Some(a), Some(b)) => near(a, b),
                    (a, b) => a == b,
                }
        });
        match same {
            Some(group) => group.subjects.extend(fault.subjects),
            None => groups.push(fault),
        }
    }
    groups
}

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
