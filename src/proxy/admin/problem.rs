//! What is told when something is wrong, and how a body is taken in. It must not know a route.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::operator::Refused;
use crate::state_file::NotKept;

/// How long a client may take for a body.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// What is wrong and what to do.
    #[serde(rename = "error")]
    message: String,
    /// All that is wrong with a change of the configuration, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// What to prove, for `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), problems: vec![], challenge: None }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(challenge: &'static str, message: impl Into<String>) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// All that is wrong with a change.
    pub(super) fn all(problems: Vec<String>) -> Self {
        Self { problems: problems.clone(), ..Self::bad(problems.join("; ")) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
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

impl From<NotKept> for Problem {
    fn from(not_kept: NotKept) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, not_kept.to_string())
    }
}

/// A JSON body, whatever content type it claims (`curl -d` claims a form).
pub(super) struct Body<T>(pub(super) T);

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

/// The id of a backend, out of the path.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is no text once it is decoded is no backend's id either.
        let id = Path::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|refusal| {
            Problem::new(StatusCode::NOT_FOUND, format!("no backend: {}", refusal.body_text()))
        })
    }
}
