//! A request on its way: the head as backends get it, and what has to be kept to send it again.
//! It must not know connections, nor decide whether it goes again.

use std::net::SocketAddr;

use base::Sent;

use crate::buffers::clear_text;
use crate::http1::{Method, end_head, put_field};

/// The largest body that is kept to be sent again.
pub(crate) const MAX_REPLAY_BYTES: usize = 64 * 1024;

/// A request without the part of its body that is still to come.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// Request line and fields in HTTP/1.1, but not those that differ between attempts, nor the
    /// empty line.
    pub(crate) head: Vec<u8>,
    /// Whether `head` has a Host.
    pub(crate) has_host: bool,
    pub(crate) method: Method,
    /// Whether the client wishes another protocol, and `head` says so.
    pub(crate) upgrades: bool,
    /// Whether it may go again, so that its body is worth keeping.
    pub(crate) keep: bool,
    /// The body's first bytes.
    kept: Vec<u8>,
    /// How many bytes of the body were sent in all.
    consumed: u64,
}

impl Parcel {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        clear_text(&mut self.head);
        clear_text(&mut self.kept);
        *self = Self {
            head: std::mem::take(&mut self.head),
            kept: std::mem::take(&mut self.kept),
            ..Self::default()
        };
    }

    /// The next bytes of the body were sent for the first time.
    pub(crate) fn sent_of_body(&mut self, bytes: &[u8]) {
        let all_kept = self.is_replayable();
        self.consumed += bytes.len() as u64;
        if self.keep && all_kept && self.kept.len() + bytes.len() <= MAX_REPLAY_BYTES {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// Bytes of the body that were sent, each counted once.
    pub(crate) const fn body_bytes(&self) -> u64 {
        self.consumed
    }

    /// Whether all that was sent of the body is still here.
    pub(crate) const fn is_replayable(&self) -> bool {
        self.consumed == self.kept.len() as u64
    }

    /// How much of it counts as sent when so much was written. Of a request that is not whole any
    /// more nothing can be sent again, whatever was written of it.
    pub(crate) const fn sent(&self, written: Sent) -> Sent {
        match written {
            Sent::Nothing if !self.is_replayable() => Sent::Part,
            written => written,
        }
    }

    /// Puts what an attempt sends before the rest of the body.
    pub(crate) fn put(&self, address: SocketAddr, attempt: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if !self.has_host {
            // HTTP/1.0 allows a request without Host, HTTP/1.1 does not: the backend's own address
            // stands in.
            put_field(out, b"host", &[address.to_string().as_bytes()]);
        }
        if attempt > 1 {
            put_field(out, ATTEMPT_COUNT, &[Decimal::of(attempt).text()]);
        }
        end_head(out);
        out.extend_from_slice(&self.kept);
    }
}

/// How often a request has been sent: on a backend's request from the second attempt on, on the
/// client's answer when there was more than one.
pub(crate) const ATTEMPT_COUNT: &[u8] = b"x-attempt-count";

/// A number in decimal, without an allocation.
pub(crate) struct Decimal {
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    pub(crate) fn of(number: impl Into<u64>) -> Self {
        let (mut digits, mut from, mut left) = ([0; 20], 20, number.into());
        loop {
            from -= 1;
            digits[from] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                return Self { digits, from };
            }
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_any_more_does_not_count_as_unsent() {
        // (keeps, bytes sent, written on this attempt) → (replayable, counts as)
        for (keep, sent, written, expected) in [
            (false, 0, Sent::Nothing, (true, Sent::Nothing)),
            (true, 3, Sent::Nothing, (true, Sent::Nothing)),
            (true, 3, Sent::Part, (true, Sent::Part)),
            (false, 3, Sent::Nothing, (false, Sent::Part)),
            (true, MAX_REPLAY_BYTES + 1, Sent::Nothing, (false, Sent::Part)),
            (false, 3, Sent::All, (false, Sent::All)),
        ] {
            let mut parcel = Parcel { keep, ..Parcel::default() };
            parcel.sent_of_body(&vec![b'x'; sent]);
            // What comes behind a gap is no part of what could be sent again.
            if !expected.0 {
                parcel.sent_of_body(b"y");
            }
            assert_eq!((parcel.is_replayable(), parcel.sent(written)), expected, "{sent} {keep}");
        }
    }

    #[test]
    fn each_attempt_gets_what_differs() {
        let mut parcel = Parcel {
            head: b"PUT / HTTP/1.1\r\ncontent-length: 2\r\n".to_vec(),
            keep: true,
            ..Parcel::default()
        };
        parcel.sent_of_body(b"ab");
        let mut out = vec![];
        parcel.put("127.0.0.1:80".parse().expect("an address"), 12, &mut out);
        let expected = "PUT / HTTP/1.1\r\ncontent-length: 2\r\nhost: 127.0.0.1:80\r\n\
                        x-attempt-count: 12\r\n\r\nab";
        assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        for number in [0_u64, 7, 10, 1234, u64::MAX] {
            assert_eq!(Decimal::of(number).text(), number.to_string().as_bytes());
        }
    }
}
