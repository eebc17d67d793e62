//! `[health]`: active health checks. It must not know how a probe is sent.

use policy::settings::{CheckKind, HealthSettings};

use super::written::{self, duration, list, number, or_off, text, whole};
use crate::document::Value;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::format_duration;

/// How many statuses and ranges a list may have.
const STATUSES: usize = 64;

pub(super) static HEALTH: Schema = Schema {
    title: "[health]",
    summary: "Active health checks: a probe to every backend each interval. In a scenario \
              `[proxy.health]`. An empty table takes the defaults; without the table there are \
              no probes.",
    groups: &[&[
        Key {
            name: "check",
            kind: Kind::Word(&["http", "tcp"]),
            presence: Presence::Default("http"),
            summary: "A GET whose status counts, or a connection that opens.",
        },
        Key {
            name: "path",
            kind: Kind::Target,
            presence: Presence::Default("/health"),
            summary: "What an HTTP probe asks for.",
        },
        Key {
            name: "statuses",
            kind: Kind::Statuses(STATUSES),
            presence: Presence::Default("[\"200-299\"]"),
            summary: "The statuses of an HTTP probe that pass.",
        },
        Key {
            name: "interval",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("2s"),
            summary: "From one probe's start to the next's, per backend.",
        },
        Key {
            name: "fast_interval",
            kind: Kind::DurationOrOff,
            presence: Presence::Default("off"),
            summary: "The same while a backend is in doubt: it has failed and is not down yet, or \
                      passed and is not up yet.",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("1s"),
            summary: "How long an answer may take.",
        },
        Key {
            name: "fall",
            kind: Kind::Whole { min: 1, max: 1_000 },
            presence: Presence::Default("3"),
            summary: "Failures in a row that take a backend out of service.",
        },
        Key {
            name: "rise",
            kind: Kind::Whole { min: 1, max: 1_000 },
            presence: Presence::Default("2"),
            summary: "Passes in a row that bring it back; a new backend needs one.",
        },
        Key {
            name: "jitter",
            kind: Kind::Number { min: 0.0, above: false, max: 1.0 },
            presence: Presence::Default("0.1"),
            summary: "Each interval is longer or shorter by up to this share of itself.",
        },
        Key {
            name: "remove_after",
            kind: Kind::DurationOrOff,
            presence: Presence::Default("off"),
            summary: "A backend that has neither passed a probe nor answered a request for so long \
                      is removed from the pool for good; the last one never is.",
        },
    ]],
};

pub(super) fn read(r: &Reader<'_>) -> Option<HealthSettings> {
    let (check, path, statuses) = (r.text("check"), r.text("path"), r.statuses("statuses"));
    let (interval, fast_interval) = (r.duration("interval"), r.duration_or_off("fast_interval"));
    let timeout = r.duration("timeout");
    let (fall, rise) = (r.whole_u32("fall"), r.whole_u32("rise"));
    let jitter = r.number("jitter");
    let remove_after = r.duration_or_off("remove_after");
    let settings = HealthSettings {
        check: if check? == "tcp" { CheckKind::Tcp } else { CheckKind::Http },
        path: path?,
        statuses: statuses?,
        interval: interval?,
        fast_interval: fast_interval?,
        timeout: timeout?,
        fall: fall?,
        rise: rise?,
        jitter: jitter?,
        remove_after: remove_after?,
    };
    check_times(r, &settings);
    Some(settings)
}

fn check_times(r: &Reader<'_>, settings: &HealthSettings) {
    let HealthSettings { interval, timeout, .. } = *settings;
    let show = format_duration;
    if let Some(fast) = settings.fast_interval.filter(|fast| *fast > interval) {
        let (fast, usual) = (show(fast), show(interval));
        let message = format!(
            "fast_interval = {fast} is longer than interval = {usual}: write less, or \"off\""
        );
        r.problem("fast_interval", message);
    }
    let stretched = interval.mul_f64(1.0 + settings.jitter);
    if let Some(silent) = settings.remove_after.filter(|silent| *silent <= stretched + timeout) {
        let message = format!(
            "remove_after = {} would remove a backend between two probes: one may start {} after \
             the last and take {}; write more than \"{}\", or \"off\"",
            show(silent),
            show(stretched),
            show(timeout),
            show(stretched + timeout)
        );
        r.problem("remove_after", message);
    }
}

pub(super) fn write(health: &HealthSettings) -> Value {
    let range = |&(first, last): &(u16, u16)| match first == last {
        true => whole(first),
        false => text(format!("{first}-{last}")),
    };
    written::table([
        (
            "check",
            text(match health.check {
                CheckKind::Http => "http",
                CheckKind::Tcp => "tcp",
            }),
        ),
        ("path", text(&*health.path)),
        ("statuses", list(health.statuses.iter().map(range))),
        ("interval", duration(health.interval)),
        ("fast_interval", or_off(health.fast_interval, duration)),
        ("timeout", duration(health.timeout)),
        ("fall", whole(health.fall)),
        ("rise", whole(health.rise)),
        ("jitter", number(health.jitter)),
        ("remove_after", or_off(health.remove_after, duration)),
    ])
}
