//! The head of a request. It must not know where the request goes, nor what the body holds.

use super::chars::{is_authority, skip_text, skip_token};
use super::field::{Field, Span, fault_of_text};
use super::render::{put_field, put_kept};
use super::scan::Scan;
use super::section::{Line, Section, options};
use super::target::Form;
use super::{Framing, Kind, Kinds, Method, Version, Violation};

/// The head of a request. One is kept per connection: its memory serves all requests on it.
///
/// It holds places and no text: all getters that give text take the bytes that were parsed, from
/// the head's first byte on.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    scan: Scan,
    /// The request line was read.
    begun: bool,
    /// All was read.
    complete: bool,
    method: Method,
    method_text: Span,
    target: Span,
    form: Form,
    version: Version,
    section: Section,
    framing: Framing,
    expects_continue: bool,
    upgrades: bool,
}

impl RequestHead {
    /// What does not go upstream: what is of this hop, and Expect, which the proxy meets itself.
    const DROPPED: Kinds = Kinds::OF_THIS_HOP.and(Kinds::of(&[Kind::Expect]));

    /// A head with no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a head. `bytes` are all bytes from its first one on, those of earlier calls included,
    /// which are not looked at again; empty lines before the request belong to it (RFC 9112 §2.2).
    ///
    /// `Some` is the head's length; what follows is the body, then the next head, for which `parse`
    /// begins anew by itself. `None`: call again with more. The getters speak of a head that is
    /// complete.
    ///
    /// # Errors
    /// The first [`Violation`]; the connection has to be closed after the answer.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        if self.complete {
            self.clear();
        }
        let bytes = Scan::within(bytes);
        while !self.begun {
            if !self.first_line(bytes)? {
                return Scan::unfinished(bytes);
            }
        }
        loop {
            match self.section.next(&mut self.scan, bytes)? {
                Line::Missing => return Scan::unfinished(bytes),
                Line::Field(field) => self.field(&field, bytes)?,
                Line::End => {
                    self.end(bytes)?;
                    return Ok(Some(self.scan.line));
                }
            }
        }
    }

    /// Whether a head was begun and is not whole yet: the client owes the rest.
    pub fn is_begun(&self) -> bool {
        self.begun && !self.complete
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        let mut section = std::mem::take(&mut self.section);
        section.clear();
        *self = Self { section, ..Self::default() };
    }

    /// Reads an empty line or the request line; false if it is not whole.
    fn first_line(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        if !self.scan.may_be_whole(bytes) {
            return Ok(false);
        }
        let from = self.scan.line;
        let cr = skip_text(bytes, from);
        if !bytes[cr..].starts_with(b"\r\n") {
            let Some(line) = self.scan.end_of_line(bytes) else { return Ok(false) };
            let Some(line) = line.strip_suffix(b"\r") else { return Err(Violation::BareLf) };
            return Err(fault_of_text(line).unwrap_or(Violation::RequestLine));
        }
        self.scan.pass(cr + 2);
        if cr > from {
            self.request_line(bytes, from, cr)?;
            self.section.begins = cr + 2;
            self.begun = true;
        }
        Ok(true)
    }

    /// Reads `METHOD SP target SP HTTP/1.x`, in which is no control character but HTAB.
    fn request_line(&mut self, bytes: &[u8], from: usize, to: usize) -> Result<(), Violation> {
        let line = &bytes[..to];
        let method = skip_token(line, from);
        if method == from || line.get(method) != Some(&b' ') {
            return Err(Violation::RequestLine);
        }
        let target = &line[method + 1..];
        let Some(length) = target.iter().position(|b| matches!(b, b' ' | b'\t')) else {
            return Err(Violation::RequestLine);
        };
        let (target, version) = (&target[..length], &target[length + 1..]);
        if target.is_empty() || line[method + 1 + length] == b'\t' {
            return Err(Violation::RequestLine);
        }
        self.version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ if !version.starts_with(b"HTTP/") || version.contains(&b' ') => {
                return Err(Violation::RequestLine);
            }
            _ => return Err(Violation::Version),
        };
        self.method = Method::of(&line[from..method]);
        self.form = Form::of(self.method, target)?;
        self.method_text = Span::new(from, method);
        self.target = Span::new(method + 1, method + 1 + length);
        Ok(())
    }

    fn field(&mut self, field: &Field, bytes: &[u8]) -> Result<(), Violation> {
        let value = field.value(bytes);
        match field.kind() {
            Kind::Host => {
                let given = self.section.of_kind(Kind::Host).count();
                if given > 1 || value.contains(&b',') {
                    Err(Violation::Hosts)
                } else if is_authority(value) {
                    Ok(())
                } else {
                    Err(Violation::BadHost)
                }
            }
            // RFC 9110 §10.1.1: HTTP/1.0 knows no expectation.
            Kind::Expect if self.version == Version::Http11 => {
                self.expects_continue = true;
                match value.eq_ignore_ascii_case(b"100-continue") {
                    true => Ok(()),
                    false => Err(Violation::Expectation),
                }
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if self.version == Version::Http11 && !self.has_host_field() {
            return Err(Violation::NoHost);
        }
        self.framing = self.section.end(self.version, bytes)?.unwrap_or_default();
        let has_body = !matches!(self.framing, Framing::None | Framing::Length(0));
        self.expects_continue &= has_body;
        // RFC 9110 §7.8: whoever answers may ignore the wish, and in HTTP/1.0 must. It is ignored
        // with a body, which would stand between the head and the other protocol. `h2c` is never
        // passed on: inside it this proxy would not see the requests (and RFC 9113 has dropped it).
        self.upgrades = self.section.upgrade
            && self.version == Version::Http11
            && !has_body
            && self.section.kinds.contains(Kind::Upgrade)
            && !self
                .values(Kind::Upgrade, bytes)
                .any(|value| options(value).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c")));
        self.complete = true;
        Ok(())
    }

    /// The method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The method's text.
    pub fn method_text<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.method_text.of(head)
    }

    /// The target as it was written.
    pub fn target<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.target.of(head)
    }

    /// Path and query as they go upstream; `/` or `*` (of OPTIONS) when the URL has no path, and
    /// without its leading `/` when that begins with the query.
    pub fn path<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        match (self.form, self.target(head)) {
            (Form::Absolute { rest, .. }, target) => match &target[rest as usize..] {
                // RFC 9112 §3.2.4: the last proxy gives a server-wide OPTIONS its asterisk back.
                b"" if self.method == Method::Options => b"*",
                b"" => b"/",
                path => path,
            },
            (_, target) => target,
        }
    }

    /// The host (and port) that the request is for: the URL's when the target is one, else that of
    /// Host. `None` only in HTTP/1.0.
    pub fn host<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        match (self.form, self.target(head)) {
            (Form::Absolute { authority, rest }, target) => {
                Some(&target[authority as usize..rest as usize])
            }
            (Form::Authority, target) => Some(target),
            _ => self.section.of_kind(Kind::Host).next().map(|field| field.value(head)),
        }
    }

    const fn has_host_field(&self) -> bool {
        self.section.kinds.contains(Kind::Host)
    }

    /// The version of the client's message.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How the end of the body is found; never [`Framing::UntilClose`].
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client wants to use the connection again.
    pub fn keeps_alive(&self) -> bool {
        self.section.keeps_alive(self.version)
    }

    /// Whether the client waits for `100 Continue` before it sends the body, which it has.
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the client wants another protocol (Connection: upgrade), and that may be passed on.
    pub const fn upgrades(&self) -> bool {
        self.upgrades
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

    /// Appends the head that goes to a backend, but not its last, empty line: further fields may
    /// follow ([`put_field`]), then [`end_head`](super::end_head).
    ///
    /// The request line speaks HTTP/1.1 and has the target in origin form. All fields follow as
    /// they are, in their order, without those of this hop ([`Kinds::OF_THIS_HOP`]), those that
    /// Connection names, Expect, and the kinds in `drop`. A URL's authority takes the place of
    /// Host; a request without either (HTTP/1.0) gets none. Of a request that
    /// [`upgrades`](Self::upgrades), Upgrade stays and `connection: upgrade` is put, unless `drop`
    /// has [`Kind::Upgrade`].
    pub fn render_upstream(&self, head: &[u8], drop: Kinds, out: &mut Vec<u8>) {
        debug_assert!(self.complete, "only a complete head has everything to write");
        let upgrades = self.upgrades && !drop.contains(Kind::Upgrade);
        let mut drop = drop.and(Self::DROPPED);
        if upgrades {
            drop = drop.without(Kinds::of(&[Kind::Upgrade]));
        }
        let absolute = matches!(self.form, Form::Absolute { .. });
        let from = match self.version {
            Version::Http11 if !absolute => self.method_text.from(),
            _ => {
                self.put_request_line(head, out);
                self.section.begins
            }
        };
        if absolute {
            drop = drop.and(Kinds::of(&[Kind::Host]));
            put_field(out, b"Host", &[self.host(head).unwrap_or_default()]);
        }
        put_kept(&self.section, head, from, drop, out);
        if upgrades {
            put_field(out, b"connection", &[b"upgrade"]);
        }
    }

    fn put_request_line(&self, head: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.method_text(head));
        out.push(b' ');
        let path = self.path(head);
        if path.first() == Some(&b'?') {
            out.push(b'/');
        }
        out.extend_from_slice(path);
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }

    /// Appends one field with all values of a kind as a list, and `last` behind them: the chain in
    /// X-Forwarded-For. Values that Connection names are left out. The kind belongs into the `drop`
    /// of [`render_upstream`](Self::render_upstream).
    pub fn put_list(&self, head: &[u8], kind: Kind, name: &[u8], last: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        for field in self.section.of_kind(kind).filter(|field| !field.listed) {
            out.extend_from_slice(field.value(head));
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(last);
        out.extend_from_slice(b"\r\n");
    }
}
