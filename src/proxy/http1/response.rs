//! The head of an answer. It must not know which backend gave it, nor who gets it.

use super::chars::skip_text;
use super::field::{Field, Span, fault_of_text};
use super::render::{put_field, put_kept};
use super::scan::Scan;
use super::section::{Line, Section};
use super::{Framing, Kind, Kinds, Method, Version, Violation};

/// The head of an answer. One is kept per connection: its memory serves all answers on it.
///
/// It holds places and no text: all getters that give text take the bytes that were parsed, from
/// the head's first byte on.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    scan: Scan,
    begun: bool,
    complete: bool,
    version: Version,
    status: u16,
    reason: Span,
    section: Section,
    framing: Framing,
}

/// The client that gets an answer, as far as its head must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The version of its request.
    pub version: Version,
    /// Whether its connection stays open after this answer.
    pub keep_alive: bool,
}

impl ResponseHead {
    /// A head with no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the head of an answer to a request with that method. `bytes` are all bytes from its
    /// first one on, those of earlier calls included, which are not looked at again.
    ///
    /// `Some` is the head's length. After an interim answer ([`is_interim`](Self::is_interim)) the
    /// next head follows; `parse` begins anew by itself. `None`: call again with more. The getters
    /// speak of a head that is complete.
    ///
    /// # Errors
    /// The first [`Violation`]: what the backend sends is not to be trusted, its connection has to
    /// be closed.
    pub fn parse(&mut self, bytes: &[u8], method: Method) -> Result<Option<usize>, Violation> {
        if self.complete {
            self.clear();
        }
        let bytes = Scan::within(bytes);
        if !self.begun && !self.first_line(bytes)? {
            return Scan::unfinished(bytes);
        }
        loop {
            match self.section.next(&mut self.scan, bytes)? {
                Line::Missing => return Scan::unfinished(bytes),
                Line::Field(_) => {}
                Line::End => {
                    self.framing = self.framing_of(bytes, method)?;
                    self.complete = true;
                    return Ok(Some(self.scan.line));
                }
            }
        }
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        let mut section = std::mem::take(&mut self.section);
        section.clear();
        *self = Self { section, ..Self::default() };
    }

    fn first_line(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        if !self.scan.may_be_whole(bytes) {
            return Ok(false);
        }
        let cr = skip_text(bytes, 0);
        if !bytes[cr..].starts_with(b"\r\n") {
            let Some(line) = self.scan.end_of_line(bytes) else { return Ok(false) };
            let Some(line) = line.strip_suffix(b"\r") else { return Err(Violation::BareLf) };
            return Err(fault_of_text(line).unwrap_or(Violation::StatusLine));
        }
        self.scan.pass(cr + 2);
        self.status_line(&bytes[..cr])?;
        self.section.begins = cr + 2;
        self.begun = true;
        Ok(true)
    }

    /// Reads `HTTP/1.x SP status SP reason`. Servers that leave out an empty reason often leave out
    /// the space too.
    fn status_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        self.version = match line.get(..9) {
            Some(b"HTTP/1.1 ") => Version::Http11,
            Some(b"HTTP/1.0 ") => Version::Http10,
            Some([b'H', b'T', b'T', b'P', b'/', _, b'.', _, b' ']) => {
                return Err(Violation::Version);
            }
            _ => return Err(Violation::StatusLine),
        };
        let (&[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], b"" | [b' ', ..]) =
            line[9..].split_first_chunk::<3>().ok_or(Violation::StatusLine)?
        else {
            return Err(Violation::StatusLine);
        };
        self.status = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        self.reason = Span::new(line.len().min(13), line.len());
        Ok(())
    }

    /// RFC 9112 §6.3, its rules in their order; what it lets a client repair is refused.
    fn framing_of(&mut self, bytes: &[u8], method: Method) -> Result<Framing, Violation> {
        let said = self.section.end(self.version, bytes)?;
        Ok(match self.status {
            100..=199 | 204 | 304 => Framing::None,
            _ if method.is_head() => Framing::None,
            _ => said.unwrap_or(Framing::UntilClose),
        })
    }

    /// The status, 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The text behind the status, often empty.
    pub fn reason<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.reason.of(head)
    }

    /// The version of the backend's message.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether another answer to the same request follows: 1xx, but not 101.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether it is `101 Switching Protocols`: what follows is not HTTP.
    pub const fn switches(&self) -> bool {
        self.status == 101
    }

    /// How the end of the body is found.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the backend's connection can be used again when the body has ended.
    pub fn keeps_alive(&self) -> bool {
        !self.switches()
            && self.framing != Framing::UntilClose
            && self.section.keeps_alive(self.version)
    }

    /// Whether a client of that version can find the end of the body while its connection stays
    /// open: it must have a length, or chunks that the client knows.
    pub fn can_keep_client(&self, version: Version) -> bool {
        match self.framing {
            Framing::None | Framing::Length(_) => true,
            Framing::Chunked => version == Version::Http11,
            Framing::UntilClose => false,
        }
    }

    /// All fields in their order.
    pub fn fields(&self) -> &[Field] {
        &self.section.fields
    }

    /// The kinds that occur.
    pub const fn kinds(&self) -> Kinds {
        self.section.kinds
    }

    /// The values of the fields of a kind.
    pub fn values<'a>(&'a self, kind: Kind, head: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.section.of_kind(kind).map(move |field| field.value(head))
    }

    /// The value of the first field of that name, in whatever case.
    pub fn get<'a>(&self, name: &[u8], head: &'a [u8]) -> Option<&'a [u8]> {
        let field = self.fields().iter().find(|f| f.name(head).eq_ignore_ascii_case(name))?;
        Some(field.value(head))
    }

    /// Appends the head that goes to a client, but not its last, empty line: further fields may
    /// follow ([`put_field`]), then [`end_head`](super::end_head).
    ///
    /// The status line speaks HTTP/1.1 whatever the client speaks (RFC 9110 §6.2). All fields
    /// follow as they are, in their order, without those of this hop ([`Kinds::OF_THIS_HOP`]),
    /// those that Connection names, and the kinds in `drop`. Lengths that must not be there (1xx,
    /// 204) go too, and for a client of another version than HTTP/1.1 Transfer-Encoding: it gets
    /// the data without chunks. A Connection field is put as the client's version needs it. Of 101, Upgrade stays and
    /// `connection: upgrade` is put.
    pub fn render_downstream(&self, head: &[u8], to: Receiver, drop: Kinds, out: &mut Vec<u8>) {
        debug_assert!(self.complete, "only a complete head has everything to write");
        const LENGTHS: Kinds = Kinds::of(&[Kind::ContentLength, Kind::TransferEncoding]);
        let mut drop = drop.and(Kinds::OF_THIS_HOP);
        if matches!(self.status, 100..=199 | 204) {
            drop = drop.and(LENGTHS);
        }
        match to.version {
            Version::Http10 => {
                drop = drop.and(Kinds::of(&[Kind::TransferEncoding, Kind::Trailer]));
            }
            Version::Http11 => {}
            Version::Http2 => drop = drop.and(Kinds::of(&[Kind::TransferEncoding])),
        }
        if self.switches() {
            drop = drop.without(Kinds::of(&[Kind::Upgrade]));
        }
        let from = match self.version {
            Version::Http11 | Version::Http2 => 0,
            Version::Http10 => {
                out.extend_from_slice(b"HTTP/1.1");
                "HTTP/1.0".len()
            }
        };
        put_kept(&self.section, head, from, drop, out);
        let option: &[u8] = match (to.version, to.keep_alive) {
            _ if self.switches() => b"upgrade",
            _ if self.is_interim() => return,
            (Version::Http11, true) | (Version::Http10, false) | (Version::Http2, _) => return,
            (Version::Http11, false) => b"close",
            (Version::Http10, true) => b"keep-alive",
        };
        put_field(out, b"connection", &[option]);
    }
}
