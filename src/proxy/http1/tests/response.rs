//! What an answer's head says, and what of it goes to the client, by tables.

use crate::http1::*;

const TO_11: Receiver = Receiver { version: Version::Http11, keep_alive: true };
const TO_10: Receiver = Receiver { version: Version::Http10, keep_alive: true };

fn parsed(text: &str, method: Method) -> ResponseHead {
    let mut head = ResponseHead::new();
    for to in 0..text.len() {
        assert_eq!(head.parse(&text.as_bytes()[..to], method), Ok(None), "{text:?} {to}");
    }
    assert_eq!(head.parse(text.as_bytes(), method), Ok(Some(text.len())), "{text:?}");
    head
}

#[test]
fn status_lines_are_understood() {
    for (line, status, reason, sent) in [
        ("HTTP/1.1 200 OK", 200, "OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 404 Not Found", 404, "Not Found", "HTTP/1.1 404 Not Found"),
        ("HTTP/1.0 500 \t\u{e4}", 500, "\t\u{e4}", "HTTP/1.1 500 \t\u{e4}"),
        ("HTTP/1.1 299 ", 299, "", "HTTP/1.1 299 "),
        ("HTTP/1.1 999", 999, "", "HTTP/1.1 999"),
        ("HTTP/1.1 100 Continue", 100, "Continue", "HTTP/1.1 100 Continue"),
    ] {
        for field in ["", "a: b\r\n"] {
            let text = format!("{line}\r\n{field}\r\n");
            let head = parsed(&text, Method::Get);
            assert_eq!(head.status(), status, "{line}");
            assert_eq!(head.reason(text.as_bytes()), reason.as_bytes(), "{line}");
            let mut out = vec![];
            head.render_downstream(text.as_bytes(), TO_11, Kinds::NONE, &mut out);
            assert_eq!(out, format!("{sent}\r\n{field}").as_bytes(), "{line}");
        }
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    for (text, violation) in [
        ("HTTP/1.1 20 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1 200OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1 +20 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/1.1\r\n\r\n", Violation::StatusLine),
        ("http/1.1 200 OK\r\n\r\n", Violation::StatusLine),
        ("ICY 200 OK\r\n\r\n", Violation::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Violation::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Violation::Version),
        ("HTTP/0.9 200 OK\r\n\r\n", Violation::Version),
        ("HTTP/1.1 200 OK\n\n", Violation::BareLf),
        ("HTTP/1.1 200 O\rK\r\n\r\n", Violation::BareCr),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Violation::Control),
        ("HTTP/1.1 200 OK\r\na : b\r\n\r\n", Violation::FieldName),
        ("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", Violation::Fold),
        ("HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n", Violation::BareLf),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Violation::Lengths),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n", Violation::Length),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            Violation::LengthAndEncoding,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", Violation::Encoding),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, x\r\n\r\n", Violation::Encoding),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Violation::EncodingInHttp10),
    ] {
        let refused = ResponseHead::new().parse(text.as_bytes(), Method::Get);
        assert_eq!(refused, Err(violation), "{text:?}");
    }
    let long = "x".repeat(MAX_HEAD_BYTES);
    let refused = ResponseHead::new().parse(format!("HTTP/1.1 200 {long}").as_bytes(), Method::Get);
    assert_eq!(refused, Err(Violation::HeadTooLarge));
}

/// RFC 9112 §6.3, rule by rule; rule 2 (CONNECT) does not occur upstream.
#[test]
fn the_end_of_the_body_is_known() {
    let (length, chunks) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    for (method, status, fields, framing) in [
        // Rule 1: no body whatever the fields say.
        (Method::Head, 200, length, Framing::None),
        (Method::Head, 200, chunks, Framing::None),
        (Method::Head, 200, "", Framing::None),
        (Method::Get, 100, length, Framing::None),
        (Method::Get, 101, "", Framing::None),
        (Method::Get, 103, chunks, Framing::None),
        (Method::Get, 204, length, Framing::None),
        (Method::Get, 304, length, Framing::None),
        // Rule 4 and 6.
        (Method::Get, 200, chunks, Framing::Chunked),
        (Method::Post, 500, chunks, Framing::Chunked),
        (Method::Get, 200, length, Framing::Length(5)),
        (Method::Get, 205, "content-length: 0\r\n", Framing::Length(0)),
        // Rule 8.
        (Method::Get, 200, "", Framing::UntilClose),
        (Method::Put, 404, "a: b\r\n", Framing::UntilClose),
    ] {
        let head = parsed(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), method);
        assert_eq!(head.framing(), framing, "{method:?} {status} {fields:?}");
    }
}

#[test]
fn connections_live_on_where_they_can() {
    let length = "content-length: 5\r\n";
    for (version, status, fields, keeps, client_11, client_10) in [
        ("1.1", 200, length, true, true, true),
        ("1.1", 200, "content-length: 5\r\nconnection: close\r\n", false, true, true),
        ("1.1", 200, "transfer-encoding: chunked\r\n", true, true, false),
        ("1.1", 200, "", false, false, false),
        ("1.1", 304, "", true, true, true),
        ("1.0", 200, length, false, true, true),
        ("1.0", 200, "content-length: 5\r\nconnection: Keep-Alive\r\n", true, true, true),
        ("1.1", 101, "", false, true, true),
    ] {
        let head = parsed(&format!("HTTP/{version} {status} X\r\n{fields}\r\n"), Method::Get);
        let found = (
            head.keeps_alive(),
            head.can_keep_client(Version::Http11),
            head.can_keep_client(Version::Http10),
        );
        assert_eq!(found, (keeps, client_11, client_10), "{version} {status} {fields:?}");
    }
}

#[test]
fn the_client_gets_what_concerns_it() {
    let closing = |to: Receiver| Receiver { keep_alive: false, ..to };
    for (to, status, given, stays) in [
        (TO_11, 200, "Date: d\r\nContent-Length: 1\r\n", "Date: d\r\nContent-Length: 1\r\n"),
        (TO_11, 200, "connection: close, x\r\nx: 1\r\ny: 2\r\n", "y: 2\r\n"),
        (TO_11, 200, "keep-alive: 5\r\nx-attempt-count: 9\r\nproxy-authenticate: x\r\n", ""),
        (TO_11, 200, "upgrade: h2c\r\nconnection: upgrade\r\na: b\r\n", "a: b\r\n"),
        (
            TO_11,
            200,
            "transfer-encoding: chunked\r\ntrailer: t\r\n",
            "transfer-encoding: chunked\r\ntrailer: t\r\n",
        ),
        (TO_10, 200, "transfer-encoding: chunked\r\ntrailer: t\r\n", "connection: keep-alive\r\n"),
        (
            closing(TO_11),
            200,
            "a: b\r\nconnection: keep-alive\r\n",
            "a: b\r\nconnection: close\r\n",
        ),
        (closing(TO_10), 200, "a: b\r\n", "a: b\r\n"),
        (TO_10, 200, "content-length: 1\r\n", "content-length: 1\r\nconnection: keep-alive\r\n"),
        (TO_11, 204, "content-length: 5\r\na: b\r\n", "a: b\r\n"),
        (TO_11, 304, "content-length: 5\r\n", "content-length: 5\r\n"),
        (closing(TO_11), 103, "link: x\r\ncontent-length: 5\r\n", "link: x\r\n"),
        (
            TO_11,
            101,
            "Upgrade: w\r\nConnection: Upgrade, x\r\nx: 1\r\n",
            "Upgrade: w\r\nconnection: upgrade\r\n",
        ),
        (TO_11, 200, "server: s\r\nvia: 1.1 a\r\n", "server: s\r\n"),
    ] {
        let text = format!("HTTP/1.1 {status} X\r\n{given}\r\n");
        let mut out = vec![];
        let drop = Kinds::of(&[Kind::Via]);
        parsed(&text, Method::Get).render_downstream(text.as_bytes(), to, drop, &mut out);
        let expected = format!("HTTP/1.1 {status} X\r\n{stays}");
        assert_eq!(String::from_utf8_lossy(&out), expected, "{to:?} {given:?}");
    }
}

#[test]
fn interim_answers_are_told_from_the_last() {
    for (status, interim, switches) in
        [(100, true, false), (101, false, true), (103, true, false), (200, false, false)]
    {
        let head = parsed(&format!("HTTP/1.1 {status} X\r\n\r\n"), Method::Get);
        assert_eq!((head.is_interim(), head.switches()), (interim, switches), "{status}");
    }
}
