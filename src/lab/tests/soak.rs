//! Operations under load: backends drained, weighted anew, added and removed, the strategy changed,
//! the file read again, while requests go on. With one attempt a request, not one may fail. The minute is for `make soak`.

mod support;
#[path = "../../proxy/tests/support/wire.rs"]
mod wire;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::Bench;
use wire::{Backend, Message, Reader, eventually, exchange, write};

/// Clients, each on a connection that it keeps, and their pause: some 500 requests a second in all.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(15);

fn call(admin: SocketAddr, method: &str, path: &str, body: &str) -> Message {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}");
    let answer = exchange(admin, &format!("{head}\r\n\r\n{body}"));
    assert!(matches!(answer.status(), 200 | 201 | 204), "{method} {path}: {}", answer.text());
    answer
}

fn backends(admin: SocketAddr) -> Vec<serde_json::Value> {
    let list = call(admin, "GET", "/v1/backends", "");
    serde_json::from_slice(&list.body).expect("a list")
}

/// What an operator does, and does it to.
struct Operator<'a> {
    bench: &'a Bench,
    proxy: &'a support::Running,
    admin: SocketAddr,
    listed: &'a [SocketAddr],
    spare: SocketAddr,
    /// The id of the backend that comes and goes.
    added: Option<String>,
}

impl Operator<'_> {
    /// One operation of each kind in turn.
    fn operate(&mut self, step: usize) {
        let admin = self.admin;
        let patch = |path: &str, body: &str| drop(call(admin, "PATCH", path, body));
        match step % 9 {
            0 => patch("/v1/backends/b1", r#"{"state":"drain"}"#),
            1 => patch("/v1/backends/b2", &format!("{{\"weight\":{}}}", 1 + step % 7)),
            2 => patch("/v1/backends/b1", r#"{"state":"ready"}"#),
            3 => patch("/v1/config", r#"{"strategy":"least_request"}"#),
            4 => {
                let body = serde_json::json!({ "address": self.spare }).to_string();
                let answer = call(admin, "POST", "/v1/backends", &body);
                let backend: serde_json::Value =
                    serde_json::from_slice(&answer.body).expect("JSON");
                self.added = backend["id"].as_str().map(str::to_owned);
            }
            5 => patch("/v1/backends/b3", r#"{"state":"drain"}"#),
            6 => patch("/v1/backends/b3", r#"{"state":"ready"}"#),
            7 => self.reload(2 + step / 9 % 2),
            _ => {
                let id = self.added.take().expect("added some steps before");
                drop(call(admin, "DELETE", &format!("/v1/backends/{id}"), ""));
                patch("/v1/config", r#"{"strategy":"round_robin"}"#);
            }
        }
    }

    /// Another weight of the third backend by the file.
    fn reload(&self, weight: usize) {
        self.bench.file("proxy.toml", &proxy_toml(self.listed, weight));
        self.proxy.signal("HUP");
        eventually("the file is in force", || {
            backends(self.admin).iter().any(|b| b["id"] == "b3" && b["weight"] == weight)
        });
    }
}

fn proxy_toml(listed: &[SocketAddr], weight: usize) -> String {
    let mut text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 2\n\
                    strategy = \"round_robin\"\n"
        .to_owned();
    for (index, address) in listed.iter().enumerate() {
        let weight = if index == 2 { weight } else { 1 };
        text += &format!("[[backends]]\naddress = \"{address}\"\nweight = {weight}\n");
    }
    text
}

/// Asks until told to stop; every answer must be 200.
fn ask(listen: SocketAddr, stopped: &AtomicBool, answers: &AtomicU64) {
    let mut client = Reader::new(TcpStream::connect(listen).expect("it listens"));
    while !stopped.load(Ordering::SeqCst) {
        write(&mut client.stream, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = client.answer("GET").expect("an answer");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answers.fetch_add(1, Ordering::SeqCst);
        // The pace of the load.
        thread::sleep(PAUSE);
    }
}

fn operate_under_load(lasts: Duration, every: Duration) {
    let servers: Vec<Backend> = (0..4).map(|_| Backend::named("served")).collect();
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let bench = Bench::new();
    bench.file("proxy.toml", &proxy_toml(&addresses[..3], 1));
    let mut command = bench.lab();
    command.args(["proxy", "--config", "proxy.toml"]);
    let (proxy, ready): (_, proxy::Ready) = support::served(command);
    let (listen, admin) = (ready.listen, ready.admin.expect("asked for"));
    let mut operator = Operator {
        bench: &bench,
        proxy: &proxy,
        admin,
        listed: &addresses[..3],
        spare: addresses[3],
        added: None,
    };

    let (stopped, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut steps, began) = (0, Instant::now());
    thread::scope(|scope| {
        let asking: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| ask(listen, &stopped, &answers))).collect();
        while began.elapsed() < lasts && !asking.iter().any(|client| client.is_finished()) {
            operator.operate(steps);
            steps += 1;
            // The pace of the operations.
            thread::sleep(every);
        }
        stopped.store(true, Ordering::SeqCst);
    });
    let answered = answers.load(Ordering::SeqCst);
    println!("{answered} requests, {steps} operations in {:?}, none failed", began.elapsed());
    assert!(answered as usize > steps && steps > 8, "{answered} requests, {steps} operations");
    eventually("every attempt has ended", || {
        backends(admin).iter().all(|backend| backend["in_flight"] == 0)
    });
    proxy.signal("TERM");
    let done = proxy.wait();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn operations_under_load_fail_no_request() {
    operate_under_load(Duration::from_secs(8), Duration::from_millis(100));
}

#[test]
#[ignore = "takes a minute: make soak"]
fn a_minute_of_operations_under_load_fails_no_request() {
    operate_under_load(Duration::from_secs(60), Duration::from_millis(333));
}
