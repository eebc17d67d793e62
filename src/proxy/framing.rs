//! Where one HTTP/1 request ends and the next begins, told strictly: a text that two readers could
//! cut differently is refused (request smuggling). It must not know sockets, nor what is done with
//! a request.
//!
//! The next reader (hyper) is more lenient than RFC 9112 allows an intermediary to be: it takes
//! content-length beside transfer-encoding and hides the first, and takes bare LF and a missing or
//! doubled Host. So every byte of a client passes here first.

mod chunked;
mod head;

use std::fmt;

use chunked::Chunked;
use head::Head;

/// The most bytes that a request's head may have, empty lines before it included.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most header fields that a request may have (hyper's own limit is the same).
pub const MAX_FIELDS: usize = 100;
/// The most bytes of chunk extensions in one body (hyper's own limit is the same): they carry
/// nothing that is relayed.
pub const MAX_EXTENSION_BYTES: usize = 16 * 1024;
/// The most bytes of trailer fields after one body.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// LF without CR before it.
    BareLf,
    /// CR without LF behind it.
    BareCr,
    /// NUL or another control character.
    Control,
    /// Not `METHOD target HTTP/1.x` with single spaces.
    RequestLine,
    /// Another version than HTTP/1.0 and HTTP/1.1.
    Version,
    /// A header line that continues the one before (obs-fold).
    Fold,
    /// A header line without a colon, or with a name that is not a token ("Name :" included).
    FieldName,
    /// HTTP/1.1 without Host.
    NoHost,
    /// Host twice, or a list.
    Hosts,
    /// A Host that cannot be one.
    BadHost,
    /// A target whose authority cannot be a Host: user information would reach the backend as one.
    BadTarget,
    /// Content-Length that is not one decimal number below 2⁶⁴.
    Length,
    /// Content-Length twice.
    Lengths,
    /// Content-Length together with Transfer-Encoding.
    LengthAndEncoding,
    /// Transfer-Encoding other than exactly `chunked`, once.
    Encoding,
    /// Transfer-Encoding in HTTP/1.0, which has none.
    EncodingInHttp10,
    /// A chunk's size line or end that is malformed.
    Chunk,
    /// More than [`MAX_HEAD_BYTES`].
    HeadTooLarge,
    /// More than [`MAX_FIELDS`].
    TooManyFields,
    /// More than [`MAX_EXTENSION_BYTES`] or [`MAX_TRAILER_BYTES`].
    ChunkedTooLarge,
}

impl Violation {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLf => "a line ends in LF without CR; end every line with CR LF",
            Self::BareCr => "CR without LF; end every line with CR LF",
            Self::Control => "a control character in the head; send visible characters",
            Self::RequestLine => "the request line is not METHOD SP target SP HTTP/1.1",
            Self::Version => "only HTTP/1.1 and HTTP/1.0 are spoken here",
            Self::Fold => "a header line begins with white space; send each field in one line",
            Self::FieldName => "a header line does not begin with a token and a colon",
            Self::NoHost => "no Host; HTTP/1.1 needs exactly one",
            Self::Hosts => "more than one Host; send exactly one",
            Self::BadHost => "Host is not a host and port",
            Self::BadTarget => {
                "the target's authority is not a host and port; send it without user information"
            }
            Self::Length => "Content-Length is not one decimal number",
            Self::Lengths => "Content-Length is given twice",
            Self::LengthAndEncoding => {
                "Content-Length together with Transfer-Encoding; send one of them"
            }
            Self::Encoding => "Transfer-Encoding must be exactly \"chunked\"",
            Self::EncodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::Chunk => "the chunked body is malformed",
            Self::HeadTooLarge => "the head is larger than 64 KiB",
            Self::TooManyFields => "more than 100 header fields",
            Self::ChunkedTooLarge => "chunk extensions or trailers are too long",
        })
    }
}

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

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2): methods and field names are tokens.
const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// Whether `byte` may not stand in a field value: every control character but HTAB.
const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

#[cfg(test)]
mod tests;
