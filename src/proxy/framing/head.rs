//! The head of one request, line by line. It must not know what follows the head.

use super::{Delimiter, MAX_FIELDS, MAX_HEAD_BYTES, Violation, is_control, is_token};

/// How far a head has been read, and what was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Up to where there is no LF: those bytes are not looked at again.
    scanned: usize,
    version: Option<Version>,
    fields: usize,
    host: bool,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

impl Head {
    /// Looks at a head from its first byte on. `Some` is its length and how the body is delimited.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<Option<(usize, Delimiter)>, Violation> {
        loop {
            let end = bytes[self.scanned..].iter().position(|&b| b == b'\n');
            // A line that ends beyond the limit and one whose end is not here yet are judged alike,
            // or the verdict would depend on how the network cut the text.
            let Some(lf) = end.map(|at| self.scanned + at).filter(|&lf| lf < MAX_HEAD_BYTES) else {
                if bytes.len() >= MAX_HEAD_BYTES {
                    return Err(Violation::HeadTooLarge);
                }
                self.scanned = bytes.len();
                return Ok(None);
            };
            let line = &bytes[self.line..lf];
            (self.line, self.scanned) = (lf + 1, lf + 1);
            let line = line.strip_suffix(b"\r").ok_or(Violation::BareLf)?;
            match (line, self.version) {
                // RFC 9112 §2.2: empty lines before the request line are ignored.
                (b"", None) => {}
                (b"", Some(version)) => return Ok(Some((lf + 1, self.end(version)?))),
                (_, None) => self.version = Some(request_line(line)?),
                (_, Some(_)) => self.field(line)?,
            }
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Violation> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(Violation::TooManyFields);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Violation::Fold);
        }
        let colon = line.iter().position(|&b| !is_token(b)).unwrap_or(line.len());
        if colon == 0 || line.get(colon) != Some(&b':') {
            return Err(no_colon(line, colon));
        }
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        no_controls(&line[colon + 1..])?;
        // The lengths sort out all names but three at the price of one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.host || value.contains(&b',') {
            return Err(Violation::Hosts);
        }
        self.host = true;
        if is_authority(value) { Ok(()) } else { Err(Violation::BadHost) }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(Violation::Lengths);
        }
        // `parse` alone would take a sign.
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Violation::Length);
        }
        let digits = std::str::from_utf8(value).map_err(|_| Violation::Length)?;
        self.length = Some(digits.parse().map_err(|_| Violation::Length)?);
        Ok(())
    }

    fn encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::Encoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn end(&self, version: Version) -> Result<Delimiter, Violation> {
        if version == Version::Http11 && !self.host {
            return Err(Violation::NoHost);
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Violation::LengthAndEncoding),
            (None, true) if version == Version::Http10 => Err(Violation::EncodingInHttp10),
            (None, true) => Ok(Delimiter::Chunked),
            (length, false) => Ok(Delimiter::Length(length.unwrap_or(0))),
        }
    }
}

/// Whether `text` may be a Host, or what becomes one (RFC 3986 §3.2): reg-name, IP literal and
/// port; no user information, no path.
fn is_authority(text: &[u8]) -> bool {
    text.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&b))
}

/// The authority of a target that is not just a path or `*`: it takes the place of Host.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target[0] == b'/' || target == b"*" {
        return None;
    }
    let of_scheme = |&b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let scheme = target.iter().position(|b| !of_scheme(b)).unwrap_or(target.len());
    let rest = target[scheme..].strip_prefix(b"://").unwrap_or(target);
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Why a line without `token:` at its beginning is refused.
fn no_colon(line: &[u8], at: usize) -> Violation {
    match line.get(at) {
        Some(b'\r') => Violation::BareCr,
        Some(&byte) if is_control(byte) => Violation::Control,
        _ => Violation::FieldName,
    }
}

fn no_controls(text: &[u8]) -> Result<(), Violation> {
    match text.iter().find(|&&b| is_control(b)) {
        None => Ok(()),
        Some(b'\r') => Err(Violation::BareCr),
        Some(_) => Err(Violation::Control),
    }
}

fn request_line(line: &[u8]) -> Result<Version, Violation> {
    no_controls(line)?;
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Violation::RequestLine);
    };
    let token = !method.is_empty() && method.iter().all(|&b| is_token(b));
    if !token || target.is_empty() || target.contains(&b'\t') {
        return Err(Violation::RequestLine);
    }
    if authority(target).is_some_and(|text| text.is_empty() || !is_authority(text)) {
        return Err(Violation::BadTarget);
    }
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ if version.starts_with(b"HTTP/") => Err(Violation::Version),
        _ => Err(Violation::RequestLine),
    }
}
