//! Requests with ambiguous framing, sent byte by byte as an attacker would: each is answered with
//! 400 and a closed connection, and no backend sees a byte of it.

mod support;

use support::{Backend, Lab, write};

/// Each would be cut differently by some other reader.
const AMBIGUOUS: &[(&str, &str)] = &[
    (
        "length and encoding",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    (
        "one length twice",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\nabcd"),
    ("bare LF", "GET / HTTP/1.1\nHost: h\n\n"),
    ("bare LF in one line", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"),
    ("no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
    ("obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"),
    ("space before colon", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\nabcd"),
    ("NUL", "GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n"),
    (
        "another coding last",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    (
        "unknown coding",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "HTTP/1.0 with encoding",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("user information", "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
];

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn ambiguous_requests_are_refused_and_no_backend_sees_them() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    for (what, text) in AMBIGUOUS {
        let mut client = lab.connect();
        write(&mut client.stream, &format!("{text}{GOOD}"));
        let answer = client.answer("GET").unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status(), 400, "{what}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert!(answer.text().starts_with("400 Bad Request: "), "{what}: {}", answer.text());
        assert!(client.is_closed(), "{what}: still open");
    }
    assert_eq!(backend.connections(), 0);
    assert_eq!(lab.in_flight(), 0);
    // The smuggled request behind each would have been seen here.
    assert_eq!(lab.get("/after").status(), 200);
    assert_eq!(backend.seen().len(), 1);
    let metrics = lab.call("GET", "/metrics", "").1;
    let count = format!("\nlab_refused_total {}\n", AMBIGUOUS.len());
    assert!(metrics.as_str().expect("a text").contains(&count), "{metrics}");
}

#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    for (what, text) in AMBIGUOUS {
        let mut client = lab.connect();
        write(&mut client.stream, &format!("{GOOD}{text}{GOOD}"));
        assert_eq!(client.answer("GET").expect("an answer").status(), 200, "{what}");
        assert_eq!(client.answer("GET").expect("an answer").status(), 400, "{what}");
        assert!(client.is_closed(), "{what}: still open");
    }
    assert_eq!(backend.seen().len(), AMBIGUOUS.len(), "only the good ones");
}

#[test]
fn heads_that_come_in_pieces_are_judged_alike() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    for (text, status) in [(GOOD, 200), (AMBIGUOUS[0].1, 400), (AMBIGUOUS[8].1, 400)] {
        let mut client = lab.connect();
        client.stream.set_nodelay(true).expect("an open socket");
        let (head, rest) = text.split_at(text.find("\r\n\r\n").expect("a head") + 4);
        for byte in head.chars() {
            write(&mut client.stream, &byte.to_string());
        }
        write(&mut client.stream, rest);
        assert_eq!(client.answer("GET").expect("an answer").status(), status, "{text:?}");
    }
    assert_eq!(backend.seen().len(), 1);
}

#[test]
fn a_malformed_chunk_never_becomes_a_whole_body() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in ["4\nabcd\n0\n\n", "4\r\nabcdX\r\n0\r\n\r\n", "-4\r\n", "4 \r\nabcd\r\n0\r\n\r\n"]
    {
        let mut client = lab.connect();
        write(&mut client.stream, &format!("{head}{chunk}{GOOD}"));
        let answer = client.answer("POST").unwrap_or_else(|| panic!("{chunk:?}: no answer"));
        assert_eq!(answer.status(), 400, "{chunk:?}");
        assert!(client.is_closed(), "{chunk:?}: still open");
    }
    support::eventually("every attempt has ended", || lab.in_flight() == 0);
    assert_eq!(backend.seen(), [], "no whole request reached the backend");
}

#[test]
fn a_head_without_end_is_refused_by_its_size() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let mut client = lab.connect();
    let long = "x".repeat(proxy::http1::MAX_HEAD_BYTES);
    write(&mut client.stream, &format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}"));
    assert_eq!(client.answer("GET").expect("an answer").status(), 431);
    assert!(client.is_closed());
    assert_eq!(backend.connections(), 0);
}

#[test]
fn tunnels_are_not_offered() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let answer = lab.ask("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    assert_eq!(answer.status(), 501);
    assert_eq!(backend.connections(), 0);
}
