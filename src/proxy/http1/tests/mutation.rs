//! Mutated heads: whatever this codec takes, another parser takes too, and reads the same in it.

use base::Rng;

use crate::http1::*;

/// Heads as clients and servers send them.
const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    "POST /api/v1/items?page=2&q=a%20b HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: \
     python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: \
     keep-alive\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n",
    "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "PUT /big HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\
     trailer: checksum\r\n\r\n",
    "GET http://proxy.example:3128/a/b HTTP/1.0\r\nX-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n\r\n",
    "\r\nOPTIONS * HTTP/1.1\r\nHost: [2001:db8::1]\r\nCookie: a=1; b=\"x y\"\r\n\r\n",
];
const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 01 Oct 2024 10:00:00 GMT\r\nContent-Type: \
     text/html; charset=utf-8\r\nContent-Length: 612\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\nvary: Accept\r\n\r\n",
    "HTTP/1.0 304 Not Modified\r\nETag: \"abc\"\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 204 \r\nx: \r\n\r\n",
];
/// What is put in: what means something, and the borders of what may stand in a head.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b"\0",
    b"\x7f",
    b"\x1f",
    b"\x80",
    b"\xff",
    b"#",
    b"?",
    b"/",
    b"@",
    b"(",
    b"\"",
    b"0",
    b"9",
    b"a",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: x\r\n",
    b" folded\r\n",
];

/// Heads a run; each is mutated up to three times.
const ROUNDS: u64 = 6_000;

fn mutated(rng: &mut Rng, heads: &[&str]) -> Vec<u8> {
    let mut text = heads[rng.below(heads.len())].as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(text.len());
        let end = (at + 1 + rng.below(12)).min(text.len());
        let piece = PIECES[rng.below(PIECES.len())];
        match rng.below(5) {
            0 => text[at] = piece[0],
            1 => drop(text.splice(at..at, piece.iter().copied())),
            2 => drop(text.splice(at..end, piece.iter().copied())),
            3 => text[at] ^= 1 << rng.below(8),
            _ => {
                let copy = text[at..end].to_vec();
                let to = rng.below(text.len());
                text.splice(to..to, copy);
            }
        }
        if text.is_empty() {
            text.push(b'x');
        }
    }
    text
}

/// What a parser found: the length, the first line's parts, and the fields.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    length: usize,
    first: (Vec<u8>, Vec<u8>, u8),
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

fn fields_of(fields: &[Field], bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|f| (f.name(bytes).to_vec(), f.value(bytes).to_vec())).collect()
}

fn our_request(bytes: &[u8]) -> Option<Reading> {
    let mut head = RequestHead::new();
    let length = head.parse(bytes).ok()??;
    let (method, target) = (head.method_text(bytes).to_vec(), head.target(bytes).to_vec());
    let minor = u8::from(head.version() == Version::Http11);
    Some(Reading {
        length,
        first: (method, target, minor),
        fields: fields_of(head.fields(), bytes),
    })
}

fn our_response(bytes: &[u8]) -> Option<Reading> {
    let mut head = ResponseHead::new();
    let length = head.parse(bytes, Method::Get).ok()??;
    let (status, reason) = (head.status().to_string().into_bytes(), head.reason(bytes).to_vec());
    let minor = u8::from(head.version() == Version::Http11);
    Some(Reading {
        length,
        first: (status, reason, minor),
        fields: fields_of(head.fields(), bytes),
    })
}

/// A named wrong implementation: a name is whatever stands before the first colon.
fn takes_any_name(bytes: &[u8]) -> Option<Reading> {
    let length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = &bytes[..length - 4];
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines.next()?.split(|&b| b == b' ');
    let (method, target, minor) = (words.next()?, words.next()?, words.next()?.last()? - b'0');
    let fields = lines.map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        Some((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()))
    });
    let fields = fields.collect::<Option<_>>()?;
    Some(Reading { length, first: (method.to_vec(), target.to_vec(), minor), fields })
}

fn other_fields(fields: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect()
}

fn other_request(bytes: &[u8]) -> Option<Reading> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let first = (head.method?.into(), head.path?.into(), head.version?);
    Some(Reading { length, first, fields: other_fields(head.headers) })
}

fn other_response(bytes: &[u8]) -> Option<Reading> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let status = head.code?.to_string().into_bytes();
    // Its reason is text; one with bytes beyond ASCII is left out.
    let first = (status, head.reason?.into(), head.version?);
    Some(Reading { length, first, fields: other_fields(head.headers) })
}

type Parser = fn(&[u8]) -> Option<Reading>;

/// The first mutated head that `ours` takes and `other` does not, or takes otherwise; how many of
/// them `ours` took.
fn disagreement(heads: &[&str], ours: Parser, other: Parser) -> Result<u64, String> {
    let mut taken = 0;
    for seed in 0..ROUNDS {
        let text = mutated(&mut Rng::from_seed(seed), heads);
        let Some(mut reading) = ours(&text) else { continue };
        taken += 1;
        let theirs = other(&text);
        if theirs.as_ref().is_some_and(|theirs| theirs.first.1.is_empty())
            && !reading.first.1.is_ascii()
        {
            reading.first.1.clear();
        }
        if theirs.as_ref() != Some(&reading) {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(format!("seed {seed}: {text:?}: {reading:?} but {theirs:?}"));
        }
    }
    Ok(taken)
}

#[test]
fn what_is_taken_reads_the_same_to_another_parser() {
    for (heads, ours, other) in [
        (REQUESTS, our_request as Parser, other_request as Parser),
        (RESPONSES, our_response, other_response),
    ] {
        let taken = disagreement(heads, ours, other).unwrap_or_else(|found| panic!("{found}"));
        // Else it would say nothing.
        assert!((ROUNDS / 10..ROUNDS * 9 / 10).contains(&taken), "{taken} of {ROUNDS} taken");
    }
}

#[test]
fn the_comparison_finds_a_parser_that_takes_any_name() {
    let found = disagreement(REQUESTS, takes_any_name, other_request);
    assert!(found.is_err(), "{found:?}");
}
