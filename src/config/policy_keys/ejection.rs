//! `[ejection]`, `[slow_start]`, `[panic]`: who is left out for what requests met, how it comes
//! back, and when leaving out stops. It must not know how failures are counted.

use policy::settings::{EjectionSettings, PanicSettings, SlowStartSettings};

use super::written::{self, duration, number, or_off, whole};
use crate::document::Value;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::format_duration;

/// The most failures or requests that a trigger can wait for.
const REQUESTS: u64 = 1_000_000;

/// A share that may be none.
const SHARE: Kind = Kind::Number { min: 0.0, above: false, max: 1.0 };

pub(super) static EJECTION: Schema = Schema {
    title: "[ejection]",
    summary: "Passive ejection: a backend that fails requests is left alone for a while. In a \
              scenario `[proxy.ejection]`. An empty table takes the defaults; without the table \
              no backend is ejected.",
    groups: &[&[
        Key {
            name: "consecutive",
            kind: Kind::WholeOr { min: 1, max: REQUESTS, word: "off" },
            presence: Presence::Default("5"),
            summary: "So many failures in a row eject.",
        },
        Key {
            name: "ratio",
            kind: Kind::NumberOrOff { min: 0.0, above: true, max: 1.0 },
            presence: Presence::Default("0.85"),
            summary: "So large a share of failures among the requests of the last `window` ejects.",
        },
        Key {
            name: "min_requests",
            kind: Kind::Whole { min: 1, max: REQUESTS },
            presence: Presence::Default("20"),
            summary: "Fewer requests than this in the window say nothing of a ratio.",
        },
        Key {
            name: "window",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("10s"),
            summary: "Over what the ratio is taken.",
        },
        Key {
            name: "base",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("5s"),
            summary: "How long the first ejection lasts; each further one twice as long.",
        },
        Key {
            name: "max",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("60s"),
            summary: "The longest ejection.",
        },
        Key {
            name: "jitter",
            kind: SHARE,
            presence: Presence::Default("0.1"),
            summary: "Each ejection is longer or shorter by up to this share of itself.",
        },
        Key {
            name: "max_ejected",
            kind: SHARE,
            presence: Presence::Default("0.5"),
            summary: "At most this share of the backends is ejected at once, but always one if \
                      there are two.",
        },
    ]],
};

pub(super) static SLOW_START: Schema = Schema {
    title: "[slow_start]",
    summary: "A backend that comes into service gets a share that grows linearly to its own. In a \
              scenario `[proxy.slow_start]`. An empty table takes the defaults; without the table \
              it gets its own at once.",
    groups: &[&[
        Key {
            name: "window",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("10s"),
            summary: "How long that takes.",
        },
        Key {
            name: "min",
            kind: Kind::Number { min: 0.0, above: true, max: 1.0 },
            presence: Presence::Default("0.1"),
            summary: "The part of its share that it begins with.",
        },
    ]],
};

pub(super) static PANIC: Schema = Schema {
    title: "[panic]",
    summary: "When too few backends are in service, those that are out are used too: better some \
              failures than the whole load on the few that are left. In a scenario \
              `[proxy.panic]`. An empty table takes the defaults; without the table only backends \
              in service are used.",
    groups: &[&[Key {
        name: "threshold",
        kind: SHARE,
        presence: Presence::Default("0.5"),
        summary: "The share of backends in service below which it begins.",
    }]],
};

pub(super) fn read(r: &Reader<'_>) -> Option<EjectionSettings> {
    let consecutive = r.whole_u32_or_word("consecutive");
    let (ratio, min_requests) = (r.number_or_off("ratio"), r.whole_u32("min_requests"));
    let window = r.duration("window");
    let (base, max) = (r.duration("base"), r.duration("max"));
    let (jitter, max_ejected) = (r.number("jitter"), r.number("max_ejected"));
    if let (Some(None), Some(None)) = (consecutive, ratio) {
        let message = "consecutive and ratio are both \"off\", so nothing is ever ejected: set \
                       one of them, or take the table away";
        r.problem("consecutive", message);
    }
    if let (Some(base), Some(max)) = (base, max)
        && max < base
    {
        let base = format_duration(base);
        let message = format!(
            "max = {} is shorter than base = {base}: write max = \"{base}\" or longer",
            format_duration(max)
        );
        r.problem(if r.has("max") { "max" } else { "base" }, message);
    }
    Some(EjectionSettings {
        consecutive: consecutive?,
        ratio: ratio?,
        min_requests: min_requests?,
        window: window?,
        base: base?,
        max: max?,
        jitter: jitter?,
        max_ejected: max_ejected?,
    })
}

pub(super) fn write(ejection: &EjectionSettings) -> Value {
    written::table([
        ("consecutive", or_off(ejection.consecutive, whole)),
        ("ratio", or_off(ejection.ratio, number)),
        ("min_requests", whole(ejection.min_requests)),
        ("window", duration(ejection.window)),
        ("base", duration(ejection.base)),
        ("max", duration(ejection.max)),
        ("jitter", number(ejection.jitter)),
        ("max_ejected", number(ejection.max_ejected)),
    ])
}

pub(super) fn read_slow_start(r: &Reader<'_>) -> Option<SlowStartSettings> {
    let (window, min) = (r.duration("window"), r.number("min"));
    Some(SlowStartSettings { window: window?, min: min? })
}

pub(super) fn write_slow_start(slow_start: &SlowStartSettings) -> Value {
    written::table([("window", duration(slow_start.window)), ("min", number(slow_start.min))])
}

pub(super) fn read_panic(r: &Reader<'_>) -> Option<PanicSettings> {
    Some(PanicSettings { threshold: r.number("threshold")? })
}

pub(super) fn write_panic(panic: &PanicSettings) -> Value {
    written::table([("threshold", number(panic.threshold))])
}
