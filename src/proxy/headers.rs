//! What an intermediary adds to the heads of requests and answers (RFC 9110 §7.6). It must not know
//! sockets; what is taken away is the codec's to know.

use std::net::IpAddr;
use std::time::Duration;

use policy::{Explanation, Quota, Reject};

use crate::answer::Own;
use crate::date::Today;
use crate::exchange::Exchange;
use crate::explain;
use crate::forwarded::Origin;
use crate::http1::{Kind, Kinds, Receiver, ResponseHead, Version, end_head, put_field};
use crate::parcel::{ATTEMPT_COUNT, Decimal, Parcel};

/// The text of an address as backends get it; made once a connection.
pub(crate) fn address_text(client: IpAddr) -> Box<[u8]> {
    // An IPv4 client of a listener for both is an IPv4 client.
    client.to_canonical().to_string().into_bytes().into()
}

/// This proxy's entry in Via: the version it received, and its pseudonym.
const fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 lab",
        Version::Http11 => b"1.1 lab",
        // Where a minor version has to stand, it is 0 (RFC 9110 §2.5).
        Version::Http2 => b"2.0 lab",
    }
}

/// Makes the parcel that backends get of a client's request; `id` makes the X-Request-Id of one that
/// has none that is trusted.
pub(crate) fn to_backend(origin: &Origin<'_>, id: impl FnOnce() -> [u8; 32], parcel: &mut Parcel) {
    let Origin { head, bytes, edge, .. } = *origin;
    let out = &mut parcel.head;
    let makes_id = edge.request_id && origin.trusted(Kind::XRequestId).is_none();
    let replaced = match makes_id {
        true => origin.replaced().and(Kinds::of(&[Kind::XRequestId])),
        false => origin.replaced(),
    };
    head.render_upstream(bytes, replaced, out);
    origin.put(out);
    if makes_id {
        put_field(out, b"x-request-id", &[&id()]);
    }
    put_field(out, b"via", &[via(origin.version)]);
    parcel.has_host = head.host(bytes).is_some();
    parcel.method = head.method();
    parcel.upgrades = head.upgrades();
}

/// What a client gets beside the backend's own fields.
pub(crate) struct Dress<'a> {
    pub(crate) to: Receiver,
    /// The body gets chunks on the way that it has not.
    pub(crate) chunked: bool,
    /// The sticky cookie, and what the client's says.
    pub(crate) cookie: Option<(&'a str, Option<u64>)>,
    /// The client came by TLS, and shall give its cookie away by nothing else.
    pub(crate) is_secret: bool,
    /// What the request was picked from, if its client wants to know.
    pub(crate) explanation: Option<&'a Explanation>,
    pub(crate) today: &'a Today,
}

/// Puts the head of a backend's answer as the client gets it.
pub(crate) fn to_client(exchange: &Exchange, dress: &Dress<'_>, out: &mut Vec<u8>) {
    let (head, leg) = (exchange.head(), &exchange.leg);
    let bytes = exchange.head_bytes();
    head.render_downstream(bytes, dress.to, Kinds::NONE, out);
    if dress.chunked {
        put_field(out, b"transfer-encoding", &[b"chunked"]);
    }
    if head.get(b"date", bytes).is_none() {
        put_field(out, b"date", &[&dress.today.text()]);
    }
    put_field(out, b"via", &[via(head.version())]);
    if leg.attempt.number > 1 {
        put_field(out, ATTEMPT_COUNT, &[Decimal::of(leg.attempt.number).text()]);
    }
    if let Some((name, pin)) = dress.cookie
        && pin != Some(leg.pin)
    {
        let value = format!("={:016x}; Path=/; HttpOnly; SameSite=Lax", leg.pin);
        let secure: &[u8] = if dress.is_secret { b"; Secure" } else { b"" };
        put_field(out, b"set-cookie", &[name.as_bytes(), value.as_bytes(), secure]);
    }
    if let Some(quota) = &leg.attempt.quota {
        put_quota(quota, out);
    }
    if let Some(explanation) = dress.explanation {
        let text = explain::in_words(explanation, Some(leg.attempt.backend));
        put_field(out, explain::NAME, &[text.as_bytes()]);
    }
    end_head(out);
}

/// Puts a backend's interim answer as a client of that version gets it.
pub(crate) fn interim_to_client(
    head: &ResponseHead,
    bytes: &[u8],
    version: Version,
    out: &mut Vec<u8>,
) {
    let to = Receiver { version, keep_alive: true };
    head.render_downstream(bytes, to, Kinds::NONE, out);
    put_field(out, b"via", &[via(head.version())]);
    end_head(out);
}

/// Puts the head of an answer of the proxy itself as the client gets it.
pub(crate) fn own_to_client(own: &Own, to: Receiver, today: &Today, out: &mut Vec<u8>) {
    own.put_head(to, out);
    put_field(out, b"date", &[&today.text()]);
    match &own.reject {
        Some(Reject::RateLimited(quota)) => {
            put_quota(quota, out);
            // One too early would be refused again.
            let wait = whole_s(quota.reset).max(1);
            put_field(out, b"retry-after", &[Decimal::of(wait).text()]);
        }
        Some(Reject::QueueFull | Reject::QueueTimeout) => put_field(out, b"retry-after", &[b"1"]),
        Some(Reject::NoBackend | Reject::Overloaded) | None => {}
    }
    end_head(out);
}

/// What is left of a rate limit (draft-ietf-httpapi-ratelimit-headers).
fn put_quota(quota: &Quota, out: &mut Vec<u8>) {
    let number = |number: u64| Decimal::of(number);
    let (limit, remaining) = (number(quota.limit.into()), number(quota.remaining.into()));
    let (window, reset) = (number(whole_s(quota.window).max(1)), number(whole_s(quota.reset)));
    let policy: &[&[u8]] = &[b"\"default\";q=", limit.text(), b";w=", window.text()];
    put_field(out, b"ratelimit-policy", policy);
    let left: &[&[u8]] = &[b"\"default\";r=", remaining.text(), b";t=", reset.text()];
    put_field(out, b"ratelimit", left);
}

/// Whole seconds, none too few.
fn whole_s(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;
    use crate::rules::Edge;

    const OURS: [&str; 4] =
        ["Host: h", "x-forwarded-host: h", "x-forwarded-proto: http", "via: 1.1 lab"];

    fn request(edge: &Edge, lines: &[&str]) -> Vec<String> {
        let fields: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        assert_eq!(head.parse(text.as_bytes()), Ok(Some(text.len())), "{text}");
        let (mut parcel, peer) = (Parcel::default(), address_text([10, 0, 0, 9].into()));
        let (bytes, version) = (text.as_bytes(), head.version());
        let origin = Origin { head: &head, bytes, version, peer: &peer, edge };
        to_backend(&origin, || [b'7'; 32], &mut parcel);
        let sent = String::from_utf8(parcel.head).expect("ASCII");
        sent.lines().skip(1).filter(|line| !OURS.contains(line)).map(String::from).collect()
    }

    #[test]
    fn a_backend_learns_who_asked_and_by_whom_it_came() {
        let own = "x-forwarded-for: 10.0.0.9";
        let table: &[(&[&str], &[&str])] = &[
            (&[], &[own]),
            (&["accept: */*"], &["accept: */*", own]),
            (&["connection: close, X-A", "x-a: 1", "x-b: 2"], &["x-b: 2", own]),
            (&["connection: x-forwarded-for", "x-forwarded-for: evil"], &[own]),
            (&["x-forwarded-proto: https", "x-forwarded-host: evil"], &[own]),
            (&["x-attempt-count: 7"], &[own]),
            (&["via: 1.0 other"], &["via: 1.0 other", own]),
        ];
        for (given, expected) in table {
            assert_eq!(request(&Edge::plain(), given), *expected, "{given:?}");
        }
    }

    #[test]
    fn an_id_is_made_unless_a_trusted_proxy_gave_one() {
        let made = format!("x-request-id: {}", "7".repeat(32));
        let kept = "X-Request-Id: theirs";
        for (trusted_hops, given, expected) in [
            (0, vec![], made.as_str()),
            (0, vec![kept], made.as_str()),
            (1, vec![kept], kept),
            (1, vec![], made.as_str()),
        ] {
            let edge = Edge { trusted_hops, request_id: true, ..Edge::plain() };
            let lines = request(&edge, &given);
            let ids: Vec<_> =
                lines.iter().filter(|line| line.to_lowercase().contains("request-id")).collect();
            assert_eq!(ids, [expected], "{trusted_hops} {given:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_limit_is_told_in_whole_seconds() {
        let quota = Quota {
            limit: 10,
            window: Duration::from_millis(1500),
            remaining: 9,
            reset: Duration::from_millis(100),
        };
        let mut out = vec![];
        put_quota(&quota, &mut out);
        let expected =
            "ratelimit-policy: \"default\";q=10;w=2\r\nratelimit: \"default\";r=9;t=1\r\n";
        assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
    }
}
