//! HTTP/1.1 between real sockets where it is subtle: answers that come early or end with the
//! connection, upgrades, trailers, interim answers, old clients, pipelines.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use support::{Backend, Lab, Message, Reader, eventually, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A backend that writes one text to whoever asks, and says whether it goes on reading.
fn says(text: &'static str, goes_on: bool) -> Backend {
    Backend::start(move |_, stream| write(stream, text) && goes_on)
}

#[test]
fn an_answer_that_ends_with_the_connection_gets_chunks_or_a_close() {
    let backend = says("HTTP/1.1 200 OK\r\nx: 1\r\n\r\nall of it", false);
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    for _ in 0..2 {
        write(&mut client.stream, GET);
        let answer = client.answer("GET").expect("an answer");
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.text(), "all of it");
    }
    let answer = lab.ask("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(answer.header("transfer-encoding"), None);
    // What HTTP/1.0 takes for granted is not said.
    assert_eq!((answer.header("connection"), answer.text().as_str()), (None, "all of it"));
    eventually("every attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn an_old_client_may_stay_when_it_asks_to() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    for _ in 0..2 {
        write(&mut client.stream, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let answer = client.answer("GET").expect("an answer");
        assert_eq!(
            (answer.header("connection"), answer.text().as_str()),
            (Some("keep-alive"), "a")
        );
    }
    write(&mut client.stream, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer("GET").expect("an answer").header("connection"), None);
    assert!(client.is_closed());
}

#[test]
fn trailers_and_chunk_extensions_pass_both_ways() {
    const BODY: &str = "3;a=b\r\nabc\r\n0\r\nx-sum: 7\r\nx-b: c\r\n\r\n";
    // The support reader takes trailers for a broken body, so the bytes are looked at as they are.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let mut client = lab.connect();
    let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
    write(&mut client.stream, &format!("{head}{BODY}"));
    let mut backend = Reader::new(listener.accept().expect("a connection").0);
    assert_eq!(backend.head().expect("a head").header("trailer"), Some("x-sum"));
    assert_eq!(backend.exactly(BODY.len()).expect("a body"), BODY.as_bytes());
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    write(&mut backend.stream, &format!("{head}{BODY}"));
    assert_eq!(client.head().expect("a head").status(), 200);
    assert_eq!(client.exactly(BODY.len()).expect("a body"), BODY.as_bytes());
    // Both connections are clean behind it.
    write(&mut client.stream, GET);
    assert_eq!(backend.request().expect("the next one").first_line, "GET / HTTP/1.1");
    ok(&mut backend.stream, "next");
    assert_eq!(client.answer("GET").expect("an answer").text(), "next");
}

/// An interim answer with a field of its hop.
fn hint(link: &str) -> String {
    format!("HTTP/1.1 103 Early Hints\r\nlink: {link}\r\nkeep-alive: 1\r\n\r\n")
}

#[test]
fn interim_answers_pass_at_once_and_never_count_as_the_answer() {
    let told = Arc::new(std::sync::Barrier::new(2));
    let heard = Arc::clone(&told);
    let backend = Backend::start(move |_, stream| {
        // Whether the client shall go on is not the backend's to say.
        let sent = write(stream, &format!("HTTP/1.1 100 Continue\r\n\r\n{}", hint("a")));
        told.wait();
        sent && write(stream, &hint("b")) && ok(stream, "final")
    });
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    let first = client.head().expect("a hint");
    assert_eq!((first.status(), first.header("link")), (103, Some("a")));
    assert_eq!((first.header("keep-alive"), first.header("via")), (None, Some("1.1 lab")));
    heard.wait();
    let second = client.head().expect("another");
    assert_eq!((second.status(), second.header("link")), (103, Some("b")));
    let answer = client.answer("GET").expect("the answer");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "final"));
    assert_eq!(lab.metric("lab_answers_total{class=\"1xx\"}"), 0.0);
}

#[test]
fn interim_answers_are_bounded_and_not_for_old_clients() {
    for (count, length, passed, status) in [
        (0, 1, 0, 200),
        (32, 1, 32, 200),
        (33, 1, 32, 502),   // more are no answer
        (5, 5_000, 3, 200), // and more bytes than that are not for the client
    ] {
        let hints = hint(&"x".repeat(length)).repeat(count);
        let backend = Backend::start(move |_, stream| write(stream, &hints) && ok(stream, "final"));
        let lab = Lab::start("", &[backend.address]);
        let mut client = lab.connect();
        write(&mut client.stream, GET);
        for n in 0..passed {
            assert_eq!(client.head().map(|head| head.status()), Some(103), "{count} {length} {n}");
        }
        assert_eq!(client.answer("GET").expect("an answer").status(), status, "{count} {length}");
        let old = lab.ask("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(old.status(), status, "{count} {length}");
    }
}

#[test]
fn a_hint_of_an_attempt_that_fails_is_followed_by_the_answer_of_another() {
    let broken = Backend::start(|_, stream| {
        write(stream, &hint("a"));
        false
    });
    let good = Backend::named("good");
    let tables = "[retry]\nattempts = 2\nbackoff = \"0ms\"\nbudget = 1.0\n";
    let lab = Lab::start(tables, &[broken.address, good.address]);
    let (mut hints, mut answers) = (0, 0);
    for _ in 0..2 {
        let mut client = lab.connect();
        write(&mut client.stream, GET);
        let mut head = client.head().expect("a head");
        if head.status() == 103 {
            hints += 1;
            head = client.head().expect("and another one");
        }
        answers += u32::from(head.status() == 200);
    }
    assert_eq!((hints, answers), (1, 2), "each backend was asked first once");
}

/// Nearly all that is written to it is interim, so that is what it will not take.
#[test]
fn who_takes_no_interim_answers_has_the_limits_of_who_takes_no_answer() {
    let hints = hint(&"x".repeat(5_000)).repeat(3);
    let backend = Backend::start(move |_, stream| write(stream, &hints) && ok(stream, ""));
    let lab = Lab::start("[timeout]\nclient_idle = \"1s\"\n", &[backend.address]);
    let client = lazy(&lab, &GET.repeat(3_000));
    eventually("it is served", || lab.metric("lab_requests_total") > 1.0);
    eventually("it is closed", || lab.metric("lab_client_connections") == 0.0);
    let served = lab.metric("lab_requests_total");
    assert!(served < 3_000.0, "{served}: it took all of them");
    drop(client);
}

#[test]
fn an_answer_before_the_whole_request_is_delivered_and_ends_both_connections() {
    let backend = Arc::new(Mutex::new(vec![]));
    let opened = Arc::clone(&backend);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let answering = std::thread::spawn(move || {
        let mut backend = Reader::new(listener.accept().expect("a connection").0);
        assert!(backend.head().is_some());
        write(&mut backend.stream, "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!");
        // Whatever comes of the body, and then the end.
        let mut rest = vec![];
        let _ = backend.stream.read_to_end(&mut rest);
        opened.lock().expect("no panic").push(rest.len());
    });
    let mut client = lab.connect();
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000000\r\n\r\n";
    write(&mut client.stream, &format!("{head}begin"));
    let answer = client.answer("POST").expect("an answer");
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no!"));
    assert_eq!(answer.header("connection"), Some("close"));
    // The client goes on for a while, and is not reset before it has read the answer.
    let _ = client.stream.write_all(&[b'x'; 100_000]);
    answering.join().expect("the backend's connection was closed");
    eventually("the attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn other_expectations_are_refused() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let request = "PUT / HTTP/1.1\r\nhost: h\r\nexpect: miracles\r\ncontent-length: 1\r\n\r\nx";
    assert_eq!(lab.ask(request).status(), 417);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_waits_is_told_to_go_on_only_when_the_body_is_wanted() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let lab = Lab::start("", &[backend.address]);
    // It does not wait after all: nobody needs telling.
    let request =
        "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc";
    let answer = lab.ask(request);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
}

#[test]
fn pipelined_requests_with_bodies_keep_their_bodies_apart() {
    let backend = Backend::start(|request, stream| {
        ok(stream, &format!("{} {}", request.first_line, request.text()))
    });
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    let texts = [
        "POST /1 HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc",
        "POST /2 HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n",
        "\r\n\r\nGET /3 HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST /4 HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    ];
    write(&mut client.stream, &texts.concat());
    for expected in
        ["POST /1 HTTP/1.1 abc", "POST /2 HTTP/1.1 de", "GET /3 HTTP/1.1 ", "POST /4 HTTP/1.1 "]
    {
        assert_eq!(client.answer("POST").expect("an answer").text(), expected);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_one_request() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    client.stream.set_nodelay(true).expect("an open socket");
    let text = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
                3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
    for _ in 0..2 {
        for byte in text.bytes() {
            client.stream.write_all(&[byte]).expect("taken");
        }
        assert_eq!(client.answer("POST").expect("an answer").text(), "abcd");
    }
}

/// A request for another protocol, with the first bytes of that right behind it.
const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\n\
                       upgrade: websocket\r\nsec-websocket-key: k\r\n\r\nearly";

/// The head that a backend got, and the two ends of what follows.
fn upgrade(lab: &Lab, listener: &std::net::TcpListener, answer: &str) -> (Message, Reader, Reader) {
    let mut client = lab.connect();
    write(&mut client.stream, UPGRADE);
    let mut backend = Reader::new(listener.accept().expect("a connection").0);
    let head = backend.head().expect("a head");
    write(&mut backend.stream, answer);
    (head, client, backend)
}

#[test]
fn two_sides_are_joined_after_a_101_and_not_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: a\r\n\r\nhello";
    let mut client = lab.connect();
    write(&mut client.stream, UPGRADE);
    let mut backend = Reader::new(listener.accept().expect("a connection").0);
    let head = backend.head().expect("a head");
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("connection"), Some("upgrade"));
    assert_eq!(head.header("sec-websocket-key"), Some("k"));
    // What the client has sent already stays where it is: the backend may say no.
    assert!(!backend.has_more(), "bytes of a protocol that nobody has agreed to");
    write(&mut backend.stream, answer);
    let head = client.head().expect("a head");
    assert_eq!((head.status(), head.header("upgrade")), (101, Some("websocket")));
    assert_eq!(head.header("connection"), Some("upgrade"));
    assert_eq!(head.header("sec-websocket-accept"), Some("a"));
    assert_eq!(client.exactly(5).expect("joined"), b"hello");
    assert_eq!(backend.exactly(5).expect("joined"), b"early");
    write(&mut client.stream, "there");
    assert_eq!(backend.exactly(5).expect("joined"), b"there");
    write(&mut backend.stream, "back");
    assert_eq!(client.exactly(4).expect("joined"), b"back");
    assert_eq!(lab.in_flight(), 1, "it counts until it ends");
    drop(backend);
    assert!(client.is_closed(), "either side ends both");
    eventually("the attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer_like_any_other() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";
    let (_, mut client, mut backend) = upgrade(&lab, &listener, answer);
    assert_eq!(client.answer("GET").expect("an answer").text(), "no");
    // What stood behind the request is no request, and no backend has seen it.
    assert_eq!(lab.in_flight(), 0);
    write(&mut client.stream, "\r\n\r\n");
    assert_eq!(client.answer("GET").expect("a refusal").status(), 400);
    assert!(!backend.has_more(), "smuggled");
}

#[test]
fn a_tunnel_ends_with_the_proxy_and_with_its_client() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (_, client, mut backend) = upgrade(&lab, &listener, answer);
    assert_eq!(backend.exactly(5).expect("joined"), b"early");
    drop(client);
    assert!(backend.is_closed(), "the client has left");
    eventually("the attempt has ended", || lab.in_flight() == 0);

    let (_, mut client, mut backend) = upgrade(&lab, &listener, answer);
    assert_eq!(client.head().expect("a head").status(), 101);
    assert_eq!(backend.exactly(5).expect("joined"), b"early");
    lab.stop();
    assert!(client.is_closed(), "the proxy stops");
    assert!(backend.is_closed());
    lab.wait();
}

#[test]
fn a_large_head_passes_and_a_larger_one_is_refused() {
    let backend = Backend::start(|request, stream| {
        let size = request.header("a").map_or(0, str::len);
        write(stream, &format!("HTTP/1.1 200 OK\r\nb: {}\r\n", "y".repeat(60_000)))
            && write(stream, &format!("content-length: 5\r\n\r\n{size:05}"))
    });
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    for _ in 0..2 {
        let head = format!("GET / HTTP/1.1\r\nhost: h\r\na: {}\r\n\r\n", "x".repeat(60_000));
        write(&mut client.stream, &head);
        let answer = client.answer("GET").expect("an answer");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "60000"));
        assert_eq!(answer.header("b").map(str::len), Some(60_000));
    }
    let huge = Backend::start(|_, stream| {
        write(stream, &format!("HTTP/1.1 200 OK\r\nb: {}\r\n\r\n", "y".repeat(70_000)))
    });
    let lab = Lab::start("", &[huge.address]);
    assert_eq!(lab.ask(GET).status(), 502);
}

#[test]
fn what_a_backend_sends_beyond_its_answer_reaches_nobody() {
    let backend = says(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        true,
    );
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    for _ in 0..3 {
        write(&mut client.stream, GET);
        assert_eq!(client.answer("GET").expect("an answer").text(), "a");
    }
    assert_eq!(backend.connections(), 3, "none is used again");
}

#[test]
fn answers_get_a_date_when_they_have_none() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    for answer in [lab.get("/"), lab.ask("GET / HTTP/1.1\r\n\r\n")] {
        let date = answer.header("date").expect("a date");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}

/// Reads nothing until told to.
fn lazy(lab: &Lab, request: &str) -> TcpStream {
    let mut client = lab.connect();
    write(&mut client.stream, request);
    client.stream
}

#[test]
fn a_slow_reader_holds_back_its_backend_and_nobody_else() {
    let backend = Backend::start(|request, stream| {
        if !request.first_line.contains("/endless") {
            return ok(stream, "quick");
        }
        write(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
        // Its buffers would be full long before this many.
        let mut taken: usize = 0;
        while taken < 10_000 && stream.write_all(chunk.as_bytes()).is_ok() {
            taken += 1;
        }
        assert!(taken < 10_000, "nothing holds it back");
        false
    });
    let lab = Lab::start("", &[backend.address]);
    let slow = lazy(&lab, "GET /endless HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("it is in flight", || lab.in_flight() == 1);
    for _ in 0..20 {
        assert_eq!(lab.get("/").text(), "quick");
    }
    drop(slow);
    eventually("the attempt has ended", || lab.in_flight() == 0);
}
