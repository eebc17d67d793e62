//! What a request's head says, and what of it goes upstream, by tables.

use crate::http1::*;

fn parsed(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(text.as_bytes()), Ok(Some(text.len())), "{text:?}");
    head
}

fn of_fields(fields: &str) -> String {
    format!("GET /p HTTP/1.1\r\nhost: h\r\n{fields}\r\n")
}

fn upstream(text: &str, drop: Kinds) -> String {
    let mut out = b"before".to_vec();
    parsed(text).render_upstream(text.as_bytes(), drop, &mut out);
    let out = String::from_utf8(out).expect("the tables are ASCII");
    out.strip_prefix("before").expect("what was there stays").to_owned()
}

#[test]
fn good_heads_are_whole_and_unfinished_ones_wait() {
    for text in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nA:b\r\nC: \r\nD: \t x \t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nx: \u{e4}\u{2026}\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://h?u=http://a@b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.0\r\nexpect: anything\r\ncontent-length: 1\r\n\r\n",
    ] {
        parsed(text);
        let mut head = RequestHead::new();
        for to in 0..text.len() {
            assert_eq!(head.parse(&text.as_bytes()[..to]), Ok(None), "{text:?} {to}");
        }
        let more = format!("{text}GET");
        assert_eq!(head.parse(more.as_bytes()), Ok(Some(text.len())), "{text:?}");
    }
}

#[test]
fn the_first_line_is_understood() {
    for (line, method, path, host) in [
        ("GET /a?b=c HTTP/1.1", Method::Get, "/a?b=c", "field"),
        ("HEAD http://h:1/a?b HTTP/1.1", Method::Head, "/a?b", "h:1"),
        ("DELETE http://h HTTP/1.0", Method::Delete, "/", "h"),
        ("PUT http://h?a HTTP/1.1", Method::Put, "?a", "h"),
        ("OPTIONS * HTTP/1.1", Method::Options, "*", "field"),
        ("OPTIONS http://[::1]:80 HTTP/1.1", Method::Options, "*", "[::1]:80"),
        ("OPTIONS http://h/ HTTP/1.1", Method::Options, "/", "h"),
        ("CONNECT h:443 HTTP/1.1", Method::Connect, "h:443", "h:443"),
        ("get / HTTP/1.1", Method::Other, "/", "field"),
        ("PATCH urn+x.y-1://h/p@q HTTP/1.1", Method::Patch, "/p@q", "h"),
    ] {
        let text = format!("{line}\r\nhost: field\r\n\r\n");
        let (head, bytes) = (parsed(&text), text.as_bytes());
        let mut words = line.split(' ').map(str::as_bytes);
        assert_eq!(Some(head.method_text(bytes)), words.next(), "{line}");
        assert_eq!(Some(head.target(bytes)), words.next(), "{line}");
        assert_eq!(head.method(), method, "{line}");
        assert_eq!(head.path(bytes), path.as_bytes(), "{line}");
        assert_eq!(head.host(bytes), Some(host.as_bytes()), "{line}");
        assert_eq!(head.version() == Version::Http10, line.ends_with('0'), "{line}");
    }
    assert_eq!(parsed("GET / HTTP/1.0\r\n\r\n").host(b"GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn the_end_of_the_body_is_known() {
    for (fields, framing) in [
        ("", Framing::None),
        ("content-length: 0\r\n", Framing::Length(0)),
        ("CONTENT-LENGTH: \t07 \r\n", Framing::Length(7)),
        ("content-length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
    ] {
        assert_eq!(parsed(&of_fields(fields)).framing(), framing, "{fields:?}");
    }
}

#[test]
fn wishes_about_the_connection_are_heard() {
    let of = |version: &str, fields: &str, wishes: (bool, bool, bool)| {
        let text = format!("PUT / HTTP/{version}\r\nhost: h\r\n{fields}\r\n");
        let head = parsed(&text);
        let heard = (head.keeps_alive(), head.upgrades(), head.expects_continue());
        assert_eq!(heard, wishes, "{text:?}");
    };
    for (fields, in_11, in_10) in [
        ("", (true, false, false), (false, false, false)),
        ("connection: Close\r\n", (false, false, false), (false, false, false)),
        ("connection: ,x,\r\nconnection: close\r\n", (false, false, false), (false, false, false)),
        ("connection: keep-alive\r\n", (true, false, false), (true, false, false)),
        ("connection: keep-alive, close\r\n", (false, false, false), (false, false, false)),
        ("connection: Upgrade\r\nupgrade: w\r\n", (true, true, false), (false, false, false)),
        ("connection: upgrade\r\n", (true, false, false), (false, false, false)),
        ("upgrade: w\r\n", (true, false, false), (false, false, false)),
        ("connection: upgrade\r\nupgrade: w, H2C\r\n", (true, false, false), (false, false, false)),
        (
            "connection: upgrade\r\nupgrade: w\r\ncontent-length: 1\r\n",
            (true, false, false),
            (false, false, false),
        ),
        (
            "expect: 100-Continue\r\ncontent-length: 1\r\n",
            (true, false, true),
            (false, false, false),
        ),
        (
            "expect: 100-continue\r\ncontent-length: 0\r\n",
            (true, false, false),
            (false, false, false),
        ),
    ] {
        of("1.1", fields, in_11);
        of("1.0", fields, in_10);
    }
}

#[test]
fn fields_of_this_hop_do_not_go_upstream() {
    for (given, stays) in [
        ("", ""),
        ("Accept: */*\r\nB:c\r\n", "Accept: */*\r\nB:c\r\n"),
        ("connection: close, X-A\r\nx-a: 1\r\nx-b: 2\r\n", "x-b: 2\r\n"),
        ("x-b: 1\r\nconnection: x-a\r\nx-b: 2\r\nConnection: X-B\r\na:\r\n", "a:\r\n"),
        ("connection: host, content-length\r\ncontent-length: 0\r\n", "content-length: 0\r\n"),
        (
            "connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\n",
        ),
        ("connection: x-forwarded-for\r\nx-forwarded-for: evil\r\n", ""),
        (
            "upgrade: w\r\nconnection: upgrade, h\r\nh: 1\r\n",
            "upgrade: w\r\nconnection: upgrade\r\n",
        ),
        ("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n", ""),
        ("te: trailers\r\nkeep-alive: 9\r\nproxy-connection: x\r\nx: 1\r\n", "x: 1\r\n"),
        (
            "proxy-authorization: a\r\nproxy-authenticate: b\r\nauthorization: c\r\n",
            "authorization: c\r\n",
        ),
        ("expect: 100-continue\r\nx-attempt-count: 7\r\nvia: 1.0 other\r\n", "via: 1.0 other\r\n"),
    ] {
        let expected = format!("GET /p HTTP/1.1\r\nhost: h\r\n{stays}");
        assert_eq!(upstream(&of_fields(given), Kinds::NONE), expected, "{given:?}");
    }
}

#[test]
fn what_the_proxy_says_itself_can_be_dropped() {
    let text =
        of_fields("a: 1\r\nVia: x\r\nforwarded: for=y\r\nupgrade: w\r\nconnection: upgrade\r\n");
    let drop = Kinds::of(&[Kind::Via, Kind::Forwarded, Kind::Upgrade]);
    assert_eq!(upstream(&text, drop), "GET /p HTTP/1.1\r\nhost: h\r\na: 1\r\n");
}

#[test]
fn the_request_line_is_made_ours() {
    for (given, expected) in [
        ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n"),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n"),
        (
            "GET http://real.example:81/a?b HTTP/1.1\r\na: 1\r\nHost: other\r\nb: 2\r\n\r\n",
            "GET /a?b HTTP/1.1\r\nHost: real.example:81\r\na: 1\r\nb: 2\r\n",
        ),
        ("GET http://h?a HTTP/1.0\r\n\r\n", "GET /?a HTTP/1.1\r\nHost: h\r\n"),
        ("OPTIONS http://h HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n"),
    ] {
        assert_eq!(upstream(given, Kinds::NONE), expected, "{given:?}");
    }
}

#[test]
fn values_become_one_list() {
    for (fields, expected) in [
        ("", "X: me\r\n"),
        ("x-forwarded-for: 1\r\na: b\r\nX-Forwarded-For: 2, 3\r\n", "X: 1, 2, 3, me\r\n"),
        ("connection: x-forwarded-for\r\nx-forwarded-for: evil\r\n", "X: me\r\n"),
    ] {
        let (text, mut out) = (of_fields(fields), vec![]);
        parsed(&text).put_list(text.as_bytes(), Kind::XForwardedFor, b"X", b"me", &mut out);
        assert_eq!(out, expected.as_bytes(), "{fields:?}");
    }
}

#[test]
fn a_head_is_used_again_without_memory_of_the_last() {
    let first = "PUT http://a/ HTTP/1.1\r\nhost: h\r\nconnection: close, x\r\nx: 1\r\n\
                 expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    let second = "GET /2 HTTP/1.1\r\nhost: i\r\nx: 2\r\n\r\n";
    let mut head = parsed(first);
    assert_eq!(head.parse(second.as_bytes()), Ok(Some(second.len())));
    assert!(head.keeps_alive() && !head.expects_continue());
    assert_eq!((head.framing(), head.path(second.as_bytes())), (Framing::None, &b"/2"[..]));
    assert_eq!(head.get(b"X", second.as_bytes()), Some(&b"2"[..]));
    let mut out = vec![];
    head.render_upstream(second.as_bytes(), Kinds::NONE, &mut out);
    put_field(&mut out, b"via", &[b"1.1 ", b"lab"]);
    end_head(&mut out);
    assert_eq!(out, b"GET /2 HTTP/1.1\r\nhost: i\r\nx: 2\r\nvia: 1.1 lab\r\n\r\n");
}
