//! Who may ask the admin API: its Host, its Origin, its token. It must not know what a route does,
//! but that [`OPEN`] is for everybody.
//!
//! The three stop different visitors. The Host check stops a web page whose own name resolves to
//! this machine (DNS rebinding), the Origin check one that sends its requests across origins, the
//! token everybody else who can connect.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use config::ProxyConfig;

use super::problem::Problem;
use super::token::{Token, TokenError};

/// The one route that asks for no token: whoever restarts a proxy that hangs need not know it.
pub(super) const OPEN: &str = "/health";

/// What pages of allowed origins may send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const FIELDS: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");

/// How long a browser may remember that, in seconds; browsers themselves stop at two hours.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("600");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is asked of every request.
#[derive(Debug)]
pub(crate) struct Gate {
    token: Option<Token>,
    origins: Vec<String>,
}

impl Gate {
    /// Reads the token's file, if there is one.
    ///
    /// # Errors
    /// When there is no usable token in it.
    pub(crate) fn new(config: &ProxyConfig) -> Result<Self, TokenError> {
        let token = config.admin_token.as_ref().map(Token::new).transpose()?;
        Ok(Self { token, origins: config.admin_origins.clone() })
    }

    /// What an operator should know of an API that listens there. Without a token beyond loopback
    /// it still starts: within a container that is how its own network reaches it.
    pub(super) fn warnings(&self, address: IpAddr) -> Vec<String> {
        let token = self.token.as_ref();
        let unguarded = token.is_none() && !address.is_loopback();
        let unguarded = unguarded.then(|| {
            format!(
                "warning: whoever can connect to the admin API on {address} can change this proxy; \
                 set admin_token_file, or admin = \"127.0.0.1:9900\""
            )
        });
        unguarded.into_iter().chain(token.and_then(|token| token.warning().cloned())).collect()
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = the_one(headers, &header::HOST)
            .filter(|host| is_own_name(host) || self.is_listed_host(host))
            .ok_or_else(|| {
                forbidden(
                    "ask for the API by an IP address, as localhost or by a host of admin_origins",
                )
            })?;
        if is_preflight(request) {
            return self.check_origin(headers, host);
        }
        if !request.method().is_safe() {
            self.check_origin(headers, host)?;
        }
        match &self.token {
            Some(token) if request.uri().path() != OPEN => check_token(token, headers),
            _ => Ok(()),
        }
    }

    /// A front may speak for the API under its own name, which pages then have as their origin.
    fn is_listed_host(&self, host: &str) -> bool {
        let hosts = self.origins.iter().filter_map(|origin| Some(origin.split_once("://")?.1));
        hosts.map(name_of).any(|name| name.eq_ignore_ascii_case(name_of(host)))
    }

    /// Tools send no Origin; browsers send one with everything that is not a GET or HEAD.
    fn check_origin(&self, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
        if !headers.contains_key(header::ORIGIN) {
            let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
            return match site {
                Some(b"cross-site" | b"same-site") => Err(forbidden(
                    "a page of another site must name its origin, and admin_origins list it",
                )),
                _ => Ok(()),
            };
        }
        match the_one(headers, &header::ORIGIN) {
            Some(origin) if is_own_origin(origin, host) || self.is_listed(origin) => Ok(()),
            Some(origin) => {
                let origin = config::value::shown(origin);
                Err(forbidden(format!("origin {origin} is not listed in admin_origins")))
            }
            None => Err(forbidden("one origin is wanted, and that listed in admin_origins")),
        }
    }

    /// Lets the pages of listed origins read an answer, and nobody else's.
    fn share(&self, origin: Option<&HeaderValue>, answer: &mut Response) {
        if self.origins.is_empty() {
            return;
        }
        let headers = answer.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|o| o.to_str().is_ok_and(|o| self.is_listed(o))) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static("location, www-authenticate");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// Asks every request for what its [`Gate`] wants.
pub(super) async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asks_what_is_there = *request.method() == Method::OPTIONS;
    let mut answer = match gate.check(&request) {
        Err(problem) => problem.into_response(),
        Ok(()) if is_preflight(&request) => preflight(),
        Ok(()) => next.run(request).await,
    };
    // The routes know what is there, but only as a refusal.
    if asks_what_is_there && answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = answer.headers().get(header::ALLOW).cloned();
        answer = StatusCode::NO_CONTENT.into_response();
        answer.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    gate.share(origin.as_ref(), &mut answer);
    answer
}

/// A browser asks whether a page may (Fetch §3.2.2); it sends no token with that.
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, FIELDS),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let (challenge, message) = if !headers.contains_key(header::AUTHORIZATION) {
        (
            "Bearer",
            "this needs the header Authorization: Bearer TOKEN, with the proxy's admin_token",
        )
    } else if the_one(headers, &header::AUTHORIZATION).is_some_and(|given| token.is_in(given)) {
        return Ok(());
    } else {
        // RFC 6750 §3.1 tells a wrong token from none.
        ("Bearer error=\"invalid_token\"", "this is not the proxy's admin_token")
    };
    Err(Problem::unauthorized(challenge, message))
}

fn forbidden(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, message)
}

/// A field that is there once: of two, one might be checked and the other meant.
fn the_one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

/// Names that nobody can register.
fn is_own_name(host: &str) -> bool {
    let name = name_of(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a page of this origin was served by the API under this host: it speaks plain HTTP.
fn is_own_origin(origin: &str, host: &str) -> bool {
    let host = host.strip_suffix(":80").unwrap_or(host);
    origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host))
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

    #[test]
    fn an_origin_is_ours_by_scheme_host_and_port() {
        for (origin, host, own) in [
            ("http://127.0.0.1:9900", "127.0.0.1:9900", true),
            ("http://localhost", "localhost:80", true),
            ("http://localhost", "LOCALHOST", true),
            ("http://[::1]:9900", "[::1]:9900", true),
            ("https://127.0.0.1:9900", "127.0.0.1:9900", false),
            ("http://127.0.0.1:9901", "127.0.0.1:9900", false),
            ("http://localhost:9900", "127.0.0.1:9900", false),
            ("null", "127.0.0.1:9900", false),
            ("", "127.0.0.1:9900", false),
        ] {
            assert_eq!(is_own_origin(origin, host), own, "{origin} at {host}");
        }
    }

    #[test]
    fn an_open_door_is_warned_of() {
        let open = Gate { token: None, origins: vec![] };
        for (address, warned) in [("127.0.0.1", 0), ("::1", 0), ("0.0.0.0", 1), ("10.0.0.1", 1)] {
            let warnings = open.warnings(address.parse().expect("an address"));
            assert_eq!(warnings.len(), warned, "{address}: {warnings:?}");
        }
    }
}
