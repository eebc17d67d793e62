//! The other ends of a proxy's connections, for tests on real sockets: a backend whose every byte
//! the test writes, a client that speaks raw TCP, and a bystander who must not notice any of it. It
//! must not know how the proxy is run, nor use its code.
#![allow(dead_code)] // each test file uses its part

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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

/// One exchange on a connection of its own.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> Message {
    let mut reader = Reader::new(TcpStream::connect(address).expect("it listens"));
    write(&mut reader.stream, request);
    let method = request.split(' ').next().unwrap_or_default();
    reader.answer(method).unwrap_or_else(|| panic!("no whole answer to {request:?}"))
}

/// A client who has nothing to do with what is tried, and asks all the time, on a connection that it
/// keeps and on new ones in turns: every answer must be 200.
pub(crate) struct Bystander {
    stopped: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    asking: Option<JoinHandle<()>>,
}

impl Bystander {
    /// Asks for `/bystander`.
    pub(crate) fn start(listen: SocketAddr) -> Self {
        let (stopped, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stop, count) = (Arc::clone(&stopped), Arc::clone(&answers));
        let asking = thread::spawn(move || {
            const GET: &str = "GET /bystander HTTP/1.1\r\nhost: h\r\n\r\n";
            let connect = || Reader::new(TcpStream::connect(listen).expect("it listens"));
            let mut kept = connect();
            while !stop.load(Ordering::SeqCst) {
                for client in [&mut kept, &mut connect()] {
                    write(&mut client.stream, GET);
                    let answer = client.answer("GET").expect("a bystander is answered");
                    assert_eq!(answer.status(), 200, "a bystander is served: {}", answer.text());
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let bystander = Self { stopped, answers, asking: Some(asking) };
        bystander.is_served();
        bystander
    }

    /// Waits until some more of its requests were answered.
    pub(crate) fn is_served(&self) {
        let before = self.answers.load(Ordering::SeqCst);
        eventually("a bystander is served", || {
            self.answers.load(Ordering::SeqCst) >= before + 10
                || self.asking.as_ref().is_none_or(JoinHandle::is_finished)
        });
    }

    /// Fails if any of its requests did.
    pub(crate) fn end(mut self) {
        self.is_served();
        self.stopped.store(true, Ordering::SeqCst);
        let ended = self.asking.take().expect("asks until now").join();
        ended.expect("every request of a bystander is answered with 200");
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}
