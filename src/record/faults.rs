//! The faults of a run, read from its events. It must not know which kinds of faults there are.
//!
//! A fault is a line whose source is the scenario and which has a subject; the line whose kind is
//! the same word with `_end` ends it.

use crate::rows::EventLine;
use crate::run::Run;

/// A fault, or several alike: same kind, same beginning, same end.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// "crash", "hang" …
    pub kind: String,
    /// The backends concerned.
    pub subjects: Vec<String>,
    /// Seconds from the end of the warm-up.
    pub from_s: f64,
    /// `None`: to the end of the run.
    pub to_s: Option<f64>,
}

/// Names of subjects that are written out; more are counted.
const NAMED: usize = 3;

impl Fault {
    /// "crash a-2", "crash a-1, a-2, a-3 and 5 more".
    pub fn label(&self) -> String {
        let named =
            self.subjects.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.subjects.len().saturating_sub(NAMED) {
            0 => format!("{} {named}", self.kind),
            more => format!("{} {named} and {more} more", self.kind),
        }
    }
}

/// The events of a variant's first round, which stands for all: faults come by the schedule.
pub fn events<'a>(run: &'a Run, variant: &str) -> Vec<&'a EventLine> {
    let of_variant =
        || run.events.iter().filter(|event| event.variant == variant && event.t_s.is_finite());
    let first = of_variant().map(|event| event.round).min();
    let mut events: Vec<&EventLine> =
        of_variant().filter(|event| Some(event.round) == first).collect();
    events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    events
}

/// Whether a line tells of a fault, and not of what somebody noticed.
pub fn is_fault(event: &EventLine) -> bool {
    event.source == "scenario" && !event.subject.is_empty()
}

/// The faults of a variant in the order of time.
pub fn faults(run: &Run, variant: &str) -> Vec<Fault> {
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
