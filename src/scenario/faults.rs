//! `[[faults]]`: what goes wrong, when, at which backends. It must not know how a fault is played.

use std::slice;
use std::time::Duration;

use config::reader::Reader;
use config::schema::{Key, Kind, Presence, Schema, Tagged};
use config::value::{format_duration, shown};
use workload::{Fault, FaultKind, FaultPlan, LoadShape, MAX_CHANGES};

use crate::decode::Group;
use crate::keys::FAULTS;

/// How many groups of backends a message lists.
const LISTED: usize = 8;

/// Every fault has these.
const FAULT_KEYS: &[Key] = &[
    Key {
        name: "at",
        kind: Kind::Duration { zero: true },
        presence: Presence::Required("\"10s\""),
        summary: "When, from the end of the warm-up.",
    },
    Key {
        name: "backend",
        kind: Kind::Text(80),
        presence: Presence::Required("\"a-2\""),
        summary: "Which backend: \"a-2\", all of a: \"a-*\", all: \"*\".",
    },
    Key {
        name: "for",
        kind: Kind::Duration { zero: false },
        presence: Presence::Absent("to the end"),
        summary: "For how long.",
    },
];

const HEALTH_TOO: Key = Key {
    name: "health",
    kind: Kind::Flag,
    presence: Presence::Default("false"),
    summary: "Whether the answer to a health check suffers too.",
};

const fn fault(
    title: &'static str,
    summary: &'static str,
    groups: &'static [&'static [Key]],
) -> Schema {
    Schema { title, summary, groups }
}

pub(crate) static FAULT: Tagged = Tagged {
    title: "[[faults]]",
    summary: "Something that goes wrong.",
    tag: "kind",
    example: "{ at = \"10s\", backend = \"a-2\", kind = \"crash\", for = \"10s\" }",
    cases: &[
        (
            "crash",
            fault(
                "a fault of kind crash",
                "All connections are reset, the listener is closed.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "refuse",
            fault(
                "a fault of kind refuse",
                "The listener is closed; open connections are served on.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "hang",
            fault(
                "a fault of kind hang",
                "Accepts, answers nothing; requests in service stand still and go on afterwards.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "reset",
            fault(
                "a fault of kind reset",
                "A connection is reset when a request has been read from it.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "slow",
            fault(
                "a fault of kind slow",
                "Requests that start from then on take longer.",
                &[FAULT_KEYS, SLOW_KEYS],
            ),
        ),
        (
            "errors",
            fault(
                "a fault of kind errors",
                "A share of the requests is answered with an error.",
                &[FAULT_KEYS, ERRORS_KEYS],
            ),
        ),
        (
            "flap",
            fault(
                "a fault of kind flap",
                "Crashes at the start of every period, for a part of it.",
                &[FAULT_KEYS, FLAP_KEYS],
            ),
        ),
    ],
};

const SLOW_KEYS: &[Key] = &[
    Key {
        name: "factor",
        kind: Kind::Number { min: 0.0, above: true, max: 1e6 },
        presence: Presence::Default("3"),
        summary: "How many times as long.",
    },
    HEALTH_TOO,
];

const ERRORS_KEYS: &[Key] = &[
    Key {
        name: "status",
        kind: Kind::Whole { min: 400, max: 599 },
        presence: Presence::Default("500"),
        summary: "The status.",
    },
    Key {
        name: "ratio",
        kind: Kind::Number { min: 0.0, above: true, max: 1.0 },
        presence: Presence::Default("1"),
        summary: "The share of the requests.",
    },
    Key {
        name: "after",
        kind: Kind::Duration { zero: true },
        presence: Presence::Default("1ms"),
        summary: "How long the error takes, in place of a service time and past the queue.",
    },
    HEALTH_TOO,
];

const FLAP_KEYS: &[Key] = &[
    Key {
        name: "period",
        kind: Kind::Duration { zero: false },
        presence: Presence::Required("\"2s\""),
        summary: "From one crash to the next.",
    },
    Key {
        name: "duty",
        kind: Kind::Number { min: 0.0, above: true, max: 1.0 },
        presence: Presence::Required("0.5"),
        summary: "The share of the period that is down, below 1.",
    },
];

/// The faults that a scenario can play: the word of each, what it does, and the keys of its own.
pub fn fault_kinds() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static Key>)> {
    FAULT.cases.iter().map(|(word, schema)| {
        let shared = |key: &&Key| !FAULT_KEYS.iter().any(|of_all| of_all.name == key.name);
        (*word, schema.summary, schema.keys().filter(shared).collect())
    })
}

/// Reads all of them; without the backends or the load (which have problems of their own) what
/// depends on those is not checked.
pub(crate) fn read_faults(
    r: &Reader<'_>,
    groups: Option<&[Group]>,
    shape: Option<&LoadShape>,
) -> Option<Vec<Fault>> {
    let tables = r.tagged_list("faults")?;
    if tables.len() > FAULTS {
        r.problem("faults", format!("more than {FAULTS} faults"));
        return None;
    }
    let end = shape.map(|shape| shape.phases.iter().map(|phase| phase.duration).sum());
    let mut faults = Vec::new();
    let mut changes = 0_u64;
    for (word, table) in &tables {
        let Some(fault) = read_fault(word, table, groups, end) else { continue };
        let more =
            FaultPlan::size(slice::from_ref(&fault), Duration::ZERO, end.unwrap_or_default());
        changes = changes.saturating_add(more);
        if changes > MAX_CHANGES as u64 {
            let message = format!("more than {MAX_CHANGES} beginnings and ends of faults in all");
            table.problem(if *word == "flap" { "period" } else { "backend" }, message);
            return None;
        }
        faults.push(fault);
    }
    Some(faults)
}

fn read_fault(
    word: &str,
    r: &Reader<'_>,
    groups: Option<&[Group]>,
    end: Option<Duration>,
) -> Option<Fault> {
    let at = r.duration("at");
    let pattern = r.text("backend");
    let length = r.duration("for");
    let kind = read_kind(word, r);
    let backends = pattern.and_then(|pattern| {
        let groups = groups?;
        let found = matching(groups, &pattern);
        if found.is_none() {
            let message = format!("no backend {}; {}", shown(&pattern), listed(groups));
            r.problem("backend", message);
        }
        found
    });
    if let (Some(at), Some(end)) = (at, end)
        && at >= end
    {
        let (at, end) = (format_duration(at), format_duration(end));
        r.problem("at", format!("at = \"{at}\" is behind the load, which ends at {end}"));
    }
    Some(Fault { at: at?, length, backends: backends?, kind: kind? })
}

fn read_kind(word: &str, r: &Reader<'_>) -> Option<FaultKind> {
    Some(match word {
        "crash" => FaultKind::Crash,
        "refuse" => FaultKind::Refuse,
        "hang" => FaultKind::Hang,
        "reset" => FaultKind::Reset,
        "slow" => {
            let (factor, health) = (r.number("factor"), r.flag("health"));
            FaultKind::Slow { factor: factor?, health: health? }
        }
        "errors" => {
            let (status, ratio) = (r.whole("status"), r.number("ratio"));
            let (after, health) = (r.duration("after"), r.flag("health"));
            FaultKind::Errors {
                status: u16::try_from(status?).expect("the key's declared limit is 599"),
                ratio: ratio?,
                after: after?,
                health: health?,
            }
        }
        "flap" => {
            let (period, duty) = (r.duration("period"), r.number("duty"));
            if duty == Some(1.0) {
                r.problem(
                    "duty",
                    "duty must be below 1: a backend that is always down has crashed",
                );
            }
            FaultKind::Flap { period: period?, duty: duty? }
        }
        other => unreachable!("{other} is declared, so it is read"),
    })
}

/// The indices that "a-2", "a-*" or "*" stand for, if there are any.
fn matching(groups: &[Group], pattern: &str) -> Option<Vec<usize>> {
    if pattern == "*" {
        return Some((0..groups.iter().map(|group| group.count).sum()).collect());
    }
    let (name, number) = pattern.rsplit_once('-')?;
    let group = groups.iter().find(|group| group.name == name)?;
    if number == "*" {
        return Some((group.first..group.first + group.count).collect());
    }
    // "a-02" names no backend, though 02 parses as 2.
    let index = number.parse().ok().filter(|index: &usize| index.to_string() == number)?;
    (1..=group.count).contains(&index).then(|| vec![group.first + index - 1])
}

fn listed(groups: &[Group]) -> String {
    let mut names: Vec<String> = groups
        .iter()
        .take(LISTED)
        .map(|group| match group.count {
            1 => format!("{}-1", group.name),
            n => format!("{0}-1 to {0}-{n}, {0}-*", group.name),
        })
        .collect();
    if groups.len() > LISTED {
        names.push("…".into());
    }
    format!("there is {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_backends() {
        let groups = [
            Group { name: "a".into(), first: 0, count: 3 },
            Group { name: "a-1".into(), first: 3, count: 2 },
        ];
        for (pattern, expected) in [
            ("a-1", Some(vec![0])),
            ("a-3", Some(vec![2])),
            ("a-*", Some(vec![0, 1, 2])),
            ("a-1-2", Some(vec![4])),
            ("a-1-*", Some(vec![3, 4])),
            ("*", Some(vec![0, 1, 2, 3, 4])),
            ("a-0", None),
            ("a-4", None),
            ("a-02", None),
            ("a-+2", None),
            ("a", None),
            ("b-1", None),
            ("", None),
            ("-", None),
            ("a-", None),
        ] {
            assert_eq!(matching(&groups, pattern), expected, "{pattern}");
        }
        assert_eq!(listed(&groups), "there is a-1 to a-3, a-*, a-1-1 to a-1-2, a-1-*");
    }
}
