//! `[[expect]]`: a metric, a part of the measured time, a limit. It must not know how it is judged.

use std::time::Duration;

use config::document::{Node, Origin};
use config::reader::{Context, ROOT, Reader, number_of};
use config::schema::{Key, Kind, Presence, Schema};
use config::value::{format_duration, parse_duration, shown};
use record::expect::{Limit, Metric, Span};
use workload::LoadShape;

use crate::decode::Expected;

pub(crate) static EXPECT: Schema = Schema {
    title: "[[expect]]",
    summary: "A limit that a metric must keep.",
    groups: &[&[
        Key {
            name: "metric",
            kind: Kind::Text(64),
            presence: Presence::Required("\"latency.p99\""),
            summary: "latency, service or dispatch with .mean, .p50, .p75, .p90, .p95, .p99, \
                      .p999, .p9999 or .max; failed_ratio (1 − ok/intended), rejected_ratio, \
                      retry_ratio, achieved_ratio; intended, sent, ok, failed, rejected, dropped, \
                      unfinished, attempts, retries.",
        },
        Key {
            name: "below",
            kind: Kind::Limit,
            presence: Presence::Absent("`above` is given"),
            summary: "It must be smaller: \"250ms\" for times, a number otherwise.",
        },
        Key {
            name: "above",
            kind: Kind::Limit,
            presence: Presence::Absent("`below` is given"),
            summary: "It must be larger.",
        },
        Key {
            name: "from",
            kind: Kind::Duration { zero: true },
            presence: Presence::Absent("the end of the warm-up"),
            summary: "Where the part that counts begins, from the end of the warm-up; for retries \
                      and attempts at the edge of a window, as they are counted by windows.",
        },
        Key {
            name: "to",
            kind: Kind::Duration { zero: false },
            presence: Presence::Absent("the end of the last phase"),
            summary: "Where it ends; likewise.",
        },
        Key {
            name: "phase",
            kind: Kind::Name,
            presence: Presence::Absent("`from` and `to` count"),
            summary: "The part is this phase.",
        },
        Key {
            name: "variant",
            kind: Kind::Text(500),
            presence: Presence::Absent("every variant"),
            summary: "Only this variant.",
        },
    ]],
};

/// Reads one table; without the load (which has problems of its own) spans are not checked.
pub(crate) fn read_expectation(r: &Reader<'_>, shape: Option<&LoadShape>) -> Option<Expected> {
    let metric = r
        .text("metric")
        .and_then(|text| Metric::parse(&text).map_err(|message| r.problem("metric", message)).ok());
    let limit = read_limit(r, metric.as_ref());
    let span = read_span(r, shape);
    let variant = r.text("variant");
    let variant = variant.and_then(|name| Some((name, r.node("variant")?.origin.clone())));
    let line = match r.origin() {
        Origin::File { line, .. } => Some(*line),
        Origin::Option(_) => None,
    };
    let ends = ["from", "to", "phase"].map(|key| r.node(key).map(|node| node.origin.clone()));
    Some(Expected { metric: metric?, limit: limit?, span: span?, ends, variant, line })
}

fn read_limit(r: &Reader<'_>, metric: Option<&Metric>) -> Option<Limit> {
    match (r.node("below"), r.node("above")) {
        (Some(node), None) => limit_of(r, "below", node, metric?).map(Limit::Below),
        (None, Some(node)) => limit_of(r, "above", node, metric?).map(Limit::Above),
        (None, None) => {
            let example = metric.is_none_or(Metric::is_duration);
            let example = if example { "\"250ms\"" } else { "0.01" };
            let message = format!("[[expect]] needs a limit: write below = {example}, or above");
            r.context().problem(r.origin(), message);
            None
        }
        (Some(_), Some(_)) => {
            r.problem("above", "below and above exclude each other: write two [[expect]]");
            None
        }
    }
}

/// A limit in the metric's unit: milliseconds, or a plain number.
fn limit_of(r: &Reader<'_>, key: &str, node: &Node, metric: &Metric) -> Option<f64> {
    let wrong = |wanted: &str| {
        let metric = metric.as_str();
        r.problem(key, format!("{key} of {metric} must be {wanted}, not {}", node.shown()));
    };
    if !metric.is_duration() {
        let number = number_of(node).filter(|number| *number >= 0.0);
        if number.is_none() {
            wrong("a number such as 0.01");
        }
        return number;
    }
    let Some(text) = node.as_text() else {
        wrong("a duration such as \"250ms\"");
        return None;
    };
    match parse_duration(text) {
        Ok(duration) => Some(duration.as_secs_f64() * 1e3),
        Err(message) => {
            r.problem(key, format!("{key} = {} is {message}", shown(text)));
            None
        }
    }
}

fn read_span(r: &Reader<'_>, shape: Option<&LoadShape>) -> Option<Span> {
    let (from, to, phase) = (r.duration("from"), r.duration("to"), r.text("phase"));
    // A value that could not be read has been written down: no second message about it.
    let unread = |key: &str, read: bool| r.has(key) && !read;
    if unread("from", from.is_some())
        || unread("to", to.is_some())
        || unread("phase", phase.is_some())
    {
        return None;
    }
    let shape = shape?;
    let end: Duration = shape.phases.iter().map(|phase| phase.duration).sum();
    if let Some(phase) = phase {
        if from.is_some() || to.is_some() {
            r.problem("phase", "phase excludes from and to: keep one of the two");
        }
        return span_of_phase(r, shape, &phase);
    }
    let span = Span { from: from.unwrap_or_default(), to: to.unwrap_or(end) };
    for (key, value) in [("from", from), ("to", to)] {
        let Some(value) = value else { continue };
        if value > end || (key == "from" && value == end) {
            let (value, end) = (format_duration(value), format_duration(end));
            r.problem(key, format!("{key} = \"{value}\" is behind the load, which ends at {end}"));
            return None;
        }
    }
    if span.from >= span.to {
        let (from, to) = (format_duration(span.from), format_duration(span.to));
        r.problem("to", format!("to = \"{to}\" is not behind from = \"{from}\""));
        return None;
    }
    Some(span)
}

/// Refuses what is read at the windows' ends alone (see [`Metric::is_sampled`]) over a part of
/// the load that begins or ends elsewhere. `end` is that of the load.
pub(crate) fn check_window(
    expected: &Expected,
    window: Duration,
    end: Duration,
    context: &Context<'_>,
) {
    if !expected.metric.is_sampled() {
        return;
    }
    let Span { from, to } = expected.span;
    let [from_key, to_key, phase] = &expected.ends;
    for (word, at, key) in [("begin", from, from_key), ("end", to, to_key)] {
        if at == end || at.as_nanos() % window.as_nanos().max(1) == 0 {
            continue;
        }
        let metric = expected.metric.as_str();
        let (at, window) = (format_duration(at), format_duration(window));
        let origin = key.as_ref().or(phase.as_ref()).unwrap_or(&ROOT);
        context.problem(
            origin,
            format!(
                "{metric} is read at the ends of windows, and {at} is none: {word} at a multiple \
                 of the window, {window}"
            ),
        );
    }
}

fn span_of_phase(r: &Reader<'_>, shape: &LoadShape, name: &str) -> Option<Span> {
    let mut from = Duration::ZERO;
    for phase in &shape.phases {
        let to = from + phase.duration;
        if phase.name == name {
            return Some(Span { from, to });
        }
        from = to;
    }
    let names: Vec<&str> = shape.phases.iter().map(|p| p.name.as_str()).take(20).collect();
    r.problem("phase", format!("no phase {}; there is {}", shown(name), names.join(", ")));
    None
}
