//! The body of a message, either leg's: which bytes belong to it, and which of those are data. It
//! must not know heads, nor where the body goes.

use super::chunked::{Chunked, Stretch};
use super::{Framing, Violation};

/// Finds the end of one body.
///
/// It keeps no bytes: [`advance`](Self::advance) tells how many of the next bytes are the body's,
/// to be passed on as they are; [`next`](Self::next) tells data and trailers apart for a receiver
/// that gets no chunks.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What [`Decoder::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// So many of the bytes are the body's. Fewer than were given only when it has ended.
    pub used: usize,
    /// The body has ended with them.
    pub ended: bool,
}

/// A stretch of a body, found by [`Decoder::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Part<'a> {
    /// So many of the bytes are behind it: ask again with the rest.
    pub used: usize,
    /// What they were.
    pub piece: Piece<'a>,
}

/// What a stretch of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Data, at least one byte.
    Data(&'a [u8]),
    /// The next bytes of the trailer section, checked, perhaps not whole lines: gather them (there
    /// are at most [`MAX_TRAILER_BYTES`](super::MAX_TRAILER_BYTES) and the ends of their lines) and
    /// give the whole to [`trailer_fields`].
    Trailer(&'a [u8]),
    /// The bytes are used up and the body has not ended.
    Missing,
    /// The body has ended; asked again, it says so again.
    End,
}

impl Decoder {
    /// The decoder for a body that a head has announced.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None => State::Length(0),
            Framing::Length(bytes) => State::Length(bytes),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether all of the body has been seen; at once when there is none.
    pub fn is_ended(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_ended(),
            State::UntilClose => false,
        }
    }

    /// Whether the body is whole if the sender closes the connection now.
    pub fn is_whole_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose) || self.is_ended()
    }

    /// How many bytes of data are still to come, where that is known.
    pub fn bytes_left(&self) -> Option<u64> {
        match &self.state {
            State::Length(left) => Some(*left),
            State::Chunked(chunked) => chunked.is_ended().then_some(0),
            State::UntilClose => None,
        }
    }

    /// Goes over the next bytes, which can be passed on as they are, size lines and trailers
    /// included.
    ///
    /// # Errors
    /// The body is malformed somewhere in these bytes: nothing of them may be passed on, and the
    /// decoder is of no use any more.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let mut used = 0;
        loop {
            let part = self.next(&bytes[used..])?;
            used += part.used;
            match part.piece {
                Piece::Data(_) | Piece::Trailer(_) => {}
                Piece::Missing => return Ok(Step { used, ended: false }),
                Piece::End => return Ok(Step { used, ended: true }),
            }
        }
    }

    /// Goes on to the next stretch. Everything was seen when that is [`Piece::Missing`] or
    /// [`Piece::End`].
    ///
    /// # Errors
    /// The body is malformed before the next stretch; the decoder is of no use any more.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Part<'a>, Violation> {
        match &mut self.state {
            State::Length(0) => Ok(Part { used: 0, piece: Piece::End }),
            State::Length(_) | State::UntilClose if bytes.is_empty() => {
                Ok(Part { used: 0, piece: Piece::Missing })
            }
            State::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= used as u64;
                Ok(Part { used, piece: Piece::Data(&bytes[..used]) })
            }
            State::UntilClose => Ok(Part { used: bytes.len(), piece: Piece::Data(bytes) }),
            State::Chunked(chunked) => {
                let (used, stretch) = chunked.next(bytes)?;
                let piece = match stretch {
                    Stretch::Data { from } => Piece::Data(&bytes[from..used]),
                    Stretch::Trailer { from } => Piece::Trailer(&bytes[from..used]),
                    Stretch::Missing => Piece::Missing,
                    Stretch::End => Piece::End,
                };
                Ok(Part { used, piece })
            }
        }
    }
}

/// Names and values of a trailer section that was gathered whole from [`Piece::Trailer`].
pub fn trailer_fields(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    section.split(|&b| b == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
