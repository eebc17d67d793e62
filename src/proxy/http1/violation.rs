//! Why a message is refused. It must not know what is done about it.

use std::fmt;

/// Why a message was refused: a request's as the answer to give, a backend's as a broken protocol.
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
    /// Not `HTTP/1.x status reason`.
    StatusLine,
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
    /// A target with a fragment, which is the client's own; some readers cut it off.
    Fragment,
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
    /// A trailer with a name that this proxy acts on: whoever merges it into the head would act on
    /// what was never checked (RFC 9110 §6.5.1).
    Trailer,
    /// An expectation other than `100-continue`.
    Expectation,
    /// A request of HTTP/2 that is malformed where HTTP/1.1 has no rule for it.
    NotHttp2,
    /// More than [`MAX_HEAD_BYTES`](super::MAX_HEAD_BYTES).
    HeadTooLarge,
    /// More than [`MAX_FIELDS`](super::MAX_FIELDS).
    TooManyFields,
    /// More than [`MAX_CONNECTION_OPTIONS`](super::MAX_CONNECTION_OPTIONS).
    TooManyOptions,
    /// More than [`MAX_EXTENSION_BYTES`](super::MAX_EXTENSION_BYTES) or
    /// [`MAX_TRAILER_BYTES`](super::MAX_TRAILER_BYTES).
    ChunkedTooLarge,
}

impl Violation {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields | Self::TooManyOptions => 431,
            Self::Expectation => 417,
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
            Self::StatusLine => "the status line is not HTTP/1.1 SP status SP reason",
            Self::Version => "only HTTP/1.1 and HTTP/1.0 are spoken here",
            Self::Fold => "a header line begins with white space; send each field in one line",
            Self::FieldName => "a header line does not begin with a token and a colon",
            Self::NoHost => "no Host; HTTP/1.1 needs exactly one",
            Self::Hosts => "more than one Host; send exactly one",
            Self::BadHost => "Host is not a host and port",
            Self::BadTarget => {
                "the target's authority is not a host and port; send it without user information"
            }
            Self::Fragment => "the target has a fragment; send it without # and what follows",
            Self::Length => "Content-Length is not one decimal number",
            Self::Lengths => "Content-Length is given twice",
            Self::LengthAndEncoding => {
                "Content-Length together with Transfer-Encoding; send one of them"
            }
            Self::Encoding => "Transfer-Encoding must be exactly \"chunked\"",
            Self::EncodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::Chunk => "the chunked body is malformed",
            Self::Trailer => "a trailer with a name that belongs into the head",
            Self::Expectation => "the only expectation met here is 100-continue",
            Self::NotHttp2 => {
                "not a request of HTTP/2: send a path that begins with /, no field of a connection, \
                 no white space round values, and as many bytes as Content-Length says"
            }
            Self::HeadTooLarge => "the head is larger than 64 KiB",
            Self::TooManyFields => "more than 100 header fields",
            Self::TooManyOptions => "more than 100 names in Connection",
            Self::ChunkedTooLarge => "chunk extensions or trailers are too long",
        })
    }
}
