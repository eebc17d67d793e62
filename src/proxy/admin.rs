//! The admin API: backends, configuration, events and metrics over HTTP and JSON.
//! It must not know the proxied path, and decides nothing: it translates into commands.

mod backends;
mod configuration;
mod document;
mod event_stream;
mod gate;
mod listener;
mod problem;
mod token;
mod view;

use std::net::TcpListener;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::{Json, Router};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use gate::Gate;
use problem::Problem;
pub use token::TokenError;
pub(crate) use view::About;

use crate::metrics;
use crate::shared::Shared;

/// The largest body that a request to the API may have.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// The most listeners to events at once: fewer than connections, so that they alone, who stay, keep
/// nobody else out.
const MAX_LISTENERS: usize = 32;

/// What every route needs.
#[derive(Clone)]
struct Api {
    shared: Arc<Shared>,
    about: Arc<About>,
    /// One place for each who listens to events.
    listeners: Arc<Semaphore>,
    /// What the routes tell of themselves.
    document: Bytes,
}

/// Serves the API until the runtime ends.
pub(crate) async fn serve(shared: Arc<Shared>, about: About, gate: Gate, listener: TcpListener) {
    for warning in listener.local_addr().map(|at| gate.warnings(at.ip())).unwrap_or_default() {
        shared.log.line(warning);
    }
    let router = router(Arc::clone(&shared), about, gate);
    if let Err(error) = listener::serve(listener, router).await {
        shared.log.line(format!("the admin API ended: {error}"));
    }
}

fn router(shared: Arc<Shared>, about: About, gate: Gate) -> Router {
    let listeners = Arc::new(Semaphore::new(MAX_LISTENERS));
    let (routes, described) = OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(backends::list, backends::add))
        .routes(routes!(backends::show, backends::change, backends::remove))
        .routes(routes!(configuration::show_config, configuration::change_config))
        .routes(routes!(event_stream::events))
        .routes(routes!(show_metrics))
        .routes(routes!(show_openapi))
        .routes(routes!(show_health))
        .split_for_parts();
    let document = document::written(&described);
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such path; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not this method here; see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::new(gate), gate::pass))
        .with_state(Api { shared, about: Arc::new(about), listeners, document })
}

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "showMetrics",
    responses(
        (status = 200, description = "The metrics.", content_type = "text/plain", body = String),
    ),
)]
async fn show_metrics(State(api): State<Api>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics::text(&api.shared))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "showOpenapi",
    responses((status = 200, description = "This document.", body = Object)),
)]
async fn show_openapi(State(api): State<Api>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], api.document)
}

/// What a proxy that runs says.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always "ok".
    status: &'static str,
}

/// Whether the proxy runs.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "showHealth",
    responses((status = 200, description = "It runs.", body = Health)),
)]
async fn show_health() -> Json<Health> {
    Json(Health { status: "ok" })
}
