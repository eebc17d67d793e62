//! What the admin API shows, as JSON. It must not change anything.

use std::net::SocketAddr;

use base::Time;
use config::ProxyConfig;
use config::policy_keys;
use config::value::format_duration;
use policy::{Settings, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::operator::BackendView;
use crate::running::Ready;

/// One backend.
#[derive(Serialize, ToSchema)]
pub(super) struct Backend {
    /// URL-safe; that of proxy.toml, else b1, b2, …
    pub(super) id: String,
    #[schema(value_type = String, examples("127.0.0.1:9101"))]
    address: SocketAddr,
    #[schema(minimum = 1, maximum = 65536)]
    weight: u32,
    /// Less than the weight while it warms up.
    effective_weight: f64,
    #[schema(schema_with = state_words)]
    state: &'static str,
    /// Why it is in this state.
    reason: String,
    /// Since when, in nanoseconds of the proxy's clock.
    since_ns: u64,
    /// Attempts sent and not ended, connecting ones included.
    in_flight: u32,
    /// Attempts sent so far.
    requests: u64,
    /// Attempts that failed so far.
    failures: u64,
    /// How often it was ejected.
    ejections: u64,
    /// When its ejection ends, in nanoseconds of the proxy's clock, while there is one.
    #[schema(required)]
    ejected_until_ns: Option<u64>,
    /// What came of the latest probe.
    #[schema(required)]
    last_check: Option<String>,
}

fn state_words() -> ObjectBuilder {
    let words = State::ALL.map(State::word);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
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
#[derive(Serialize, ToSchema)]
pub(crate) struct About {
    #[schema(value_type = String)]
    listen: SocketAddr,
    #[schema(value_type = Option<String>, required)]
    admin: Option<SocketAddr>,
    workers: u32,
    /// A duration, as "5s".
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
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Config(Value);

impl Config {
    pub(super) fn new(about: &About, settings: &Settings) -> Self {
        let mut whole = about.fields();
        if let Value::Object(settings) = policy_keys::settings_to_json(settings) {
            whole.extend(settings);
        }
        Self(Value::Object(whole))
    }
}

/// A change of it; what never changes may stand there as it is, so that what is shown can be sent
/// back.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct ConfigPatch(pub(super) Value);

/// The schemas of [`Config`] and [`ConfigPatch`], by their names: they have the keys that the reader
/// of proxy.toml has.
pub(super) fn config_schemas() -> [(&'static str, Value); 2] {
    let about = serde_json::to_value(About::schema()).expect("a schema is JSON");
    let with_about = |mut schema: Value, is_whole: bool| {
        if let (Some(all), Some(more)) =
            (schema["properties"].as_object_mut(), about["properties"].as_object())
        {
            all.extend(more.clone());
        }
        if let (Some(all), Some(more), true) =
            (schema["required"].as_array_mut(), about["required"].as_array(), is_whole)
        {
            all.extend(more.iter().cloned());
        }
        schema
    };
    [
        ("Config", with_about(policy_keys::settings_schema(), true)),
        ("ConfigPatch", with_about(policy_keys::patch_schema(), false)),
    ]
}
