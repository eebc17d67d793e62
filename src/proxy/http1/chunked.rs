//! A chunked body (RFC 9112 §7.1): size lines and trailers byte by byte, data in whole stretches.
//! It must not know the head.

use super::kind::LONGEST_NAME;
use super::{Kind, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, Violation, is_control, is_token};

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    place: Place,
    extension_bytes: usize,
    trailer_bytes: usize,
    name: Name,
}

/// The beginning of a trailer's name, as far as it can be one that matters.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    text: [u8; LONGEST_NAME],
    /// How long the name is, which may be more than the text holds.
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn kind(&self) -> Kind {
        self.text.get(..self.length).map_or(Kind::Other, Kind::of)
    }
}

/// What stands next in the body: the bytes from there on, up to where the reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    Data { from: usize },
    Trailer { from: usize },
    Missing,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a chunk's size, `digits` of which were read.
    Size { digits: u8, size: u64 },
    /// Behind the `;` of a size line.
    Extension { size: u64 },
    /// Behind the CR of a size line.
    SizeLf { size: u64 },
    /// Before so many bytes of data.
    Data { left: u64 },
    /// Behind a chunk's data.
    DataCr,
    /// Behind a chunk's data and CR.
    DataLf,
    /// At the beginning of a trailer line.
    TrailerStart,
    /// In a trailer's name.
    TrailerName,
    /// In a trailer's value.
    TrailerValue,
    /// Behind a trailer's CR.
    TrailerLf,
    /// Behind the CR of the last, empty line.
    LastLf,
    /// Behind everything.
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

/// A size of 15 hexadecimal digits is below 2⁶⁰: no sum of sizes can overflow.
const MAX_SIZE_DIGITS: u8 = 15;

impl Chunked {
    pub(super) fn is_ended(&self) -> bool {
        self.place == Place::End
    }

    /// Reads on behind the next stretch, which is given with the place behind it.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<(usize, Stretch), Violation> {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::Data { left } => return Ok(self.data(left, at, bytes.len())),
                Place::End => return Ok((at, Stretch::End)),
                Place::TrailerName | Place::TrailerValue | Place::TrailerLf => {
                    return Ok((self.trailer(bytes, at)?, Stretch::Trailer { from: at }));
                }
                Place::TrailerStart if bytes[at] != b'\r' => {
                    return Ok((self.trailer(bytes, at)?, Stretch::Trailer { from: at }));
                }
                _ => self.place = self.step(bytes[at])?,
            }
            at += 1;
        }
        Ok((at, if self.is_ended() { Stretch::End } else { Stretch::Missing }))
    }

    fn data(&mut self, left: u64, from: usize, end: usize) -> (usize, Stretch) {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(end - from);
        let left = left - here as u64;
        self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
        (from + here, Stretch::Data { from })
    }

    /// The end of the trailer lines in these bytes. The last, empty line is none of them.
    fn trailer(&mut self, bytes: &[u8], from: usize) -> Result<usize, Violation> {
        for (at, &byte) in bytes.iter().enumerate().skip(from) {
            if self.place == Place::TrailerStart && byte == b'\r' {
                return Ok(at);
            }
            self.place = self.step(byte)?;
        }
        Ok(bytes.len())
    }

    fn step(&mut self, byte: u8) -> Result<Place, Violation> {
        match (self.place, byte) {
            (Place::Size { digits, size }, _) => size_line(digits, size, byte),
            (Place::Extension { size }, b'\r') => Ok(Place::SizeLf { size }),
            (Place::Extension { .. }, _) => {
                bounded(&mut self.extension_bytes, MAX_EXTENSION_BYTES)?;
                text(byte).map(|()| self.place)
            }
            (Place::SizeLf { size: 0 }, b'\n') => Ok(Place::TrailerStart),
            (Place::SizeLf { size }, b'\n') => Ok(Place::Data { left: size }),
            (Place::DataCr, b'\r') => Ok(Place::DataLf),
            (Place::DataLf, b'\n') => Ok(Place::Size { digits: 0, size: 0 }),
            (Place::TrailerStart, b'\r') => Ok(Place::LastLf),
            (Place::TrailerStart, b' ' | b'\t') => Err(Violation::Fold),
            (Place::TrailerStart | Place::TrailerName, _) => self.trailer_name(byte),
            (Place::TrailerValue, b'\r') => Ok(Place::TrailerLf),
            (Place::TrailerValue, _) => {
                bounded(&mut self.trailer_bytes, MAX_TRAILER_BYTES)?;
                text(byte).map(|()| Place::TrailerValue)
            }
            (Place::TrailerLf, b'\n') => Ok(Place::TrailerStart),
            (Place::LastLf, b'\n') => Ok(Place::End),
            (Place::SizeLf { .. } | Place::TrailerLf | Place::LastLf, _) => Err(Violation::BareCr),
            (Place::DataCr | Place::DataLf | Place::Data { .. } | Place::End, _) => {
                Err(Violation::Chunk)
            }
        }
    }

    fn trailer_name(&mut self, byte: u8) -> Result<Place, Violation> {
        bounded(&mut self.trailer_bytes, MAX_TRAILER_BYTES)?;
        if self.place == Place::TrailerStart {
            self.name = Name::default();
        }
        match byte {
            b':' if self.place == Place::TrailerName => match self.name.kind() {
                Kind::Other => Ok(Place::TrailerValue),
                _ => Err(Violation::Trailer),
            },
            b'\n' => Err(Violation::BareLf),
            _ if is_token(byte) => {
                self.name.push(byte);
                Ok(Place::TrailerName)
            }
            _ => Err(Violation::FieldName),
        }
    }
}

fn size_line(digits: u8, size: u64, byte: u8) -> Result<Place, Violation> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(Place::SizeLf { size }),
        b';' if digits > 0 => return Ok(Place::Extension { size }),
        b'\n' => return Err(Violation::BareLf),
        _ => return Err(Violation::Chunk),
    };
    if digits == MAX_SIZE_DIGITS {
        return Err(Violation::Chunk);
    }
    Ok(Place::Size { digits: digits + 1, size: size * 16 + u64::from(value) })
}

fn bounded(count: &mut usize, limit: usize) -> Result<(), Violation> {
    *count += 1;
    if *count > limit { Err(Violation::ChunkedTooLarge) } else { Ok(()) }
}

fn text(byte: u8) -> Result<(), Violation> {
    match byte {
        b'\n' => Err(Violation::BareLf),
        _ if is_control(byte) => Err(Violation::Control),
        _ => Ok(()),
    }
}
