//! The admin API over real HTTP: every route, what it refuses, and what its changes do to traffic.

mod support;

use serde_json::{Value, json};
use support::{Backend, Lab, eventually, exchange, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn address(backend: &Backend) -> String {
    json!({ "address": backend.address }).to_string()
}

fn message(answer: &(u16, Value)) -> &str {
    answer.1["error"].as_str().unwrap_or_else(|| panic!("no error in {answer:?}"))
}

#[test]
fn a_backend_lives_from_add_to_delete() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let lab = Lab::start("", &[a.address]);
    assert_eq!(lab.get("/").text(), "a");

    let (status, added) = lab.call("POST", "/v1/backends", &address(&b));
    assert_eq!(status, 201);
    assert_eq!(added["id"], "b2");
    assert_eq!(added["address"], b.address.to_string());
    assert_eq!((&added["weight"], &added["state"]), (&json!(1), &json!("ready")));
    for _ in 0..4 {
        lab.get("/");
    }
    assert_eq!(b.seen().len(), 2, "in service at once where health is off");

    assert_eq!(lab.call("PATCH", "/v1/backends/b2", r#"{"state":"drain"}"#).1["state"], "draining");
    for _ in 0..4 {
        assert_eq!(lab.get("/").text(), "a");
    }
    assert_eq!(lab.call("PATCH", "/v1/backends/b2", r#"{"state":"ready"}"#).1["state"], "ready");
    assert_eq!(lab.call("PATCH", "/v1/backends/b2", r#"{"weight":3}"#).1["weight"], 3);
    let before = b.seen().len();
    for _ in 0..8 {
        lab.get("/");
    }
    assert_eq!(b.seen().len() - before, 6, "three of four by weight");

    assert_eq!(lab.call("DELETE", "/v1/backends/b2", ""), (204, Value::Null));
    assert_eq!(lab.call("GET", "/v1/backends/b2", "").0, 404);
    let ids: Vec<Value> = lab.backends().iter().map(|b| b["id"].clone()).collect();
    assert_eq!(ids, [json!("b1")]);
    let before = b.seen().len();
    assert_eq!(lab.get("/").text(), "a");
    assert_eq!(b.seen().len(), before);

    let (status, again) = lab.call("POST", "/v1/backends", &address(&b));
    assert_eq!((status, &again["id"]), (201, &json!("b3")), "the address is free, the id is new");
    let (one, two) = (lab.get("/").text(), lab.get("/").text());
    assert_ne!(one, two);
}

#[test]
fn a_removed_backend_ends_what_it_has_in_flight() {
    let (released, release) = std::sync::mpsc::channel::<()>();
    let release = std::sync::Mutex::new(release);
    let slow = Backend::start(move |_, stream| {
        let _ = release.lock().expect("no panic").recv_timeout(support::PATIENCE);
        ok(stream, "slow")
    });
    let lab = Lab::start("", &[slow.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("the request is there", || slow.seen().len() == 1);
    assert_eq!(lab.call("DELETE", "/v1/backends/b1", "").0, 204);
    assert_eq!(lab.get("/").status(), 503);
    released.send(()).expect("it waits");
    assert_eq!(client.answer("GET").expect("an answer").text(), "slow");
}

#[test]
fn bad_calls_get_a_status_and_a_remedy() {
    let a = Backend::named("a");
    let lab = Lab::start("", &[a.address]);
    let taken = address(&a);
    let large = format!(r#"{{"address":"{}"}}"#, "x".repeat(70_000));
    let table: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/v1/backends/nobody", "", 404, "nobody"),
        ("DELETE", "/v1/backends/nobody", "", 404, "nobody"),
        ("PATCH", "/v1/backends/nobody", r#"{"weight":2}"#, 404, "nobody"),
        ("POST", "/v1/backends", &taken, 409, "b1"),
        ("POST", "/v1/backends", "", 400, "body"),
        ("POST", "/v1/backends", "{", 400, "body"),
        ("POST", "/v1/backends", "[]", 400, "body"),
        ("POST", "/v1/backends", "{}", 400, "address"),
        ("POST", "/v1/backends", r#"{"address":"localhost"}"#, 400, "localhost"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:0"}"#, 400, "port 0"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:99999"}"#, 400, "99999"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:1","wieght":2}"#, 400, "wieght"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:1","weight":0}"#, 400, "65536"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:1","weight":70000}"#, 400, "65536"),
        ("POST", "/v1/backends", r#"{"address":"127.0.0.1:1","weight":-1}"#, 400, "-1"),
        ("POST", "/v1/backends", &large, 413, "limit"),
        ("PATCH", "/v1/backends/b1", "{}", 400, "weight"),
        ("PATCH", "/v1/backends/b1", r#"{"weight":0}"#, 400, "65536"),
        ("PATCH", "/v1/backends/b1", r#"{"state":"down"}"#, 400, "down"),
        ("PATCH", "/v1/backends/b1", r#"{"address":"127.0.0.1:1"}"#, 400, "address"),
        ("PATCH", "/v1/config", "{}", 400, "nothing to change"),
        ("PATCH", "/v1/config", "7", 400, "not 7"),
        ("PATCH", "/v1/config", "", 400, "body"),
        ("PATCH", "/v1/config", r#"{"heath":null}"#, 400, "heath"),
        ("PATCH", "/v1/config", r#"{"strategy":null}"#, 400, "strategy"),
        ("PATCH", "/v1/config", r#"{"workers":9}"#, 400, "restart"),
        ("PATCH", "/v1/config", r#"{"retry":{"attempts":0},"queue":7}"#, 400, "queue"),
        ("PATCH", "/v1/config", r#"{"strategy":"p2"}"#, 400, "p2c"),
        ("PATCH", "/v1/config", r#"{"strategy":7}"#, 400, "name"),
        ("PATCH", "/v1/config", r#"{"strategy":{"name":"p2c","chioces":2}}"#, 400, "chioces"),
        ("PATCH", "/v1/config", r#"{"strategy":{"name":"p2c","choices":[]}}"#, 400, "choices"),
        ("GET", "/v1/nothing", "", 404, "openapi"),
        ("PUT", "/v1/backends", "", 405, "openapi"),
    ];
    let before = lab.backends();
    for (method, path, body, status, part) in table {
        let answer = lab.call(method, path, body);
        assert_eq!(answer.0, *status, "{method} {path} {body:.60}: {}", answer.1);
        assert!(message(&answer).contains(part), "{method} {path} {body:.60}: {}", answer.1);
    }
    assert_eq!(lab.backends(), before, "nothing has changed");
}

#[test]
fn the_strategy_can_be_changed() {
    let a = Backend::named("a");
    let lab = Lab::start("[health]\ninterval = \"500ms\"\n", &[a.address]);
    let (status, config) = lab.call("GET", "/v1/config", "");
    assert_eq!(status, 200);
    assert_eq!(config["strategy"], json!({ "name": "round_robin" }));
    assert_eq!(config["listen"], lab.listen.to_string());
    assert_eq!((&config["health"]["interval"], &config["retry"]), (&json!("500ms"), &Value::Null));
    let (status, config) = lab.call("PATCH", "/v1/config", r#"{"strategy":"p2c"}"#);
    assert_eq!((status, &config["strategy"]["choices"]), (200, &json!(2)));
    let patch = r#"{"strategy":{"name":"p2c","choices":3}}"#;
    assert_eq!(lab.call("PATCH", "/v1/config", patch).1["strategy"]["choices"], 3);
    eventually("it is in service", || lab.get("/").status() == 200);
}

#[test]
fn any_policy_can_be_changed_and_all_or_nothing() {
    let a = Backend::named("a");
    let lab = Lab::start("", &[a.address]);
    let before = lab.call("GET", "/v1/config", "").1;
    let bad = r#"{"ejection":{},"retry":{"attempts":0},"limits":{"rate":-1}}"#;
    let (status, problem) = lab.call("PATCH", "/v1/config", bad);
    assert_eq!((status, problem["problems"].as_array().map(Vec::len)), (400, Some(2)), "{problem}");
    assert_eq!(lab.call("GET", "/v1/config", "").1, before, "nothing has changed");

    let good = r#"{"ejection":{},"limits":{"rate":0.001,"burst":1},"timeout":{"attempt":"3s"}}"#;
    let (status, after) = lab.call("PATCH", "/v1/config", good);
    assert_eq!((status, &after["timeout"]["attempt"]), (200, &json!("3s")), "{after}");
    assert_eq!(lab.call("GET", "/v1/config", "").1, after);
    assert_eq!((lab.get("/").status(), lab.get("/").status()), (200, 429), "it is in force");
    assert!(lab.metric("lab_rejected_total{reason=\"rate_limited\"}") == 1.0);

    // What is shown can be sent back, and what was off is off again.
    let (status, again) = lab.call("PATCH", "/v1/config", &before.to_string());
    assert_eq!((status, again), (200, before));
    assert_eq!((lab.get("/").status(), lab.get("/").status()), (200, 200));
}

#[test]
fn events_are_numbered_and_replayed() {
    let a = Backend::named("a");
    let lab = Lab::start("", &[a.address]);
    lab.call("PATCH", "/v1/backends/b1", r#"{"weight":2}"#);
    let follow = |last: Option<u32>| {
        let mut reader =
            support::Reader::new(std::net::TcpStream::connect(lab.admin).expect("it listens"));
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        write(&mut reader.stream, &format!("GET /v1/events HTTP/1.1\r\nhost: [::1]\r\n{last}\r\n"));
        let head = reader.head().expect("a head");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        reader
    };
    let mut late = follow(None);
    assert_eq!(kinds(&mut late, 2), [(1, "added".into()), (2, "weight_changed".into())]);
    // And as they come.
    lab.call("PATCH", "/v1/backends/b1", r#"{"state":"drain"}"#);
    assert_eq!(kinds(&mut late, 1), [(3, "draining".into())]);
    let mut resumed = follow(Some(2));
    assert_eq!(kinds(&mut resumed, 1), [(3, "draining".into())]);
}

/// The next events of a stream: their numbers and kinds.
fn kinds(stream: &mut support::Reader, count: usize) -> Vec<(u64, String)> {
    let mut found = vec![];
    let mut number = 0;
    while found.len() < count {
        let line = stream.line().expect("the stream goes on");
        for line in line.split('\n') {
            if let Some(id) = line.strip_prefix("id: ") {
                number = id.parse().expect("a number");
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(data["backend"], "b1");
                assert!(data["at_ns"].is_u64() && data["detail"].is_string(), "{data}");
                found.push((number, data["kind"].as_str().expect("a word").to_owned()));
            }
        }
    }
    found
}

#[test]
fn names_that_anybody_can_register_are_no_way_in() {
    let a = Backend::named("a");
    let lab = Lab::start("", &[a.address]);
    for (host, status) in
        [("evil.example", 403), ("127.0.0.1.evil.example:80", 403), ("localhost:1", 200)]
    {
        let request = format!("GET /v1/backends HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(exchange(lab.admin, &request).status(), status, "{host}");
    }
}
