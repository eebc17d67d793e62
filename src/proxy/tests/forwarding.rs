//! Requests and answers through the proxy on real sockets: what changes on the way and what does
//! not.

mod support;

use std::io::Write as _;
use std::thread;

use support::{Backend, Lab, Message, ok, write};

#[test]
fn a_request_and_its_answer_pass_with_what_an_intermediary_adds() {
    let backend = Backend::start(|_, stream| {
        write(
            stream,
            "HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: s\r\n\
             connection: x-private, keep-alive\r\nx-private: 1\r\nkeep-alive: timeout=5\r\n\
             via: 1.1 inner\r\nx-lab-backend: a-1\r\ncontent-length: 2\r\n\r\nhi",
        )
    });
    let lab = Lab::start("", &[backend.address]);
    let answer = lab.ask(
        "GET /a%20b?c=d&e HTTP/1.1\r\nHost: example.org:81\r\nX-Lab-Luck: 77\r\n\
         Connection: close, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n\
         Keep-Alive: 5\r\nProxy-Connection: close\r\nX-Forwarded-For: 10.9.9.9\r\n\
         X-Forwarded-Proto: https\r\n\r\n",
    );

    let seen = backend.seen();
    assert_eq!(seen.len(), 1);
    let request = &seen[0];
    assert_eq!(request.first_line, "GET /a%20b?c=d&e HTTP/1.1");
    for (name, values) in [
        ("host", vec!["example.org:81"]),
        ("x-lab-luck", vec!["77"]),
        // No proxy in front is trusted, so nobody else is believed.
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-host", vec!["example.org:81"]),
        ("via", vec!["1.1 lab"]),
        ("x-attempt-count", vec![]),
        ("connection", vec![]),
        ("x-secret", vec![]),
        ("te", vec![]),
        ("upgrade", vec![]),
        ("keep-alive", vec![]),
        ("proxy-connection", vec![]),
        ("transfer-encoding", vec![]),
        ("content-length", vec![]),
    ] {
        assert_eq!(request.all(name), values, "{name} of the request");
    }

    assert_eq!((answer.status(), answer.text().as_str()), (200, "hi"));
    for (name, values) in [
        ("date", vec!["Mon, 01 Jan 2024 00:00:00 GMT"]),
        ("server", vec!["s"]),
        ("via", vec!["1.1 inner", "1.1 lab"]),
        ("x-lab-backend", vec!["a-1"]),
        ("content-length", vec!["2"]),
        ("connection", vec!["close"]), // the client's own wish, of its own hop
        ("x-private", vec![]),
        ("keep-alive", vec![]),
        ("x-attempt-count", vec![]),
    ] {
        assert_eq!(answer.all(name), values, "{name} of the answer");
    }
}

#[test]
fn connections_are_kept_on_both_sides() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    for _ in 0..20 {
        write(&mut client.stream, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.answer("GET").expect("an answer").text(), "a");
    }
    // Another client comes by the same connection.
    assert_eq!(lab.get("/").text(), "a");
    assert_eq!(backend.seen().len(), 21);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start(|request, stream| ok(stream, &request.first_line));
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    let two = "GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n";
    write(&mut client.stream, two);
    assert_eq!(client.answer("GET").expect("an answer").text(), "GET /1 HTTP/1.1");
    assert_eq!(client.answer("GET").expect("an answer").text(), "GET /2 HTTP/1.1");
}

#[test]
fn an_old_client_gets_an_answer_that_it_can_read() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let backend = Backend::start(move |_, stream| write(stream, chunked));
    let lab = Lab::start("", &[backend.address]);
    let answer = lab.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
    assert_eq!(answer.header("transfer-encoding"), None);
    let seen = backend.seen();
    assert_eq!(seen[0].first_line, "GET / HTTP/1.1");
    assert_eq!(seen[0].header("host"), Some(backend.address.to_string().as_str()));
    assert_eq!(seen[0].header("via"), Some("1.0 lab"));
}

#[test]
fn answers_without_a_body_have_none() {
    let backend = Backend::start(|request, stream| {
        let path = request.first_line.split(' ').nth(1).unwrap_or_default();
        write(
            stream,
            match path {
                "/head" => "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
                "/head-chunked" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 99\r\n\r\n",
                "/early" => {
                    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                }
                _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            },
        )
    });
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    let table = [
        ("HEAD", "/head", 200, Some("1234")),
        ("HEAD", "/head-chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("99")),
        ("GET", "/early", 200, Some("0")),
        ("GET", "/none", 404, Some("0")),
    ];
    for (method, path, status, length) in table {
        write(&mut client.stream, &format!("{method} {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
        if path == "/early" {
            assert_eq!(client.head().expect("a hint").status(), 103);
        }
        let answer = client.answer(method).expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.header("content-length"), length, "{path}");
        assert_eq!(answer.text(), "", "{path}");
    }
    // A stray byte anywhere would have shifted a later answer; and all came by one connection.
    assert_eq!((backend.seen().len(), backend.connections()), (6, 1));
    assert_eq!(lab.in_flight(), 0);
}

/// Bytes in which no block repeats, so that a lost or doubled one shows.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut text = vec![];
    for chunk in bytes.chunks(size) {
        text.extend(format!("{:x};e\r\n", chunk.len()).into_bytes());
        text.extend(chunk);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n\r\n");
    text
}

/// Sends `request` while the answer is read, as large bodies fill every buffer on the way.
fn echo(lab: &Lab, request: Vec<u8>) -> Message {
    let mut client = lab.connect();
    let mut writer = client.stream.try_clone().expect("a descriptor");
    let sending = thread::spawn(move || writer.write_all(&request));
    let answer = client.answer("POST").expect("an answer");
    sending.join().expect("no panic").expect("all was taken");
    answer
}

#[test]
fn large_bodies_pass_whole_both_ways() {
    let backend = Backend::start(|request, stream| {
        let body = if request.first_line.contains("chunked-answer") {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            [head.as_bytes(), &chunked(&request.body, 7_001)].concat()
        } else {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
            [head.as_bytes(), &request.body].concat()
        };
        stream.write_all(&body).is_ok()
    });
    let lab = Lab::start("", &[backend.address]);
    let body = noise(5_000_000);
    for (path, chunks) in [
        ("/", None),
        ("/chunked-answer", None),
        ("/", Some(65_537)),
        ("/chunked-answer", Some(999)),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n");
        let request = match chunks {
            None => [
                head.as_bytes(),
                format!("content-length: {}\r\n\r\n", body.len()).as_bytes(),
                &body,
            ]
            .concat(),
            Some(size) => {
                [head.as_bytes(), b"transfer-encoding: chunked\r\n\r\n", &chunked(&body, size)[..]]
                    .concat()
            }
        };
        let answer = echo(&lab, request);
        assert_eq!(answer.status(), 200, "{path} {chunks:?}");
        // Not assert_eq: nobody wants to read five million numbers.
        assert!(answer.body == body, "{path} {chunks:?}: {} bytes back", answer.body.len());
    }
    assert_eq!(backend.connections(), 1, "kept over all bodies");
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn a_get_may_have_a_chunked_body() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let lab = Lab::start("", &[backend.address]);
    let answer = lab.ask(
        "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    write(
        &mut client.stream,
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.head().expect("a head").status(), 100);
    write(&mut client.stream, "abc");
    assert_eq!(client.answer("POST").expect("an answer").text(), "abc");
    assert_eq!(backend.seen()[0].header("expect"), None);
}

#[test]
fn several_workers_share_one_port_and_one_balancer() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let lab = Lab::start("workers = 3", &[a.address, b.address]);
    for _ in 0..40 {
        assert_eq!(lab.get("/").status(), 200);
    }
    // Round robin over all workers' requests together, however the kernel spread the connections.
    assert_eq!((a.seen().len(), b.seen().len()), (20, 20));
    // One at a time: a worker that has no connection takes another's.
    assert_eq!((a.connections(), b.connections()), (1, 1));
}
