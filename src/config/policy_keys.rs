//! The keys that decide how a balancer decides. They stand in proxy.toml, in the `[proxy]` table of
//! a scenario and in the admin API, and this must not know in which of them.

mod ejection;
mod health;
mod limits;
mod patch;
mod retry;
mod strategy;
mod timeout;
mod written;

use policy::{Registry, Settings};

pub use self::patch::{patch, patch_schema, settings_schema, settings_to_json};
pub use self::strategy::strategy_to_toml;
pub use self::timeout::{TIMEOUT_ALONE, TIMEOUT_IN_SCENARIO};
use crate::document::{Table, Value};
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence};

/// The keys that proxy.toml and `[proxy]` share; the timeouts' defaults differ, so not those.
pub const POLICY_KEYS: &[Key] = &[
    Key {
        name: "strategy",
        kind: Kind::Strategy,
        presence: Presence::Required("\"least_request\""),
        summary: "How a backend is picked: a name, or a table of its name and parameters; \
                  `lab list strategies` shows them.",
    },
    Key {
        name: "health",
        kind: Kind::Table(&health::HEALTH),
        presence: Presence::Absent("no probes, every backend is ready"),
        summary: "Active health checks.",
    },
    Key {
        name: "ejection",
        kind: Kind::Table(&ejection::EJECTION),
        presence: Presence::Absent("no backend is ejected"),
        summary: "Passive ejection: a backend that fails requests is left alone for a while.",
    },
    Key {
        name: "slow_start",
        kind: Kind::Table(&ejection::SLOW_START),
        presence: Presence::Absent("its whole share at once"),
        summary: "A share that grows, for a backend that comes into service.",
    },
    Key {
        name: "panic",
        kind: Kind::Table(&ejection::PANIC),
        presence: Presence::Absent("only backends in service are used"),
        summary: "Using backends that are out when too few are in.",
    },
    Key {
        name: "retry",
        kind: Kind::Table(&retry::RETRY),
        presence: Presence::Absent("one attempt"),
        summary: "Further attempts after a failed one.",
    },
    Key {
        name: "hedging",
        kind: Kind::Table(&retry::HEDGING),
        presence: Presence::Absent("no second attempt beside a slow one"),
        summary: "A second attempt beside a slow one; the first answer wins.",
    },
    Key {
        name: "limits",
        kind: Kind::Table(&limits::LIMITS),
        presence: Presence::Absent("any number of requests"),
        summary: "How many requests may come, and how many may be in flight.",
    },
    Key {
        name: "queue",
        kind: Kind::Table(&limits::QUEUE),
        presence: Presence::Absent("no request waits, it is refused"),
        summary: "Where requests wait that no backend has room for.",
    },
];

/// Reads [`POLICY_KEYS`] and `timeout`.
pub fn read(r: &Reader<'_>, registry: &Registry) -> Option<Settings> {
    let strategy = strategy::read(r, registry);
    let health = optional(r, "health", health::read);
    let ejection = optional(r, "ejection", ejection::read);
    let slow_start = optional(r, "slow_start", ejection::read_slow_start);
    let panic = optional(r, "panic", ejection::read_panic);
    let retry = optional(r, "retry", retry::read);
    let hedging = optional(r, "hedging", retry::read_hedging);
    let limits = optional(r, "limits", limits::read);
    let queue = optional(r, "queue", limits::read_queue);
    let timeout = r.table_or_empty("timeout").and_then(|r| timeout::read(&r));
    Some(Settings {
        strategy: strategy?,
        health: health?,
        ejection: ejection?,
        slow_start: slow_start?,
        panic: panic?,
        retry: retry?,
        hedging: hedging?,
        limits: limits?,
        queue: queue?,
        timeout: timeout?,
    })
}

/// `None` within when the table is absent: that part is off.
fn optional<T>(
    r: &Reader<'_>,
    name: &str,
    read: impl Fn(&Reader<'_>) -> Option<T>,
) -> Option<Option<T>> {
    if r.has(name) { r.table(name).and_then(|r| read(&r)).map(Some) } else { Some(None) }
}

/// Settings as the tree that [`read`] reads back as the same; what is off is left out.
fn write(settings: &Settings) -> Table {
    let parts = [
        ("strategy", Some(strategy::write(&settings.strategy))),
        ("health", settings.health.as_ref().map(health::write)),
        ("ejection", settings.ejection.as_ref().map(ejection::write)),
        ("slow_start", settings.slow_start.as_ref().map(ejection::write_slow_start)),
        ("panic", settings.panic.as_ref().map(ejection::write_panic)),
        ("retry", settings.retry.as_ref().map(retry::write)),
        ("hedging", settings.hedging.as_ref().map(retry::write_hedging)),
        ("limits", settings.limits.as_ref().map(limits::write)),
        ("queue", settings.queue.as_ref().map(limits::write_queue)),
        ("timeout", Some(timeout::write(&settings.timeout))),
    ];
    written::entries(parts.into_iter().filter_map(|(name, part)| Some((name, part?))))
}

/// The tables of these settings, each under its header.
pub fn tables_to_toml(text: &mut String, settings: &Settings) {
    for entry in write(settings).entries.iter().filter(|entry| entry.key != "strategy") {
        if let Value::Table(table) = &entry.node.value {
            written::push_table(text, &entry.key, table);
        }
    }
}
