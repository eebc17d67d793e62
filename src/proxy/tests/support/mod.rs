//! Small real things for whole-path tests: a backend whose every byte the test writes, a proxy in
//! this process, and a client that speaks raw TCP. It must not use the proxy's own code to judge it.
#![allow(dead_code)] // each test file uses its part

pub(crate) mod certificate;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base::Clock;
use config::ProxyConfig;
use policy::Registry;
use proxy::Running;

/// Longer than anything here takes on a busy machine; only a broken test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `met`, and fails by `what` when that does not come.
pub(crate) fn eventually(what: &str, mut met: impl FnMut() -> bool) {
    let began = Instant::now();
    while !met() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A message as it came over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) first_line: String,
    /// Lower-case names, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fits = self.headers.iter().filter(|(n, _)| n == name);
        fits.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads lines and counted bytes, one system call a buffer.
pub(crate) struct Reader {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        Self { stream, buffer: vec![] }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(_) => false,
        }
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// So many bytes, as they are.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        self.bytes(count)
    }

    /// Whether anything more has come by now. What has not been sent cannot be waited for, so this
    /// can only miss what comes late.
    pub(crate) fn has_more(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("an open socket");
        let more = !self.buffer.is_empty() || self.fill();
        self.stream.set_nonblocking(false).expect("an open socket");
        more
    }

    pub(crate) fn head(&mut self) -> Option<Message> {
        let mut message = Message { first_line: self.line()?, ..Message::default() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(message);
            }
            let (name, value) = line.split_once(':')?;
            message.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }

    pub(crate) fn body_of(&mut self, message: &mut Message, until_close: bool) -> Option<()> {
        if message.header("transfer-encoding").is_some() {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
                message.body.extend(self.bytes(size)?);
                let end = self.line()?;
                if size == 0 {
                    return end.is_empty().then_some(());
                }
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = self.bytes(length.parse().ok()?)?;
        } else if until_close {
            while self.fill() {}
            message.body = std::mem::take(&mut self.buffer);
        }
        Some(())
    }

    /// The next request with its body.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body_of(&mut message, false)?;
        Some(message)
    }

    /// The next answer with its body, that of a request by `method`.
    pub(crate) fn answer(&mut self, method: &str) -> Option<Message> {
        let mut message = self.head()?;
        let bodiless = method == "HEAD" || matches!(message.status(), 100..=199 | 204 | 304);
        if !bodiless {
            self.body_of(&mut message, true)?;
        }
        Some(message)
    }

    /// Whether the other side closes without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

/// What a backend does with a request: writes what it likes, and says whether to read another.
type Handler = dyn Fn(&Message, &mut TcpStream) -> bool + Send + Sync;

/// A backend whose every byte the test writes.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn start(
        handler: impl Fn(&Message, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), handler)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Message, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut backend = Self {
            address,
            seen: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            stopped: Arc::default(),
            acceptor: None,
        };
        let (seen, connections, open, stopped) = (
            Arc::clone(&backend.seen),
            Arc::clone(&backend.connections),
            Arc::clone(&backend.open),
            Arc::clone(&backend.stopped),
        );
        let handler: Arc<Handler> = Arc::new(handler);
        backend.acceptor = Some(thread::spawn(move || {
            let mut threads = vec![];
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                open.lock().expect("no panic").push(stream.try_clone().expect("a descriptor"));
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                threads.push(thread::spawn(move || serve(stream, &seen, &*handler)));
            }
            for stream in &*open.lock().expect("no panic") {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for thread in threads {
                let _ = thread.join();
            }
        }));
        backend
    }

    /// One that answers every request with 200 and its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_, stream| ok(stream, name))
    }

    /// The requests it read, probes left out.
    pub(crate) fn seen(&self) -> Vec<Message> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().filter(|m| !m.first_line.contains("/health")).cloned().collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Message>>, handler: &Handler) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = Reader::new(stream);
    while let Some(request) = reader.request() {
        seen.lock().expect("no panic").push(request.clone());
        if !handler(&request, &mut writer) {
            break;
        }
    }
    let _ = writer.shutdown(Shutdown::Both);
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which ends everything.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Writes 200 with a body; `true`, so that a handler can end with it.
pub(crate) fn ok(stream: &mut TcpStream, body: &str) -> bool {
    write(stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// Writes a text as it is; `true`, so that a handler can end with it.
pub(crate) fn write(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).is_ok()
}

/// An address at which nothing listens; as it was free a moment ago, it refuses connections.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

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

/// One exchange on a connection of its own.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> Message {
    let mut reader = Reader::new(TcpStream::connect(address).expect("it listens"));
    write(&mut reader.stream, request);
    let method = request.split(' ').next().unwrap_or_default();
    reader.answer(method).unwrap_or_else(|| panic!("no whole answer to {request:?}"))
}
