//! The admin API: backends, configuration, events and metrics over HTTP and JSON.
//! It must not know the proxied path, and decides nothing: it translates into commands.

mod event_stream;
mod gate;
mod listener;
mod token;
mod view;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use config::policy_keys;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use gate::Gate;
pub use token::TokenError;
pub(crate) use view::About;

use crate::metrics;
use crate::operator::{Change, Refused};
use crate::shared::Shared;

/// The largest body that a request to the API may have.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a client may take for such a body.
const BODY_LIMIT: Duration = Duration::from_secs(10);
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
        .layer(from_fn_with_state(Arc::new(gate), gate::pass))
        .with_state(Api { shared, about: Arc::new(about), listeners })
}

/// An error as the API tells it: `{"error": "…"}`, with `"problems": […]` where there are several.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    message: String,
    problems: Vec<String>,
    /// What to prove, for `WWW-Authenticate`.
    challenge: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), problems: vec![], challenge: None }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    fn unauthorized(challenge: &'static str, message: impl Into<String>) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, message) }
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
        let mut response = (self.status, Json(body)).into_response();
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
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
        let bytes = timeout(BODY_LIMIT, Bytes::from_request(request, state))
            .await
            .map_err(|_| {
                let limit = BODY_LIMIT.as_secs();
                let message = format!("the body did not come within {limit} s; send it again");
                Problem::new(StatusCode::REQUEST_TIMEOUT, message)
            })?
            .map_err(|refusal| Problem::new(refusal.status(), refusal.body_text()))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad(format!("the body is not what is wanted here: {error}")))
    }
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
