//! What a request asks for: the four forms of a target (RFC 9112 §3.2). It must not know fields.

use super::chars::is_authority;
use super::{Method, Violation};

/// The form of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `*`, of OPTIONS alone.
    Asterisk,
    /// `host:port`, of CONNECT alone.
    Authority,
    /// A whole URL; the places are within the target.
    Absolute {
        /// Where the authority begins.
        authority: u32,
        /// Where it ends, and path and query begin.
        rest: u32,
    },
}

impl Form {
    /// The form of a target, which has no white space and no control character.
    pub(super) fn of(method: Method, target: &[u8]) -> Result<Self, Violation> {
        if target.contains(&b'#') {
            return Err(Violation::Fragment);
        }
        // Bytes beyond ASCII have to be encoded (RFC 3986 §2.1). UTF-8 is common all the same; other
        // bytes would be a different path to every reader.
        if !target.is_ascii() && std::str::from_utf8(target).is_err() {
            return Err(Violation::RequestLine);
        }
        match target {
            [b'/', ..] => Ok(Self::Origin),
            b"*" if method == Method::Options => Ok(Self::Asterisk),
            _ if method == Method::Connect && is_authority(target) => Ok(Self::Authority),
            _ => Self::absolute(target).ok_or(Violation::BadTarget),
        }
    }

    fn absolute(target: &[u8]) -> Option<Self> {
        let of_scheme = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
        let scheme = target.iter().position(|b| !of_scheme(b))?;
        if !target[0].is_ascii_alphabetic() || !target[scheme..].starts_with(b"://") {
            return None;
        }
        let authority = scheme + 3;
        let behind = &target[authority..];
        let length = behind.iter().position(|b| b"/?".contains(b)).unwrap_or(behind.len());
        if length == 0 || !is_authority(&behind[..length]) {
            return None;
        }
        // A head is far shorter than 4 GiB.
        let (authority, rest) = (authority as u32, (authority + length) as u32);
        Some(Self::Absolute { authority, rest })
    }
}
