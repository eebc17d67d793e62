//! One header field: where in a head it stands, and its kind. It must not know what fields mean.

use super::chars::{is_control, is_token, skip_text, skip_token};
use super::{Kind, Violation};

/// A stretch of a head, counted from its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    /// From one place up to another in a head, which is far shorter than 4 GiB.
    pub(super) const fn new(from: usize, to: usize) -> Self {
        Self { from: from as u32, to: to as u32 }
    }

    pub(super) const fn from(self) -> usize {
        self.from as usize
    }

    pub(super) const fn to(self) -> usize {
        self.to as usize
    }

    /// What stands there.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.from()..self.to()]
    }
}

/// A header field of a head; the text stays in the head's bytes, which its getters need.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The line with its CR LF.
    pub(super) line: Span,
    /// The value without white space round it.
    value: Span,
    colon: u32,
    kind: Kind,
    /// Connection names it, so it ends here.
    pub(super) listed: bool,
}

impl Field {
    /// The name, as it was written.
    pub fn name<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.line.from()..self.colon as usize]
    }

    /// The value, without white space round it.
    pub fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.value.of(head)
    }

    /// Which of the names that a proxy must know it has.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether Connection names it: it is not passed on.
    pub const fn is_listed(&self) -> bool {
        self.listed
    }

    /// The field whose line begins at `at`, if that is whole and right.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let colon = skip_token(bytes, at);
        if colon == at || bytes.get(colon) != Some(&b':') {
            return None;
        }
        let mut from = colon + 1;
        while matches!(bytes.get(from), Some(b' ' | b'\t')) {
            from += 1;
        }
        let cr = skip_text(bytes, from);
        if !bytes[cr..].starts_with(b"\r\n") {
            return None;
        }
        let mut to = cr;
        while to > from && matches!(bytes[to - 1], b' ' | b'\t') {
            to -= 1;
        }
        let kind = Kind::of(&bytes[at..colon]);
        let (line, value) = (Span::new(at, cr + 2), Span::new(from, to));
        Some(Self { line, value, colon: colon as u32, kind, listed: false })
    }
}

/// What is wrong with a field's line, of which [`Field::read`] has made nothing; without its CR LF.
pub(super) fn fault_of_field(line: &[u8]) -> Violation {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Violation::Fold;
    }
    let colon = line.iter().position(|&b| !is_token(b)).unwrap_or(line.len());
    match line.get(colon) {
        Some(b':') if colon > 0 => fault_of_text(&line[colon..]).unwrap_or(Violation::FieldName),
        Some(b'\r') => Violation::BareCr,
        Some(&byte) if is_control(byte) => Violation::Control,
        _ => Violation::FieldName,
    }
}

/// Which control character stands in a line that must have none.
pub(super) fn fault_of_text(line: &[u8]) -> Option<Violation> {
    line.iter().find(|&&b| is_control(b)).map(|byte| match byte {
        b'\r' => Violation::BareCr,
        _ => Violation::Control,
    })
}
