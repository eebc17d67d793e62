//! `[timeout]`: how long things may take. The defaults of a balancer that stands alone differ from
//! those of one in a scenario; it must not know more of either.

use policy::settings::TimeoutSettings;

use super::written::{self, duration, or_off};
use crate::document::Value;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};

const CONNECT: Key = limit("connect", "1s", "To an open connection.");

const CONNECTIONS: &[Key] = &[
    limit("request_head", "10s", "From a request's first byte to its head's last."),
    limit(
        "client_idle",
        "60s",
        "Between requests on a client's connection, and without a byte of a body or an answer moved.",
    ),
    limit(
        "upstream_idle",
        "55s",
        "How long an unused connection to a backend is kept: less than the backend keeps it.",
    ),
];

const fn limit(name: &'static str, default: &'static str, summary: &'static str) -> Key {
    let kind = Kind::Duration { zero: false };
    Key { name, kind, presence: Presence::Default(default), summary }
}

const fn attempt(default: &'static str) -> Key {
    Key {
        name: "attempt",
        kind: Kind::DurationOrOff,
        presence: Presence::Default(default),
        summary: "From an attempt's start to its answer's head.",
    }
}

const fn total(default: &'static str) -> Key {
    Key {
        name: "total",
        kind: Kind::DurationOrOff,
        presence: Presence::Default(default),
        summary: "From the request's arrival to its answer's last byte, retries included.",
    }
}

const fn timeout(schema: &'static Schema) -> Key {
    Key {
        name: "timeout",
        kind: Kind::Table(schema),
        presence: Presence::Absent("the defaults of its keys"),
        summary: "How long things may take.",
    }
}

/// `timeout` of a balancer that stands alone: nothing else bounds a request.
pub const TIMEOUT_ALONE: Key = timeout(&Schema {
    title: "[timeout]",
    summary: "How long things may take.",
    groups: &[&[CONNECT, attempt("10s"), total("30s")], CONNECTIONS],
});

/// `timeout` of a balancer in a scenario, where the load's own timeout bounds a request.
pub const TIMEOUT_IN_SCENARIO: Key = timeout(&Schema {
    title: "[proxy.timeout]",
    summary: "How long things may take; `load.timeout` bounds the client all the same. The \
              simulator has no connections, and the last three have no effect there.",
    groups: &[&[CONNECT, attempt("off"), total("off")], CONNECTIONS],
});

pub(super) fn read(r: &Reader<'_>) -> Option<TimeoutSettings> {
    let connect = r.duration("connect");
    let (attempt, total) = (r.duration_or_off("attempt"), r.duration_or_off("total"));
    let (request_head, client_idle) = (r.duration("request_head"), r.duration("client_idle"));
    let upstream_idle = r.duration("upstream_idle");
    Some(TimeoutSettings {
        connect: connect?,
        attempt: attempt?,
        total: total?,
        request_head: request_head?,
        client_idle: client_idle?,
        upstream_idle: upstream_idle?,
    })
}

pub(super) fn write(timeout: &TimeoutSettings) -> Value {
    written::table([
        ("connect", duration(timeout.connect)),
        ("attempt", or_off(timeout.attempt, duration)),
        ("total", or_off(timeout.total, duration)),
        ("request_head", duration(timeout.request_head)),
        ("client_idle", duration(timeout.client_idle)),
        ("upstream_idle", duration(timeout.upstream_idle)),
    ])
}
