//! Faults against the proxy as a process of its own: what it holds while they go on, and what is
//! left when they are over. A bystander must not notice.

mod support;
#[path = "../../proxy/tests/support/wire.rs"]
mod wire;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use support::Bench;
use wire::{Backend, Bystander, Reader, eventually, exchange, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// `lab proxy` with a limit on its descriptors.
struct Proxy {
    child: Child,
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
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a ready line");
        let ready: proxy::Ready = serde_json::from_str(&line).expect("a ready line");
        let admin = ready.admin.expect("asked for");
        Self { child, listen: ready.listen, admin, _bench: bench }
    }

    fn connect(&self) -> Reader {
        Reader::new(TcpStream::connect(self.listen).expect("it listens"))
    }

    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).expect("it runs").count()
    }

    /// The most memory that it ever held.
    fn peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
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

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        "/extension" => (chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(1 << 20))), true),
        "/trailers" => (chunked(&format!("0\r\n{fields}\r\n")), true),
        "/beyond" => (of_length("123456789HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"), true),
        "/early" => ("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno".into(), false),
        _ => (of_length("all right"), true),
    }
}

/// Serves one connection of the faulty backend; a request's body is left unread.
fn serve_faults(stream: TcpStream) {
    let mut peer = Reader::new(stream);
    while let Some(head) = peer.head() {
        let path = head.first_line.split(' ').nth(1).unwrap_or_default();
        let (answer, stays) = faulty(path);
        if !write(&mut peer.stream, &answer) || !stays {
            break;
        }
    }
}

/// Requests and the status that answers them; 0 is a connection that is closed without one, or
/// within the answer.
fn requests() -> Vec<(String, &'static [u16])> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nhost: h\r\n{rest}");
    let (fields, large) = ("a: b\r\n".repeat(10_000), "x".repeat(1 << 20));
    let chunked = |body: &str| post("/", &format!("transfer-encoding: chunked\r\n\r\n{body}"));
    vec![
        (get("/half"), &[0]),
        (get("/half-chunk"), &[0]),
        (get("/half-head"), &[502]),
        (get("/rubbish"), &[502]),
        (get("/lengths"), &[502]),
        (get("/both"), &[502]),
        (get("/switch"), &[502]),
        (get("/flood"), &[502]),
        (get("/fields"), &[502]),
        // Where the network cuts the answer decides whether its head has gone on before.
        (get("/extension"), &[0, 502]),
        (get("/trailers"), &[0, 502]),
        (get("/beyond"), &[200]),
        (get("/fine"), &[200]),
        (post("/early", &format!("content-length: 100000000\r\n\r\n{large}")), &[413]),
        (format!("GET / HTTP/1.1\r\nhost: h\r\na: {large}\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n"), &[431]),
        (chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(20_000))), &[200, 400]),
        (chunked(&format!("1\r\na\r\n0\r\n{fields}\r\n")), &[200, 400]),
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
            let answer = client.answer(request.split(' ').next().unwrap_or_default());
            let status = answer.as_ref().map_or(0, wire::Message::status);
            assert!(expected.contains(&status), "{shown:?}: {status}");
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
