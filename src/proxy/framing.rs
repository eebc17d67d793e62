//! Where one HTTP/1 request ends and the next begins, told strictly: a text that two readers could
//! cut differently is refused (request smuggling). It must not know sockets, nor what is done with
//! a request.
//!
//! The next reader (hyper) is more lenient than RFC 9112 allows an intermediary to be: it takes
//! content-length beside transfer-encoding and hides the first, and takes bare LF and a missing or
//! doubled Host. So every byte of a client passes here first.

mod chunked;
mod head;

use chunked::Chunked;
use head::Head;

pub use crate::http1::{
    MAX_EXTENSION_BYTES, MAX_FIELDS, MAX_HEAD_BYTES, MAX_TRAILER_BYTES, Violation,
};
use crate::http1::{is_control, is_token};

/// What came of a look at some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// So many of the bytes are good and whole: pass them on. The rest is the beginning of a head;
    /// show it again with what follows it.
    pub pass: usize,
    /// What stands behind those bytes must not be passed on, nor anything after it.
    pub refused: Option<Violation>,
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
    Refused { violation: Violation, in_body: bool },
}

/// The reading position in the requests of one connection.
#[derive(Clone, Debug)]
pub struct Framing {
    phase: Phase,
    heads: u64,
}

impl Default for Framing {
    fn default() -> Self {
        Self { phase: Phase::Head(Head::default()), heads: 0 }
    }
}

impl Framing {
    /// The requests whose whole head has been passed on.
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the position is inside a request's body; for a refused one, whether it was its body
    /// that was at fault.
    pub const fn in_body(&self) -> bool {
        matches!(
            self.phase,
            Phase::Length(_) | Phase::Chunked(_) | Phase::Refused { in_body: true, .. }
        )
    }

    /// Looks at `bytes`: those not passed on by the call before, and what follows them.
    pub fn inspect(&mut self, bytes: &[u8]) -> Inspection {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match &mut self.phase {
                Phase::Refused { violation, .. } => {
                    return Inspection { pass: at, refused: Some(*violation) };
                }
                Phase::Head(head) => match head.look(rest) {
                    Ok(None) => return Inspection { pass: at, refused: None },
                    Ok(Some((length, delimiter))) => {
                        at += length;
                        self.heads += 1;
                        self.phase = match delimiter {
                            Delimiter::Length(0) => Phase::Head(Head::default()),
                            Delimiter::Length(bytes) => Phase::Length(bytes),
                            Delimiter::Chunked => Phase::Chunked(Chunked::default()),
                        };
                    }
                    Err(violation) => self.phase = Phase::Refused { violation, in_body: false },
                },
                Phase::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    at += here;
                    *left -= here as u64;
                    if *left > 0 {
                        return Inspection { pass: at, refused: None };
                    }
                    self.phase = Phase::Head(Head::default());
                }
                Phase::Chunked(body) => {
                    let (here, state) = body.look(rest);
                    at += here;
                    match state {
                        Ok(false) => return Inspection { pass: at, refused: None },
                        Ok(true) => self.phase = Phase::Head(Head::default()),
                        Err(violation) => {
                            self.phase = Phase::Refused { violation, in_body: true };
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
