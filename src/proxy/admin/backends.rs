//! The routes of the backends. It must not know who may take them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Body, Id, Problem};
use super::view::Backend;
use crate::operator::Change;
use crate::shared::Shared;

/// All backends, in the order in which they were added.
#[utoipa::path(
    get,
    path = "/v1/backends",
    operation_id = "listBackends",
    responses((status = 200, description = "The backends.", body = Vec<Backend>)),
)]
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<Backend>> {
    Json(api.shared.backends().into_iter().map(Backend::from).collect())
}

/// One backend.
#[utoipa::path(
    get,
    path = "/v1/backends/{id}",
    operation_id = "showBackend",
    params(("id" = String, Path, description = "The backend's id.")),
    responses(
        (status = 200, description = "The backend.", body = Backend),
        (status = 404, description = "There is no backend of this id.", body = Problem),
    ),
)]
pub(super) async fn show(State(api): State<Api>, Id(id): Id) -> Result<Json<Backend>, Problem> {
    Ok(Json(api.shared.backend(&id)?.into()))
}

/// A backend to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackend {
    /// IP address and port.
    #[schema(examples("127.0.0.1:9105"))]
    address: String,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 65536)]
    weight: u32,
}

const fn one() -> u32 {
    1
}

/// Add a backend.
///
/// It gets an id of its own, new at every add. Where health checks are on it is probed at once and
/// in service after one pass; where they are off it is in service at once.
#[utoipa::path(
    post,
    path = "/v1/backends",
    operation_id = "addBackend",
    request_body = NewBackend,
    responses(
        (
            status = 201, description = "The new backend.", body = Backend,
            headers(("Location" = String, description = "Its path.")),
        ),
        (
            status = 409, description = "A backend with this address is in the pool.",
            body = Problem,
        ),
        (
            status = 500, description = "In force, but not kept over a restart (`state_file`).",
            body = Problem,
        ),
    ),
)]
pub(super) async fn add(
    State(api): State<Api>,
    Body(new): Body<NewBackend>,
) -> Result<impl IntoResponse, Problem> {
    let address: SocketAddr = new.address.parse().map_err(|_| {
        let given = config::value::shown(&new.address);
        Problem::bad(format!("address {given} is not an IP address and port, as 127.0.0.1:9105"))
    })?;
    if address.port() == 0 {
        return Err(Problem::bad("port 0 cannot be connected to"));
    }
    let added = api.shared.operate(move |shared| shared.add(address, new.weight)).await??;
    let backend = Backend::from(added);
    let place =
        HeaderValue::try_from(format!("/v1/backends/{}", backend.id)).expect("ids are URL-safe");
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(backend)))
}

/// A change to a backend: one of these or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendPatch {
    #[schema(minimum = 1, maximum = 65536)]
    weight: Option<u32>,
    state: Option<WantedState>,
}

/// "drain": no new requests; "ready": ends a drain.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WantedState {
    Drain,
    Ready,
}

/// Change its weight, begin or end a drain.
#[utoipa::path(
    patch,
    path = "/v1/backends/{id}",
    operation_id = "changeBackend",
    params(("id" = String, Path, description = "The backend's id.")),
    request_body = BackendPatch,
    responses(
        (status = 200, description = "The backend as it is now.", body = Backend),
        (status = 404, description = "There is no backend of this id.", body = Problem),
        (
            status = 500, description = "In force, but not kept over a restart (`state_file`).",
            body = Problem,
        ),
    ),
)]
pub(super) async fn change(
    State(api): State<Api>,
    Id(id): Id,
    Body(patch): Body<BackendPatch>,
) -> Result<Json<Backend>, Problem> {
    if patch.weight.is_none() && patch.state.is_none() {
        return Err(Problem::bad("nothing to change: give \"weight\" or \"state\""));
    }
    let drain = patch.state.map(|state| matches!(state, WantedState::Drain));
    let change = Change { weight: patch.weight, drain };
    let act = move |shared: &Arc<Shared>| {
        shared.change(&id, change)?;
        shared.backend(&id)
    };
    Ok(Json(api.shared.operate(act).await??.into()))
}

/// Remove it.
///
/// It gets no new requests; those in flight end in their own time. Its address can be added again
/// at once.
#[utoipa::path(
    delete,
    path = "/v1/backends/{id}",
    operation_id = "removeBackend",
    params(("id" = String, Path, description = "The backend's id.")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "There is no backend of this id.", body = Problem),
        (
            status = 500, description = "In force, but not kept over a restart (`state_file`).",
            body = Problem,
        ),
    ),
)]
pub(super) async fn remove(State(api): State<Api>, Id(id): Id) -> Result<StatusCode, Problem> {
    api.shared.operate(move |shared| shared.remove(&id)).await??;
    Ok(StatusCode::NO_CONTENT)
}
