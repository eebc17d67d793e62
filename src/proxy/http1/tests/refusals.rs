//! Every refusal of a request's head and of a chunked body, by tables.

use crate::http1::*;

/// Heads that two readers could cut differently.
pub(super) fn bad_heads() -> Vec<(String, Violation)> {
    let of_fields = |fields: &str| format!("POST / HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n");
    let mut table: Vec<(String, Violation)> = [
        ("content-length: 5\r\ntransfer-encoding: chunked", Violation::LengthAndEncoding),
        ("transfer-encoding: chunked\r\ncontent-length: 5", Violation::LengthAndEncoding),
        ("content-length: 5\r\ncontent-length: 6", Violation::Lengths),
        ("content-length: 5\r\nContent-Length: 5", Violation::Lengths),
        ("content-length: 5, 5", Violation::Length),
        ("content-length: +5", Violation::Length),
        ("content-length: -1", Violation::Length),
        ("content-length: 0x5", Violation::Length),
        ("content-length: 5 5", Violation::Length),
        ("content-length:", Violation::Length),
        ("content-length: 18446744073709551616", Violation::Length),
        ("content-length: \u{665}", Violation::Length),
        ("transfer-encoding: gzip, chunked", Violation::Encoding),
        ("transfer-encoding: chunked, gzip", Violation::Encoding),
        ("transfer-encoding: identity", Violation::Encoding),
        ("transfer-encoding: xchunked", Violation::Encoding),
        ("transfer-encoding: \"chunked\"", Violation::Encoding),
        ("transfer-encoding: chunked,", Violation::Encoding),
        ("transfer-encoding: \u{b}chunked", Violation::Control),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", Violation::Encoding),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity", Violation::Encoding),
        ("transfer-encoding : chunked", Violation::FieldName),
        ("content-length : 5", Violation::FieldName),
        ("transfer_encoding\t: chunked", Violation::FieldName),
        (" folded: x", Violation::Fold),
        ("a: b\r\n c", Violation::Fold),
        ("a: b\r\n\tc", Violation::Fold),
        ("a: b\nc: d", Violation::BareLf),
        ("a: b\n", Violation::BareLf),
        ("a: b\rc: d", Violation::BareCr),
        ("a\rb: d", Violation::BareCr),
        ("a: b\0", Violation::Control),
        ("a\0: b", Violation::Control),
        ("a: \x7f", Violation::Control),
        (": no name", Violation::FieldName),
        ("no colon", Violation::FieldName),
        ("n\u{e4}me: x", Violation::FieldName),
        ("expect: 200-ok", Violation::Expectation),
        ("expect: 100-continue, x", Violation::Expectation),
        ("host: h", Violation::Hosts),
        ("Host: other", Violation::Hosts),
    ]
    .into_iter()
    .map(|(fields, violation)| (of_fields(fields), violation))
    .collect();
    for (text, violation) in [
        ("GET / HTTP/1.1\r\n\r\n", Violation::NoHost),
        ("GET / HTTP/1.1\r\nx-host: h\r\n\r\n", Violation::NoHost),
        ("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", Violation::Hosts),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Violation::BadHost),
        ("GET / HTTP/1.1\r\nhost: u@h\r\n\r\n", Violation::BadHost),
        ("GET / HTTP/1.1\r\nhost: h/p\r\n\r\n", Violation::BadHost),
        ("GET / HTTP/1.0\r\nhost: h\r\nhost: h\r\n\r\n", Violation::Hosts),
        ("GET http://user:pw@h/ HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET http://u@h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET http://u@h?a HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET http://a,b/ HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET http:///a HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET u@h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET u@h/://h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET http:h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET 1a://h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET ://h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET h:80 HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET h HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET * HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("CONNECT u@h:1 HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BadTarget),
        ("GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", Violation::Fragment),
        ("GET http://h#b HTTP/1.1\r\nhost: h\r\n\r\n", Violation::Fragment),
        ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", Violation::EncodingInHttp10),
        ("GET / HTTP/1.1\nhost: h\n\n", Violation::BareLf),
        ("GET / HTTP/1.1\r\nhost: h\r\n\n", Violation::BareLf),
        ("\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", Violation::BareLf),
        (" GET / HTTP/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET  / HTTP/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET /\tHTTP/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET /\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("G(T / HTTP/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET / http/1.1\r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.1 \r\nhost: h\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.2\r\nhost: h\r\n\r\n", Violation::Version),
        ("GET / HTTP/0.9\r\nhost: h\r\n\r\n", Violation::Version),
        ("GET /\0 HTTP/1.1\r\nhost: h\r\n\r\n", Violation::Control),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Violation::Version),
        ("\x16\x03\x01\x02\r\n", Violation::Control),
    ] {
        table.push((text.into(), violation));
    }
    let long = format!("GET / HTTP/1.1\r\nhost: h\r\na: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
    table.push((long, Violation::HeadTooLarge));
    let empty_lines = "\r\n".repeat(MAX_HEAD_BYTES);
    table.push((empty_lines, Violation::HeadTooLarge));
    let many = "x,".repeat(MAX_CONNECTION_OPTIONS + 1);
    let options = format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: {many}\r\n\r\n");
    table.push((options, Violation::TooManyOptions));
    let many = "a: b\r\n".repeat(MAX_FIELDS);
    table.push((format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n"), Violation::TooManyFields));
    table
}

#[test]
fn an_ambiguous_head_is_refused() {
    for (text, violation) in bad_heads() {
        let shown: String = text.chars().take(90).collect();
        let text = format!("{text}GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(RequestHead::new().parse(text.as_bytes()), Err(violation), "{shown:?}");
    }
}

#[test]
fn a_refusal_has_a_status_and_a_sentence() {
    for (_, violation) in bad_heads() {
        let status = match violation {
            Violation::HeadTooLarge | Violation::TooManyFields | Violation::TooManyOptions => 431,
            Violation::Version => 505,
            Violation::Expectation => 417,
            _ => 400,
        };
        assert_eq!(violation.status(), status, "{violation:?}");
        assert!(violation.to_string().len() > 10, "{violation:?}");
    }
}

#[test]
fn a_target_is_text() {
    let refused = RequestHead::new().parse(b"GET /\xe4 HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(refused, Err(Violation::RequestLine));
}

#[test]
fn the_largest_allowed_heads_pass() {
    let frame = "GET / HTTP/1.1\r\nhost: h\r\na: \r\n\r\n".len();
    let value = "x".repeat(MAX_HEAD_BYTES - frame);
    let text = format!("GET / HTTP/1.1\r\nhost: h\r\na: {value}\r\n\r\n");
    assert_eq!(RequestHead::new().parse(text.as_bytes()), Ok(Some(MAX_HEAD_BYTES)));
    let many = "a: b\r\n".repeat(MAX_FIELDS - 1);
    let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n");
    assert_eq!(RequestHead::new().parse(text.as_bytes()), Ok(Some(text.len())));
    let many = "x,".repeat(MAX_CONNECTION_OPTIONS);
    let text = format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: {many}close\r\n\r\n");
    assert_eq!(RequestHead::new().parse(text.as_bytes()), Ok(Some(text.len())));
}

/// Chunked bodies: what of them may pass, and why the rest may not.
pub(super) const BAD_CHUNKS: &[(&str, &str, Violation)] = &[
    ("", "\r\n", Violation::Chunk),
    ("", "g\r\n", Violation::Chunk),
    ("", " 5\r\n", Violation::Chunk),
    ("5", " \r\n", Violation::Chunk),
    ("", "-5\r\n", Violation::Chunk),
    ("0", "x5\r\n", Violation::Chunk),
    ("", ";e\r\n", Violation::Chunk),
    ("5", "\n", Violation::BareLf),
    ("5;e", "\n", Violation::BareLf),
    ("5;e", "\0", Violation::Control),
    ("5\r", "x", Violation::BareCr),
    ("000000000000000", "0\r\n", Violation::Chunk),
    ("1\r\na", "b", Violation::Chunk),
    ("1\r\na", "\n", Violation::Chunk),
    ("1\r\na\r", "x", Violation::Chunk),
    ("0\r\n", "\n", Violation::BareLf),
    ("0\r\n\r", "x", Violation::BareCr),
    ("0\r\n", " a: b", Violation::Fold),
    ("0\r\n", ": b", Violation::FieldName),
    ("0\r\na", " : b", Violation::FieldName),
    ("0\r\na", "\r\n", Violation::FieldName),
    ("0\r\nContent-Length", ":", Violation::Trailer),
    ("0\r\na:b\r\nx-forwarded-for", ":", Violation::Trailer),
    ("0\r\na:b", "\n", Violation::BareLf),
    ("0\r\na:b\r", "x", Violation::BareCr),
    ("0\r\na:b", "\0", Violation::Control),
];

#[test]
fn a_malformed_chunk_is_refused_at_its_first_wrong_byte() {
    for (good, bad, violation) in BAD_CHUNKS {
        let mut decoder = Decoder::new(Framing::Chunked);
        let step = decoder.advance(good.as_bytes());
        assert_eq!(step, Ok(Step { used: good.len(), ended: false }), "{good:?} {bad:?}");
        assert_eq!(decoder.advance(bad.as_bytes()), Err(*violation), "{good:?} {bad:?}");
        let text = format!("{good}{bad}GET / HTTP/1.1");
        let whole = Decoder::new(Framing::Chunked).advance(text.as_bytes());
        assert_eq!(whole, Err(*violation), "{good:?} {bad:?}");
    }
}

#[test]
fn extensions_and_trailers_are_bounded_over_the_whole_body() {
    let chunk = |extension: usize| format!("1;{}\r\na\r\n", "e".repeat(extension));
    let halves = chunk(MAX_EXTENSION_BYTES / 2).repeat(2);
    let trailer = |value: usize| format!("0\r\na:{}\r\nb:\r\n\r\n", "t".repeat(value));
    // Names and colons count, the ends of lines do not.
    let longest = MAX_TRAILER_BYTES - "a:b:".len();
    for (text, fits) in [
        (halves.clone() + "0\r\n\r\n", true),
        (halves + "0;e\r\n\r\n", false),
        (trailer(longest), true),
        (trailer(longest + 1), false),
    ] {
        let step = Decoder::new(Framing::Chunked).advance(text.as_bytes());
        match fits {
            true => assert_eq!(step, Ok(Step { used: text.len(), ended: true })),
            false => assert_eq!(step, Err(Violation::ChunkedTooLarge)),
        }
    }
}
