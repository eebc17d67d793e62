//! Who is let into the admin API, from where, and with how much: token, Host, Origin, limits.

mod support;

use std::net::TcpStream;

use config::ProxyConfig;
use policy::Registry;
use support::{Backend, Lab, Message, Reader, exchange, write};

const TOKEN: &str = "0123456789abcdef";
const PAGE: &str = "http://localhost:5173";

fn guarded() -> (Backend, Lab) {
    let backend = Backend::named("a");
    let tables = format!("admin_token = \"{TOKEN}\"\nadmin_origins = [\"{PAGE}\"]");
    let lab = Lab::start(&tables, &[backend.address]);
    (backend, lab)
}

fn listed() -> (Backend, Lab) {
    let backend = Backend::named("a");
    let tables = format!("admin_origins = [\"{PAGE}\", \"https://lab.example:8443\"]");
    let lab = Lab::start(&tables, &[backend.address]);
    (backend, lab)
}

/// A call with these lines of fields, with a body that changes the weight where one is wanted.
fn ask(lab: &Lab, method: &str, path: &str, fields: &str) -> Message {
    let body = if method == "PATCH" { r#"{"weight":2}"# } else { "" };
    let length = body.len();
    let named = fields.lines().any(|line| line.starts_with("host:"));
    let host = if named { "" } else { "host: 127.0.0.1:9900\r\n" };
    let head = format!("{method} {path} HTTP/1.1\r\n{host}{fields}content-length: {length}");
    exchange(lab.admin, &format!("{head}\r\n\r\n{body}"))
}

#[test]
fn every_route_but_health_asks_for_the_token() {
    let (_a, lab) = guarded();
    for (method, path) in [
        ("GET", "/v1/backends"),
        ("HEAD", "/v1/backends"),
        ("PATCH", "/v1/backends/b1"),
        ("DELETE", "/v1/backends/b1"),
        ("GET", "/v1/config"),
        ("GET", "/v1/events"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/no/such/path"),
    ] {
        let answer = ask(&lab, method, path, "");
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        assert!(method == "HEAD" || answer.text().contains("admin_token"), "{}", answer.text());
    }
    assert_eq!(ask(&lab, "GET", "/health", "").status(), 200);
    for (field, status) in [
        ("Bearer 0123456789abcdef", 200),
        ("bearer 0123456789abcdef", 200),
        ("Bearer 0123456789abcdeF", 401),
        ("Bearer 0123456789abcdef0", 401),
        ("Basic 0123456789abcdef", 401),
        ("Bearer 0123456789abcdef\r\nauthorization: Bearer 0123456789abcdef", 401),
    ] {
        let answer = ask(&lab, "GET", "/metrics", &format!("authorization: {field}\r\n"));
        assert_eq!(answer.status(), status, "{field}");
        if status == 401 {
            let challenge = Some("Bearer error=\"invalid_token\"");
            assert_eq!(answer.header("www-authenticate"), challenge, "{field}");
            assert!(!answer.text().contains("0123"), "{}", answer.text());
        }
    }
    let field = format!("authorization: Bearer {TOKEN}\r\n");
    let config = ask(&lab, "GET", "/v1/config", &field);
    assert_eq!(config.status(), 200);
    assert!(!config.text().contains(TOKEN), "{}", config.text());
    assert_eq!(ask(&lab, "PATCH", "/v1/backends/b1", &field).status(), 200);
}

#[test]
fn a_token_comes_from_a_file_or_the_proxy_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let line = format!("admin_token_file = {path:?}");
    let config = || {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"p2c\"\n{line}\n"
        );
        ProxyConfig::parse("p.toml", &text, &Registry::standard()).expect("it is valid")
    };
    for text in [None, Some("too short")] {
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        let started = proxy::start(config(), base::Clock::start()).map(|_| ());
        let error = started.expect_err("there is no token").to_string();
        assert!(error.contains("admin_token_file") && error.contains("token"), "{error}");
        assert!(!error.contains("too short"), "{error}");
    }
    std::fs::write(&path, format!("{TOKEN}\n")).expect("a file");
    let lab = Lab::start(&line, &[]);
    assert_eq!(ask(&lab, "GET", "/v1/backends", "").status(), 401);
    let field = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&lab, "GET", "/v1/backends", &field).status(), 200);
}

#[test]
fn only_pages_of_known_origins_change_things() {
    let (_a, lab) = listed();
    for (fields, status) in [
        ("", 200),
        ("origin: http://127.0.0.1:9900\r\n", 200),
        ("origin: http://localhost:5173\r\nsec-fetch-site: cross-site\r\n", 200),
        ("origin: https://lab.example:8443\r\nhost: lab.example:8443\r\n", 200),
        ("sec-fetch-site: same-origin\r\n", 200),
        ("sec-fetch-site: none\r\n", 200),
        ("origin: http://127.0.0.1:9901\r\n", 403),
        ("origin: https://127.0.0.1:9900\r\n", 403),
        ("origin: http://localhost:9900\r\n", 403),
        ("origin: http://evil.example\r\n", 403),
        ("origin: null\r\n", 403),
        ("origin: http://localhost:5173\r\norigin: http://evil.example\r\n", 403),
        ("sec-fetch-site: cross-site\r\n", 403),
        ("sec-fetch-site: same-site\r\n", 403),
        ("host: evil.example\r\n", 403),
        ("host: evil.example\r\norigin: http://evil.example\r\n", 403),
    ] {
        let answer = ask(&lab, "PATCH", "/v1/backends/b1", fields);
        assert_eq!(answer.status(), status, "{fields:?}: {}", answer.text());
        let named = answer.text().contains("admin_origins");
        assert!(status == 200 || named, "{fields:?}: {}", answer.text());
        // Whoever only looks is not refused for the origin, but cannot read it from a page.
        let seen = ask(&lab, "GET", "/v1/backends", fields).status();
        assert_eq!(seen == 403, fields.contains("host: evil.example"), "{fields:?}");
    }
    for (method, path) in [("POST", "/v1/backends"), ("DELETE", "/v1/backends/b1")] {
        assert_eq!(ask(&lab, method, path, "origin: null\r\n").status(), 403, "{method}");
    }
}

#[test]
fn only_pages_of_listed_origins_may_read() {
    let (_a, lab) = guarded();
    let allowed = |answer: &Message| answer.header("access-control-allow-origin").map(String::from);
    let page = format!("origin: {PAGE}\r\n");
    let preflight = "access-control-request-method: PATCH\r\n\
                     access-control-request-headers: authorization,content-type\r\n";
    for (origin, reads) in [(PAGE, true), ("http://evil.example", false), ("null", false)] {
        let field = format!("origin: {origin}\r\n");
        let shown = reads.then(|| origin.to_owned());
        let answer = ask(&lab, "GET", "/health", &field);
        assert_eq!((answer.status(), allowed(&answer)), (200, shown.clone()), "{origin}");
        assert_eq!(answer.header("vary"), Some("origin"));
        let answer = ask(&lab, "OPTIONS", "/v1/backends/b1", &format!("{field}{preflight}"));
        let status = if reads { 204 } else { 403 };
        assert_eq!((answer.status(), allowed(&answer)), (status, shown), "{origin}");
        let fields = answer.header("access-control-allow-headers").unwrap_or_default();
        let both = fields.contains("authorization") && fields.contains("content-type");
        assert_eq!(both, reads, "{origin}: {fields}");
    }
    let refused = ask(&lab, "GET", "/metrics", &page);
    assert_eq!((refused.status(), allowed(&refused)), (401, Some(PAGE.into())), "it can be read");
}

#[test]
fn methods_are_told_and_head_has_no_body() {
    let (_a, lab) = listed();
    let head = ask(&lab, "HEAD", "/v1/backends", "");
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
    for (method, status) in [("PUT", 405), ("OPTIONS", 204)] {
        let answer = ask(&lab, method, "/v1/backends", "");
        assert_eq!(answer.status(), status, "{method}");
        let allow = answer.header("allow").unwrap_or_default();
        assert!(["GET", "HEAD", "POST"].iter().all(|known| allow.contains(known)), "{allow}");
    }
}

#[test]
fn heads_and_listeners_have_limits() {
    let (_a, lab) = listed();
    let large = format!("x: {}\r\n", "x".repeat(20_000));
    assert_eq!(ask(&lab, "GET", "/health", &large).status(), 431);
    assert_eq!(ask(&lab, "GET", "/health", &"x: y\r\n".repeat(100)).status(), 431);
    let listen = || {
        let mut reader = Reader::new(TcpStream::connect(lab.admin).expect("it listens"));
        write(&mut reader.stream, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let status = reader.head().expect("a head").status();
        (reader, status)
    };
    let listeners: Vec<_> = (0..32).map(|_| listen()).collect();
    assert!(listeners.iter().all(|(_, status)| *status == 200));
    assert_eq!(listen().1, 503);
    assert_eq!(ask(&lab, "GET", "/health", "").status(), 200, "others are served");
    drop(listeners);
    support::eventually("their places are free again", || listen().1 == 200);
}
