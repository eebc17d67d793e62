//! What HTTP/2 clients do wrong, frame by frame: nothing ambiguous reaches a backend, nothing grows
//! without end, and who does right on the same connection or on another one is served.

mod support;

use std::io::Write;
use std::net::TcpListener;

use support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw,
    block, code, frame,
};
use support::{Backend, Lab, eventually, nobody};

/// The fields of a request that is well.
const GOOD: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")];

/// How answers begin (RFC 7541, appendix A): by the index of their status.
const STATUS_200: u8 = 0x88;
const STATUS_400: u8 = 0x8c;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The good fields with those in the place of the ones of their names, or behind them.
fn with<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_other = |name: &str| name.starts_with(':') && others.iter().any(|(n, _)| *n == name);
    let mut fields: Vec<_> = GOOD.iter().copied().filter(|(name, _)| !is_other(name)).collect();
    let pseudo = others.iter().filter(|(name, _)| name.starts_with(':'));
    fields.extend(pseudo);
    fields.extend(others.iter().filter(|(name, _)| !name.starts_with(':')));
    fields
}

/// The good fields without that one.
fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GOOD.iter().copied().filter(|(known, _)| *known != name).collect()
}

/// Asks for something good on a connection that must be well.
fn is_served(raw: &mut Raw, stream: u32) {
    raw.head(stream, GOOD, true);
    let answer = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).expect("open");
    assert_eq!((answer.kind, answer.stream), (HEADERS, stream), "{answer:?}");
    assert_eq!(answer.payload[0], STATUS_200, "{answer:?}");
}

/// More than trailers may have.
const LONG: &str = {
    const BYTES: [u8; 9000] = [b'x'; 9000];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("ASCII"),
    }
};

/// What is wrong, the fields, the DATA frames of which the last ends the request, and trailers.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [&'a str], &'a [(&'a str, &'a str)]);

/// Heads that must not be.
fn bad_heads() -> Vec<Case<'static>> {
    let order = [(":method", "GET"), ("a", "b"), (":scheme", "http"), (":path", "/")];
    let twice = [&[(":path", "/")], GOOD].concat();
    vec![
        ("CR LF in a value", with(&[("a", "b\r\nevil: 1")]), &[], &[]),
        ("LF in a value", with(&[("a", "b\nc")]), &[], &[]),
        ("NUL in a value", with(&[("a", "b\0c")]), &[], &[]),
        ("white space before a value", with(&[("a", " b")]), &[], &[]),
        ("white space behind a value", with(&[("a", "b\t")]), &[], &[]),
        ("capitals in a name", with(&[("Aa", "b")]), &[], &[]),
        ("a space in a name", with(&[("a b", "c")]), &[], &[]),
        ("a colon in a name", with(&[("a:b", "c")]), &[], &[]),
        ("no name", with(&[("", "c")]), &[], &[]),
        ("no :method", without(":method"), &[], &[]),
        ("no :scheme", without(":scheme"), &[], &[]),
        ("no :path", without(":path"), &[], &[]),
        ("no host", without(":authority"), &[], &[]),
        ("an empty :path", with(&[(":path", "")]), &[], &[]),
        (":path twice", twice, &[], &[]),
        ("an unknown pseudo field", with(&[(":evil", "1")]), &[], &[]),
        ("a pseudo field of answers", with(&[(":status", "200")]), &[], &[]),
        ("a pseudo field behind others", order.to_vec(), &[], &[]),
        ("a path without /", with(&[(":path", "evil")]), &[], &[]),
        ("a path that is a URL", with(&[(":path", "http://evil/")]), &[], &[]),
        ("a query without a path", with(&[(":path", "?evil")]), &[], &[]),
        ("a path with a space", with(&[(":path", "/ HTTP/1.1")]), &[], &[]),
        ("a path with CR LF", with(&[(":path", "/ HTTP/1.1\r\nevil: 1")]), &[], &[]),
        ("* of another method", with(&[(":path", "*")]), &[], &[]),
        ("a method that is no token", with(&[(":method", "GE T")]), &[], &[]),
        ("user information", with(&[(":authority", "u@h")]), &[], &[]),
        ("an authority with a path", with(&[(":authority", "h/evil")]), &[], &[]),
        ("another Host", with(&[("host", "evil")]), &[], &[]),
        ("Host twice", with(&[("host", "h"), ("host", "h")]), &[], &[]),
        ("connection", with(&[("connection", "x-evil")]), &[], &[]),
        ("keep-alive", with(&[("keep-alive", "timeout=5")]), &[], &[]),
        ("proxy-connection", with(&[("proxy-connection", "close")]), &[], &[]),
        ("upgrade", with(&[("upgrade", "websocket")]), &[], &[]),
        ("chunks", with(&[("transfer-encoding", "chunked")]), &["0\r\n\r\n"], &[]),
        ("te", with(&[("te", "gzip")]), &[], &[]),
        ("extended CONNECT", with(&[(":method", "CONNECT"), (":protocol", "websocket")]), &[], &[]),
    ]
}

/// Bodies that are not what their heads say.
fn bad_bodies() -> Vec<Case<'static>> {
    let cl = |value| with(&[("content-length", value)]);
    vec![
        ("a length that is none", cl("+3"), &["abc"], &[]),
        ("a list of lengths", cl("3, 3"), &["abc"], &[]),
        ("two lengths", with(&[("content-length", "3"), ("content-length", "4")]), &["abc"], &[]),
        (
            "a length twice",
            with(&[("content-length", "3"), ("content-length", "3")]),
            &["abc"],
            &[],
        ),
        ("a body without its length", cl("3"), &[], &[]),
        ("less than the length", cl("3"), &["ab"], &[]),
        ("more than the length", cl("3"), &["ab", "cd"], &[]),
        ("trailers instead of a body", cl("3"), &[""], &[("x-sum", "1")]),
        ("a trailer that belongs into the head", GOOD.to_vec(), &["abc"], &[("host", "evil")]),
        ("a length as a trailer", GOOD.to_vec(), &["abc"], &[("content-length", "3")]),
        ("too long trailers", GOOD.to_vec(), &["abc"], &[("x", LONG)]),
    ]
}

#[test]
fn what_is_malformed_reaches_no_backend_and_harms_nobody() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let mut raw = Raw::open(lab.connect());
    let mut stream = 1;
    for (what, fields, data, trailers) in bad_heads().iter().chain(&bad_bodies()) {
        raw.head(stream, fields, data.is_empty());
        for (at, piece) in data.iter().enumerate() {
            let last = at + 1 == data.len() && trailers.is_empty();
            raw.send(DATA, u8::from(last) * END_STREAM, stream, piece.as_bytes());
        }
        if !trailers.is_empty() {
            raw.head(stream, trailers, true);
        }
        let end = loop {
            // An answer may be followed by a reset: that the rest is not wanted.
            let end = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).expect(what);
            if end.stream == stream || end.kind == GOAWAY {
                break end;
            }
        };
        match end.kind {
            RST_STREAM => assert_eq!(code(&end), PROTOCOL_ERROR, "{what}: {end:?}"),
            HEADERS => assert_eq!(end.payload[0], STATUS_400, "{what}: {end:?}"),
            // What breaks the compression's state cannot be of one stream alone.
            _ => {
                assert_eq!(code(&end), PROTOCOL_ERROR, "{what}: {end:?}");
                (raw, stream) = (Raw::open(lab.connect()), 1);
            }
        }
        assert_eq!(backend.seen(), [], "{what}");
        stream += 2;
    }
    is_served(&mut raw, stream);
    eventually("all attempts have ended", || lab.in_flight() == 0);
    assert!(lab.metric("lab_refused_total") >= 5.0);
}

#[test]
fn a_head_has_the_limits_that_it_has_in_http_1_1() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let (fits, long) = ("x".repeat(60_000), "x".repeat(70_000));
    let names: Vec<_> = (0..101).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let mut raw = Raw::open(lab.connect());
    raw.head(1, &with(&[("a", &fits)]), true);
    assert_eq!(raw.next_of(&[HEADERS, RST_STREAM]).expect("open").payload[0], STATUS_200);
    for (stream, fields) in [(3, with(&[("a", &long)])), (5, with(&many))] {
        raw.head(stream, &fields, true);
        // The library's own refusal is an answer and a reset, in whichever order.
        let refusal = raw.next_of(&[HEADERS, RST_STREAM]).expect("open");
        assert_eq!(refusal.stream, stream);
        assert!(refusal.kind == RST_STREAM || refusal.payload[0] != STATUS_200, "{refusal:?}");
    }
    assert_eq!(backend.seen().len(), 1);
    let mut raw = Raw::open(lab.connect());
    is_served(&mut raw, 1);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let lab = Lab::start("", &[nobody()]);
    let mut raw = Raw::open(lab.connect());
    let piece = block(&[("a", &"x".repeat(8 * 1024))]);
    raw.send(HEADERS, 0, 1, &block(GOOD));
    let mut sent = 0;
    while sent < 10_000 && raw.send(CONTINUATION, 0, 1, &piece) {
        sent += 1;
    }
    assert!(sent < 10_000, "nothing ends it");
    let mut raw = Raw::open(lab.connect());
    raw.send(HEADERS, 0, 1, &block(GOOD));
    for _ in 0..10_000 {
        // Frames that say nothing are no progress.
        if !raw.send(CONTINUATION, 0, 1, b"") {
            break;
        }
    }
    let end = raw.next_of(&[GOAWAY]);
    assert!(end.is_none_or(|end| code(&end) == ENHANCE_YOUR_CALM));
    // Others are served all the same.
    assert_eq!(lab.get("/").status(), 502);
}

#[test]
fn other_methods_of_connections_are_refused() {
    let lab = Lab::start("", &[nobody()]);
    let mut raw = Raw::open(lab.connect());
    raw.head(1, &[(":method", "CONNECT"), (":authority", "h:1")], true);
    let answer = raw.next_of(&[HEADERS, RST_STREAM]).expect("open");
    assert_eq!(answer.kind, HEADERS);
    let text = raw.next_of(&[DATA]).expect("open").payload;
    assert!(text.starts_with(b"501 "), "{answer:?}");
}

#[test]
fn more_streams_than_allowed_are_refused_and_the_others_wait() {
    // Connections wait in its queue, and nobody answers.
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[backend.local_addr().expect("bound")]);
    let mut raw = Raw::open(lab.connect());
    for number in 0..129 {
        raw.head(2 * number + 1, GOOD, true);
    }
    let refused = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).expect("open");
    assert_eq!((refused.kind, refused.stream, code(&refused)), (RST_STREAM, 257, REFUSED_STREAM));
    eventually("the others are in flight", || lab.in_flight() == 128);
    drop(raw);
    eventually("all have ended with the connection", || lab.in_flight() == 0);
}

#[test]
fn a_flood_of_resets_ends_its_connection_and_nobody_elses() {
    // Nobody answers but the proxy itself.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[silent.local_addr().expect("bound")]);
    let cancel = 8_u32.to_be_bytes();
    // All at once: they are reset before they are looked at.
    let mut raw = Raw::open(lab.connect());
    let flood: Vec<u8> = (0..2000)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(GOOD));
            [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
        })
        .collect();
    let _ = raw.0.stream.write_all(&flood);
    let end = raw.next_of(&[GOAWAY]).expect("told why");
    assert_eq!(code(&end), ENHANCE_YOUR_CALM);
    assert!(lab.metric("lab_attempts_total") < 500.0);
    // One after the other: each gets as far as a backend.
    let mut raw = Raw::open(lab.connect());
    let mut number = 0;
    let end = loop {
        let stream = 2 * number + 1;
        assert!(number < 2000, "nothing ends it");
        raw.head(stream, GOOD, true);
        raw.send(PING, 0, 0, &[0; 8]);
        match raw.next_of(&[PING, GOAWAY]).expect("told why") {
            end if end.kind == GOAWAY => break end,
            _ => raw.send(RST_STREAM, 0, stream, &cancel),
        };
        number += 1;
    };
    assert_eq!(code(&end), ENHANCE_YOUR_CALM);
    assert_eq!(lab.ask("CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n").status(), 501);
    eventually("no attempt is left", || lab.in_flight() == 0);
}

#[test]
fn a_preface_that_never_ends_has_the_time_of_a_head() {
    let lab = Lab::start("[timeout]\nrequest_head = \"1s\"\n", &[nobody()]);
    let mut client = lab.connect();
    client.stream.write_all(&PREFACE[..20]).expect("open");
    assert!(client.is_closed());
    let mut client = lab.connect();
    client.stream.write_all(PREFACE).expect("open");
    assert!(client.exactly(9).is_some(), "SETTINGS");
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let lab = Lab::start("", &[nobody()]);
    let mut raw = Raw::open(lab.connect());
    // HEADERS on the stream that is the connection.
    raw.send(HEADERS, END_STREAM | END_HEADERS, 0, &block(GOOD));
    assert_eq!(code(&raw.next_of(&[GOAWAY]).expect("told why")), PROTOCOL_ERROR);
    assert!(raw.next_of(&[]).is_none(), "and no more");
}
