//! The admin API: backends, configuration, events and metrics over HTTP and JSON.
//! It must not know the proxied path, and decides nothing: it translates into commands.

mod event_stream;
mod view;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use config::policy_keys;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use view::About;

use crate::metrics;
use crate::operator::{Change, Refused};
use crate::shared::Shared;

/// The largest body that a request to the API may have.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What every route needs.
#[derive(Clone)]
struct Api {
    shared: Arc<Shared>,
    about: Arc<About>,
}

/// Serves the API until the runtime ends.
pub(crate) async fn serve(shared: Arc<Shared>, about: About, listener: TcpListener) {
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router(Arc::clone(&shared), about)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        shared.log.line(format!("the admin API ended: {error}"));
    }
}

fn router(shared: Arc<Shared>, about: About) -> Router {
    Router::new()
        .route("/v1/backends", get(list).post(add))
        .route("/v1/backends/{id}", get(show).patch(change).delete(remove))
        .route("/v1/config", get(config).patch(change_config))
        .route("/v1/events", get(event_stream::events))
        .route("/metrics", get(show_metrics))
        .route("/openapi.json", get(openapi))
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such path; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not this method here; see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(known_host))
        .with_state(Api { shared, about: Arc::new(about) })
}

/// An error as the API tells it: `{"error": "…"}`, with `"problems": […]` where there are several.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    message: String,
    problems: Vec<String>,
}

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), problems: vec![] }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// All that is wrong with a change.
    fn all(problems: Vec<String>) -> Self {
        Self { problems: problems.clone(), ..Self::bad(problems.join("; ")) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = match self.problems.is_empty() {
            true => json!({ "error": self.message }),
            false => json!({ "error": self.message, "problems": self.problems }),
        };
        (self.status, Json(body)).into_response()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Unknown(_) | Refused::Gone => StatusCode::NOT_FOUND,
            Refused::AddressTaken(..) | Refused::NameTaken(_) => StatusCode::CONFLICT,
            Refused::BadWeight(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refused.to_string())
    }
}

/// A JSON body, whatever content type it claims (`curl -d` claims a form).
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|refusal| Problem::new(refusal.status(), refusal.body_text()))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad(format!("the body is not what is wanted here: {error}")))
    }
}

/// A web page that lets its own name resolve to this machine must not reach the API through the
/// browser (DNS rebinding): names that anybody can register are refused.
async fn known_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_none_or(|host| !is_own_name(host)) {
        let message = "ask for the API by an IP address or as localhost";
        return Problem::new(StatusCode::FORBIDDEN, message).into_response();
    }
    next.run(request).await
}

fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

async fn list(State(api): State<Api>) -> Json<Vec<view::Backend>> {
    Json(api.shared.backends().into_iter().map(view::Backend::from).collect())
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<view::Backend>, Problem> {
    Ok(Json(api.shared.backend(&id)?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBackend {
    address: String,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

async fn add(
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
    let backend = view::Backend::from(api.shared.add(None, address, new.weight)?);
    let place =
        HeaderValue::try_from(format!("/v1/backends/{}", backend.id)).expect("ids are URL-safe");
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(backend)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendPatch {
    weight: Option<u32>,
    state: Option<WantedState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WantedState {
    Drain,
    Ready,
}

async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(patch): Body<BackendPatch>,
) -> Result<Json<view::Backend>, Problem> {
    if patch.weight.is_none() && patch.state.is_none() {
        return Err(Problem::bad("nothing to change: give \"weight\" or \"state\""));
    }
    let drain = patch.state.map(|state| matches!(state, WantedState::Drain));
    api.shared.change(&id, Change { weight: patch.weight, drain })?;
    Ok(Json(api.shared.backend(&id)?.into()))
}

async fn remove(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.shared.remove(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn config(State(api): State<Api>) -> Json<Value> {
    Json(view::configuration(&api.about, &api.shared.settings()))
}

async fn change_config(
    State(api): State<Api>,
    Body(mut patch): Body<Value>,
) -> Result<Json<Value>, Problem> {
    if let Value::Object(patch) = &mut patch {
        if patch.is_empty() {
            let message = "nothing to change: give {\"retry\": {\"attempts\": 3}}, for example";
            return Err(Problem::bad(message));
        }
        api.about.strip(patch).map_err(|key| {
            Problem::bad(format!("{key} cannot be changed while running: it needs a restart"))
        })?;
    }
    let registry = &api.shared.registry;
    let settings = api
        .shared
        .revise(|current| policy_keys::patch(current, &patch, registry))
        .map_err(Problem::all)?;
    Ok(Json(view::configuration(&api.about, &settings)))
}

async fn show_metrics(State(api): State<Api>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics::text(&api.shared))
}

async fn openapi() -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, include_str!("admin/openapi.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_register_are_ours() {
        for (host, own) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9900", true),
            ("localhost", true),
            ("LOCALHOST:80", true),
            ("[::1]:9900", true),
            ("[::1]", true),
            ("10.1.2.3:1", true),
            ("evil.example", false),
            ("evil.example:9900", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:80", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(host), own, "{host}");
        }
    }
}
