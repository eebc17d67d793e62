//! Reads a list of plain values. It must not know what they are for.

use super::{Reader, must_be, whole_in};
use crate::document::{Node, Value};
use crate::schema::Kind;

impl Reader<'_> {
    /// A list of whole numbers.
    pub fn wholes(&self, name: &str) -> Option<Vec<u64>> {
        self.read(name, |node, kind| {
            let Kind::Wholes { min, max, count } = kind else {
                unreachable!("{name} is not declared as a list of whole numbers")
            };
            elements(name, kind, node, 0..=*count, |node| whole_in(node, *min, *max))
        })
    }

    /// A list of statuses and ranges of them, as ranges with both ends in.
    pub fn statuses(&self, name: &str) -> Option<Vec<(u16, u16)>> {
        self.read(name, |node, kind| {
            let Kind::Statuses(count) = kind else {
                unreachable!("{name} is not declared as a list of statuses")
            };
            elements(name, kind, node, 1..=*count, |node| {
                let single = whole_in(node, STATUSES.0.into(), STATUSES.1.into());
                let single = single.and_then(|status| status.try_into().ok());
                single.map(|status| (status, status)).or_else(|| range(node.as_text()?))
            })
        })
    }

    /// A list of web origins, as browsers write them.
    pub fn origins(&self, name: &str) -> Option<Vec<String>> {
        self.read(name, |node, kind| {
            let Kind::Origins(count) = kind else {
                unreachable!("{name} is not declared as a list of origins")
            };
            elements(name, kind, node, 0..=*count, |node| {
                node.as_text().filter(|text| is_origin(text)).map(str::to_string)
            })
        })
    }
}

/// Every element by `read`; the first that is wrong is named.
fn elements<T>(
    name: &str,
    kind: &Kind,
    node: &Node,
    count: std::ops::RangeInclusive<usize>,
    read: impl Fn(&Node) -> Option<T>,
) -> Result<Vec<T>, String> {
    match &node.value {
        Value::Array(nodes) if count.contains(&nodes.len()) => {
            nodes.iter().map(|node| read(node).ok_or_else(|| must_be(name, kind, node))).collect()
        }
        Value::Array(nodes) => {
            Err(format!("{name} must be {}, not {} of them", kind.wanted(), nodes.len()))
        }
        _ => Err(must_be(name, kind, node)),
    }
}

/// The statuses of HTTP (RFC 9110 §15).
const STATUSES: (u16, u16) = (100, 599);

/// "200-299".
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let status = |text: &str| {
        // Rust's own parser would also read "+200".
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|status| digits && (STATUSES.0..=STATUSES.1).contains(status))
    };
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some((first, last))
}

/// The most characters of an origin: those of a host's name, and some.
const ORIGIN_CHARACTERS: usize = 300;

/// Whether this is an origin as a browser sends it in `Origin` (RFC 6454 §6.2): scheme, host in
/// lower case, the port if it is not the scheme's own, nothing behind it. Any other spelling would
/// never match one.
fn is_origin(text: &str) -> bool {
    let (rest, own) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (rest, "80"),
        (_, Some(rest)) => (rest, "443"),
        _ => return false,
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of "[::1]" are no port's.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let named =
        host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let numbered = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let fits = |port: &str| {
        port != own
            && !port.starts_with('0')
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    text.len() <= ORIGIN_CHARACTERS
        && !host.is_empty()
        && (named || numbered)
        && port.is_none_or(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_two_statuses_in_order() {
        for (text, expected) in [
            ("200-299", Some((200, 299))),
            ("204-204", Some((204, 204))),
            ("100-599", Some((100, 599))),
            ("299-200", None),
            ("99-200", None),
            ("200-600", None),
            ("200", None),
            ("200-", None),
            ("+20-299", None),
            ("200 - 299", None),
            ("200-299-300", None),
            ("", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for (text, good) in [
            ("http://localhost:5173", true),
            ("https://lab.example", true),
            ("https://lab.example:8443", true),
            ("http://127.0.0.1:80000", false),
            ("http://[::1]:5173", true),
            ("http://[::1]", true),
            ("http://[::g]", false),
            ("http://::1", false),
            ("http://localhost:80", false),
            ("https://localhost:443", false),
            ("http://localhost:", false),
            ("http://localhost:0", false),
            ("http://localhost:05", false),
            ("http://Localhost:5173", false),
            ("http://localhost:5173/", false),
            ("http://a@b", false),
            ("ftp://localhost", false),
            ("localhost:5173", false),
            ("null", false),
            ("*", false),
            ("http://", false),
        ] {
            assert_eq!(is_origin(text), good, "{text}");
        }
    }
}
