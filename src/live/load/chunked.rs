//! The chunked transfer coding (RFC 9112 §7.1), read only to find where a body ends.
//! It must not keep a byte of it.

use super::response::{Fed, HEAD_LIMIT, Malformed};

/// Hexadecimal digits of the largest size that fits into 64 bits.
const SIZE_DIGITS: u8 = 16;

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a size, after this many digits.
    Size { digits: u8 },
    /// Between a size and the end of its line.
    Extension,
    /// At the line feed after a size.
    SizeEnd,
    /// In the data.
    Data,
    /// At the carriage return after the data.
    DataReturn,
    /// At the line feed after the data.
    DataEnd,
    /// At the beginning of a line after the last chunk.
    Line,
    /// In a trailer field.
    Field,
    /// At the line feed of a trailer field.
    FieldEnd,
    /// At the line feed that ends the body.
    End,
}

/// A chunked body, up to here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    place: Place,
    /// The size of the chunk, counted down through its data.
    left: u64,
    /// Bytes of extensions and trailers so far: nobody needs them, so they have a limit.
    ballast: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { place: Place::Size { digits: 0 }, left: 0, ballast: 0 }
    }
}

impl Chunked {
    /// Takes the next bytes; [`Fed::Whole`] says how many of them were the body's.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            if matches!(self.place, Place::Data) {
                let taken = self.left.min((bytes.len() - at) as u64);
                self.left -= taken;
                at += taken as usize;
                if self.left == 0 {
                    self.place = Place::DataReturn;
                }
                continue;
            }
            if matches!(self.place, Place::End) {
                return if bytes[at] == b'\n' { Ok(Fed::Whole(at + 1)) } else { Err(Malformed) };
            }
            self.place = self.step(bytes[at])?;
            at += 1;
        }
        Ok(Fed::More)
    }

    /// Where this byte, which is not data, leads.
    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        Ok(match (self.place, byte) {
            (Place::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == SIZE_DIGITS {
                    return Err(Malformed);
                }
                let digit = (byte as char).to_digit(16).ok_or(Malformed)?;
                self.left = self.left << 4 | u64::from(digit);
                Place::Size { digits: digits + 1 }
            }
            (Place::Size { digits: 0 }, _) => return Err(Malformed),
            (Place::Size { .. } | Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Size { .. }, b';' | b' ' | b'\t') => self.carry(Place::Extension)?,
            (Place::Extension, 0..=8 | 10..=31) => return Err(Malformed),
            (Place::Extension, _) => self.carry(Place::Extension)?,
            (Place::SizeEnd, b'\n') if self.left == 0 => Place::Line,
            (Place::SizeEnd, b'\n') => Place::Data,
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => Place::Size { digits: 0 },
            (Place::Line, b'\r') => Place::End,
            (Place::Field, b'\r') => Place::FieldEnd,
            (Place::FieldEnd, b'\n') => Place::Line,
            (Place::Line | Place::Field, b' '..=b'~' | b'\t' | 128..) => {
                self.carry(Place::Field)?
            }
            _ => return Err(Malformed),
        })
    }

    fn carry(&mut self, next: Place) -> Result<Place, Malformed> {
        self.ballast += 1;
        if self.ballast > HEAD_LIMIT { Err(Malformed) } else { Ok(next) }
    }
}
