//! HTTP/1.1 as bytes, strictly: heads and bodies of both legs are read, judged and written on. It
//! must not know sockets, clocks, nor where a message goes.
//!
//! The way of a request through a connection task, every buffer and head reused:
//!
//! 1. [`RequestHead::parse`] on what was read until it gives the head's length, then
//!    [`Decoder::new`] with its [`Framing`];
//! 2. [`RequestHead::render_upstream`] into the outgoing buffer, [`put_field`] what the proxy adds,
//!    [`end_head`];
//! 3. [`Decoder::advance`] over the bytes behind the head; those it takes go upstream as they are;
//! 4. the answer likewise with [`ResponseHead::parse`] and [`ResponseHead::render_downstream`].
//!
//! A message that two readers could cut differently is refused with a [`Violation`] (request
//! smuggling): nothing is repaired. Each verdict is independent of how the network cut the text.
//! Whoever needs data without its chunks (an HTTP/1.0 client, HTTP/2) asks [`Decoder::next`]
//! instead; [`SizeLine`] and [`LAST_CHUNK`] make chunks of data that has none.

mod body;
mod chars;
mod chunk;
mod chunked;
mod field;
mod kind;
mod method;
mod render;
mod request;
mod response;
mod scan;
mod section;
mod target;
mod violation;

pub use body::{Decoder, Part, Piece, Step, trailer_fields};
pub use chunk::{LAST_CHUNK, SizeLine};
pub use field::Field;
pub use kind::{Kind, Kinds};
pub use method::Method;
pub use render::{end_head, put_field};
pub use request::RequestHead;
pub use response::{Receiver, ResponseHead};
pub use violation::Violation;

pub(crate) use chars::{is_control, is_token};

/// The most bytes that a head may have, empty lines before a request included.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most header fields that a message may have (hyper's own limit is the same).
pub const MAX_FIELDS: usize = 100;
/// The most options that all Connection fields of a message may list besides the known ones: each
/// is compared with every field.
pub const MAX_CONNECTION_OPTIONS: usize = 100;
/// The most bytes of chunk extensions in one body (hyper's own limit is the same): they carry
/// nothing that an end would miss.
pub const MAX_EXTENSION_BYTES: usize = 16 * 1024;
/// The most bytes of trailer fields after one body.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;

/// The version of a message; others are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no interim answers, closes unless asked to stay.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2: no message is read or written as such here, but its client gets the head of an answer
    /// without what is HTTP/1.1's alone.
    Http2,
}

/// How the end of a message's body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and the message does not speak of one that would be here.
    #[default]
    None,
    /// So many bytes, 0 included: Content-Length was given.
    Length(u64),
    /// Chunks and trailers.
    Chunked,
    /// Everything until the sender closes; in answers only.
    UntilClose,
}

#[cfg(test)]
mod tests;
