//! What a request is recognised by, and how that becomes a number. It must not know HTTP's syntax.

use std::borrow::Cow;
use std::fmt;

/// Where the key of a request comes from. The shell finds the text and hashes it with
/// [`hash_key`]; a request without it has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The client's address, without its port.
    Address,
    /// The path, without the query.
    Path,
    /// The value of this header field, its name in lower case.
    Header(Cow<'static, str>),
    /// The value of this cookie.
    Cookie(Cow<'static, str>),
}

/// The most characters of a header's or cookie's name.
const MAX_NAME: usize = 64;

impl KeySource {
    /// Reads `"address"`, `"path"`, `"header:NAME"` or `"cookie:NAME"`.
    ///
    /// # Errors
    /// What to write instead, as the end of "must be …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "\"address\", \"path\", \"header:NAME\" or \"cookie:NAME\"";
        match text.split_once(':') {
            None if text == "address" => Ok(Self::Address),
            None if text == "path" => Ok(Self::Path),
            Some(("header", name)) if is_name(name) => {
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            Some(("cookie", name)) if is_name(name) => Ok(Self::Cookie(name.to_owned().into())),
            _ => Err(WANTED),
        }
    }
}

/// Whether `text` is a token of RFC 9110 §5.6.2: field names are, and cookies' (RFC 6265 §4.1.1).
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("address"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// The hash of a key, the same on every machine.
pub fn hash_key(text: &[u8]) -> u64 {
    base::rng::hash_bytes(text)
}

/// What a sticky cookie says of the backend of this name. It reveals neither name nor address.
pub fn pin_of(name: &str) -> u64 {
    base::rng::mix(base::rng::hash_text(name), u64::from(b'p'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_back_as_they_are_written() {
        for text in ["address", "path", "header:x-user", "cookie:Session"] {
            assert_eq!(KeySource::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(KeySource::parse("header:X-User").expect("valid").to_string(), "header:x-user");
        for text in ["", "Address", "header", "header:", "header:a b", "cookie:a=b", "query:q"] {
            assert!(KeySource::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn short_keys_that_differ_by_one_differ_everywhere() {
        let mut upper: Vec<u64> =
            (0..1000_u32).map(|i| hash_key(format!("user-{i}").as_bytes()) >> 54).collect();
        upper.sort_unstable();
        upper.dedup();
        // 1,000 balls in 1,024 bins leave 1024·e^(−1000/1024) ≈ 386 empty; 638 ± 5 · 10 are hit.
        assert!((588..=688).contains(&upper.len()), "{} of 1,024 bins", upper.len());
    }
}
