//! Properties: the network's cuts change neither a verdict nor what is written, whatever the bytes.

use proptest::prelude::*;

use super::refusals::{BAD_CHUNKS, bad_heads};
use crate::http1::*;

/// What a head that came in pieces comes to: its length and what goes upstream of it.
type Verdict = Result<Option<(usize, Vec<u8>)>, Violation>;

/// Something that reads heads. It gets all bytes so far, and how many of them are new.
trait Reader: Default {
    fn read(&mut self, bytes: &[u8], fresh: usize) -> Verdict;
}

impl Reader for RequestHead {
    fn read(&mut self, bytes: &[u8], _fresh: usize) -> Verdict {
        let Some(length) = self.parse(bytes)? else { return Ok(None) };
        let mut out = vec![];
        self.render_upstream(bytes, Kinds::NONE, &mut out);
        Ok(Some((length, out)))
    }
}

impl Reader for ResponseHead {
    fn read(&mut self, bytes: &[u8], _fresh: usize) -> Verdict {
        let Some(length) = self.parse(bytes, Method::Get)? else { return Ok(None) };
        let mut out = vec![];
        let to = Receiver { version: Version::Http10, keep_alive: true };
        self.render_downstream(bytes, to, Kinds::NONE, &mut out);
        Ok(Some((length, out)))
    }
}

/// The named wrong implementation: it looks at what one read happens to bring.
#[derive(Default)]
struct ReadsEachPieceAlone;

impl Reader for ReadsEachPieceAlone {
    fn read(&mut self, bytes: &[u8], fresh: usize) -> Verdict {
        RequestHead::new().read(&bytes[bytes.len() - fresh..], fresh)
    }
}

/// Another: it complains of a line before that is whole, so that a short read is refused for
/// another reason than a long one, or refused at all.
#[derive(Default)]
struct JudgesUnfinishedLines;

impl Reader for JudgesUnfinishedLines {
    fn read(&mut self, bytes: &[u8], fresh: usize) -> Verdict {
        let line = bytes.rsplit(|&b| b == b'\n').next().unwrap_or_default();
        if line.iter().any(|&b| b != b'\r' && is_control(b)) {
            return Err(Violation::Control);
        }
        RequestHead::new().read(bytes, fresh)
    }
}

/// The parts of the text that end at the cuts and at its end.
fn ends(text: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < text.len()).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.push(text.len());
    ends
}

fn read<R: Reader>(text: &[u8], cuts: &[usize]) -> Verdict {
    let (mut reader, mut from) = (R::default(), 0);
    for end in ends(text, cuts) {
        let verdict = reader.read(&text[..end], end - from);
        if verdict != Ok(None) {
            return verdict;
        }
        from = end;
    }
    Ok(None)
}

/// What a body that came in pieces comes to: its data, its trailer, and how long it was.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailer: Vec<u8>,
    used: usize,
    ended: bool,
}

/// Decodes a chunked body; `anew` makes a fresh decoder for every piece, which is the named wrong
/// way: what follows a cut is not the beginning of a chunk.
fn decode(text: &[u8], cuts: &[usize], anew: bool) -> Result<Body, Violation> {
    let (mut decoder, mut body, mut from) = (Decoder::new(Framing::Chunked), Body::default(), 0);
    for end in ends(text, cuts) {
        if anew {
            decoder = Decoder::new(Framing::Chunked);
        }
        loop {
            let part = decoder.next(&text[from..end])?;
            from += part.used;
            match part.piece {
                Piece::Data(data) => body.data.extend_from_slice(data),
                Piece::Trailer(trailer) => body.trailer.extend_from_slice(trailer),
                Piece::Missing => break,
                Piece::End => {
                    return Ok(Body { used: from, ended: true, ..body });
                }
            }
        }
    }
    Ok(Body { used: from, ..body })
}

/// The same by `advance`, which tells no data.
fn advance(text: &[u8], cuts: &[usize]) -> Result<(usize, bool), Violation> {
    let (mut decoder, mut from) = (Decoder::new(Framing::Chunked), 0);
    for end in ends(text, cuts) {
        let step = decoder.advance(&text[from..end])?;
        from += step.used;
        if step.ended {
            return Ok((from, true));
        }
    }
    Ok((from, false))
}

fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\nHost: h\r\nconnection: x\r\nx: 1\r\ny: \t2 \r\n\r\n",
        "\r\nPUT http://u/ HTTP/1.0\r\nHost: h\r\nContent-Length: 7\r\n\r\n1\r\n\r\n67",
        "HTTP/1.1 200 OK\r\nDate: d\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 404 \r\na: b\r\nconnection: close\r\n\r\n",
    ]);
    // The large ones at its end would only make the property slow.
    let bad: Vec<String> =
        bad_heads().into_iter().map(|(text, _)| text).filter(|text| text.len() < 500).collect();
    prop_oneof![good.prop_map(String::from), prop::sample::select(bad)]
        .prop_map(|text| (text + "GET / HTTP/1.1\r\n").into_bytes())
}

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..120, 0..12)
}

/// A chunked body as a sender may write it, and what it holds.
fn any_chunks() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"\r\n0\r\nGET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    let style = prop::sample::select(vec!["", "0", ";e", ";a=\"b 0\""]);
    let trailer = prop::sample::select(vec!["", "t: 1\r\n", "T:\r\nchecksum: \u{e4} 0\r\n"]);
    (prop::collection::vec((data, style), 0..6), trailer).prop_map(|(chunks, trailer)| {
        let (mut text, mut whole) = (vec![], vec![]);
        for (data, style) in chunks {
            let size = data.len();
            let line = match style {
                "0" => format!("0{size:X}\r\n"),
                extension => format!("{size:x}{extension}\r\n"),
            };
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(&data);
            text.extend_from_slice(b"\r\n");
            whole.extend_from_slice(&data);
        }
        text.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
        (text, whole)
    })
}

proptest! {
    #[test]
    fn cuts_change_no_head(text in any_head(), cuts in any_cuts()) {
        prop_assert_eq!(read::<RequestHead>(&text, &cuts), read::<RequestHead>(&text, &[]));
        prop_assert_eq!(read::<ResponseHead>(&text, &cuts), read::<ResponseHead>(&text, &[]));
    }

    /// Arbitrary bytes: no panic, and single bytes come to the same.
    #[test]
    fn noise_is_judged_alike(noise in prop::collection::vec(
        prop::sample::select(&b"GET / HTTP/1.1\r\n\r\n:ahost0,;\0 \t\xff"[..]), 0..160,
    ), line in prop::sample::select(vec!["", "GET / HTTP/1.0\r\n", "HTTP/1.1 200 \r\n", "1\r\na"])) {
        let text = [line.as_bytes(), &noise].concat();
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(read::<RequestHead>(&text, &every), read::<RequestHead>(&text, &[]));
        prop_assert_eq!(read::<ResponseHead>(&text, &every), read::<ResponseHead>(&text, &[]));
        prop_assert_eq!(decode(&text, &every, false), decode(&text, &[], false));
        prop_assert_eq!(advance(&text, &every), advance(&text, &[]));
    }

    #[test]
    fn what_was_chunked_is_found_again((text, data) in any_chunks(), cuts in any_cuts()) {
        let next = [&text[..], b"GET / HTTP/1.1\r\n"].concat();
        let body = decode(&next, &cuts, false).expect("it is well formed");
        prop_assert_eq!((body.used, body.ended), (text.len(), true));
        prop_assert_eq!(body.data, data);
        prop_assert_eq!(advance(&next, &cuts), Ok((text.len(), true)));
    }

    #[test]
    fn cuts_change_no_bad_chunk(
        (good, bad, violation) in prop::sample::select(BAD_CHUNKS), cuts in any_cuts(),
    ) {
        let text = format!("3\r\nabc\r\n{good}{bad}");
        prop_assert_eq!(decode(text.as_bytes(), &cuts, false), Err(violation));
        prop_assert_eq!(advance(text.as_bytes(), &cuts), Err(violation));
    }
}

/// The named wrong decoder: it looks for what a last chunk looks like.
fn end_by_search(text: &[u8]) -> Option<usize> {
    text.windows(5).position(|window| window == b"0\r\n\r\n").map(|at| at + 5)
}

#[test]
fn the_properties_find_the_wrong_ways() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_ne!(read::<ReadsEachPieceAlone>(text, &[5]), read::<ReadsEachPieceAlone>(text, &[]));
    let text = b"GET / HTTP/1.1\r\nb c\0\r\n";
    assert_ne!(
        read::<JudgesUnfinishedLines>(text, &[20]),
        read::<JudgesUnfinishedLines>(text, &[])
    );
    assert_eq!(read::<RequestHead>(text, &[20]), read::<RequestHead>(text, &[]));

    let body = b"3\r\nabc\r\n0\r\n\r\n";
    assert_ne!(decode(body, &[4], true), decode(body, &[], true));
    assert_eq!(decode(body, &[4], false), decode(body, &[], false));

    let tricky = b"5\r\n0\r\n\r\n\r\n0\r\n\r\n";
    assert_ne!(end_by_search(tricky), Some(tricky.len()));
    assert_eq!(advance(tricky, &[]), Ok((tricky.len(), true)));
}
