//! Heads of HTTP/2 as the text of HTTP/1.1 that the rest of the proxy knows, and back. It must not
//! know streams, nor judge what the codec judges.
//!
//! One strictness for both protocols: a request is written down as HTTP/1.1 and read by the codec
//! that reads HTTP/1.1, so what is judged is what a backend will see, and a rule that is added there
//! holds here. Judged here is only what would be gone from the text, or mean something else in it.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::http1::{Kind, Kinds, Violation, end_head, trailer_fields};

/// What speaks of the connection or of chunks in HTTP/1.1, and in HTTP/2 must not be there
/// (RFC 9113 §8.2.2).
const FORBIDDEN: Kinds = Kinds::of(&[
    Kind::Connection,
    Kind::KeepAlive,
    Kind::ProxyConnection,
    Kind::TransferEncoding,
    Kind::Upgrade,
]);

/// Puts the head of a request; `whole`: nothing follows it.
pub(super) fn put_request(parts: &Parts, whole: bool, out: &mut Vec<u8>) -> Result<(), Violation> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target(parts, authority)?);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        put_line(out, b"host", authority);
    }
    // A Host that says the same says nothing. With another one there are two, which the codec
    // refuses as it does in HTTP/1.1.
    let mut same = authority;
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        match check(name, value)? {
            Kind::Host if same.take_if(|same| same.eq_ignore_ascii_case(value)).is_some() => {}
            Kind::Cookie => {}
            _ => put_line(out, name, value),
        }
    }
    put_cookies(&parts.headers, out);
    if !whole && !parts.headers.contains_key(http::header::CONTENT_LENGTH) {
        put_line(out, b"transfer-encoding", b"chunked");
    }
    end_head(out);
    Ok(())
}

/// The request's target in the form that HTTP/1.1 has for it. A whole URL would be one there, with
/// an authority of its own; the library refuses that, lets a query alone pass, and has cut off what
/// a fragment there was.
fn target<'a>(parts: &'a Parts, authority: Option<&'a [u8]>) -> Result<&'a [u8], Violation> {
    let path = parts.uri.path_and_query().map(|path| path.as_str().as_bytes());
    match (&parts.method, path) {
        (&Method::CONNECT, _) => authority.ok_or(Violation::NotHttp2),
        (_, Some(path @ ([b'/', ..] | b"*"))) => Ok(path),
        _ => Err(Violation::NotHttp2),
    }
}

fn check(name: &[u8], value: &[u8]) -> Result<Kind, Violation> {
    let kind = Kind::of(name);
    // RFC 9113 §8.2.1: HTTP/1.1 would take the white space for its own.
    let padded = matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if padded || FORBIDDEN.contains(kind) { Err(Violation::NotHttp2) } else { Ok(kind) }
}

/// Cookies may be split for the sake of compression, and are one field elsewhere (RFC 9113 §8.2.3).
fn put_cookies(fields: &HeaderMap, out: &mut Vec<u8>) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in fields.get_all(http::header::COOKIE) {
        out.extend_from_slice(before);
        out.extend_from_slice(cookie.as_bytes());
        before = b"; ";
    }
    if before == b"; " {
        out.extend_from_slice(b"\r\n");
    }
}

/// Puts a field as it is, whatever that is.
fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Puts the fields behind a body, as they stand behind its last chunk.
pub(super) fn put_trailers(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        put_line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// The head of an answer, of which `text` is the one that an HTTP/1.1 client would get.
pub(super) fn response(status: u16, text: &[u8]) -> Response<()> {
    let behind = text.iter().position(|&b| b == b'\n').map_or(text.len(), |end| end + 1);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("three digits");
    *response.headers_mut() = fields(&text[behind..]);
    response
}

/// The fields of a section that the codec has read.
pub(super) fn fields(section: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in trailer_fields(section) {
        let name = HeaderName::from_bytes(name).expect("a token");
        map.append(name, HeaderValue::from_bytes(value).expect("no control character"));
    }
    map
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::http1::{RequestHead, is_control, is_token};

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("valid").into_parts().0
    }

    /// What the codec says of a request, and the text.
    fn read(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<String, Violation> {
        let mut text = vec![];
        put_request(&parts(method, uri, fields), true, &mut text)?;
        let length = RequestHead::new().parse(&text)?;
        assert_eq!(length, Some(text.len()), "one whole head");
        Ok(String::from_utf8(text).expect("ASCII"))
    }

    #[test]
    fn a_request_is_written_as_http_1_1() {
        for (method, uri, fields, expected) in [
            ("GET", "http://h:1/a?b", &[][..], "GET /a?b HTTP/1.1\r\nhost: h:1\r\n\r\n"),
            ("GET", "/", &[("host", "h")], "GET / HTTP/1.1\r\nhost: h\r\n\r\n"),
            ("GET", "http://h/", &[("host", "H")], "GET / HTTP/1.1\r\nhost: h\r\n\r\n"),
            (
                "GET",
                "http://h/",
                &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
                "GET / HTTP/1.1\r\nhost: h\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
            ),
            ("OPTIONS", "*", &[("host", "h")], "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"),
            ("CONNECT", "h:1", &[], "CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n"),
        ] {
            assert_eq!(read(method, uri, fields).as_deref(), Ok(expected), "{method} {uri}");
        }
    }

    #[test]
    fn what_means_something_else_in_http_1_1_is_refused() {
        let url = "http://h/";
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Violation);
        let table: &[Case<'_>] = &[
            ("GET", "/", &[], Violation::NoHost),
            ("GET", url, &[("host", "other")], Violation::Hosts),
            ("GET", url, &[("host", "h"), ("host", "h")], Violation::Hosts),
            ("GET", "http://u@h/", &[], Violation::BadHost),
            ("GET", "*", &[("host", "h")], Violation::BadTarget),
            ("GET", url, &[("connection", "close")], Violation::NotHttp2),
            ("GET", url, &[("keep-alive", "x")], Violation::NotHttp2),
            ("GET", url, &[("proxy-connection", "x")], Violation::NotHttp2),
            ("GET", url, &[("transfer-encoding", "chunked")], Violation::NotHttp2),
            ("GET", url, &[("upgrade", "h2c")], Violation::NotHttp2),
            ("GET", url, &[("a", " b")], Violation::NotHttp2),
            ("GET", url, &[("a", "b\t")], Violation::NotHttp2),
            ("GET", url, &[("content-length", "+1")], Violation::Length),
            ("GET", url, &[("content-length", "1"), ("content-length", "1")], Violation::Lengths),
            ("GET", url, &[("expect", "miracles")], Violation::Expectation),
        ];
        for (method, uri, fields, expected) in table {
            assert_eq!(read(method, uri, fields), Err(*expected), "{method} {uri} {fields:?}");
        }
    }

    #[test]
    fn a_query_alone_is_no_path() {
        let mut parts = parts("GET", "http://h/", &[]);
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some("?evil".parse().expect("the library lets it pass"));
        parts.uri = http::Uri::from_parts(uri).expect("valid parts");
        assert_eq!(put_request(&parts, true, &mut vec![]), Err(Violation::NotHttp2));
    }

    #[test]
    fn a_body_without_a_length_gets_chunks() {
        for (fields, expected) in [(&[][..], true), (&[("content-length", "3")], false)] {
            let mut text = vec![];
            put_request(&parts("PUT", "http://h/", fields), false, &mut text).expect("valid");
            let text = String::from_utf8(text).expect("ASCII");
            assert_eq!(text.contains("transfer-encoding: chunked\r\n"), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_is_read_from_the_text_for_http_1_1() {
        let text = b"HTTP/1.1 404 Not: Found\r\nA: b\r\na: c \r\nempty:\r\n\r\n";
        let response = response(404, text);
        assert_eq!(response.status(), 404);
        let fields: Vec<_> = response.headers().iter().collect();
        let value = |text| HeaderValue::from_static(text);
        let (a, empty) = (HeaderName::from_static("a"), HeaderName::from_static("empty"));
        assert_eq!(fields, [(&a, &value("b")), (&a, &value("c")), (&empty, &value(""))]);
    }

    #[test]
    fn the_library_takes_all_names_and_values_that_the_codec_lets_pass() {
        for byte in 0..=255_u8 {
            if is_token(byte) {
                assert!(HeaderName::from_bytes(&[byte]).is_ok(), "{byte:#x}");
            }
            if !is_control(byte) {
                assert!(HeaderValue::from_bytes(&[b'a', byte]).is_ok(), "{byte:#x}");
            }
        }
    }
}
