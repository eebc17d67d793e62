//! `[retry]` and `[hedging]`: attempts beyond the first. It must not know which requests may be
//! sent twice.

use policy::settings::{HedgingSettings, MAX_ATTEMPTS, RetrySettings};

use super::written::{self, duration, list, number, whole};
use crate::document::Value;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::format_duration;

pub(super) static RETRY: Schema = Schema {
    title: "[retry]",
    summary: "Further attempts after a failed one. In a scenario `[proxy.retry]`. An empty table \
              takes the defaults; without the table there is one attempt.",
    groups: &[&[
        Key {
            name: "attempts",
            kind: Kind::Whole { min: 1, max: MAX_ATTEMPTS as u64 },
            presence: Presence::Default("2"),
            summary: "Attempts in all, the first one included.",
        },
        Key {
            name: "budget",
            kind: Kind::Number { min: 0.0, above: false, max: 10.0 },
            presence: Presence::Default("0.2"),
            summary: "Of the last 10 s at most this share of the requests may be retries …",
        },
        Key {
            name: "budget_min",
            kind: Kind::Number { min: 0.0, above: false, max: 1e8 },
            presence: Presence::Default("10"),
            summary: "… plus so many a second.",
        },
        Key {
            name: "statuses",
            kind: Kind::Wholes { min: 400, max: 599, count: 64 },
            presence: Presence::Default("[502, 503, 504]"),
            summary: "Answers that count as a failed attempt when the request may be sent again.",
        },
        Key {
            name: "backoff",
            kind: Kind::Duration { zero: true },
            presence: Presence::Default("0s"),
            summary: "Before retry k the request waits for a random part of this × (2^k − 1).",
        },
        Key {
            name: "max_backoff",
            kind: Kind::Duration { zero: true },
            presence: Presence::Default("250ms"),
            summary: "The longest such wait.",
        },
        Key {
            name: "max_retry_after",
            kind: Kind::Duration { zero: true },
            presence: Presence::Default("30s"),
            summary: "An answer's Retry-After leaves its backend alone for so long at most.",
        },
    ]],
};

pub(super) static HEDGING: Schema = Schema {
    title: "[hedging]",
    summary: "A second attempt at another backend when the first is slow, for requests that may be \
              sent twice; counted against the retry budget. In a scenario `[proxy.hedging]`. An \
              empty table takes the defaults; without the table there is none.",
    groups: &[&[
        Key {
            name: "percentile",
            kind: Kind::Number { min: 0.0, above: true, max: 0.9999 },
            presence: Presence::Default("0.95"),
            summary: "It is sent after this quantile of recent times to an answer's head.",
        },
        Key {
            name: "min_requests",
            kind: Kind::Whole { min: 1, max: 1_000_000 },
            presence: Presence::Default("100"),
            summary: "With fewer recent requests than this there is none.",
        },
        Key {
            name: "min_delay",
            kind: Kind::Duration { zero: true },
            presence: Presence::Default("1ms"),
            summary: "Never sooner than this.",
        },
    ]],
};

pub(super) fn read(r: &Reader<'_>) -> Option<RetrySettings> {
    let attempts = r.whole_u32("attempts");
    let (budget, budget_min) = (r.number("budget"), r.number("budget_min"));
    let statuses = r.wholes("statuses");
    let (backoff, max_backoff) = (r.duration("backoff"), r.duration("max_backoff"));
    let max_retry_after = r.duration("max_retry_after");
    if let (Some(backoff), Some(longest)) = (backoff, max_backoff)
        && longest < backoff
    {
        let backoff = format_duration(backoff);
        let message = format!(
            "max_backoff = {} is shorter than backoff = {backoff}: write max_backoff = \"{backoff}\" or longer",
            format_duration(longest)
        );
        r.problem(if r.has("max_backoff") { "max_backoff" } else { "backoff" }, message);
    }
    let narrow = |status| u16::try_from(status).expect("the key's declared limit is 599");
    Some(RetrySettings {
        attempts: attempts?,
        budget: budget?,
        budget_min: budget_min?,
        statuses: statuses?.into_iter().map(narrow).collect(),
        backoff: backoff?,
        max_backoff: max_backoff?,
        max_retry_after: max_retry_after?,
    })
}

pub(super) fn write(retry: &RetrySettings) -> Value {
    written::table([
        ("attempts", whole(retry.attempts)),
        ("budget", number(retry.budget)),
        ("budget_min", number(retry.budget_min)),
        ("statuses", list(retry.statuses.iter().map(|status| whole(*status)))),
        ("backoff", duration(retry.backoff)),
        ("max_backoff", duration(retry.max_backoff)),
        ("max_retry_after", duration(retry.max_retry_after)),
    ])
}

pub(super) fn read_hedging(r: &Reader<'_>) -> Option<HedgingSettings> {
    let percentile = r.number("percentile");
    let (min_requests, min_delay) = (r.whole_u32("min_requests"), r.duration("min_delay"));
    Some(HedgingSettings {
        percentile: percentile?,
        min_requests: min_requests?,
        min_delay: min_delay?,
    })
}

pub(super) fn write_hedging(hedging: &HedgingSettings) -> Value {
    written::table([
        ("percentile", number(hedging.percentile)),
        ("min_requests", whole(hedging.min_requests)),
        ("min_delay", duration(hedging.min_delay)),
    ])
}
