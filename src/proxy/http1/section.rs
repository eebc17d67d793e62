//! The fields of a head, requests' and answers' alike: how long the body is, and what Connection
//! wants. It must not know the line before the fields.

use super::field::{Field, fault_of_field};
use super::scan::Scan;
use super::{Framing, Kind, Kinds, MAX_CONNECTION_OPTIONS, MAX_FIELDS, Version, Violation};

/// The fields of one head, gathered line by line.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Where the first line begins, counted from the head's first byte.
    pub(super) begins: usize,
    pub(super) fields: Vec<Field>,
    /// The kinds that occur.
    pub(super) kinds: Kinds,
    /// Connection names a field that has to be left out.
    pub(super) any_listed: bool,
    /// Content-Length, when there is one.
    length: Option<u64>,
    chunked: bool,
    /// Connection: close.
    close: bool,
    /// Connection: keep-alive.
    keep_alive: bool,
    /// Connection: upgrade.
    pub(super) upgrade: bool,
    /// How many other options Connection has.
    options: usize,
}

/// What the next line of a section is.
pub(super) enum Line {
    /// Not here yet, or not whole.
    Missing,
    Field(Field),
    /// The empty one; behind it is the body.
    End,
}

impl Section {
    pub(super) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Reads the next line.
    pub(super) fn next(&mut self, scan: &mut Scan, bytes: &[u8]) -> Result<Line, Violation> {
        if !scan.may_be_whole(bytes) {
            return Ok(Line::Missing);
        }
        if bytes[scan.line..].starts_with(b"\r\n") {
            scan.pass(scan.line + 2);
            return Ok(Line::End);
        }
        if let Some(field) = Field::read(bytes, scan.line) {
            scan.pass(field.line.to());
            self.take(field, bytes)?;
            return Ok(Line::Field(field));
        }
        match scan.end_of_line(bytes) {
            None => Ok(Line::Missing),
            Some(line) => Err(self.fault(line)),
        }
    }

    fn fault(&self, line: &[u8]) -> Violation {
        match line.strip_suffix(b"\r") {
            None => Violation::BareLf,
            Some(_) if self.fields.len() == MAX_FIELDS => Violation::TooManyFields,
            Some(line) => fault_of_field(line),
        }
    }

    fn take(&mut self, field: Field, bytes: &[u8]) -> Result<(), Violation> {
        if self.fields.len() == MAX_FIELDS {
            return Err(Violation::TooManyFields);
        }
        self.fields.push(field);
        if field.kind() == Kind::Other {
            return Ok(());
        }
        self.kinds = self.kinds.and(Kinds::of(&[field.kind()]));
        match field.kind() {
            Kind::ContentLength => self.content_length(field.value(bytes)),
            Kind::TransferEncoding => self.transfer_encoding(field.value(bytes)),
            Kind::Connection => self.connection(field.value(bytes)),
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(Violation::Lengths);
        }
        self.length = Some(decimal(value).ok_or(Violation::Length)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::Encoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Violation> {
        for option in options(value) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => self.options += 1,
            }
        }
        if self.options > MAX_CONNECTION_OPTIONS {
            return Err(Violation::TooManyOptions);
        }
        Ok(())
    }

    /// The last line was read: what the fields say together of the body. `None` when they are
    /// silent.
    pub(super) fn end(
        &mut self,
        version: Version,
        bytes: &[u8],
    ) -> Result<Option<Framing>, Violation> {
        if self.options > 0 {
            self.mark_listed(bytes);
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Violation::LengthAndEncoding),
            (None, true) if version == Version::Http10 => Err(Violation::EncodingInHttp10),
            (None, true) => Ok(Some(Framing::Chunked)),
            (Some(length), false) => Ok(Some(Framing::Length(length))),
            (None, false) => Ok(None),
        }
    }

    fn mark_listed(&mut self, bytes: &[u8]) {
        for at in 0..self.fields.len() {
            let connection = self.fields[at];
            if connection.kind() != Kind::Connection {
                continue;
            }
            for option in options(connection.value(bytes)) {
                for field in &mut self.fields {
                    if !Kinds::NEVER_LISTED.contains(field.kind())
                        && field.name(bytes).eq_ignore_ascii_case(option)
                    {
                        field.listed = true;
                        self.any_listed = true;
                    }
                }
            }
        }
    }

    /// Whether the sender lets the connection live on (RFC 9112 §9.3).
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// The fields of one kind, in their order.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Field> {
        let fields = if self.kinds.contains(kind) { &self.fields[..] } else { &[] };
        fields.iter().filter(move |field| field.kind() == kind)
    }
}

/// The members of a list of tokens, empty ones left out.
pub(super) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// A decimal number below 2⁶⁴, digits alone.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
