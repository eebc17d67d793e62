//! What the admin API shows, as JSON. It must not change anything.

use std::net::SocketAddr;

use config::ProxyConfig;
use config::value::format_duration;
use policy::{ParameterValue, Settings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::operator::BackendView;
use crate::running::Ready;

/// One backend.
#[derive(Serialize)]
pub(super) struct Backend {
    pub(super) id: String,
    address: SocketAddr,
    weight: u32,
    state: &'static str,
    reason: String,
    /// Nanoseconds of the proxy's clock.
    since_ns: u64,
    in_flight: u32,
    requests: u64,
    failures: u64,
    last_check: Option<String>,
}

impl From<BackendView> for Backend {
    fn from(view: BackendView) -> Self {
        Self {
            id: view.name,
            address: view.address,
            weight: view.weight,
            state: view.state,
            reason: view.reason,
            since_ns: view.since.as_nanos(),
            in_flight: view.in_flight,
            requests: view.attempts,
            failures: view.failures,
            last_check: view.last_check,
        }
    }
}

/// What never changes while a proxy runs.
#[derive(Serialize)]
pub(crate) struct About {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    workers: u32,
    drain_timeout: String,
}

impl About {
    pub(crate) fn new(config: &ProxyConfig, ready: &Ready) -> Self {
        Self {
            listen: ready.listen,
            admin: ready.admin,
            workers: config.workers.max(1),
            drain_timeout: format_duration(config.drain_timeout),
        }
    }
}

/// The configuration in the keys of proxy.toml; what is off is null.
pub(super) fn configuration(about: &About, settings: &Settings) -> Value {
    let mut strategy = Map::new();
    strategy.insert("name".into(), settings.strategy.name().into());
    for (name, value) in settings.strategy.parameters() {
        strategy.insert(name.clone(), parameter(value));
    }
    let off = |duration: Option<_>| duration.map(format_duration);
    let health = settings.health.as_ref().map(|health| {
        json!({
            "path": health.path,
            "interval": format_duration(health.interval),
            "timeout": format_duration(health.timeout),
            "fall": health.fall,
            "rise": health.rise,
            "jitter": health.jitter,
            "remove_after": off(health.remove_after),
        })
    });
    let retry = settings.retry.as_ref().map(|retry| {
        json!({
            "attempts": retry.attempts,
            "budget": retry.budget,
            "budget_min": retry.budget_min,
            "statuses": retry.statuses,
        })
    });
    let timeout = &settings.timeout;
    json!({
        "listen": about.listen,
        "admin": about.admin,
        "workers": about.workers,
        "drain_timeout": about.drain_timeout,
        "strategy": strategy,
        "health": health,
        "retry": retry,
        "timeout": {
            "connect": format_duration(timeout.connect),
            "attempt": off(timeout.attempt),
            "total": off(timeout.total),
        },
    })
}

fn parameter(value: &ParameterValue) -> Value {
    match value {
        ParameterValue::Integer(integer) => (*integer).into(),
        ParameterValue::Number(number) => (*number).into(),
        ParameterValue::Flag(flag) => (*flag).into(),
        ParameterValue::Duration(duration) => format_duration(*duration).into(),
        ParameterValue::Key(_) | ParameterValue::Text(_) => value.to_string().into(),
    }
}
