//! What the admin API shows, as JSON. It must not change anything.

use std::net::SocketAddr;

use base::Time;
use config::ProxyConfig;
use config::policy_keys;
use config::value::format_duration;
use policy::Settings;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::operator::BackendView;
use crate::running::Ready;

/// One backend.
#[derive(Serialize)]
pub(super) struct Backend {
    pub(super) id: String,
    address: SocketAddr,
    weight: u32,
    /// Less than the weight while it warms up.
    effective_weight: f64,
    state: &'static str,
    reason: String,
    /// Nanoseconds of the proxy's clock.
    since_ns: u64,
    in_flight: u32,
    requests: u64,
    failures: u64,
    /// How often it was ejected.
    ejections: u64,
    /// When its ejection ends, in nanoseconds of the proxy's clock, while there is one.
    ejected_until_ns: Option<u64>,
    last_check: Option<String>,
}

impl From<BackendView> for Backend {
    fn from(view: BackendView) -> Self {
        Self {
            id: view.name,
            address: view.address,
            weight: view.weight,
            effective_weight: view.effective_weight,
            state: view.state,
            reason: view.reason,
            since_ns: view.since.as_nanos(),
            in_flight: view.in_flight,
            requests: view.attempts,
            failures: view.failures,
            ejections: view.ejections,
            ejected_until_ns: view.ejected_until.map(Time::as_nanos),
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

    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => unreachable!("a structure of numbers and texts is a JSON object"),
        }
    }

    /// Takes these out of a change that leaves them as they are.
    ///
    /// # Errors
    /// The first of them that it would change.
    pub(super) fn strip(&self, patch: &mut Map<String, Value>) -> Result<(), String> {
        for (key, value) in self.fields() {
            if patch.remove(&key).is_some_and(|wanted| wanted != value) {
                return Err(key);
            }
        }
        Ok(())
    }
}

/// The configuration in the keys of proxy.toml; what is off is null.
pub(super) fn configuration(about: &About, settings: &Settings) -> Value {
    let mut whole = about.fields();
    if let Value::Object(settings) = policy_keys::settings_to_json(settings) {
        whole.extend(settings);
    }
    Value::Object(whole)
}
