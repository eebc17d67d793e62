//! Faults against the proxy as a process of its own: what it holds while they go on, and what is
//! left when they are over. A bystander must not notice.

mod support;
#[path = "../../proxy/tests/support/wire.rs"]
mod wire;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::{Bench, Running};
use wire::{Backend, Bystander, Reader, eventually, exchange, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// `lab proxy` with a limit on its descriptors.
struct Proxy {
    running: Running,
    listen: SocketAddr,
    admin: SocketAddr,
    _bench: Bench,
}

impl Proxy {
    fn start(descriptors: u32, tables: &str, backends: &[SocketAddr]) -> Self {
        let bench = Bench::new();
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"round_robin\"\n{tables}\n"
        );
        for address in backends {
            text += &format!("[[backends]]\naddress = \"{address}\"\n");
        }
        let file = bench.file("proxy.toml", &text);
        let script = format!("ulimit -n {descriptors} && exec \"$0\" proxy --config \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_lab")]).arg(file);
        let (running, ready): (_, proxy::Ready) = support::served(command);
        let admin = ready.admin.expect("asked for");
        Self { running, listen: ready.listen, admin, _bench: bench }
    }

    fn connect(&self) -> Reader {
        Reader::new(TcpStream::connect(self.listen).expect("it listens"))
    }

    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.running.pid());
        std::fs::read_dir(folder).expect("it runs").count()
    }

    /// The most memory that it ever held.
    fn peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.running.pid());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says it");
        let kib = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    fn ask_admin(&self, path: &str) -> String {
        exchange(self.admin, &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).text()
    }

    fn in_flight(&self) -> u64 {
        let list: serde_json::Value =
            serde_json::from_str(&self.ask_admin("/v1/backends")).expect("JSON");
        let backends = list.as_array().expect("a list").iter();
        backends.map(|backend| backend["in_flight"].as_u64().expect("a number")).sum()
    }

    /// Waits until nothing is left but what was there before and what is kept for the next request.
    fn is_as_before(&self, descriptors: usize) {
        eventually("every attempt has ended", || self.in_flight() == 0);
        // The bystander's connections to the backend, and those of the admin API that are closing.
        const KEPT: usize = 8;
        eventually("its descriptors are closed", || self.descriptors() <= descriptors + KEPT);
    }
}

#[test]
fn more_clients_than_descriptors_are_served_all_the_same() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(64, "", &[backend.address]);
    let before = proxy.descriptors();
    // Some never ask, some keep their connection after an answer.
    let mut idle: Vec<Reader> = (0..60).map(|_| proxy.connect()).collect();
    for client in idle.iter_mut().step_by(3) {
        write(&mut client.stream, GET);
    }
    let bystander = Bystander::start(proxy.listen);
    for client in idle.iter_mut().step_by(3) {
        assert_eq!(client.answer("GET").expect("an answer").status(), 200);
    }
    bystander.end();
    assert!(proxy.descriptors() <= 64);
    let metrics = proxy.ask_admin("/metrics");
    assert!(metrics.contains("\nlab_shortages_total 0\n"), "{metrics}");
    drop(idle);
    proxy.is_as_before(before);
}

#[test]
fn giant_bodies_pass_through_little_memory() {
    const BODY: usize = 1 << 29;
    /// What a proxy may hold of all bodies that are on their way at once.
    const HELD: u64 = 16 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let giant = thread::spawn(move || {
        // A download, then an upload, on the connection that is kept.
        let mut peer = Reader::new(listener.accept().expect("a connection").0);
        let block = vec![b'x'; 1 << 18];
        assert!(peer.head().is_some());
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
        write(&mut peer.stream, &head);
        (0..BODY / block.len()).for_each(|_| peer.stream.write_all(&block).expect("taken"));
        assert!(peer.head().is_some());
        let mut left = BODY;
        while left > 0 {
            left -= peer.exactly(left.min(1 << 16)).expect("the whole upload").len();
        }
        ok(&mut peer.stream, "taken");
    });
    let proxy = Proxy::start(256, "", &[address]);
    let before = proxy.peak_bytes();
    let mut client = proxy.connect();
    write(&mut client.stream, GET);
    assert_eq!(client.head().expect("a head").status(), 200);
    let mut left = BODY;
    while left > 0 {
        left -= client.exactly(left.min(1 << 16)).expect("the whole answer").len();
    }
    let head = format!("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: {BODY}\r\n\r\n");
    write(&mut client.stream, &head);
    let block = vec![b'x'; 1 << 18];
    (0..BODY / block.len()).for_each(|_| client.stream.write_all(&block).expect("taken"));
    assert_eq!(client.answer("PUT").expect("an answer").text(), "taken");
    giant.join().expect("no panic");
    let grown = proxy.peak_bytes() - before;
    assert!(grown < HELD, "{grown} bytes more than before");
    assert_eq!(proxy.in_flight(), 0);
}

#[test]
fn who_does_not_read_holds_little_memory_and_nobody_up() {
    const BODY: usize = 1 << 26;
    const CLIENTS: usize = 8;
    /// What a proxy may hold of all answers that nobody takes.
    const HELD: u64 = 8 << 20;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let backend = Backend::start(move |request, stream| {
        if request.first_line.contains("/bystander") {
            return ok(stream, "served");
        }
        write(stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n"));
        let block = vec![b'x'; 1 << 16];
        (0..BODY / block.len()).all(|_| {
            let taken = stream.write_all(&block).is_ok();
            count.fetch_add(if taken { block.len() } else { 0 }, Ordering::SeqCst);
            taken
        })
    });
    let proxy = Proxy::start(256, "", &[backend.address]);
    let before = proxy.descriptors();
    let bystander = Bystander::start(proxy.listen);
    let at_first = proxy.peak_bytes();
    let mut clients: Vec<Reader> = (0..CLIENTS).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        write(&mut client.stream, GET);
        assert_eq!(client.head().expect("a head").status(), 200);
    }
    eventually("the backend is held up", || {
        let so_far = written.load(Ordering::SeqCst);
        bystander.is_served();
        so_far == written.load(Ordering::SeqCst)
    });
    let taken = written.load(Ordering::SeqCst);
    assert!(taken < CLIENTS * BODY, "{taken} bytes: all of it, which nobody has read");
    // One reads after all, slowly, and gets everything; the others leave.
    let mut slow = clients.pop().expect("eight of them");
    for part in 0..BODY >> 16 {
        assert!(slow.exactly(1 << 16).is_some(), "the whole answer, not {part} parts of it");
        if part % 128 == 0 {
            bystander.is_served();
        }
    }
    drop(clients);
    bystander.end();
    proxy.is_as_before(before);
    let grown = proxy.peak_bytes() - at_first;
    assert!(grown < HELD, "{grown} bytes more than before");
}

/// A chunked body of one byte, with so many bytes of extension.
fn extended(bytes: usize) -> String {
    format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(bytes))
}

/// What a backend answers to a request for a path, and whether its connection stays open.
fn faulty(path: &str) -> (String, bool) {
    let fields = "a: b\r\n".repeat(10_000);
    let of_length = |text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{text}");
    let chunked =
        |text: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{text}");
    match path {
        "/half" => (of_length("12345"), false),
        "/half-chunk" => (chunked("9\r\n12345"), false),
        "/half-head" => ("HTTP/1.1 200 OK\r\ncontent-le".into(), false),
        "/rubbish" => ("\0\u{1}\u{2}rubbish\r\n\r\n".repeat(1000), true),
        "/lengths" => {
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".into(), true)
        }
        "/both" => {
            (chunked("").replace("\r\n\r\n", "\r\ncontent-length: 1\r\n\r\n0\r\n\r\n"), true)
        }
        "/switch" => (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx".into(),
            true,
        ),
        "/flood" => ("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000), true),
        "/fields" => (format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), true),
        "/extension" => (chunked(&extended(1 << 20)), true),
        "/extension-that-fits" => (chunked(&extended(16_000)), true),
        "/trailers" => (chunked(&format!("0\r\n{fields}\r\n")), true),
        "/beyond" => (of_length("123456789HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"), true),
        "/early" => ("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno".into(), false),
        _ => (of_length("all right"), true),
    }
}

/// Reads a chunked body of short data with whatever stands round it.
fn take_chunks(peer: &mut Reader) -> Option<()> {
    while peer.line()? != "0" {}
    while !peer.line()?.is_empty() {}
    Some(())
}

/// Serves one connection of the faulty backend; a request's body is left unread but for one path.
fn serve_faults(stream: TcpStream) {
    let mut peer = Reader::new(stream);
    while let Some(head) = peer.head() {
        let path = head.first_line.split(' ').nth(1).unwrap_or_default();
        if path == "/whole" && take_chunks(&mut peer).is_none() {
            break;
        }
        let (answer, stays) = faulty(path);
        if !write(&mut peer.stream, &answer) || !stays {
            break;
        }
    }
}

/// Requests and the status that answers them; 0 is a connection that is closed without one, or
/// within the answer.
fn requests() -> Vec<(String, u16)> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nhost: h\r\n{rest}");
    let (fields, large) = ("a: b\r\n".repeat(10_000), "x".repeat(1 << 20));
    let chunked = |body: &str| post("/whole", &format!("transfer-encoding: chunked\r\n\r\n{body}"));
    vec![
        (get("/half"), 0),
        (get("/half-chunk"), 0),
        (get("/half-head"), 502),
        (get("/rubbish"), 502),
        (get("/lengths"), 502),
        (get("/both"), 502),
        (get("/switch"), 502),
        (get("/flood"), 502),
        (get("/fields"), 502),
        // More than the first read takes: the head has gone on before.
        (get("/extension"), 0),
        (get("/extension-that-fits"), 200),
        (get("/trailers"), 0),
        (get("/beyond"), 200),
        (get("/fine"), 200),
        (post("/early", &format!("content-length: 100000000\r\n\r\n{large}")), 413),
        (format!("GET / HTTP/1.1\r\nhost: h\r\na: {large}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n"), 431),
        // The backend answers when it has the whole body, which it never gets of these.
        (chunked(&extended(20_000)), 400),
        (chunked(&format!("1\r\na\r\n0\r\n{fields}\r\n")), 400),
        (chunked(&extended(16_000)), 200),
        (chunked(&format!("1\r\na\r\n0\r\n{}\r\n", "a: b\r\n".repeat(1_000))), 200),
    ]
}

#[test]
fn whatever_is_sent_from_either_side_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve_faults(stream));
        }
    });
    let limits = "[timeout]\nrequest_head = \"1s\"\ntotal = \"2s\"\n";
    let proxy = Proxy::start(1024, limits, &[address]);
    let before = proxy.descriptors();
    let bystander = Bystander::start(proxy.listen);
    // Heads and bodies that never end, a byte at a time.
    let mut dripping: Vec<Reader> = (0..200).map(|_| proxy.connect()).collect();
    for (at, client) in dripping.iter_mut().enumerate() {
        let head = "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n";
        write(&mut client.stream, head);
        assert!(at % 2 == 0 || write(&mut client.stream, "\r\n"));
    }
    for (request, expected) in requests() {
        let shown: String = request.chars().take(60).collect();
        for _ in 0..5 {
            let mut client = proxy.connect();
            // It may be refused, and closed, before everything was sent.
            write(&mut client.stream, &request);
            let method = request.split(' ').next().unwrap_or_default();
            let is_final = |answer: &wire::Message| !matches!(answer.status(), 102..=199);
            let answer = std::iter::from_fn(|| client.answer(method)).find(is_final);
            let status = answer.as_ref().map_or(0, wire::Message::status);
            assert_eq!(status, expected, "{shown:?}");
            let text = answer.map_or_else(String::new, |answer| answer.text());
            assert!(!text.contains("evil"), "{shown:?}: {text}");
            dripping.iter_mut().for_each(|client| drop(client.stream.write(b"x")));
        }
        bystander.is_served();
    }
    // Clients that leave: within an upload, within an answer, with one side closed, unread answers.
    for _ in 0..20 {
        let mut uploads = proxy.connect();
        write(&mut uploads.stream, "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 999\r\n\r\nabc");
        let mut pipelines = proxy.connect();
        write(&mut pipelines.stream, &GET.repeat(100));
        let mut half = proxy.connect();
        write(&mut half.stream, GET);
        half.stream.shutdown(std::net::Shutdown::Write).expect("open");
        // The answer, or nothing: never a part of it.
        let mut rest = String::new();
        half.stream.read_to_string(&mut rest).expect("closed cleanly");
        assert!(rest.is_empty() || rest.ends_with("all right"), "{rest:?}");
    }
    eventually("who drips is closed", || {
        dripping.retain_mut(|client| client.stream.write(b"x").is_ok());
        dripping.is_empty()
    });
    bystander.end();
    proxy.is_as_before(before);
    let peak = proxy.peak_bytes();
    assert!(peak < 64 << 20, "{peak} bytes");
}
