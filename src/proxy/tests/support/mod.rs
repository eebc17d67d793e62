//! Small real things for whole-path tests: a proxy in this process, and the other ends of its
//! connections. It must not use the proxy's own code to judge it.
#![allow(dead_code, unused_imports)] // each test file uses its part

pub(crate) mod certificate;
pub(crate) mod http2;
mod wire;

use std::net::{SocketAddr, TcpStream};

use base::Clock;
use config::ProxyConfig;
use policy::Registry;
use proxy::Running;

pub(crate) use wire::{
    Backend, Bystander, Message, PATIENCE, Reader, eventually, exchange, nobody, ok, write,
};

/// A proxy in this process.
pub(crate) struct Lab {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    running: Option<Running>,
}

impl Lab {
    /// With these lines of proxy.toml before its tables, these tables, and these backends.
    pub(crate) fn start(tables: &str, backends: &[SocketAddr]) -> Self {
        Self::start_with("round_robin", tables, backends, Registry::standard())
    }

    pub(crate) fn start_with(
        strategy: &str,
        tables: &str,
        backends: &[SocketAddr],
        registry: Registry,
    ) -> Self {
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nseed = 1\nstrategy = \"{strategy}\"\n{tables}\n"
        );
        for address in backends {
            text += &format!("[[backends]]\naddress = \"{address}\"\n");
        }
        let config = ProxyConfig::parse("proxy.toml", &text, &registry)
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let running =
            proxy::start_with(config, Clock::start(), registry).expect("a free port and threads");
        let ready = running.ready();
        let admin = ready.admin.expect("asked for");
        Self { listen: ready.listen, admin, running: Some(running) }
    }

    pub(crate) fn connect(&self) -> Reader {
        Reader::new(TcpStream::connect(self.listen).expect("it listens"))
    }

    pub(crate) fn reload_certificate(&self) -> Result<(), proxy::TlsError> {
        self.running.as_ref().expect("runs until it is dropped").reload_certificate()
    }

    /// One exchange on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Message {
        exchange(self.listen, request)
    }

    pub(crate) fn get(&self, path: &str) -> Message {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"))
    }

    /// A call of the admin API.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let length = body.len();
        let answer = exchange(
            self.admin,
            &format!(
                "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
        );
        let value = match answer.body.is_empty() {
            true => serde_json::Value::Null,
            false => serde_json::from_slice(&answer.body)
                .unwrap_or_else(|_| serde_json::Value::String(answer.text())),
        };
        (answer.status(), value)
    }

    /// The backends of the admin API.
    pub(crate) fn backends(&self) -> Vec<serde_json::Value> {
        self.call("GET", "/v1/backends", "").1.as_array().expect("a list").clone()
    }

    /// The value of a metric, by its name and labels as they stand in the text.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.call("GET", "/metrics", "").1;
        let lines = text.as_str().expect("a text").lines();
        let value = lines.filter_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).next();
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series}: {text}"))
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.backends().iter().map(|b| b["in_flight"].as_u64().expect("a number")).sum()
    }

    pub(crate) fn stop(&self) {
        self.running.as_ref().expect("runs until it is dropped").stop();
    }

    /// Waits for its end after [`Lab::stop`].
    pub(crate) fn wait(mut self) {
        self.running.take().expect("runs until it is dropped").wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            running.wait();
        }
    }
}
