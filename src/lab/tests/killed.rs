//! A backend's process killed under load: who fails by it, who is served elsewhere, and that no
//! request is sent twice which must not be. Proxy and backends are processes of their own.

mod support;
#[path = "../../proxy/tests/support/wire.rs"]
mod wire;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use fakebackends::control::BackendSample;
use support::{Bench, Running};
use wire::{Message, Reader, eventually, exchange, write};

/// Clients, each on a connection that it keeps.
const CLIENTS: usize = 12;
/// Answers before the kill, and after it.
const ANSWERS: usize = 300;

/// A backend in a process that it has for itself.
struct Server {
    name: &'static str,
    running: Running,
    address: SocketAddr,
    control: SocketAddr,
}

impl Server {
    fn start(bench: &Bench, name: &'static str) -> Self {
        let file = format!("{name}.toml");
        let text = format!(
            "control = \"127.0.0.1:0\"\nworkers = 1\nseed = 1\n[[backends]]\nname = \"{name}\"\n\
             service = {{ distribution = \"constant\", value = \"5ms\" }}\n"
        );
        bench.file(&file, &text);
        let mut command = bench.lab();
        command.args(["backends", "--config", &file]);
        let (running, ready): (_, fakebackends::Ready) = support::served(command);
        let (address, control) = (ready.backends[0].address, ready.control.expect("asked for"));
        Self { name, running, address, control }
    }

    fn sample(&self) -> BackendSample {
        let answer = call(self.control, "GET", "/v1/backends", "");
        let mut samples: Vec<BackendSample> = serde_json::from_slice(&answer.body).expect("JSON");
        samples.remove(0)
    }

    /// From now on requests are read, and not a byte comes.
    fn hang(&self) {
        let fault =
            format!("{{\"changes\":[{{\"backend\":\"{}\",\"kind\":\"hang\"}}]}}", self.name);
        assert_eq!(call(self.control, "POST", "/v1/faults", &fault).status(), 204);
    }
}

fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Message {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}");
    exchange(address, &format!("{head}\r\n\r\n{body}"))
}

/// Three servers and a proxy that leaves one alone after its first failure. The first is the one
/// that will be killed.
struct Scene {
    servers: Vec<Server>,
    listen: SocketAddr,
    admin: SocketAddr,
    _proxy: Running,
    _bench: Bench,
}

impl Scene {
    fn start(retry: &str) -> Self {
        let bench = Bench::new();
        let servers: Vec<Server> =
            ["killed", "b", "c"].into_iter().map(|name| Server::start(&bench, name)).collect();
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 2\n\
             strategy = \"round_robin\"\n{retry}\n\
             [ejection]\nconsecutive = 1\nbase = \"60s\"\njitter = 0.0\n"
        );
        for server in &servers {
            text += &format!("[[backends]]\naddress = \"{}\"\n", server.address);
        }
        bench.file("proxy.toml", &text);
        let mut command = bench.lab();
        command.args(["proxy", "--config", "proxy.toml"]);
        let (proxy, ready): (_, proxy::Ready) = support::served(command);
        let (listen, admin) = (ready.listen, ready.admin.expect("asked for"));
        Self { servers, listen, admin, _proxy: proxy, _bench: bench }
    }

    fn kill(&self) {
        self.servers[0].running.signal("KILL");
    }

    /// Requests that the servers which live have read.
    fn read_by_others(&self) -> u64 {
        self.servers[1..].iter().map(|server| server.sample().requests).sum()
    }

    fn is_quiet(&self) {
        eventually("every attempt has ended", || {
            let list = call(self.admin, "GET", "/v1/backends", "");
            let list: serde_json::Value = serde_json::from_slice(&list.body).expect("JSON");
            list.as_array().expect("a list").iter().all(|backend| backend["in_flight"] == 0)
        });
    }
}

/// What came of a request.
struct Outcome {
    method: &'static str,
    began: Instant,
    ended: Instant,
    /// 0: no whole answer.
    status: u16,
    /// The server that says it answered.
    by: Option<String>,
}

impl Outcome {
    fn is_failure(&self) -> bool {
        self.status != 200
    }
}

/// Asks until told to stop.
fn ask(
    listen: SocketAddr,
    method: &'static str,
    stopped: &AtomicBool,
    answers: &AtomicUsize,
) -> Vec<Outcome> {
    let connect = || Reader::new(TcpStream::connect(listen).expect("it listens"));
    let (mut client, mut outcomes) = (connect(), vec![]);
    while !stopped.load(Ordering::SeqCst) {
        let began = Instant::now();
        let body = if method == "POST" { "once" } else { "" };
        let length = body.len();
        let head = format!("{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}");
        write(&mut client.stream, &format!("{head}\r\n\r\n{body}"));
        let answer = client.answer(method);
        let status = answer.as_ref().map_or(0, Message::status);
        let by = answer.and_then(|answer| answer.header("x-lab-backend").map(str::to_owned));
        outcomes.push(Outcome { method, began, ended: Instant::now(), status, by });
        if status != 200 {
            client = connect();
        }
        answers.fetch_add(1, Ordering::SeqCst);
    }
    outcomes
}

/// Clients ask, by these methods in turns; in the middle of it something `happens`. All that came,
/// up to `ANSWERS` answers later.
fn load(scene: &Scene, methods: [&'static str; 2], happens: impl FnOnce()) -> Vec<Outcome> {
    let (stopped, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let come = |more: usize| {
        let before = answers.load(Ordering::SeqCst);
        eventually("answers come", || answers.load(Ordering::SeqCst) >= before + more);
    };
    let (stopped, counted) = (&stopped, &answers);
    thread::scope(|scope| {
        // However it ends, the clients do too.
        let stop = Stop(stopped);
        let asking: Vec<ScopedJoinHandle<'_, _>> = (0..CLIENTS)
            .map(|at| scope.spawn(move || ask(scene.listen, methods[at % 2], stopped, counted)))
            .collect();
        come(ANSWERS);
        happens();
        come(ANSWERS);
        drop(stop);
        asking.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    })
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const RETRY: &str = "[retry]\nattempts = 2";

#[test]
fn a_kill_under_load_fails_what_was_in_flight_and_no_more() {
    for (retry, may_fail) in [("", &["GET", "POST"][..]), (RETRY, &["POST"])] {
        let scene = Scene::start(retry);
        let outcomes = load(&scene, ["GET", "POST"], || scene.kill());
        let failed = || outcomes.iter().filter(|outcome| outcome.is_failure());
        // Whoever got the first failure knew that the backend was marked: what was in flight until
        // then may fail, at most one request a client, and nothing that was sent later.
        let known = failed().map(|outcome| outcome.ended).min();
        for outcome in failed() {
            let Outcome { method, status, began, .. } = outcome;
            assert!(may_fail.contains(method), "{retry:?}: {method} got {status}");
            assert!(Some(*began) <= known, "{retry:?}: {method} got {status}, and came later");
            assert_eq!(*status, 502, "{retry:?}: {method}");
        }
        let count = failed().count();
        assert!(count <= CLIENTS, "{retry:?}: {count} failed");
        assert!(count > 0 || !retry.is_empty(), "nobody has met the dead backend");
        // What failed was not read elsewhere.
        scene.is_quiet();
        let served = |outcome: &&Outcome| matches!(outcome.by.as_deref(), Some("b" | "c"));
        let served = outcomes.iter().filter(served).count();
        assert_eq!(scene.read_by_others(), served as u64, "{retry:?}");
        println!("{retry:?}: {count} of {} failed, all in flight", outcomes.len());
    }
}

#[test]
fn what_a_killed_backend_had_read_is_repeated_only_where_that_is_safe() {
    // With every client's request on the backend when it is killed: how many fail, how many are
    // read a second time.
    const ALL: usize = CLIENTS;
    for (method, retry, fail, repeated) in
        [("GET", "", ALL, 0), ("GET", RETRY, 0, ALL), ("POST", "", ALL, 0), ("POST", RETRY, ALL, 0)]
    {
        let scene = Scene::start(retry);
        let mut read_by_killed = 0;
        let outcomes = load(&scene, [method; 2], || {
            scene.servers[0].hang();
            eventually("every client waits for it", || {
                scene.servers[0].sample().in_flight as usize == CLIENTS
            });
            read_by_killed = scene.servers[0].sample().requests;
            scene.kill();
        });
        let failed = outcomes.iter().filter(|outcome| outcome.is_failure()).count();
        assert_eq!(failed, fail, "{method} {retry:?}");
        scene.is_quiet();
        let read = read_by_killed + scene.read_by_others();
        assert_eq!(read, (outcomes.len() + repeated) as u64, "{method} {retry:?}");
    }
}
