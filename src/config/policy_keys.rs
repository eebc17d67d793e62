//! The keys that decide how a balancer decides: strategy, health, retry, timeout. They stand in
//! proxy.toml and in the `[proxy]` table of a scenario, and this must not know in which of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use policy::settings::{
    Choice, HealthSettings, ParameterValue, RetrySettings, Settings, TimeoutSettings,
};
use policy::{ChoiceError, Registry};

use crate::backends::push;
use crate::document::{Node, Table, Value};
use crate::reader::{Reader, number_of};
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::{format_duration, parse_duration, quote, shown};

/// The most characters of a strategy's name that are looked at.
const STRATEGY_CHARACTERS: usize = 64;

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
        kind: Kind::Table(&HEALTH),
        presence: Presence::Absent("no probes, every backend is ready"),
        summary: "Active health checks.",
    },
    Key {
        name: "retry",
        kind: Kind::Table(&RETRY),
        presence: Presence::Absent("one attempt"),
        summary: "Further attempts after a failed one.",
    },
];

static HEALTH: Schema = Schema {
    title: "[health]",
    summary: "Active health checks: a probe to every backend each interval. In a scenario \
              `[proxy.health]`. An empty table takes the defaults; without the table there are \
              no probes.",
    groups: &[&[
        Key {
            name: "path",
            kind: Kind::Target,
            presence: Presence::Default("/health"),
            summary: "What the probe asks for; a status from 200 to 299 passes.",
        },
        Key {
            name: "interval",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("2s"),
            summary: "From one probe's start to the next's, per backend.",
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

static RETRY: Schema = Schema {
    title: "[retry]",
    summary: "Further attempts after a failed one. In a scenario `[proxy.retry]`. An empty table \
              takes the defaults; without the table there is one attempt.",
    groups: &[&[
        Key {
            name: "attempts",
            kind: Kind::Whole { min: 1, max: 100 },
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
    ]],
};

const CONNECT: Key = Key {
    name: "connect",
    kind: Kind::Duration { zero: false },
    presence: Presence::Default("1s"),
    summary: "To an open connection.",
};

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
    groups: &[&[CONNECT, attempt("10s"), total("30s")]],
});

/// `timeout` of a balancer in a scenario, where the load's own timeout bounds a request.
pub const TIMEOUT_IN_SCENARIO: Key = timeout(&Schema {
    title: "[proxy.timeout]",
    summary: "How long things may take; `load.timeout` bounds the client all the same.",
    groups: &[&[CONNECT, attempt("off"), total("off")]],
});

/// Reads [`POLICY_KEYS`] and `timeout`.
pub fn read(r: &Reader<'_>, registry: &Registry) -> Option<Settings> {
    let strategy = read_strategy(r, registry);
    let health = optional(r, "health", read_health);
    let retry = optional(r, "retry", read_retry);
    let timeout = r.table_or_empty("timeout").and_then(|r| read_timeout(&r));
    Some(Settings {
        health: health?,
        retry: retry?,
        timeout: timeout?,
        ..Settings::plain(strategy?)
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

fn read_health(r: &Reader<'_>) -> Option<HealthSettings> {
    let path = r.text("path");
    let interval = r.duration("interval");
    let timeout = r.duration("timeout");
    let (fall, rise) = (r.whole_u32("fall"), r.whole_u32("rise"));
    let jitter = r.number("jitter");
    let remove_after = r.duration_or_off("remove_after");
    Some(HealthSettings {
        path: path?,
        interval: interval?,
        timeout: timeout?,
        fall: fall?,
        rise: rise?,
        jitter: jitter?,
        remove_after: remove_after?,
        ..HealthSettings::default()
    })
}

fn read_retry(r: &Reader<'_>) -> Option<RetrySettings> {
    let attempts = r.whole_u32("attempts");
    let (budget, budget_min) = (r.number("budget"), r.number("budget_min"));
    let statuses = r.wholes("statuses")?.into_iter();
    Some(RetrySettings {
        attempts: attempts?,
        budget: budget?,
        budget_min: budget_min?,
        statuses: statuses.filter_map(|status| u16::try_from(status).ok()).collect(),
        ..RetrySettings::default()
    })
}

fn read_timeout(r: &Reader<'_>) -> Option<TimeoutSettings> {
    let connect = r.duration("connect");
    let (attempt, total) = (r.duration_or_off("attempt"), r.duration_or_off("total"));
    Some(TimeoutSettings {
        connect: connect?,
        attempt: attempt?,
        total: total?,
        ..TimeoutSettings::default()
    })
}

fn read_strategy(r: &Reader<'_>, registry: &Registry) -> Option<Choice> {
    let Some(node) = r.node("strategy") else {
        // The getter for texts says what is missing; it never sees a value here.
        return r.text("strategy").and(None);
    };
    match &node.value {
        Value::Text(name) => choose(r, node, name, &Table::default(), registry),
        Value::Table(table) => {
            let name = table.get("name").unwrap_or(node);
            let Some(text) = name.as_text() else {
                let wanted = Kind::Strategy.wanted();
                r.context().problem(
                    &name.origin,
                    format!("the name of a strategy is missing: write {wanted}"),
                );
                return None;
            };
            choose(r, name, text, table, registry)
        }
        _ => {
            let wanted = Kind::Strategy.wanted();
            r.problem("strategy", format!("strategy must be {wanted}, not {}", node.shown()));
            None
        }
    }
}

fn choose(
    r: &Reader<'_>,
    at: &Node,
    name: &str,
    table: &Table,
    registry: &Registry,
) -> Option<Choice> {
    let mut given = BTreeMap::new();
    let mut complete = true;
    for entry in table.entries.iter().filter(|entry| entry.key != "name") {
        if let Some(value) = parameter(&entry.node) {
            given.insert(entry.key.clone(), value);
        } else {
            complete = false;
            let message = format!(
                "{} must be a number, true, false or a duration, not {}",
                shown(&entry.key),
                entry.node.shown()
            );
            r.context().problem(&entry.node.origin, message);
        }
    }
    let name: String = name.chars().take(STRATEGY_CHARACTERS).collect();
    match registry.choose(&name, &given) {
        Ok(choice) => Some(choice).filter(|_| complete),
        Err(errors) => {
            for ChoiceError { parameter, message } in errors {
                let place = parameter.and_then(|name| table.get(&name)).unwrap_or(at);
                r.context().problem(&place.origin, message);
            }
            None
        }
    }
}

/// The value of a strategy's parameter by its type in TOML; [`Registry::choose`] checks the rest.
fn parameter(node: &Node) -> Option<ParameterValue> {
    match &node.value {
        Value::Whole(whole, _) => i64::try_from(*whole).ok().map(ParameterValue::Integer),
        Value::Number(..) => number_of(node).map(ParameterValue::Number),
        Value::Flag(flag) => Some(ParameterValue::Flag(*flag)),
        Value::Text(text) => Some(match parse_duration(text) {
            Ok(duration) => ParameterValue::Duration(duration),
            Err(_) => ParameterValue::Text(text.clone().into()),
        }),
        _ => None,
    }
}

/// A strategy as the value of `strategy`.
pub fn strategy_to_toml(choice: &Choice) -> String {
    let mut text = format!("{{ name = {}", quote(choice.name()));
    for (name, value) in choice.parameters() {
        let value = match value {
            ParameterValue::Integer(integer) => integer.to_string(),
            ParameterValue::Number(number) => format!("{number:?}"),
            ParameterValue::Flag(flag) => flag.to_string(),
            ParameterValue::Duration(duration) => quote(&format_duration(*duration)),
            ParameterValue::Key(_) | ParameterValue::Text(_) => quote(&value.to_string()),
        };
        write!(text, ", {name} = {value}").expect("writing to a string cannot fail");
    }
    if choice.parameters().is_empty() { quote(choice.name()) } else { text + " }" }
}

/// The tables of these settings, each under its header.
pub fn tables_to_toml(text: &mut String, settings: &Settings) {
    let off = |duration: Option<std::time::Duration>| {
        quote(&duration.map_or_else(|| "off".to_string(), format_duration))
    };
    if let Some(health) = &settings.health {
        text.push_str("\n[health]\n");
        push(text, "path", &quote(&health.path));
        push(text, "interval", &quote(&format_duration(health.interval)));
        push(text, "timeout", &quote(&format_duration(health.timeout)));
        push(text, "fall", &health.fall.to_string());
        push(text, "rise", &health.rise.to_string());
        push(text, "jitter", &format!("{:?}", health.jitter));
        push(text, "remove_after", &off(health.remove_after));
    }
    if let Some(retry) = &settings.retry {
        text.push_str("\n[retry]\n");
        push(text, "attempts", &retry.attempts.to_string());
        push(text, "budget", &format!("{:?}", retry.budget));
        push(text, "budget_min", &format!("{:?}", retry.budget_min));
        push(text, "statuses", &format!("{:?}", retry.statuses));
    }
    text.push_str("\n[timeout]\n");
    push(text, "connect", &quote(&format_duration(settings.timeout.connect)));
    push(text, "attempt", &off(settings.timeout.attempt));
    push(text, "total", &off(settings.timeout.total));
}
