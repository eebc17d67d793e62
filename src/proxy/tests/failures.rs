//! Backends that refuse, hang, break off and lie, and clients that leave.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Backend, Lab, eventually, nobody, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const RETRY: &str = "[retry]\nattempts = 2\n";

#[test]
fn a_refused_connection_is_retried_elsewhere_whatever_the_method() {
    let backend = Backend::named("a");
    let lab = Lab::start(RETRY, &[nobody(), backend.address]);
    let mut retried = 0;
    for _ in 0..6 {
        let answer = lab.ask("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "a"));
        retried += answer.all("x-attempt-count").len();
        assert!(answer.header("x-attempt-count").is_none_or(|count| count == "2"));
    }
    assert!(retried > 0, "round robin meets the one that refuses");
    let seen = backend.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|request| request.text() == "abc"));
    let counts = seen.iter().filter(|request| request.header("x-attempt-count") == Some("2"));
    assert_eq!(counts.count(), retried);
    assert_eq!(lab.in_flight(), 0);
    let metrics = lab.call("GET", "/metrics", "").1;
    for (name, count) in [("requests", 6), ("attempts", 6 + retried), ("retries", retried)] {
        let line = format!("\nlab_{name}_total {count}\n");
        assert!(metrics.as_str().expect("a text").contains(&line), "{line}");
    }
}

#[test]
fn without_retry_a_refused_connection_is_the_answer() {
    let lab = Lab::start("", &[nobody()]);
    let answer = lab.ask(GET);
    assert_eq!((answer.status(), answer.header("x-attempt-count")), (502, None));
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn without_a_backend_the_answer_is_503() {
    let lab = Lab::start("", &[nobody()]);
    assert_eq!(lab.call("PATCH", "/v1/backends/b1", r#"{"state":"drain"}"#).0, 200);
    assert_eq!(lab.ask(GET).status(), 503);
}

/// Reads the request and closes.
fn closes(_: &support::Message, _: &mut std::net::TcpStream) -> bool {
    false
}

#[test]
fn what_was_sent_is_sent_again_only_when_that_is_safe() {
    for (method, status, requests) in
        [("GET", 200, 1), ("PUT", 200, 1), ("DELETE", 200, 1), ("POST", 502, 0), ("PATCH", 502, 0)]
    {
        let (breaks, serves) = (Backend::start(closes), Backend::named("b"));
        let lab = Lab::start(RETRY, &[breaks.address, serves.address]);
        // Round robin enters its cycle anywhere: ask until the breaking one was met.
        let request = format!("{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
        let first = lab.ask(&request);
        let answer = if breaks.seen().is_empty() { lab.ask(&request) } else { first };
        assert_eq!(breaks.seen().len(), 1, "{method}");
        assert_eq!(answer.status(), status, "{method}");
        let retried =
            serves.seen().iter().filter(|m| m.header("x-attempt-count").is_some()).count();
        assert_eq!(retried, requests, "{method}");
        assert_eq!(lab.in_flight(), 0, "{method}");
    }
}

#[test]
fn a_body_goes_again_when_it_was_kept_and_the_method_allows_it() {
    const KEPT: usize = 64 * 1024;
    for (method, bytes, status) in
        [("PUT", 3, 200), ("PUT", KEPT, 200), ("PUT", KEPT + 1, 502), ("POST", 3, 502)]
    {
        let (breaks, serves) = (Backend::start(closes), Backend::start(echo));
        let lab = Lab::start(RETRY, &[breaks.address, serves.address]);
        let body = "x".repeat(bytes);
        let head = format!("{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: {bytes}\r\n");
        let request = format!("{head}\r\n{body}");
        let first = lab.ask(&request);
        let answer = if breaks.seen().is_empty() { lab.ask(&request) } else { first };
        assert_eq!((answer.status(), breaks.seen().len()), (status, 1), "{method} {bytes}");
        assert!(status != 200 || answer.text() == body, "{method} {bytes}");
    }
}

fn echo(request: &support::Message, stream: &mut std::net::TcpStream) -> bool {
    ok(stream, &request.text())
}

#[test]
fn a_bad_status_is_retried_and_its_connection_kept() {
    let busy = Backend::start(|_, stream| {
        write(stream, "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
    });
    let serves = Backend::named("b");
    let lab = Lab::start(RETRY, &[busy.address, serves.address]);
    for _ in 0..8 {
        assert_eq!(lab.ask(GET).text(), "b");
    }
    assert!(busy.seen().len() >= 4, "round robin meets the busy one");
    assert_eq!((busy.connections(), serves.connections()), (1, 1));
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn when_all_fail_the_client_sees_the_last_answer() {
    let fails =
        || Backend::start(|_, s| write(s, "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"));
    let (a, b) = (fails(), fails());
    let lab = Lab::start(RETRY, &[a.address, b.address]);
    let answer = lab.ask(GET);
    assert_eq!((answer.status(), answer.text().as_str()), (503, "busy"));
    assert_eq!(answer.header("x-attempt-count"), Some("2"));
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
}

#[test]
fn what_is_no_answer_in_time_is_504() {
    let hangs = Backend::start(|_, _| true);
    let lab = Lab::start("[timeout]\nattempt = \"100ms\"\n", &[hangs.address]);
    assert_eq!(lab.ask(GET).status(), 504);
    assert_eq!(hangs.seen().len(), 1);
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn a_slow_upload_is_no_fault_of_the_backend() {
    let backend = Backend::start(|request, stream| {
        request.first_line.contains("/hang") || ok(stream, &request.text())
    });
    let lab = Lab::start("[timeout]\nattempt = \"100ms\"\n", &[backend.address]);
    for (path, status) in [("/", 200), ("/hang", 504)] {
        let mut client = lab.connect();
        let head = "host: h\r\ntransfer-encoding: chunked";
        write(&mut client.stream, &format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n"));
        for piece in ["1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"] {
            // The slowness itself is what is tried.
            std::thread::sleep(std::time::Duration::from_millis(150));
            write(&mut client.stream, piece);
        }
        let answer = client.answer("POST").expect("an answer");
        assert_eq!(answer.status(), status, "{path}: {}", answer.text());
        assert_eq!(backend.seen().last().expect("a request").text(), "ab", "{path}");
    }
    assert_eq!(lab.backends()[0]["failures"], 1, "the one that hangs after the upload");
}

#[test]
fn an_upload_that_the_client_never_ends_is_bounded_by_the_total_limit() {
    let backend = Backend::named("a");
    let lab = Lab::start("[timeout]\nattempt = \"50ms\"\ntotal = \"200ms\"\n", &[backend.address]);
    let answer = lab.ask("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
    assert_eq!(answer.status(), 408);
    assert_eq!((lab.in_flight(), &lab.backends()[0]["failures"]), (0, &0.into()));
}

#[test]
fn an_upload_that_the_backend_does_not_take_is_its_fault() {
    // Connections are taken by its queue, and nothing is ever read from them.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let lab = Lab::start("[timeout]\nattempt = \"100ms\"\n", &[address]);
    let mut client = lab.connect();
    let writer = std::thread::spawn(move || {
        let head = "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000000\r\n\r\n";
        write(&mut client.stream, head);
        // Until the proxy has had enough.
        while client.stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    });
    eventually("the attempt has failed", || lab.backends()[0]["failures"] == 1);
    eventually("and ended", || lab.in_flight() == 0);
    drop(lab);
    writer.join().expect("no panic");
}

#[test]
fn a_timeout_is_retried_elsewhere() {
    let (hangs, serves) = (Backend::start(|_, _| true), Backend::named("b"));
    let tables = format!("{RETRY}[timeout]\nattempt = \"100ms\"\n");
    let lab = Lab::start(&tables, &[hangs.address, serves.address]);
    for _ in 0..2 {
        assert_eq!(lab.ask(GET).text(), "b");
    }
    assert!(!hangs.seen().is_empty(), "round robin meets the one that hangs");
}

#[test]
fn a_connection_that_is_not_answered_is_504() {
    // A full listen queue: further connection attempts are neither taken nor refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    socket.listen(0).expect("bound");
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().expect("bound");
    let limit = std::time::Duration::from_millis(50);
    let mut waiting = vec![];
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, limit) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue takes everything");
    }
    let lab = Lab::start("[timeout]\nconnect = \"100ms\"\n", &[address]);
    assert_eq!(lab.ask(GET).status(), 504);
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn the_total_timeout_bounds_the_body_too() {
    let stalls = Backend::start(|_, stream| {
        write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    });
    let lab = Lab::start("[timeout]\ntotal = \"200ms\"\n", &[stalls.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    assert_eq!(client.head().expect("a head").status(), 200);
    let mut rest = vec![];
    let end = client.stream.read_to_end(&mut rest);
    // It may be cut off by a reset; what must not come is a body that looks whole.
    assert!(end.is_err() || rest.len() < 10, "{rest:?}");
    eventually("the attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn a_body_broken_off_by_the_backend_is_broken_off_to_the_client() {
    for head in ["content-length: 99", "transfer-encoding: chunked"] {
        let breaks = Backend::start(move |_, stream| {
            write(stream, &format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\n12345\r\n"));
            false
        });
        let lab = Lab::start("", &[breaks.address]);
        let mut client = lab.connect();
        write(&mut client.stream, GET);
        assert_eq!(client.answer("GET"), None, "{head}: no whole answer");
        eventually("the attempt has ended", || lab.in_flight() == 0);
    }
}

#[test]
fn what_is_not_http_is_502() {
    for text in [
        "SSH-2.0-x\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        let lies = Backend::start(move |_, stream| write(stream, text));
        let lab = Lab::start("", &[lies.address]);
        let answer = lab.ask(GET);
        assert_eq!(answer.status(), 502, "{text:?}");
        assert!(answer.text().contains("not an HTTP answer"), "{text:?}: {}", answer.text());
    }
}

#[test]
fn a_kept_connection_that_died_meanwhile_costs_no_request() {
    // Closes each connection when its second request comes: too late to know before.
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let backend = Backend::start(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) && ok(stream, "a")
    });
    let lab = Lab::start(RETRY, &[backend.address]);
    for _ in 0..5 {
        assert_eq!(lab.ask(GET).text(), "a");
    }
    assert!(count.load(Ordering::SeqCst) > 5, "some were sent twice");
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_ends_its_attempt() {
    let closed = Arc::new(AtomicUsize::new(0));
    let noticed = Arc::clone(&closed);
    let hangs = Backend::start(move |_, stream| {
        // The proxy hangs up, and sends nothing before.
        let end = stream.read(&mut [0; 1]);
        noticed.fetch_add(usize::from(!matches!(end, Ok(1))), Ordering::SeqCst);
        false
    });
    let lab = Lab::start("", &[hangs.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("the request is in flight", || lab.in_flight() == 1 && hangs.seen().len() == 1);
    drop(client);
    eventually("the attempt has ended", || lab.in_flight() == 0);
    eventually("the backend's connection is closed", || closed.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_client_that_leaves_within_an_answer_or_a_body_ends_its_attempt() {
    let endless = Backend::start(|request, stream| {
        write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let block = [b'x'; 64 * 1024];
        while request.first_line.starts_with("GET") && stream.write_all(&block).is_ok() {}
        false
    });
    let lab = Lab::start("", &[endless.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    assert_eq!(client.head().expect("a head").status(), 200);
    assert_eq!(lab.in_flight(), 1);
    drop(client);
    eventually("the download has ended", || lab.in_flight() == 0);

    let mut client = lab.connect();
    write(&mut client.stream, "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
    eventually("the upload is in flight", || lab.in_flight() == 1);
    drop(client);
    eventually("the upload has ended", || lab.in_flight() == 0);
    let failures = lab.backends()[0]["failures"].clone();
    assert_eq!(failures, 0, "clients that leave are no fault of the backend");
}

#[test]
fn a_connection_with_half_a_request_on_it_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let mut client = lab.connect();
    write(&mut client.stream, "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
    let mut first = support::Reader::new(listener.accept().expect("a connection").0);
    let head = first.head().expect("a head");
    assert_eq!(head.first_line, "PUT / HTTP/1.1");
    // It has read enough to refuse.
    write(&mut first.stream, "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.answer("PUT").expect("an answer").status(), 413);
    eventually("the attempt has ended", || lab.in_flight() == 0);

    let mut other = lab.connect();
    write(&mut other.stream, GET);
    let mut second = support::Reader::new(listener.accept().expect("a new connection").0);
    assert_eq!(second.request().expect("a request").first_line, "GET / HTTP/1.1");
    ok(&mut second.stream, "b");
    assert_eq!(other.answer("GET").expect("an answer").text(), "b");
}
