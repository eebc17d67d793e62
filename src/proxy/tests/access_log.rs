//! The access log: a line for each request, whatever became of it, read as who follows the file
//! reads it.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use support::{Backend, Lab, eventually, exchange, nobody, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A proxy that logs to `folder`.
fn logging(folder: &Path, tables: &str, backends: &[SocketAddr]) -> Lab {
    let path = folder.join("access.log");
    Lab::start(&format!("{tables}\n[access_log]\npath = \"{}\"\n", path.display()), backends)
}

/// The lines so far, each parsed: none is ever half there.
fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("access.log")).expect("UTF-8");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The next line, after so many.
fn line_after(folder: &Path, count: usize) -> Value {
    eventually("a line", || lines(folder).len() > count);
    lines(folder).remove(count)
}

/// The line of the one request that was made.
fn line(folder: &Path) -> Value {
    line_after(folder, 0)
}

fn check(line: &Value, expected: &[(&str, Value)]) {
    for (pointer, value) in expected {
        assert_eq!(line.pointer(pointer), Some(value), "{pointer} of {line:#}");
    }
    // Each part is a part of the whole; each is cut to the microsecond.
    let ms = |name: &str| line[name].as_f64().unwrap_or(0.0);
    let parts = ["head_ms", "wait_ms", "connect_ms", "backend_ms", "body_ms"];
    let sum: f64 = parts.into_iter().map(ms).sum();
    assert!(sum <= ms("total_ms") + 0.0005, "{line:#}");
}

#[test]
fn a_request_is_told_with_all_that_is_known_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::named("served");
    let lab = logging(folder.path(), "trusted_hops = 1", &[backend.address]);
    let answer = lab.ask(
        "POST /a%20b?q=\"1\" HTTP/1.1\r\nhost: shop.example:81\r\nx-forwarded-for: 10.0.0.9\r\n\
         x-request-id: theirs\r\nauthorization: Bearer hidden\r\ncookie: hidden=1\r\n\
         content-length: 3\r\n\r\nabc",
    );
    assert_eq!(answer.status(), 200);
    let line = line(folder.path());
    let address = backend.address.to_string();
    check(
        &line,
        &[
            ("/request_id", "theirs".into()),
            ("/client", "10.0.0.9".into()),
            ("/protocol", "HTTP/1.1".into()),
            ("/method", "POST".into()),
            ("/target", "/a%20b?q=\"1\"".into()),
            ("/host", "shop.example:81".into()),
            ("/status", 200.into()),
            ("/bytes_in", 3.into()),
            ("/ended", "answered".into()),
            ("/reject", Value::Null),
            ("/reason", Value::Null),
            ("/backend", "b1".into()),
            ("/address", address.clone().into()),
            ("/retries", 0.into()),
            ("/hedges", 0.into()),
            ("/attempts/0/kind", "first".into()),
            ("/attempts/0/backend", "b1".into()),
            ("/attempts/0/address", address.into()),
            ("/attempts/0/status", 200.into()),
            ("/attempts/0/failure", Value::Null),
        ],
    );
    assert!(line["connect_ms"].is_f64(), "a connection was opened for it: {line:#}");
    let out = line["bytes_out"].as_u64().expect("a number");
    assert!(out > 6, "head and body: {line:#}");
    let time = line["time"].as_str().expect("a text");
    assert_eq!((time.len(), &time[10..11], &time[23..]), (24, "T", "Z"), "{time}");
    assert!(!line.to_string().contains("hidden"), "{line:#}");
}

#[test]
fn what_the_proxy_answers_itself_has_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let hangs = Backend::start(|_, _| true);
    let tables = "[timeout]\nattempt = \"50ms\"\n";
    let lab = logging(folder.path(), tables, &[hangs.address]);
    assert_eq!(lab.ask(GET).status(), 504);
    check(
        &line_after(folder.path(), 0),
        &[
            ("/status", 504.into()),
            ("/ended", "own".into()),
            ("/reason", "backend: no answer in time".into()),
            ("/reject", Value::Null),
            ("/attempts/0/failure", "timeout".into()),
            ("/body_ms", Value::Null),
        ],
    );
    let twice = "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
    assert_eq!(lab.ask(twice).status(), 400);
    let refused = line_after(folder.path(), 1);
    check(
        &refused,
        &[
            ("/status", 400.into()),
            ("/client", "127.0.0.1".into()),
            ("/ended", "own".into()),
            ("/target", Value::Null),
            ("/backend", Value::Null),
            ("/wait_ms", Value::Null),
            ("/attempts", Value::Array(vec![])),
        ],
    );
    assert!(refused["reason"].as_str().is_some_and(|why| !why.is_empty()), "{refused:#}");
    assert_eq!(lab.call("PATCH", "/v1/backends/b1", r#"{"state":"drain"}"#).0, 200);
    assert_eq!(lab.ask(GET).status(), 503);
    check(
        &line_after(folder.path(), 2),
        &[("/status", 503.into()), ("/reject", "no_backend".into()), ("/backend", Value::Null)],
    );
}

#[test]
fn every_attempt_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let serves = Backend::named("served");
    let lab = logging(folder.path(), "[retry]\nattempts = 2\n", &[nobody(), serves.address]);
    // Round robin meets the one that refuses in one of two.
    for _ in 0..2 {
        assert_eq!(lab.ask(GET).status(), 200);
    }
    eventually("both lines", || lines(folder.path()).len() == 2);
    let all = lines(folder.path());
    let retried = all.iter().find(|line| line["retries"] == 1).expect("one of the two");
    check(
        retried,
        &[
            ("/backend", "b2".into()),
            ("/attempts/0/kind", "first".into()),
            ("/attempts/0/backend", "b1".into()),
            ("/attempts/0/failure", "connect".into()),
            ("/attempts/0/connect_ms", Value::Null),
            ("/attempts/1/kind", "retry".into()),
            ("/attempts/1/status", 200.into()),
        ],
    );
}

#[test]
fn who_broke_it_off_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::start(|request, stream| match request.first_line.contains("/half") {
        true => {
            write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
            false
        }
        false => true,
    });
    let lab = logging(folder.path(), "", &[backend.address]);
    let mut client = lab.connect();
    write(&mut client.stream, "GET /half HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(client.answer("GET").is_none(), "it is never whole");
    check(
        &line_after(folder.path(), 0),
        &[
            ("/status", 200.into()),
            ("/ended", "upstream_broke".into()),
            ("/attempts/0/status", 200.into()),
        ],
    );
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("it is with the backend", || backend.seen().len() == 2);
    drop(client);
    check(
        &line_after(folder.path(), 1),
        &[
            ("/status", Value::Null),
            ("/ended", "client_left".into()),
            ("/bytes_out", 0.into()),
            ("/backend", "b1".into()),
            ("/attempts/0/failure", "given_up".into()),
        ],
    );
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::named("served");
    let lab = logging(folder.path(), "trusted_hops = 1", &[backend.address]);
    let mut client = lab.connect();
    let request = b"GET / HTTP/1.1\r\nhost: h\r\nx-request-id: \xff\"\\\r\n\r\n";
    client.stream.write_all(request).expect("it listens");
    assert_eq!(client.answer("GET").expect("an answer").status(), 200);
    check(&line(folder.path()), &[("/request_id", "\u{ff}\"\\".into())]);
}

#[test]
fn a_drain_leaves_no_line_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::start(|_, stream| ok(stream, "served"));
    let lab = logging(folder.path(), "workers = 2", &[backend.address]);
    let mut open = lab.connect();
    for count in 0..50 {
        write(
            &mut open.stream,
            &format!("GET /{count} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"),
        );
        assert_eq!(open.answer("GET").expect("an answer").status(), 200);
    }
    lab.stop();
    lab.wait();
    // No waiting for the file: the end of the proxy is the end of the writing.
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 50);
    for (count, line) in lines.iter().enumerate() {
        check(line, &[("/target", format!("/{count}").into()), ("/protocol", "HTTP/1.0".into())]);
        assert_eq!(line["connect_ms"].is_null(), count > 0, "the connection is kept: {line:#}");
    }
}

#[test]
fn the_name_is_that_of_the_backend_that_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Backend::named("first"), Backend::named("second"));
    let lab = logging(folder.path(), "", &[first.address]);
    assert_eq!(lab.ask(GET).text(), "first");
    let body = format!("{{\"address\": \"{}\"}}", second.address);
    assert_eq!(lab.call("POST", "/v1/backends", &body).0, 201);
    assert_eq!(lab.call("DELETE", "/v1/backends/b1", "").0, 204);
    assert_eq!(exchange(lab.listen, GET).text(), "second");
    check(&line_after(folder.path(), 0), &[("/backend", "b1".into())]);
    check(&line_after(folder.path(), 1), &[("/backend", "b2".into())]);
    assert_eq!(lab.metric("lab_access_log_lost_total"), 0.0);
}

#[test]
fn a_log_that_cannot_be_opened_is_a_reason_not_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nstrategy = \"random\"\n[access_log]\npath = \"{}\"\n\
         [[backends]]\naddress = \"127.0.0.1:1\"\n",
        folder.path().display()
    );
    let registry = policy::Registry::standard();
    let config = config::ProxyConfig::parse("proxy.toml", &text, &registry).expect("valid");
    let refused = proxy::start(config, base::Clock::start()).err().expect("a folder is no file");
    let message = refused.to_string();
    assert!(message.starts_with("cannot open the access log /"), "{message}");
}
