//! The answer's syntax: an incremental parser of one HTTP/1.x response after another.
//!
//! It keeps the head's bytes only while a head is split between reads, and no body at all. It must
//! not know sockets or clocks: bytes go in, and how they are cut must not matter.

use std::collections::HashMap;
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

use super::chunked::Chunked;

/// The longest head that is read: twice what nginx and HAProxy let through by default (8 KiB).
pub(super) const HEAD_LIMIT: usize = 16 * 1024;

/// The most header fields of a head; HAProxy's default limit is 101.
const FIELD_LIMIT: usize = 100;

/// The backends' names as they stand in `x-lab-backend`, with their places in the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashMap<Box<[u8]>, u32>);

impl Names {
    /// The names in the plan's order.
    pub(super) fn new(backends: &[String]) -> Self {
        // `zip` ends with the shorter side: 2³² backends do not fit into a run anyway.
        Self(backends.iter().map(|name| name.as_bytes().into()).zip(0..).collect())
    }
}

/// The head of a final answer, as far as it concerns a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// 200 to 999.
    pub(super) status: u16,
    /// Index into the plan's backends, when the answer names one of them.
    pub(super) backend: Option<u32>,
    /// Whether the connection may carry another request.
    pub(super) keep_alive: bool,
}

/// What some bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// The answer goes on.
    More,
    /// The answer is whole; this many of the bytes belong to it.
    Whole(usize),
}

/// The bytes are not an answer in HTTP/1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Counted { left: u64 },
    Chunked(Chunked),
    UntilClose,
    Whole,
}

/// How the body's length is known (RFC 9112 §6.3).
enum Framing {
    Counted(u64),
    Chunked,
    UntilClose,
}

/// Parses the answers of one connection, one at a time.
#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    /// A head's bytes so far; empty unless a read ended within it. Its memory is kept.
    partial: Vec<u8>,
    head: Option<Head>,
    bodiless: bool,
}

impl Parser {
    /// A parser for answers to requests of one method; `bodiless` when that is HEAD.
    pub(super) fn new(bodiless: bool) -> Self {
        Self { state: State::Head, partial: Vec::new(), head: None, bodiless }
    }

    /// Gets ready for the next answer.
    pub(super) fn reset(&mut self) {
        self.state = State::Head;
        self.partial.clear();
        self.head = None;
    }

    /// The final head, once it is there.
    pub(super) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes the next bytes. After [`Fed::Whole`] or an error only [`Parser::reset`] makes sense.
    pub(super) fn feed(&mut self, bytes: &[u8], names: &Names) -> Result<Fed, Malformed> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.state {
                State::Whole => return Ok(Fed::Whole(used)),
                State::Head if rest.is_empty() => return Ok(Fed::More),
                State::Head => match self.feed_head(rest, names)? {
                    Some(taken) => used += taken,
                    None => return Ok(Fed::More),
                },
                State::Counted { left } => {
                    let taken = (*left).min(rest.len() as u64);
                    *left -= taken;
                    used += taken as usize;
                    if *left > 0 {
                        return Ok(Fed::More);
                    }
                    self.state = State::Whole;
                }
                State::Chunked(chunked) => match chunked.feed(rest)? {
                    Fed::More => return Ok(Fed::More),
                    Fed::Whole(taken) => {
                        used += taken;
                        self.state = State::Whole;
                    }
                },
                State::UntilClose => return Ok(Fed::More),
            }
        }
    }

    /// The peer has closed its side: whether that makes the answer whole.
    pub(super) fn ends_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Whole)
    }

    /// How many of `bytes` belong to the head, when it ends within them.
    fn feed_head(&mut self, bytes: &[u8], names: &Names) -> Result<Option<usize>, Malformed> {
        if self.partial.is_empty() {
            // The common case: the whole head in one read, parsed where it lies.
            let parsed = parse_head(bytes, self.bodiless, names)?;
            if parsed.is_none() {
                self.keep(bytes)?;
            }
            return Ok(parsed.map(|parsed| self.accept(&parsed)));
        }
        let before = self.partial.len();
        self.keep(&bytes[..bytes.len().min(HEAD_LIMIT + 1 - before)])?;
        // From the beginning again: quadratic only in a head that comes in tiny pieces, and bounded.
        let Some(parsed) = parse_head(&self.partial, self.bodiless, names)? else {
            return if self.partial.len() > HEAD_LIMIT { Err(Malformed) } else { Ok(None) };
        };
        self.partial.clear();
        Ok(Some(self.accept(&parsed) - before))
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        // One byte more than allowed is kept, so that a head too long is known by its length.
        if self.partial.len() + bytes.len() > HEAD_LIMIT + 1 {
            return Err(Malformed);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Goes on to what follows this head; returns its length.
    fn accept(&mut self, parsed: &Parsed) -> usize {
        if let Some((head, framing)) = &parsed.last {
            self.head = Some(*head);
            self.state = match *framing {
                Framing::Counted(left) => State::Counted { left },
                Framing::Chunked => State::Chunked(Chunked::default()),
                Framing::UntilClose => State::UntilClose,
            };
        }
        parsed.length
    }
}

/// A head that is complete: its length, and what it says unless it is an interim one (1xx).
struct Parsed {
    length: usize,
    last: Option<(Head, Framing)>,
}

fn parse_head(bytes: &[u8], bodiless: bool, names: &Names) -> Result<Option<Parsed>, Malformed> {
    let mut space = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELD_LIMIT];
    let mut response = Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut space)
        .map_err(|_| Malformed)?;
    let Status::Complete(length) = status else {
        return Ok(None);
    };
    if length > HEAD_LIMIT {
        return Err(Malformed);
    }
    let (Some(code), Some(version)) = (response.code, response.version) else {
        return Err(Malformed);
    };
    match code {
        // Nobody asked for another protocol, so nobody may switch to one.
        ..=99 | 101 => Err(Malformed),
        100..=199 => Ok(Some(Parsed { length, last: None })),
        _ => {
            let last = read_fields(response.headers, code, version, bodiless, names)?;
            Ok(Some(Parsed { length, last: Some(last) }))
        }
    }
}

fn read_fields(
    fields: &[Header<'_>],
    status: u16,
    version: u8,
    bodiless: bool,
    names: &Names,
) -> Result<(Head, Framing), Malformed> {
    let (mut length, mut chunked, mut backend) = (None, false, None);
    // HTTP/1.1 keeps connections open unless told otherwise, HTTP/1.0 closes them.
    let (mut close, mut keep) = (false, version >= 1);
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = parse_length(field.value)?;
            if length.is_some_and(|known| known != value) {
                return Err(Malformed);
            }
            length = Some(value);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            // No request of ours offers another coding (`TE`), so none may come.
            if chunked || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed);
            }
            chunked = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            close |= names_token(field.value, b"close");
            keep |= names_token(field.value, b"keep-alive");
        } else if field.name.eq_ignore_ascii_case("x-lab-backend") {
            backend = names.0.get(field.value.trim_ascii()).copied();
        }
    }
    let framing = match (chunked, length) {
        // Two lengths that may differ: RFC 9112 §6.3 calls for an error.
        (true, Some(_)) => return Err(Malformed),
        _ if bodiless || matches!(status, 204 | 304) => Framing::Counted(0),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Counted(length),
        (false, None) => Framing::UntilClose,
    };
    let keep_alive = keep && !close && !matches!(framing, Framing::UntilClose);
    Ok((Head { status, backend, keep_alive }, framing))
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.trim_ascii();
    // `parse` would take a sign.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

fn names_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
