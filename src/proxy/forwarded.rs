//! What backends are told of the client and of those between: X-Forwarded-* and Forwarded
//! (RFC 7239). Nobody is believed but the proxies in front that the configuration trusts. It must
//! not know sockets.

use config::edge::Forwarded;

use crate::http1::{Kind, Kinds, RequestHead, Version, is_token, put_field};
use crate::rules::Edge;

/// The most proxies in front that can be trusted.
const MAX_TRUSTED_HOPS: usize = 16;

/// All that is said here, and is said anew.
const SAID: Kinds =
    Kinds::of(&[Kind::XForwardedFor, Kind::XForwardedHost, Kind::XForwardedProto, Kind::Forwarded]);

/// A request as far as this concerns it, and the address that it came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) bytes: &'a [u8],
    /// What the client speaks.
    pub(crate) version: Version,
    /// The address of the connection, without its port.
    pub(crate) peer: &'a [u8],
    pub(crate) edge: &'a Edge,
}

/// The last entries of a list, as many as are trusted.
struct Chain<'a> {
    entries: [&'a [u8]; MAX_TRUSTED_HOPS],
    count: usize,
}

impl<'a> Chain<'a> {
    /// Of all fields of a kind together; what Connection names is of another hop.
    fn of(origin: &Origin<'a>, kind: Kind) -> Self {
        let trusted = origin.edge.trusted_hops.min(MAX_TRUSTED_HOPS);
        let mut chain = Self { entries: [b""; MAX_TRUSTED_HOPS], count: 0 };
        if trusted == 0 || !origin.head.kinds().contains(kind) {
            return chain;
        }
        let fields = origin.head.fields().iter();
        for field in fields.filter(|field| field.kind() == kind && !field.is_listed()) {
            for entry in members(field.value(origin.bytes)) {
                if chain.count == trusted {
                    chain.entries.rotate_left(1);
                    chain.count -= 1;
                }
                chain.entries[chain.count] = entry;
                chain.count += 1;
            }
            // What stood in the places that are free again.
            chain.entries[chain.count..].fill(b"");
        }
        chain
    }

    fn entries(&self) -> &[&'a [u8]] {
        &self.entries[..self.count]
    }

    /// Puts the field with these entries and one more.
    fn put(&self, name: &[u8], last: &[&[u8]], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        for entry in self.entries() {
            out.extend_from_slice(entry);
            out.extend_from_slice(b", ");
        }
        for part in last {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The members of a list, whose commas within quotes are none.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = move |&byte: &u8| {
        let separates = byte == b',' && !quoted;
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && byte == b'\\' && !escaped;
        separates
    };
    value.split(separates).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The address in an element of Forwarded, or in an entry of X-Forwarded-For: without quotes,
/// brackets and port.
fn address(entry: &[u8]) -> &[u8] {
    let entry = match entry {
        [b'"', inner @ .., b'"'] => inner,
        entry => entry,
    };
    if let [b'[', rest @ ..] = entry {
        return rest.split(|&b| b == b']').next().unwrap_or(rest);
    }
    let mut colons = entry.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
    match (colons.next(), colons.next()) {
        (Some(at), None) => &entry[..at],
        // None at all, or an IPv6 address without brackets.
        _ => entry,
    }
}

/// The value of `for=` in an element of Forwarded.
fn for_of(element: &[u8]) -> Option<&[u8]> {
    element.split(|&b| b == b';').map(<[u8]>::trim_ascii).find_map(|pair| {
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

impl<'a> Origin<'a> {
    /// The address of the client, as the outermost trusted proxy saw it.
    pub(crate) fn client(&self) -> &'a [u8] {
        if self.edge.trusted_hops == 0 {
            return self.peer;
        }
        if self.edge.forwarded != Forwarded::Standard
            && let Some(first) = Chain::of(self, Kind::XForwardedFor).entries().first()
        {
            return address(first);
        }
        let standard = Chain::of(self, Kind::Forwarded);
        standard.entries().first().and_then(|first| for_of(first)).map_or(self.peer, address)
    }

    /// What of the client's own fields must not go on.
    pub(crate) const fn replaced(&self) -> Kinds {
        match self.edge.forwarded {
            // Nothing is said, and what a trusted proxy said stays as it is.
            Forwarded::Off if self.edge.trusted_hops > 0 => Kinds::NONE,
            _ => SAID,
        }
    }

    /// Puts what backends are told.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let (x, standard) = match self.edge.forwarded {
            Forwarded::XForwarded => (true, false),
            Forwarded::Standard => (false, true),
            Forwarded::Both => (true, true),
            Forwarded::Off => (false, false),
        };
        if x {
            Chain::of(self, Kind::XForwardedFor).put(b"x-forwarded-for", &[self.peer], out);
            let scheme = self.trusted(Kind::XForwardedProto).unwrap_or(self.edge.scheme());
            put_field(out, b"x-forwarded-proto", &[scheme]);
            let host = self.trusted(Kind::XForwardedHost).or_else(|| self.head.host(self.bytes));
            if let Some(host) = host {
                put_field(out, b"x-forwarded-host", &[host]);
            }
        }
        if standard {
            self.put_standard(out);
        }
    }

    /// RFC 7239 §4: an IPv6 address stands in brackets and quotes, what is no token in quotes.
    fn put_standard(&self, out: &mut Vec<u8>) {
        let (open, close): (&[u8], &[u8]) =
            if self.peer.contains(&b':') { (b"\"[", b"]\"") } else { (b"", b"") };
        let scheme = self.edge.scheme();
        let chain = Chain::of(self, Kind::Forwarded);
        match self.head.host(self.bytes) {
            Some(host) => {
                let quote: &[u8] =
                    if !host.is_empty() && host.iter().all(|&b| is_token(b)) { b"" } else { b"\"" };
                let last: &[&[u8]] = &[
                    b"for=", open, self.peer, close, b";host=", quote, host, quote, b";proto=",
                    scheme,
                ];
                chain.put(b"forwarded", last, out);
            }
            None => {
                let last: &[&[u8]] = &[b"for=", open, self.peer, close, b";proto=", scheme];
                chain.put(b"forwarded", last, out);
            }
        }
    }

    /// What the nearest trusted proxy said.
    pub(crate) fn trusted(&self, kind: Kind) -> Option<&'a [u8]> {
        if self.edge.trusted_hops == 0 || !self.head.kinds().contains(kind) {
            return None;
        }
        let fields = self.head.fields().iter();
        let mut of_kind = fields.filter(|field| field.kind() == kind && !field.is_listed());
        of_kind.next_back().map(|field| field.value(self.bytes)).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(trusted_hops: usize, forwarded: Forwarded) -> Edge {
        Edge { trusted_hops, forwarded, ..Edge::plain() }
    }

    /// What is put, a line a field, and whom the request is taken to come from.
    fn said(edge: &Edge, peer: &str, fields: &str) -> (Vec<String>, String) {
        let text = format!("GET / HTTP/1.1\r\nHost: h:81\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        assert_eq!(head.parse(text.as_bytes()), Ok(Some(text.len())), "{text}");
        let (bytes, version) = (text.as_bytes(), head.version());
        let origin = Origin { head: &head, bytes, version, peer: peer.as_bytes(), edge };
        let mut out = vec![];
        origin.put(&mut out);
        let lines = String::from_utf8(out).expect("ASCII").lines().map(String::from).collect();
        (lines, String::from_utf8(origin.client().into()).expect("ASCII"))
    }

    #[test]
    fn only_so_many_entries_are_believed_as_proxies_are_trusted() {
        let chain = "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nx-forwarded-for: 2.2.2.2:99\r\n";
        for (hops, expected, client) in [
            (0, "10.0.0.9", "10.0.0.9"),
            (1, "2.2.2.2:99, 10.0.0.9", "2.2.2.2"),
            (2, "1.1.1.1, 2.2.2.2:99, 10.0.0.9", "1.1.1.1"),
            (3, "6.6.6.6, 1.1.1.1, 2.2.2.2:99, 10.0.0.9", "6.6.6.6"),
            (16, "6.6.6.6, 1.1.1.1, 2.2.2.2:99, 10.0.0.9", "6.6.6.6"),
        ] {
            let (lines, who) = said(&edge(hops, Forwarded::XForwarded), "10.0.0.9", chain);
            assert_eq!(lines[0], format!("x-forwarded-for: {expected}"), "{hops} hops");
            assert_eq!(who, client, "{hops} hops");
        }
    }

    #[test]
    fn the_scheme_and_the_host_are_a_trusted_proxys_or_our_own() {
        let fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n";
        for (hops, expected) in [
            (0, ["x-forwarded-proto: http", "x-forwarded-host: h:81"]),
            (1, ["x-forwarded-proto: https", "x-forwarded-host: evil"]),
        ] {
            let (lines, _) = said(&edge(hops, Forwarded::XForwarded), "10.0.0.9", fields);
            assert_eq!(lines[1..], expected, "{hops} hops");
        }
    }

    #[test]
    fn forwarded_is_quoted_where_it_must_be() {
        let given =
            "Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:47\";by=\"a,b\\\"\";proto=https\r\n";
        for (mode, hops, peer, expected, client) in [
            (
                Forwarded::Standard,
                0,
                "::1",
                vec!["forwarded: for=\"[::1]\";host=\"h:81\";proto=http"],
                "::1",
            ),
            (
                Forwarded::Standard,
                1,
                "10.0.0.9",
                vec![
                    "forwarded: for=\"[2001:db8::1]:47\";by=\"a,b\\\"\";proto=https, \
                     for=10.0.0.9;host=\"h:81\";proto=http",
                ],
                "2001:db8::1",
            ),
            (Forwarded::Off, 1, "10.0.0.9", vec![], "2001:db8::1"),
            (
                Forwarded::Both,
                0,
                "10.0.0.9",
                vec![
                    "x-forwarded-for: 10.0.0.9",
                    "x-forwarded-proto: http",
                    "x-forwarded-host: h:81",
                    "forwarded: for=10.0.0.9;host=\"h:81\";proto=http",
                ],
                "10.0.0.9",
            ),
        ] {
            let (lines, who) = said(&edge(hops, mode), peer, given);
            assert_eq!(
                (lines, who.as_str()),
                (expected.iter().map(|s| (*s).into()).collect(), client)
            );
        }
    }

    #[test]
    fn addresses_are_told_from_their_ports() {
        for (entry, expected) in [
            ("1.1.1.1", "1.1.1.1"),
            ("1.1.1.1:80", "1.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(address(entry.as_bytes()), expected.as_bytes(), "{entry}");
        }
    }
}
