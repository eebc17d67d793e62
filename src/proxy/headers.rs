//! What an intermediary changes in header fields (RFC 9110 §7.6). It must not know sockets.

use std::net::{IpAddr, SocketAddr};

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Uri, Version, request, response};

/// How often a request has been sent: on a backend's request from the second attempt on, on the
/// client's answer when there was more than one.
pub(crate) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-attempt-count");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// This proxy's entry in Via: the version it received, and its pseudonym.
const VIA_LAB: HeaderValue = HeaderValue::from_static("1.1 lab");
const VIA_LAB_10: HeaderValue = HeaderValue::from_static("1.0 lab");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// The text of an address that X-Forwarded-For gets; made once a connection.
pub(crate) fn forwarded_for(client: IpAddr) -> HeaderValue {
    HeaderValue::try_from(client.to_string()).expect("an address is visible ASCII")
}

/// Turns a client's request head into the one that a backend gets. `client` is
/// [`forwarded_for`] its address.
pub(crate) fn to_backend(head: &mut request::Parts, client: &HeaderValue) {
    let via = if head.version == Version::HTTP_10 { VIA_LAB_10 } else { VIA_LAB };
    head.version = Version::HTTP_11;
    origin_form(head);
    let headers = &mut head.headers;
    if headers.keys().any(of_this_hop) {
        // The framing check has let through nothing but `chunked`. It is said again, because the
        // connection to the backend would otherwise take a GET for one without a body.
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        strip(headers);
        // The proxy itself has asked the client to go on.
        headers.remove(EXPECT);
        if chunked {
            headers.insert(TRANSFER_ENCODING, CHUNKED);
        }
    }
    let chain = match headers.contains_key(FORWARDED_FOR) {
        true => joined(headers, client),
        false => client.clone(),
    };
    headers.insert(FORWARDED_FOR, chain);
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    // Not appended but replaced: no client is trusted to speak for another proxy.
    headers.insert(FORWARDED_PROTO, HTTP);
    headers.append(VIA, via);
}

/// HTTP/1.0 allows a request without Host, HTTP/1.1 does not: the backend's own address stands in.
pub(crate) fn ensure_host(headers: &mut HeaderMap, backend: SocketAddr) {
    if !headers.contains_key(HOST) {
        let host = HeaderValue::try_from(backend.to_string()).expect("an address is ASCII");
        headers.insert(HOST, host);
    }
}

/// Turns a backend's answer head into the one that the client gets.
pub(crate) fn to_client(head: &mut response::Parts, attempt: u32) {
    let via = if head.version == Version::HTTP_10 { VIA_LAB_10 } else { VIA_LAB };
    // The server side lowers it again for a client that speaks HTTP/1.0.
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    if headers.keys().any(of_this_hop) {
        // RFC 9112 §6.3: the length that stands beside transfer-encoding is a lie.
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        strip(headers);
    }
    headers.append(VIA, via);
    if attempt > 1 {
        headers.insert(ATTEMPT_COUNT, HeaderValue::from(attempt));
    }
}

/// A request to a proxy may name the whole URL; the backend gets the path, and RFC 9112 §3.2.2
/// makes the URL's authority the Host.
fn origin_form(head: &mut request::Parts) {
    let Some(authority) = head.uri.authority() else { return };
    if let Ok(host) = HeaderValue::try_from(authority.as_str()) {
        head.headers.insert(HOST, host);
    }
    head.uri = head.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
}

/// Fields that end here. Compared in one pass, because most messages have none of them.
fn of_this_hop(name: &HeaderName) -> bool {
    [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        EXPECT,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        ATTEMPT_COUNT,
    ]
    .contains(name)
}

fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // Whoever lists these would change what the message says or how long it is.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        ATTEMPT_COUNT,
    ] {
        headers.remove(name);
    }
}

/// All values of X-Forwarded-For as one list, with the client at its end.
fn joined(headers: &HeaderMap, client: &HeaderValue) -> HeaderValue {
    let mut list = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(client.as_bytes());
    HeaderValue::from_bytes(&list).expect("values joined by a comma are a value")
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    type Fields = &'static [(&'static str, &'static str)];

    fn text(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        lines
    }

    fn request(lines: Fields) -> Vec<String> {
        let mut builder = Request::get("/").header("host", "h");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let mut head = builder.body(()).expect("a request").into_parts().0;
        to_backend(&mut head, &forwarded_for([10, 0, 0, 9].into()));
        let ours = ["host: h", "x-forwarded-host: h", "x-forwarded-proto: http", "via: 1.1 lab"];
        text(&head.headers).into_iter().filter(|line| !ours.contains(&line.as_str())).collect()
    }

    #[test]
    fn fields_of_this_hop_do_not_reach_the_backend() {
        let own = "x-forwarded-for: 10.0.0.9";
        let table: &[(Fields, &[&str])] = &[
            (&[], &[own]),
            (&[("accept", "*/*")], &["accept: */*", own]),
            (&[("connection", "close, X-A"), ("x-a", "1"), ("x-b", "2")], &["x-b: 2", own]),
            (&[("connection", "x-a"), ("connection", "x-b"), ("x-b", "2")], &[own]),
            (
                &[("connection", "host, content-length"), ("content-length", "0")],
                &["content-length: 0", own],
            ),
            (&[("connection", "x-forwarded-for"), ("x-forwarded-for", "evil")], &[own]),
            (&[("upgrade", "websocket"), ("connection", "upgrade")], &[own]),
            (&[("te", "trailers"), ("keep-alive", "9"), ("proxy-connection", "x")], &[own]),
            (&[("expect", "100-continue")], &[own]),
            (&[("transfer-encoding", "chunked")], &["transfer-encoding: chunked", own]),
            (
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3")],
                &["x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9"],
            ),
            (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")], &[own]),
            (&[("x-attempt-count", "7")], &[own]),
            (&[("via", "1.0 other")], &["via: 1.0 other", own]),
        ];
        for (given, expected) in table {
            assert_eq!(request(given), *expected, "{given:?}");
        }
    }

    #[test]
    fn a_whole_url_becomes_path_and_host() {
        let request = Request::get("http://real.example:81/a?b=c").header("host", "other");
        let mut head = request.body(()).expect("a request").into_parts().0;
        to_backend(&mut head, &forwarded_for([10, 0, 0, 9].into()));
        assert_eq!(head.uri, "/a?b=c");
        assert_eq!(head.headers[HOST], "real.example:81");
        assert_eq!(head.headers[FORWARDED_HOST], "real.example:81");
    }

    #[test]
    fn fields_of_this_hop_do_not_reach_the_client() {
        let table: &[(u32, Fields, &[&str])] = &[
            (1, &[("date", "d")], &["date: d", "via: 1.1 lab"]),
            (2, &[("date", "d")], &["date: d", "via: 1.1 lab", "x-attempt-count: 2"]),
            (1, &[("x-attempt-count", "9")], &["via: 1.1 lab"]),
            (1, &[("connection", "x-a"), ("x-a", "1"), ("keep-alive", "5")], &["via: 1.1 lab"]),
            (1, &[("transfer-encoding", "chunked"), ("content-length", "5")], &["via: 1.1 lab"]),
            (1, &[("content-length", "5")], &["content-length: 5", "via: 1.1 lab"]),
        ];
        for (attempt, given, expected) in table {
            let mut builder = Response::builder();
            for (name, value) in *given {
                builder = builder.header(*name, *value);
            }
            let mut head = builder.body(()).expect("a response").into_parts().0;
            to_client(&mut head, *attempt);
            assert_eq!(text(&head.headers), *expected, "{given:?}");
        }
    }
}
