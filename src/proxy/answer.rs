//! Answers of the proxy itself: a status and a line of text. It must not know connections, nor why
//! they are given.

use std::borrow::Cow;

use http::StatusCode;
use policy::Reject;

use crate::http1::{Receiver, Version, put_field};
use crate::parcel::{ATTEMPT_COUNT, Decimal};
use crate::upload::Fault;

/// What the proxy says in the place of a backend.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) status: u16,
    /// For people.
    pub(crate) text: Cow<'static, str>,
    /// Attempts that were made before.
    pub(crate) attempts: u32,
    /// Why the balancer gave it no backend, if it was that.
    pub(crate) reject: Option<Reject>,
}

impl Own {
    pub(crate) fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), attempts: 0, reject: None }
    }

    /// To a request of which the rest will never come.
    pub(crate) fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::Left => Self::new(400, "the request's body was broken off"),
            Fault::Framing(violation) => Self::new(violation.status(), violation.to_string()),
        }
    }

    /// The body.
    pub(crate) fn body(&self) -> String {
        let Self { status, text, .. } = self;
        let reason = reason(*status);
        format!("{status} {reason}: {text}\n")
    }

    /// Puts its head as HTTP/1.1, but not the empty line behind that: further fields may follow.
    pub(crate) fn put_head(&self, to: Receiver, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(Decimal::of(self.status).text());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        put_field(out, b"content-type", &[b"text/plain; charset=utf-8"]);
        put_field(out, b"content-length", &[Decimal::of(self.body().len() as u64).text()]);
        match (to.version, to.keep_alive) {
            (Version::Http11, false) => put_field(out, b"connection", &[b"close"]),
            (Version::Http10, true) => put_field(out, b"connection", &[b"keep-alive"]),
            _ => {}
        }
        if self.attempts > 1 {
            put_field(out, ATTEMPT_COUNT, &[Decimal::of(self.attempts).text()]);
        }
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default()
}
