//! `[limits]` and `[queue]`: how many requests may come, be in flight and wait. It must not know
//! how that is counted.

use policy::settings::{
    AdaptiveSettings, KeyedRate, LimitSettings, QueueSettings, Rate, RateSettings,
};

use super::written::{self, duration, number, or_off, text, whole};
use crate::document::Value;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::HIGHEST_RATE;

/// The slowest rate: one request in 10⁶ s, so that the time of one fits 64 bits of nanoseconds.
const LOWEST_RATE: f64 = 1e-6;

const RATE: Kind = Kind::Number { min: LOWEST_RATE, above: false, max: HIGHEST_RATE };

/// As large as a second of the highest rate, which is the default of that rate.
const BURST: Kind = Kind::Whole { min: 1, max: HIGHEST_RATE as u64 };

/// The most requests that a limit can speak of.
const REQUESTS: u64 = 1_000_000;

const ONE_SECOND: Presence = Presence::Absent("one second of the rate, at least 1");

pub(super) static LIMITS: Schema = Schema {
    title: "[limits]",
    summary: "How many requests may come (beyond: 429) and be in flight (beyond: the queue, or \
              503). In a scenario `[proxy.limits]`. An empty table takes the defaults; without \
              the table there is no limit.",
    groups: &[&[
        Key {
            name: "rate",
            kind: RATE,
            presence: Presence::Absent("any rate"),
            summary: "Requests a second, of all clients together.",
        },
        Key {
            name: "burst",
            kind: BURST,
            presence: ONE_SECOND,
            summary: "How many may come at once after a quiet time.",
        },
        Key {
            name: "key",
            kind: Kind::KeySource,
            presence: Presence::Absent("no limit for each client"),
            summary: "What tells clients apart, each of whom has `key_rate`; those without it \
                      share one.",
        },
        Key {
            name: "key_rate",
            kind: RATE,
            presence: Presence::Absent("no limit for each client"),
            summary: "Requests a second, of each client.",
        },
        Key {
            name: "key_burst",
            kind: BURST,
            presence: ONE_SECOND,
            summary: "How many of each may come at once after a quiet time.",
        },
        Key {
            name: "keys",
            kind: Kind::Whole { min: 1, max: 10_000_000 },
            presence: Presence::Default("65536"),
            summary: "How many clients are remembered; the one that was seen least recently is \
                      forgotten first.",
        },
        Key {
            name: "max_in_flight",
            kind: Kind::WholeOr { min: 1, max: REQUESTS, word: "off" },
            presence: Presence::Default("1024"),
            summary: "Requests in flight at one backend.",
        },
        Key {
            name: "adaptive",
            kind: Kind::Table(&ADAPTIVE),
            presence: Presence::Absent("any number in flight in all"),
            summary: "A limit on all requests in flight that follows the latency.",
        },
    ]],
};

static ADAPTIVE: Schema = Schema {
    title: "[limits.adaptive]",
    summary: "A limit on all requests in flight that falls when latency rises above what it is \
              without load (the gradient rule). In a scenario `[proxy.limits.adaptive]`. An empty \
              table takes the defaults; without the table there is none.",
    groups: &[&[
        Key {
            name: "min",
            kind: Kind::Whole { min: 1, max: REQUESTS },
            presence: Presence::Default("3"),
            summary: "The smallest limit.",
        },
        Key {
            name: "max",
            kind: Kind::Whole { min: 1, max: REQUESTS },
            presence: Presence::Default("1000"),
            summary: "The largest.",
        },
        Key {
            name: "update",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("100ms"),
            summary: "How often the limit is drawn anew.",
        },
        Key {
            name: "interval",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("30s"),
            summary: "How often the latency without load is measured anew, with the limit at `min`.",
        },
        Key {
            name: "requests",
            kind: Kind::Whole { min: 1, max: REQUESTS },
            presence: Presence::Default("50"),
            summary: "Requests in such a measurement.",
        },
        Key {
            name: "buffer",
            kind: Kind::Number { min: 0.0, above: false, max: 10.0 },
            presence: Presence::Default("0.25"),
            summary: "By what share the latency may exceed that without load before the limit \
                      falls.",
        },
    ]],
};

pub(super) static QUEUE: Schema = Schema {
    title: "[queue]",
    summary: "Where requests wait that no backend has room for, first come, first served. In a \
              scenario `[proxy.queue]`. An empty table takes the defaults; without the table no \
              request waits.",
    groups: &[&[
        Key {
            name: "size",
            kind: Kind::Whole { min: 1, max: REQUESTS },
            presence: Presence::Default("1024"),
            summary: "How many may wait; one more is answered with 503.",
        },
        Key {
            name: "wait",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("1s"),
            summary: "How long one may wait; then it is answered with 503.",
        },
    ]],
};

pub(super) fn read(r: &Reader<'_>) -> Option<LimitSettings> {
    let global = read_rate(r, "rate", "burst");
    let keyed = read_keyed(r);
    let max_in_flight = r.whole_u32_or_word("max_in_flight");
    let adaptive = super::optional(r, "adaptive", read_adaptive);
    Some(LimitSettings {
        rate: RateSettings { global: global?, keyed: keyed? },
        max_in_flight: max_in_flight?,
        adaptive: adaptive?,
    })
}

/// `None` within where no rate is written.
fn read_rate(r: &Reader<'_>, rate: &str, burst: &str) -> Option<Option<Rate>> {
    let (found, given) = (r.number(rate), r.whole_u32(burst));
    if !r.has(rate) {
        needs(r, burst, rate, "100");
        return Some(None);
    }
    // A written burst that is wrong is not the default.
    if r.has(burst) && given.is_none() {
        return None;
    }
    // At most the highest rate, which 32 bits hold.
    let second = |rate: f64| rate.ceil().max(1.0) as u32;
    found.map(|rate| Some(Rate { rate, burst: given.unwrap_or_else(|| second(rate)) }))
}

fn read_keyed(r: &Reader<'_>) -> Option<Option<KeyedRate>> {
    let key = r.key_source("key");
    let each = read_rate(r, "key_rate", "key_burst");
    let keys = r.whole_u32("keys");
    if !r.has("key") {
        needs(r, "key_rate", "key", "\"address\"");
        needs(r, "keys", "key", "\"address\"");
        return each.and(keys).map(|_| None);
    }
    if !r.has("key_rate") {
        needs(r, "key", "key_rate", "10");
        return None;
    }
    Some(Some(KeyedRate { key: key?, each: each??, keys: keys? }))
}

/// Complains of a key that means nothing without another.
fn needs(r: &Reader<'_>, key: &str, other: &str, example: &str) {
    if r.has(key) {
        r.problem(key, format!("{key} does nothing without {other}: write {other} = {example}"));
    }
}

fn read_adaptive(r: &Reader<'_>) -> Option<AdaptiveSettings> {
    let (min, max) = (r.whole_u32("min"), r.whole_u32("max"));
    let (update, interval) = (r.duration("update"), r.duration("interval"));
    let (requests, buffer) = (r.whole_u32("requests"), r.number("buffer"));
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        let message = format!("max = {max} is less than min = {min}: write max = {min} or more");
        r.problem(if r.has("max") { "max" } else { "min" }, message);
    }
    Some(AdaptiveSettings {
        min: min?,
        max: max?,
        update: update?,
        interval: interval?,
        requests: requests?,
        buffer: buffer?,
    })
}

pub(super) fn write(limits: &LimitSettings) -> Value {
    let mut entries = Vec::new();
    if let Some(Rate { rate, burst }) = limits.rate.global {
        entries.extend([("rate", number(rate)), ("burst", whole(burst))]);
    }
    if let Some(KeyedRate { key, each, keys }) = &limits.rate.keyed {
        entries.extend([
            ("key", text(key.to_string())),
            ("key_rate", number(each.rate)),
            ("key_burst", whole(each.burst)),
            ("keys", whole(*keys)),
        ]);
    }
    entries.push(("max_in_flight", or_off(limits.max_in_flight, whole)));
    entries.extend(limits.adaptive.as_ref().map(|adaptive| ("adaptive", write_adaptive(adaptive))));
    written::table(entries)
}

fn write_adaptive(adaptive: &AdaptiveSettings) -> Value {
    written::table([
        ("min", whole(adaptive.min)),
        ("max", whole(adaptive.max)),
        ("update", duration(adaptive.update)),
        ("interval", duration(adaptive.interval)),
        ("requests", whole(adaptive.requests)),
        ("buffer", number(adaptive.buffer)),
    ])
}

pub(super) fn read_queue(r: &Reader<'_>) -> Option<QueueSettings> {
    let (size, wait) = (r.whole_u32("size"), r.duration("wait"));
    Some(QueueSettings { size: size?, wait: wait? })
}

pub(super) fn write_queue(queue: &QueueSettings) -> Value {
    written::table([("size", whole(queue.size)), ("wait", duration(queue.wait))])
}
