//! The routes of the configuration. It must not know its keys: they are declared where they are read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use config::policy_keys;
use serde_json::Value;

use super::Api;
use super::problem::{Body, Problem};
use super::view::{Config, ConfigPatch};
use crate::shared::Shared;

/// The configuration, in the keys of proxy.toml; what is off is null.
#[utoipa::path(
    get,
    path = "/v1/config",
    operation_id = "showConfig",
    responses((status = 200, description = "The configuration.", body = Config)),
)]
pub(super) async fn show_config(State(api): State<Api>) -> Json<Config> {
    Json(Config::new(&api.about, &api.shared.settings()))
}

/// Change how the balancer decides, from now on.
///
/// A JSON Merge Patch (RFC 7396): a table is merged over its present values, `{}` turns one on with
/// its defaults, null turns it off. Nothing is changed when any of it is wrong.
#[utoipa::path(
    patch,
    path = "/v1/config",
    operation_id = "changeConfig",
    request_body = ConfigPatch,
    responses(
        (status = 200, description = "The configuration as it is now.", body = Config),
        (
            status = 500, description = "In force, but not kept over a restart (`state_file`).",
            body = Problem,
        ),
    ),
)]
pub(super) async fn change_config(
    State(api): State<Api>,
    Body(ConfigPatch(mut patch)): Body<ConfigPatch>,
) -> Result<Json<Config>, Problem> {
    if let Value::Object(patch) = &mut patch {
        if patch.is_empty() {
            let message = "nothing to change: give {\"retry\": {\"attempts\": 3}}, for example";
            return Err(Problem::bad(message));
        }
        api.about.strip(patch).map_err(|key| {
            Problem::bad(format!("{key} cannot be changed while running: it needs a restart"))
        })?;
    }
    let act = move |shared: &Arc<Shared>| {
        shared.revise(|current| policy_keys::patch(current, &patch, &shared.registry))
    };
    let settings = api.shared.operate(act).await?.map_err(Problem::all)?;
    Ok(Json(Config::new(&api.about, &settings)))
}
