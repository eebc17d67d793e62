//! The parser by tables, and by a property: how the bytes are cut must not matter.

use proptest::prelude::*;

use super::*;

fn names() -> Names {
    Names::new(&["a-1".to_owned(), "a-2".to_owned()])
}

/// All that can become of a parser that was fed some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole { head: Option<Head>, used: usize },
    More { head: Option<Head>, ends_at_close: bool },
    Malformed,
}

/// What parsers and their wrong copies have in common.
trait Parse {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed>;
    fn head(&self) -> Option<Head>;
    fn ends_at_close(&self) -> bool;
}

struct Right(Parser);

impl Parse for Right {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        self.0.feed(bytes, &names())
    }
    fn head(&self) -> Option<Head> {
        self.0.head()
    }
    fn ends_at_close(&self) -> bool {
        self.0.ends_at_close()
    }
}

/// WRONG: takes every read for the beginning of a head unless the head is complete already, as a
/// client does that never saw a head in two segments.
struct HeadInOneRead(Parser);

impl Parse for HeadInOneRead {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        self.0.partial.clear();
        self.0.feed(bytes, &names())
    }
    fn head(&self) -> Option<Head> {
        self.0.head()
    }
    fn ends_at_close(&self) -> bool {
        self.0.ends_at_close()
    }
}

/// WRONG: looks for the end of a chunked body as text, in one read.
struct LastChunkAsText(Parser);

impl Parse for LastChunkAsText {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        let fed = self.0.feed(bytes, &names())?;
        if matches!(self.0.state, State::Chunked(_)) {
            let end = bytes.windows(5).position(|window| window == b"0\r\n\r\n");
            return Ok(end.map_or(fed, |at| Fed::Whole(at + 5)));
        }
        Ok(fed)
    }
    fn head(&self) -> Option<Head> {
        self.0.head()
    }
    fn ends_at_close(&self) -> bool {
        self.0.ends_at_close()
    }
}

fn parse(mut parser: impl Parse, pieces: &[&[u8]]) -> End {
    let mut before = 0;
    for piece in pieces {
        match parser.feed(piece) {
            Err(Malformed) => return End::Malformed,
            Ok(Fed::Whole(used)) => {
                return End::Whole { head: parser.head(), used: before + used };
            }
            Ok(Fed::More) => before += piece.len(),
        }
    }
    End::More { head: parser.head(), ends_at_close: parser.ends_at_close() }
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..place]);
        from = place;
    }
    pieces
}

fn chunked_body() -> impl Strategy<Value = String> {
    let chunk = ("[a-z0\r\n]{1,40}", "(;x=[a-z]{0,4})?")
        .prop_map(|(data, extension)| format!("{:x}{extension}\r\n{data}\r\n", data.len()));
    (prop::collection::vec(chunk, 0..4), "(t: [a-z]{0,6}\r\n)?")
        .prop_map(|(chunks, trailer)| format!("{}0\r\n{trailer}\r\n", chunks.concat()))
}

fn framed() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z\r\n]{0,60}".prop_map(|body| format!("content-length: {}\r\n\r\n{body}", body.len())),
        chunked_body().prop_map(|body| format!("Transfer-Encoding: chunked\r\n\r\n{body}")),
        "[a-z\r\n]{0,20}".prop_map(|body| format!("\r\n{body}")),
    ]
}

/// An answer, sound or nearly so, with interim answers before and bytes after it.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop::sample::select(vec!["", "HTTP/1.1 100 Continue\r\n\r\n"]);
    let fields = prop::sample::select(vec![
        "",
        "x-lab-backend: a-2\r\n",
        "Connection: close\r\n",
        "connection: foo, Close\r\nX-Lab-Backend:a-1 \r\n",
    ]);
    let status = prop::sample::select(vec![200, 204, 304, 404, 429, 500, 503]);
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (interim, 0..=1, status, fields, framed(), "[a-zA-Z0\r\n]{0,6}", damage).prop_map(
        |(interim, version, status, fields, framed, after, damage)| {
            let text =
                format!("{interim}HTTP/1.{version} {status} Reason\r\n{fields}{framed}{after}");
            let mut bytes = text.into_bytes();
            if let Some((place, byte)) = damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        bytes in answer(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        bodiless in any::<bool>(),
    ) {
        let whole = parse(Right(Parser::new(bodiless)), &[&bytes]);
        let pieces = cut(&bytes, &cuts);
        prop_assert_eq!(parse(Right(Parser::new(bodiless)), &pieces), whole, "{:?}", pieces);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(parse(Right(Parser::new(bodiless)), &single), whole, "byte by byte");
    }
}

/// The property above, shown to catch the two mistakes that are easily made.
#[test]
fn wrong_parsers_depend_on_the_cuts() {
    let answers: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    ];
    let caught = |parse_cut: &dyn Fn(&[&[u8]]) -> End, bytes: &[u8]| {
        let whole = parse(Right(Parser::new(false)), &[bytes]);
        (0..=bytes.len()).any(|at| parse_cut(&[&bytes[..at], &bytes[at..]]) != whole)
    };
    for bytes in answers {
        assert!(!caught(&|pieces| parse(Right(Parser::new(false)), pieces), bytes));
    }
    assert!(caught(&|pieces| parse(HeadInOneRead(Parser::new(false)), pieces), answers[0]));
    assert!(caught(&|pieces| parse(LastChunkAsText(Parser::new(false)), pieces), answers[1]));
}

#[test]
fn answers_are_read_to_their_end_and_no_further() {
    // (answer, status, backend, keep_alive, bytes left over)
    let cases: &[(&str, u16, Option<u32>, bool, usize)] = &[
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, None, true, 0),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-lab-backend: a-2\r\n\r\nXY",
            200,
            Some(1),
            true,
            2,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-lab-backend: b-9\r\n\r\n", 200, None, true, 0),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 200, None, true, 0),
        ("HTTP/1.1 200\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", 200, None, false, 0),
        (
            "HTTP/1.1 200\r\nconnection: x\r\nconnection: y,close\r\ncontent-length: 0\r\n\r\n",
            200,
            None,
            false,
            0,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", 200, None, false, 0),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
            200,
            None,
            true,
            0,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\nHTTP", 204, None, true, 4),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, None, true, 0),
        (
            "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nlink: x\r\n\r\nHTTP/1.1 503 U\r\ncontent-length: 1\r\n\r\n!",
            503,
            None,
            true,
            0,
        ),
        (
            "HTTP/1.1 500 E\r\ntransfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n00\r\nx: y\r\n\r\nzz",
            500,
            None,
            true,
            2,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, None, true, 0),
    ];
    for &(text, status, backend, keep_alive, left) in cases {
        let expected = End::Whole {
            head: Some(Head { status, backend, keep_alive }),
            used: text.len() - left,
        };
        assert_eq!(parse(Right(Parser::new(false)), &[text.as_bytes()]), expected, "{text:?}");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    for framing in ["content-length: 5", "transfer-encoding: chunked", "x: y"] {
        let text = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        let head = Some(Head { status: 200, backend: None, keep_alive: true });
        let expected = End::Whole { head, used: text.len() };
        assert_eq!(parse(Right(Parser::new(true)), &[text.as_bytes()]), expected, "{framing}");
    }
}

#[test]
fn without_a_length_the_close_is_the_end() {
    let head = Some(Head { status: 200, backend: None, keep_alive: false });
    for (text, head, ends_at_close) in [
        ("HTTP/1.1 200 OK\r\n\r\nwhatever", head, true),
        ("HTTP/1.1 200 OK\r\n", None, false),
        ("", None, false),
    ] {
        let expected = End::More { head, ends_at_close };
        assert_eq!(parse(Right(Parser::new(false)), &[text.as_bytes()]), expected, "{text:?}");
    }
    let mut parser = Right(Parser::new(false));
    assert_eq!(parser.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), Ok(Fed::More));
    assert!(!parser.ends_at_close(), "a body cut short is not whole");
}

#[test]
fn what_is_no_answer_is_refused() {
    let long_line = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(HEAD_LIMIT));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(FIELD_LIMIT + 1));
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    let cases = [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/2 200\r\n\r\n".to_owned(),
        "HTTP/1.1 099 X\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n".to_owned(),
        with("content-length: -1"),
        with("content-length: +1"),
        with("content-length: 1, 1"),
        with("content-length: 99999999999999999999"),
        with("content-length:"),
        with("content-length: 1\r\ncontent-length: 2"),
        with("content-length: 1\r\ntransfer-encoding: chunked"),
        with("transfer-encoding: gzip, chunked"),
        with("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        chunked("\r\n"),
        chunked("x\r\n"),
        chunked("-1\r\n"),
        chunked("11111111111111111\r\n"),
        chunked("1\r\nab\r\n"),
        chunked("1\na\r\n"),
        chunked("0\r\n\rx"),
        chunked(&format!("1;{}\r\n", "x".repeat(HEAD_LIMIT + 1))),
        chunked(&format!("0\r\n{}", "x: y\r\n".repeat(HEAD_LIMIT / 4 + 1))),
        long_line,
        many_fields,
    ];
    for text in cases {
        let shown = &text[..text.len().min(80)];
        let whole = parse(Right(Parser::new(false)), &[text.as_bytes()]);
        assert_eq!(whole, End::Malformed, "{shown:?}");
        let (front, back) = text.as_bytes().split_at(text.len() / 2);
        assert_eq!(parse(Right(Parser::new(false)), &[front, back]), End::Malformed, "{shown:?}");
    }
}

#[test]
fn a_parser_can_be_used_again() {
    let mut parser = Parser::new(false);
    for _ in 0..3 {
        let answer = b"HTTP/1.1 200 OK\r\nx-lab-backend: a-1\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parser.feed(&answer[..30], &names()), Ok(Fed::More));
        assert_eq!(parser.head(), None);
        assert_eq!(parser.feed(&answer[30..], &names()), Ok(Fed::Whole(answer.len() - 30)));
        assert_eq!(parser.head().map(|head| head.backend), Some(Some(0)));
        parser.reset();
    }
    assert_eq!(parser.feed(b"HTTP", &names()), Ok(Fed::More));
    parser.reset();
    let answer = b"HTTP/1.1 204 N\r\n\r\n";
    assert_eq!(parser.feed(answer, &names()), Ok(Fed::Whole(answer.len())));
}
