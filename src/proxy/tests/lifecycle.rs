//! Start, health, removal, drain and end; and a strategy that only this test knows.

mod support;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use base::{BackendId, Clock, RequestMeta, Rng};
use config::ProxyConfig;
use policy::{Candidates, Entry, Registry, Strategy};
use support::{Backend, Lab, PATIENCE, eventually, nobody, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const FAST_HEALTH: &str =
    "[health]\ninterval = \"20ms\"\ntimeout = \"100ms\"\nfall = 2\nrise = 2\n";

/// Always the backend that stands last in the list: no strategy of the lab does that.
struct Last;

impl Strategy for Last {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        all: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        all.id(all.len() - 1)
    }
}

static LAST: Entry = Entry {
    name: "last_of_this_test",
    summary: "the last one",
    parameters: &[],
    build: |_| Box::new(Last),
};

#[test]
fn a_strategy_that_only_a_test_knows_runs_here() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let registry = Registry::standard().with(&LAST);
    let lab = Lab::start_with("last_of_this_test", "", &[a.address, b.address], registry);
    for _ in 0..5 {
        assert_eq!(lab.get("/").text(), "b");
    }
    // And it can be changed to, at runtime.
    assert_eq!(lab.call("PATCH", "/v1/config", r#"{"strategy":"round_robin"}"#).0, 200);
    let patch = r#"{"strategy":"last_of_this_test"}"#;
    assert_eq!(lab.call("PATCH", "/v1/config", patch).0, 200);
    assert_eq!(lab.get("/").text(), "b");
}

/// A backend whose answer to probes the test sets; 0 is silence.
fn checked(status: &Arc<AtomicU16>) -> Backend {
    let status = Arc::clone(status);
    Backend::start(move |request, stream| {
        if !request.first_line.starts_with("GET /health ") {
            return ok(stream, "served");
        }
        match status.load(Ordering::SeqCst) {
            0 => true,
            status => write(stream, &format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")),
        }
    })
}

#[test]
fn health_checks_read_the_status() {
    let status = Arc::new(AtomicU16::new(500));
    let backend = checked(&status);
    let lab = Lab::start(FAST_HEALTH, &[backend.address]);
    let state = || lab.backends()[0]["state"].as_str().expect("a word").to_owned();
    let last_check = || lab.backends()[0]["last_check"].as_str().unwrap_or_default().to_owned();

    eventually("a probe was answered", || last_check().starts_with("status 500"));
    assert_ne!(state(), "ready", "an open port is no pass");
    assert_eq!(lab.get("/").status(), 503);

    status.store(200, Ordering::SeqCst);
    eventually("it is in service", || state() == "ready");
    assert!(last_check().starts_with("200 in "), "{}", last_check());
    assert_eq!(lab.get("/").text(), "served");

    status.store(0, Ordering::SeqCst);
    eventually("it is down", || state() == "down");
    eventually("by silence", || last_check().contains("timeout"));
    status.store(204, Ordering::SeqCst);
    eventually("it is back", || state() == "ready");
    status.store(302, Ordering::SeqCst);
    eventually("a redirect is no pass", || state() == "down");
}

#[test]
fn a_backend_that_refuses_is_down_and_comes_back() {
    let address = nobody();
    let lab = Lab::start(FAST_HEALTH, &[address]);
    let backends = || lab.backends()[0].clone();
    eventually("a probe has failed", || {
        backends()["last_check"].as_str().is_some_and(|check| check.contains("refused"))
    });
    assert_eq!(lab.get("/").status(), 503);
    let _backend = Backend::start_at(address, |_, stream| ok(stream, "back"));
    eventually("it is in service", || lab.get("/").status() == 200);
}

#[test]
fn a_silent_backend_is_removed_with_an_event() {
    let healthy = Arc::new(AtomicU16::new(200));
    let (stays, leaves) = (checked(&healthy), nobody());
    let tables = format!("{FAST_HEALTH}remove_after = \"300ms\"\n");
    let lab = Lab::start(&tables, &[leaves, stays.address]);
    assert_eq!(lab.backends().len(), 2);
    eventually("it is removed", || lab.backends().len() == 1);
    assert_eq!(lab.backends()[0]["address"], stays.address.to_string());
    assert_eq!(lab.call("GET", "/v1/backends/b1", "").0, 404);

    let mut stream =
        support::Reader::new(std::net::TcpStream::connect(lab.admin).expect("it listens"));
    write(&mut stream.stream, "GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    let mut text = String::new();
    while !text.contains(r#""backend":"b1","kind":"removed""#) {
        text = text + &stream.line().expect("the stream goes on") + "\n";
    }
    let line = text.lines().find(|line| line.contains("removed")).expect("found");
    assert!(line.starts_with("data: {\"at_ns\":"), "{line}");

    // The last one is never removed; and the removed one comes back only when it is added.
    healthy.store(0, Ordering::SeqCst);
    let body = serde_json::json!({ "address": leaves }).to_string();
    assert_eq!(lab.call("POST", "/v1/backends", &body).1["id"], "b3");
}

#[test]
fn a_drain_ends_what_is_in_flight_and_nothing_else() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let slow = Backend::start(move |request, stream| {
        if request.first_line.contains("/slow") {
            let _ = released.lock().expect("no panic").recv_timeout(PATIENCE);
        }
        ok(stream, "whole")
    });
    let lab = Lab::start("drain_timeout = \"20s\"", &[slow.address]);
    let mut idle = lab.connect();
    write(&mut idle.stream, GET);
    assert_eq!(idle.answer("GET").expect("an answer").status(), 200);
    let mut fresh = lab.connect();
    let mut busy = lab.connect();
    write(&mut busy.stream, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("it is in flight", || lab.in_flight() == 1);

    lab.stop();
    assert!(idle.is_closed(), "idle connections are closed at once");
    assert!(fresh.is_closed(), "also one that never asked");
    eventually("new connections are refused", || std::net::TcpStream::connect(lab.listen).is_err());
    release.send(()).expect("it waits");
    let answer = busy.answer("GET").expect("an answer");
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("whole", Some("close")));
    assert!(busy.is_closed());
    let admin = lab.admin;
    lab.wait();
    assert!(std::net::TcpStream::connect(admin).is_err(), "everything has ended");
}

/// Holds its worker while a test holds the gate.
struct Gated;

static GATE: Mutex<()> = Mutex::new(());
static AT_THE_GATE: AtomicBool = AtomicBool::new(false);

impl Strategy for Gated {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        all: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        AT_THE_GATE.store(true, Ordering::SeqCst);
        drop(GATE.lock());
        all.id(0)
    }
}

static GATED: Entry = Entry {
    name: "gated_of_this_test",
    summary: "waits for the test",
    parameters: &[],
    build: |_| Box::new(Gated),
};

#[test]
fn what_was_asked_before_the_stop_is_answered() {
    let backend = Backend::named("a");
    let registry = Registry::standard().with(&GATED);
    let lab = Lab::start_with("gated_of_this_test", "", &[backend.address], registry);
    let mut kept = lab.connect();
    write(&mut kept.stream, GET);
    assert_eq!(kept.answer("GET").expect("an answer").status(), 200);

    // The only worker is held, so that nothing of what follows has been looked at before the stop.
    let gate = GATE.lock().expect("no panic");
    AT_THE_GATE.store(false, Ordering::SeqCst);
    let mut first = lab.connect();
    write(&mut first.stream, GET);
    eventually("the worker is held", || AT_THE_GATE.load(Ordering::SeqCst));
    write(&mut kept.stream, GET);
    // More than a runtime lets one task accept in a row. Most need no backend: less to open.
    let waiting: Vec<_> = (0..300)
        .map(|i| {
            let mut client = lab.connect();
            let (method, status) = if i % 30 == 0 { ("GET /", 200) } else { ("CONNECT h:1", 501) };
            write(&mut client.stream, &format!("{method} HTTP/1.1\r\nhost: h\r\n\r\n"));
            (i, client, status)
        })
        .collect();
    lab.stop();
    drop(gate);

    for (what, client) in [("first", &mut first), ("kept", &mut kept)] {
        let answer = client.answer("GET").unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status(), 200, "{what}");
    }
    for (i, mut client, status) in waiting {
        let answer = client.answer("GET").unwrap_or_else(|| panic!("{i}: no answer"));
        assert_eq!(answer.status(), status, "{i}");
    }
}

#[test]
fn a_drain_has_a_limit() {
    let gone = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&gone);
    let hangs = Backend::start(move |_, stream| {
        noticed.store(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), Ordering::SeqCst);
        false
    });
    let lab = Lab::start("drain_timeout = \"100ms\"", &[hangs.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("it is in flight", || lab.in_flight() == 1);
    lab.stop();
    lab.wait();
    assert_eq!(client.answer("GET"), None, "cut off");
    eventually("the backend was let go", || gone.load(Ordering::SeqCst));
}

#[test]
fn an_id_is_new_at_every_add() {
    let listen = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"random\"\n";
    let config = parse(&format!(
        "{listen}[[backends]]\naddress = \"127.0.0.1:8\"\n\
         [[backends]]\naddress = \"127.0.0.1:9\"\nid = \"b1\"\n"
    ));
    let running = proxy::start(config, Clock::start()).expect("nobody takes the id of another");
    let admin = running.ready().admin.expect("asked for");
    let call = |method: &str, path: &str, body: &str| {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        support::exchange(admin, &format!("{head}content-length: {length}\r\n\r\n{body}"))
    };
    assert_eq!(call("DELETE", "/v1/backends/b1", "").status() / 100, 2);
    for expected in ["b3", "b4"] {
        let added = call("POST", "/v1/backends", r#"{"address":"127.0.0.1:9"}"#);
        let added: serde_json::Value = serde_json::from_slice(&added.body).expect("JSON");
        assert_eq!(added["id"], expected);
        let path = format!("/v1/backends/{expected}");
        assert_eq!(call("DELETE", &path, "").status() / 100, 2);
    }
    running.stop();
    running.wait();
}

fn parse(text: &str) -> ProxyConfig {
    ProxyConfig::parse("proxy.toml", text, &Registry::standard())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    for (listen, admin, workers, what) in [
        (address.to_string(), "127.0.0.1:0".to_owned(), 1, "requests"),
        (address.to_string(), "127.0.0.1:0".to_owned(), 2, "requests"),
        ("127.0.0.1:0".to_owned(), address.to_string(), 1, "the admin API"),
    ] {
        let config = parse(&format!(
            "listen = \"{listen}\"\nadmin = \"{admin}\"\nworkers = {workers}\n\
             strategy = \"random\"\n[[backends]]\naddress = \"127.0.0.1:9\"\n"
        ));
        let Err(error) = proxy::start(config, Clock::start()) else { panic!("{what}: started") };
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains(what), "{text}");
    }
}

#[test]
fn two_proxies_never_share_a_port() {
    // With several workers the kernel would allow it, and split the clients between them.
    let backend = Backend::named("a");
    let first = Lab::start("workers = 2", &[backend.address]);
    let listen = first.listen;
    let config = parse(&format!(
        "listen = \"{listen}\"\nworkers = 2\nstrategy = \"random\"\n\
         [[backends]]\naddress = \"127.0.0.1:9\"\n"
    ));
    assert!(proxy::start(config, Clock::start()).is_err());
}

#[test]
fn the_ready_line_is_what_the_conductor_reads() {
    let config = parse(
        "listen = \"127.0.0.1:0\"\nstrategy = \"random\"\n[[backends]]\naddress = \"127.0.0.1:9\"\n",
    );
    let running = proxy::start(config, Clock::start()).expect("a free port");
    let ready = running.ready();
    assert_ne!(ready.listen.port(), 0);
    let line = serde_json::to_string(&ready).expect("JSON");
    let expected = format!(r#"{{"ready":"proxy","listen":"{}","admin":null}}"#, ready.listen);
    assert_eq!(line, expected);
    running.stop();
    running.wait();
}
