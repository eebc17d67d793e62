//! What reading a head costs, in nanoseconds: the proxy's own codec and httparse, in turns on the
//! same texts. It must not judge: the figures belong into the commit that changes the codec.
//!
//! The codec does more than httparse with each head: it judges targets, Host, lengths and the ends of
//! lines, knows the fields of a hop, and keeps places for writing the head on. `…placed` is
//! httparse with the least of it that a proxy cannot do without: the kind and place of each field.

use std::hint::black_box;
use std::time::Instant;

use proxy::http1::{Decoder, Framing, Kind, Kinds, MAX_FIELDS, Method, RequestHead, ResponseHead};

const ROUNDS: usize = 401;
/// Heads a round: few, so that most rounds pass without another process's turn in them.
const HEADS: u32 = 1_000;

/// A request with eight fields, as a browser's or an API client's.
const REQUEST: &[u8] = b"GET /api/v1/items/4711?expand=all&page=2 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: https://shop.example.com/catalogue\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Connection: keep-alive\r\n\r\n";

/// What a load generator sends.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.27.4\r\n\
    Date: Tue, 01 Oct 2024 10:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 1234\r\n\
    Cache-Control: private, max-age=0\r\n\
    ETag: \"5f2b-61a0c9d1e4a40\"\r\n\
    Vary: Accept-Encoding\r\n\
    Connection: keep-alive\r\n\r\n";

/// A way to read a head, and its name.
type Subject<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Nanoseconds per call of each subject: the median of rounds in turns.
fn compare(title: &str, mut subjects: Vec<Subject<'_>>) {
    let mut costs = vec![vec![]; subjects.len()];
    for _ in 0..ROUNDS {
        for ((_, run), costs) in subjects.iter_mut().zip(&mut costs) {
            let begun = Instant::now();
            for _ in 0..HEADS {
                run();
            }
            costs.push(begun.elapsed().as_nanos() as f64 / f64::from(HEADS));
        }
    }
    for ((name, _), costs) in subjects.iter().zip(&mut costs) {
        costs.sort_by(f64::total_cmp);
        let (median, least) = (costs[ROUNDS / 2], costs[0]);
        println!("{title:<28} {name:<9} {median:>8.0} ns (least {least:.0})");
    }
}

/// Reads a request with httparse; clearing its hundred fields would cost time that callers can save.
fn other<'a>(text: &'a [u8], see: impl FnMut(&httparse::Header<'a>)) {
    let mut fields = [std::mem::MaybeUninit::uninit(); MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let _ = black_box(head.parse_with_uninit_headers(black_box(text), &mut fields));
    head.headers.iter().for_each(see);
}

fn request(title: &str, text: &[u8]) {
    let (mut head, mut idle) = (RequestHead::new(), RequestHead::new());
    let own = move || {
        let _ = black_box(head.parse(black_box(text)));
    };
    let relayed = {
        let mut out = Vec::new();
        move || {
            let _ = black_box(idle.parse(black_box(text)));
            out.clear();
            idle.render_upstream(text, Kinds::NONE, &mut out);
            black_box(&out);
        }
    };
    let mut places: Vec<(usize, usize, Kind)> = Vec::with_capacity(MAX_FIELDS);
    let placed = move || {
        places.clear();
        other(text, |field| {
            let place = field.value.as_ptr() as usize - text.as_ptr() as usize;
            places.push((place, field.value.len(), Kind::of(field.name.as_bytes())));
        });
        black_box(&places);
    };
    compare(
        title,
        vec![
            ("own", Box::new(own)),
            ("httparse", Box::new(move || other(text, |_| {}))),
            ("…placed", Box::new(placed)),
            ("own+write", Box::new(relayed)),
        ],
    );
}

fn response() {
    let mut head = ResponseHead::new();
    let own = move || {
        let _ = black_box(head.parse(black_box(RESPONSE), Method::Get));
    };
    let other = || {
        let mut fields = [std::mem::MaybeUninit::uninit(); MAX_FIELDS];
        let mut head = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let _ = black_box(config.parse_response_with_uninit_headers(
            &mut head,
            black_box(RESPONSE),
            &mut fields,
        ));
    };
    compare("answer, 8 fields", vec![("own", Box::new(own)), ("httparse", Box::new(other))]);
}

fn body() {
    let mut text = b"4000\r\n".to_vec();
    text.extend_from_slice(&[b'x'; 0x4000]);
    text.extend_from_slice(b"\r\n0\r\n\r\n");
    let own = || {
        let _ = black_box(Decoder::new(Framing::Chunked).advance(black_box(&text)));
    };
    compare("chunked body of 16 KiB", vec![("own", Box::new(own))]);
}

fn main() {
    request("request, 8 fields", REQUEST);
    request("request, 1 field", SHORT);
    response();
    body();
}
