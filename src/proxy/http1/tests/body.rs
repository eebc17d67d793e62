//! Where bodies end and what of them is data, by tables.

use crate::http1::*;

#[test]
fn bodies_end_where_they_said() {
    let body = "3;e=1\r\nabc\r\n0000A\r\n0123\r\n6789\r\n0\r\nt: 1\r\nu:\r\n\r\n";
    for (framing, text, used, ended) in [
        (Framing::None, "next", 0, true),
        (Framing::Length(0), "next", 0, true),
        (Framing::Length(3), "abcnext", 3, true),
        (Framing::Length(9), "abc", 3, false),
        (Framing::Length(u64::MAX), "abc", 3, false),
        (Framing::UntilClose, "abc", 3, false),
        (Framing::UntilClose, "", 0, false),
        (Framing::Chunked, "", 0, false),
        (Framing::Chunked, "0\r\n\r\nnext", 5, true),
        (Framing::Chunked, body, body.len(), true),
        (Framing::Chunked, &body[..body.len() - 1], body.len() - 1, false),
    ] {
        let mut decoder = Decoder::new(framing);
        assert_eq!(
            decoder.advance(text.as_bytes()),
            Ok(Step { used, ended }),
            "{framing:?} {text:?}"
        );
        assert_eq!(decoder.is_ended(), ended, "{framing:?} {text:?}");
        let whole = ended || framing == Framing::UntilClose;
        assert_eq!(decoder.is_whole_at_close(), whole, "{framing:?} {text:?}");
        if ended {
            assert_eq!(decoder.advance(b"next"), Ok(Step { used: 0, ended: true }), "{framing:?}");
        }
    }
}

#[test]
fn data_and_trailers_are_told_apart() {
    let text = b"3;e=1\r\nabc\r\n2\r\n\r\n\r\n0\r\nt: 1\r\nu:\r\n\r\nnext";
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut at, mut pieces) = (0, vec![]);
    loop {
        let part = decoder.next(&text[at..]).expect("it is well formed");
        at += part.used;
        if part.piece == Piece::End {
            break;
        }
        pieces.push(part.piece);
    }
    let trailer = b"t: 1\r\nu:\r\n";
    assert_eq!(pieces, [Piece::Data(b"abc"), Piece::Data(b"\r\n"), Piece::Trailer(trailer)]);
    assert_eq!(&text[at..], b"next");
    let fields: Vec<_> = trailer_fields(trailer).collect();
    assert_eq!(fields, [(&b"t"[..], &b"1"[..]), (b"u", b"")]);
}

#[test]
fn size_lines_are_hexadecimal() {
    for (bytes, line) in [(1, "1"), (15, "f"), (16, "10"), (65536, "10000")] {
        let line = format!("{line}\r\n");
        assert_eq!(SizeLine::new(bytes).expect("data").as_bytes(), line.as_bytes());
    }
    assert_eq!(SizeLine::new(usize::MAX).expect("data").as_bytes(), b"ffffffffffffffff\r\n");
    assert!(SizeLine::new(0).is_none(), "it would end the body");
}
