//! The framing check by tables, and the property that the network's cuts change no verdict.

use proptest::prelude::*;

use super::*;

/// What a whole text comes to: the bytes passed on, the heads among them, the refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    passed: Vec<u8>,
    heads: u64,
    in_body: bool,
    refused: Option<Violation>,
}

/// Something that judges a text as it comes in pieces.
trait Judge: Default {
    fn inspect(&mut self, bytes: &[u8]) -> Inspection;
    fn position(&self) -> (u64, bool);
}

impl Judge for Framing {
    fn inspect(&mut self, bytes: &[u8]) -> Inspection {
        Self::inspect(self, bytes)
    }

    fn position(&self) -> (u64, bool) {
        (self.heads(), self.in_body())
    }
}

/// The named wrong implementation: it begins anew with every read, as a check does that looks at
/// what one read happens to bring.
#[derive(Default)]
struct JudgesEachReadAlone {
    heads: u64,
}

impl Judge for JudgesEachReadAlone {
    fn inspect(&mut self, bytes: &[u8]) -> Inspection {
        let mut fresh = Framing::default();
        let seen = fresh.inspect(bytes);
        self.heads += fresh.heads();
        seen
    }

    fn position(&self) -> (u64, bool) {
        (self.heads, false)
    }
}

/// Shows the text in pieces that end at `cuts`, what was not passed on again with the next.
fn judge<J: Judge>(text: &[u8], cuts: &[usize]) -> Verdict {
    let mut judge = J::default();
    let (mut passed, mut held, mut refused) = (vec![], vec![], None);
    let ends = cuts.iter().copied().filter(|&cut| cut <= text.len()).chain([text.len()]);
    let mut from = 0;
    for end in ends {
        if refused.is_some() || end < from {
            continue;
        }
        held.extend_from_slice(&text[from..end]);
        from = end;
        let seen = judge.inspect(&held);
        passed.extend(held.drain(..seen.pass));
        refused = seen.refused;
    }
    let (heads, in_body) = judge.position();
    Verdict { passed, heads, in_body, refused }
}

fn whole(text: &[u8]) -> Verdict {
    judge::<Framing>(text, &[])
}

#[test]
fn good_requests_pass() {
    for (text, heads) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 1),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\nA:b\r\nC: \r\nD: \t x \t\r\n\r\n", 1),
        ("GET / HTTP/1.0\r\n\r\n", 1),
        ("GET http://[::1]:80/a@b HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("GET http://h?u=http://a@b HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("GET /http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", 2),
        ("POST / HTTP/1.0\r\ncontent-length: 3\r\n\r\n\r\n\0", 1),
        ("POST / HTTP/1.1\r\nhost: h\r\nCONTENT-LENGTH:  0 \r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n\n\nGET / HTTP/1.0\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 1),
        (
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
             A;x=\"1\"\r\n0123456789\r\n00f\r\n0123\r\n56789\0\ncd\r\n0\r\nt: 1\r\nu:\r\n\r\n\
             GET / HTTP/1.1\r\nhost: h\r\n\r\n",
            2,
        ),
    ] {
        let verdict = whole(text.as_bytes());
        assert_eq!(verdict.refused, None, "{text:?}");
        assert_eq!(verdict.heads, heads, "{text:?}");
        assert_eq!(verdict.passed, text.as_bytes(), "{text:?}");
        assert!(!verdict.in_body, "{text:?}");
    }
}

#[test]
fn unfinished_requests_wait() {
    for (text, pass, in_body) in [
        ("", 0, false),
        ("GET", 0, false),
        ("\r", 0, false),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r", 0, false),
        ("GET / HTTP/1.0\r\n\r\nGET", 18, false),
        ("PUT / HTTP/1.0\r\ncontent-length: 9\r\n\r\n1234", 41, true),
    ] {
        let verdict = whole(text.as_bytes());
        let found = (verdict.passed.len(), verdict.in_body, verdict.refused);
        assert_eq!(found, (pass, in_body, None), "{text:?}");
    }
}

/// Heads that two readers could cut differently; nothing of them may pass.
fn bad_heads() -> Vec<(String, Violation)> {
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
    let many = "a: b\r\n".repeat(MAX_FIELDS);
    table.push((format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n"), Violation::TooManyFields));
    table
}

#[test]
fn nothing_of_an_ambiguous_head_passes() {
    let good = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    for (text, violation) in bad_heads() {
        let shown: String = text.chars().take(90).collect();
        for (before, heads) in [("", 0), (good, 1)] {
            let verdict = whole(format!("{before}{text}{good}").as_bytes());
            assert_eq!(verdict.refused, Some(violation), "{shown:?}");
            assert_eq!((verdict.passed.len(), verdict.heads), (before.len(), heads), "{shown:?}");
            assert!(!verdict.in_body, "{shown:?}");
        }
    }
}

#[test]
fn the_largest_allowed_head_passes() {
    let frame = "GET / HTTP/1.1\r\nhost: h\r\na: \r\n\r\n".len();
    let value = "x".repeat(MAX_HEAD_BYTES - frame);
    let text = format!("GET / HTTP/1.1\r\nhost: h\r\na: {value}\r\n\r\n");
    assert_eq!(text.len(), MAX_HEAD_BYTES);
    assert_eq!(whole(text.as_bytes()).refused, None);
    let many = "a: b\r\n".repeat(MAX_FIELDS - 1);
    let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n");
    assert_eq!(whole(text.as_bytes()).refused, None);
}

/// Chunked bodies: what of them may pass, and why the rest may not.
const BAD_CHUNKS: &[(&str, &str, Violation)] = &[
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
    ("0\r\na:b", "\n", Violation::BareLf),
    ("0\r\na:b\r", "x", Violation::BareCr),
    ("0\r\na:b", "\0", Violation::Control),
];

#[test]
fn a_malformed_chunk_stops_where_it_begins() {
    let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    for (good, bad, violation) in BAD_CHUNKS {
        let verdict = whole(format!("{head}{good}{bad}GET / HTTP/1.1").as_bytes());
        assert_eq!(verdict.refused, Some(*violation), "{good:?} {bad:?}");
        assert_eq!(verdict.passed, format!("{head}{good}").as_bytes(), "{good:?} {bad:?}");
        assert!(verdict.in_body, "{good:?} {bad:?}");
    }
    let extension = format!("{head}1;{}", "e".repeat(MAX_EXTENSION_BYTES + 1));
    assert_eq!(whole(extension.as_bytes()).refused, Some(Violation::ChunkedTooLarge));
    let trailer = format!("{head}0\r\na:{}", "t".repeat(MAX_TRAILER_BYTES));
    assert_eq!(whole(trailer.as_bytes()).refused, Some(Violation::ChunkedTooLarge));
}

#[test]
fn after_a_refusal_nothing_passes() {
    let mut framing = Framing::default();
    let _ = framing.inspect(b"GET / HTTP/1.1\r\n\r\n");
    let later = framing.inspect(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(later, Inspection { pass: 0, refused: Some(Violation::NoHost) });
}

/// A connection's text: requests that are good, or of the tables of bad ones.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        Just("GET /a HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()),
        Just("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n1\r\n\r\n67".to_owned()),
        Just(
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;e=1\r\na\r\n\r\n1\r\n\n\r\n0\r\nt: v\r\n\r\n"
                .to_owned()
        ),
    ];
    // The three large ones at its end would only make the property slow.
    let mut bad = bad_heads();
    bad.truncate(bad.len() - 3);
    let bad: Vec<String> = bad.into_iter().map(|(text, _)| text).collect();
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bad_chunk = proptest::sample::select(BAD_CHUNKS)
        .prop_map(move |(good, bad, _)| format!("{head}{good}{bad}"));
    let last = prop_oneof![good.clone(), proptest::sample::select(bad), bad_chunk];
    (prop::collection::vec(good, 0..4), last)
        .prop_map(|(good, last)| (good.concat() + &last).into_bytes())
}

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..300, 0..12).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

proptest! {
    #[test]
    fn cuts_change_no_verdict(text in any_text(), cuts in any_cuts()) {
        prop_assert_eq!(judge::<Framing>(&text, &cuts), whole(&text));
    }

    /// Arbitrary bytes: no panic, and single bytes come to the same.
    #[test]
    fn noise_is_judged_alike(text in prop::collection::vec(
        prop::sample::select(&b"GET / HTTP/1.1\r\n:ahost0;\0 \t"[..]), 0..200,
    )) {
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(judge::<Framing>(&text, &every), whole(&text));
    }
}

#[test]
fn the_property_finds_a_check_that_judges_each_read_alone() {
    // The second read looks like a request, but is the body of the first.
    let text = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n1\r\n\r\n67";
    let cut = text.len() - 7;
    let alone = judge::<JudgesEachReadAlone>(text, &[cut]);
    assert_ne!(alone, judge::<JudgesEachReadAlone>(text, &[]));
    assert_eq!(judge::<Framing>(text, &[cut]), whole(text));
}
