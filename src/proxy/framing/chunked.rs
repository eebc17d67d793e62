//! The chunked body of one request, byte by byte. It must not know the head.

use super::{MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, Violation, is_control, is_token};

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    place: Place,
    extension_bytes: usize,
    trailer_bytes: usize,
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
    /// Looks at the next bytes of the body: how many are good, and whether the body is complete.
    pub(super) fn look(&mut self, bytes: &[u8]) -> (usize, Result<bool, Violation>) {
        let mut at = 0;
        while at < bytes.len() && self.place != Place::End {
            if let Place::Data { left } = self.place {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                continue;
            }
            match self.step(bytes[at]) {
                Ok(place) => self.place = place,
                Err(violation) => return (at, Err(violation)),
            }
            at += 1;
        }
        (at, Ok(self.place == Place::End))
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
        match byte {
            b':' if self.place == Place::TrailerName => Ok(Place::TrailerValue),
            b'\n' => Err(Violation::BareLf),
            _ if is_token(byte) => Ok(Place::TrailerName),
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
