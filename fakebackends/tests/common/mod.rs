//! A raw TCP client, so that a fault is judged by what arrives on a socket and by nothing of ours.

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base::{Clock, Distribution};
use config::BackendsConfig;
use config::backends::BackendConfig;
use fakebackends::Running;
use fakebackends::control::BackendSample;
use workload::{Abandoned, BackendModel, Discipline};

/// Long enough for anything that comes at all, on a machine however busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After so long without a byte we speak of silence. Short: it is waited for in full.
pub const SILENCE: Duration = Duration::from_millis(150);

/// Backends that stop when the test ends, however it ends.
pub struct Lab {
    pub running: Running,
    pub clock: Clock,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.running.stop();
        self.running.wait();
    }
}

/// One request at a time, one may wait, and each takes this long.
pub fn model(service: Duration) -> BackendModel {
    BackendModel {
        concurrency: 1,
        queue: Some(1),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Drop,
        service: Distribution::Constant { value: service.as_secs_f64() },
        response_bytes: 5,
    }
}

/// Backends a-1, a-2, … of these models on free ports, and their control API.
pub fn start(models: Vec<BackendModel>) -> Lab {
    let any = || "127.0.0.1:0".parse().expect("an address");
    let backends = (1..)
        .zip(models)
        .map(|(n, model)| BackendConfig { name: format!("a-{n}"), listen: any(), model })
        .collect();
    let config = BackendsConfig { control: Some(any()), workers: 2, seed: 1, backends };
    let clock = Clock::start();
    Lab { running: fakebackends::start(config, clock).expect("ports are free"), clock }
}

/// What came back on a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A connection.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).expect("it listens"))
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the connection takes a request");
    }

    pub fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }

    /// Reads one answer that carries a content-length; waits at most `patience` for each byte.
    pub fn try_read(&mut self, patience: Duration) -> io::Result<Reply> {
        self.0.set_read_timeout(Some(patience))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("heads here are ASCII");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let mut reply = Reply { status, head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |n| n.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        reply.body = String::from_utf8(body).expect("bodies here are ASCII");
        Ok(reply)
    }

    pub fn read(&mut self) -> Reply {
        self.try_read(PATIENCE).expect("an answer")
    }

    /// Not a byte comes, and the connection stays open.
    pub fn assert_silent(&mut self) {
        let error = self.try_read(SILENCE).expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    }

    /// The connection ends with RST, not with FIN.
    pub fn assert_reset(&mut self) {
        let error = self.try_read(PATIENCE).expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
}

/// Nobody listens there.
pub fn assert_refused(address: SocketAddr) {
    let error = TcpStream::connect(address).expect_err("a refusal");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
}

impl Lab {
    pub fn address(&self, backend: usize) -> SocketAddr {
        self.running.ready().backends[backend].address
    }

    pub fn open(&self, backend: usize) -> Raw {
        Raw::open(self.address(backend))
    }

    /// A request of the control API.
    pub fn control(&self, method: &str, path: &str, body: &str) -> Reply {
        let mut raw = Raw::open(self.running.ready().control.expect("it is configured"));
        let length = body.len();
        raw.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        raw.read()
    }

    /// Changes that take effect before this returns (unless they lie ahead).
    pub fn fault(&self, changes: &str) {
        let reply = self.control("POST", "/v1/faults", &format!(r#"{{"changes":[{changes}]}}"#));
        assert_eq!(reply.status, 204, "{}", reply.body);
    }

    pub fn samples(&self, method: &str, path: &str) -> Vec<BackendSample> {
        let reply = self.control(method, path, "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).expect("samples")
    }

    /// Waits until a backend's counters are as wanted.
    pub fn await_sample(&self, backend: usize, wanted: impl Fn(&BackendSample) -> bool) {
        let start = self.clock.now();
        while !wanted(&self.samples("GET", "/v1/backends")[backend]) {
            assert!(self.clock.now().since(start) < PATIENCE, "the counters never became so");
            std::thread::yield_now();
        }
    }
}
