//! The request's bytes, written once: only `x-lab-luck`, `x-lab-request` and `x-lab-key` change from
//! one to the next. It must not know when or whither they go.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use scenario::KEY_FIELD;
use workload::{KeyShape, Keys};

use super::LoadError;

/// A method and a path that can stand in a request line.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine<'a> {
    method: &'a str,
    path: &'a str,
}

impl<'a> RequestLine<'a> {
    /// Checks both: what cannot stand in a request line would change what the subject reads.
    ///
    /// # Errors
    /// [`LoadError::Method`] and [`LoadError::Path`].
    pub(super) fn new(method: &'a str, path: &'a str) -> Result<Self, LoadError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if method.is_empty() || !method.bytes().all(token) || method == "CONNECT" {
            return Err(LoadError::Method { method: method.to_owned() });
        }
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(LoadError::Path { path: path.to_owned() });
        }
        Ok(Self { method, path })
    }

    /// Whether answers have no body, whatever they say.
    pub(super) fn bodiless(&self) -> bool {
        self.method == "HEAD"
    }

    /// The head up to the fields that change, without the empty line that ends it.
    fn begin(&self, address: SocketAddr) -> String {
        let mut head = String::new();
        let Self { method, path } = self;
        // Writing to a String cannot fail.
        let _ = write!(head, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: lab\r\n");
        if matches!(*method, "POST" | "PUT" | "PATCH") {
            // RFC 9110 §8.6: a method that expects a body says so when there is none.
            head.push_str("content-length: 0\r\n");
        }
        head
    }

    /// A request that is the same each time.
    pub(super) fn fixed(&self, address: SocketAddr) -> Vec<u8> {
        (self.begin(address) + "\r\n").into_bytes()
    }
}

/// Writes the requests to some targets, without allocating.
#[derive(Debug)]
pub(super) struct Requests {
    beginnings: Vec<Vec<u8>>,
    keys: Option<Keys>,
    buffer: Vec<u8>,
}

impl Requests {
    /// For these targets, by index; each request with one of these keys.
    pub(super) fn new(
        line: RequestLine<'_>,
        targets: &[SocketAddr],
        keys: Option<KeyShape>,
    ) -> Self {
        let beginnings = targets.iter().map(|&address| line.begin(address).into_bytes()).collect();
        Self { beginnings, keys: keys.map(Keys::new), buffer: Vec::new() }
    }

    /// The bytes of one request.
    pub(super) fn compose(&mut self, target: u32, luck: u64, request: u64) -> &[u8] {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.beginnings[target as usize]);
        // Writing to a Vec cannot fail.
        let _ = write!(self.buffer, "x-lab-luck: {luck}\r\nx-lab-request: {request}\r\n");
        if let Some(keys) = &self.keys {
            let _ = write!(self.buffer, "{KEY_FIELD}: {}\r\n", keys.of(luck));
        }
        self.buffer.extend_from_slice(b"\r\n");
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8080))
    }

    #[test]
    fn each_request_has_its_own_luck_and_number() {
        let line = RequestLine::new("GET", "/a?b=1").expect("valid");
        let other = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut requests = Requests::new(line, &[address(), other], None);
        let long = requests.compose(0, u64::MAX, 0).to_owned();
        assert_eq!(
            String::from_utf8_lossy(&long),
            "GET /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: lab\r\n\
             x-lab-luck: 18446744073709551615\r\nx-lab-request: 0\r\n\r\n"
        );
        assert_eq!(
            String::from_utf8_lossy(requests.compose(1, 7, 12)),
            "GET /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:9\r\nuser-agent: lab\r\n\
             x-lab-luck: 7\r\nx-lab-request: 12\r\n\r\n"
        );
    }

    #[test]
    fn a_request_carries_the_key_of_its_luck() {
        let line = RequestLine::new("GET", "/").expect("valid");
        let shape = KeyShape { count: 1000, zipf: 1.0 };
        let mut requests = Requests::new(line, &[address()], Some(shape));
        for luck in [1, 2, 3] {
            let text = String::from_utf8_lossy(requests.compose(0, luck, 5)).into_owned();
            let end =
                format!("\r\nx-lab-request: 5\r\nx-lab-key: {}\r\n\r\n", Keys::new(shape).of(luck));
            assert!(text.ends_with(&end), "{text:?}");
        }
    }

    #[test]
    fn a_method_that_expects_a_body_says_there_is_none() {
        for (method, says) in [("GET", false), ("HEAD", false), ("POST", true), ("DELETE", false)] {
            let line = RequestLine::new(method, "/").expect("valid");
            let text = String::from_utf8(line.fixed(address())).expect("text");
            assert_eq!(text.contains("content-length: 0\r\n"), says, "{method}");
            assert!(text.ends_with("\r\n\r\n"), "{method}");
            assert_eq!(line.bodiless(), method == "HEAD");
        }
    }

    #[test]
    fn what_would_change_the_request_is_refused() {
        let wrong = [("", "/"), ("GE T", "/"), ("CONNECT", "/"), ("GET", ""), ("GET", "x")];
        for (method, path) in wrong.into_iter().chain([("GET", "/a b"), ("GET", "/\r\nx: y")]) {
            let error = RequestLine::new(method, path).expect_err("refused").to_string();
            assert!(error.contains("write"), "{method} {path:?}: no remedy in {error:?}");
        }
    }
}
