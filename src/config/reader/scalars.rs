//! Reads a value that is one word: texts, switches, numbers, durations, addresses.
//! It must not know what the values are for.

use std::net::SocketAddr;
use std::time::Duration;

use policy::settings::KeySource;

use super::{Reader, must_be, number_of, unknown, whole_in};
use crate::document::Value;
use crate::schema::Kind;
use crate::value;

impl Reader<'_> {
    /// A text, a name, a path of a request or of a file, a secret, or one of the key's words.
    pub fn text(&self, name: &str) -> Option<String> {
        self.read(name, |node, kind| {
            let text = node.as_text().ok_or_else(|| must_be(name, kind, node))?;
            let fits = match kind {
                Kind::Text(max) => !text.trim().is_empty() && text.chars().count() <= *max,
                Kind::Name => value::is_name(text),
                Kind::Target => is_target(text),
                Kind::File => is_file(text),
                Kind::Secret { min, max } => {
                    (*min..=*max).contains(&text.len())
                        && text.bytes().all(|byte| byte.is_ascii_graphic())
                }
                Kind::Word(words) if words.contains(&text) => true,
                Kind::Word(words) => return Err(unknown(name, text, words.iter().copied())),
                _ => unreachable!("{name} is not declared as a text"),
            };
            if fits { Ok(text.to_string()) } else { Err(must_be(name, kind, node)) }
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.read(name, |node, kind| match node.value {
            Value::Flag(flag) => Ok(flag),
            _ => Err(must_be(name, kind, node)),
        })
    }

    /// A whole number; `None` within for the word of [`Kind::WholeOr`].
    pub fn whole_or_word(&self, name: &str) -> Option<Option<u64>> {
        self.read(name, |node, kind| {
            let (min, max) = match kind {
                Kind::Whole { min, max } => (*min, *max),
                Kind::WholeOr { word, .. } if node.as_text() == Some(word) => return Ok(None),
                Kind::WholeOr { min, max, .. } => (*min, *max),
                _ => unreachable!("{name} is not declared as a whole number"),
            };
            whole_in(node, min, max).map(Some).ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.whole_or_word(name).flatten()
    }

    /// The same, its declared limit fitting 32 bits.
    pub fn whole_u32_or_word(&self, name: &str) -> Option<Option<u32>> {
        self.whole_or_word(name).map(|found| found.map(narrow))
    }

    /// A whole number whose declared limit fits 32 bits.
    pub fn whole_u32(&self, name: &str) -> Option<u32> {
        self.whole(name).map(narrow)
    }

    /// A number; `None` within for "off".
    pub fn number_or_off(&self, name: &str) -> Option<Option<f64>> {
        self.read(name, |node, kind| {
            let (min, above, max) = match kind {
                Kind::NumberOrOff { .. } if node.as_text() == Some("off") => return Ok(None),
                Kind::Number { min, above, max } | Kind::NumberOrOff { min, above, max } => {
                    (min, above, max)
                }
                _ => unreachable!("{name} is not declared as a number"),
            };
            let fits = |n: &f64| n <= max && if *above { n > min } else { n >= min };
            number_of(node).filter(fits).map(Some).ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.number_or_off(name).flatten()
    }

    /// What a request is recognised by.
    pub fn key_source(&self, name: &str) -> Option<KeySource> {
        self.read(name, |node, kind| {
            let source = node.as_text().and_then(|text| KeySource::parse(text).ok());
            source.ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A duration; `None` within for "off".
    pub fn duration_or_off(&self, name: &str) -> Option<Option<Duration>> {
        self.read(name, |node, kind| match (kind, node.as_text()) {
            (Kind::DurationOrOff, Some("off")) => Ok(None),
            (Kind::DurationOrOff | Kind::Duration { .. }, Some(text)) => {
                let duration = value::parse_duration(text)
                    .map_err(|message| format!("{name} = {} is {message}", value::shown(text)))?;
                let zero = matches!(kind, Kind::Duration { zero: true });
                if duration.is_zero() && !zero {
                    return Err(must_be(name, kind, node));
                }
                Ok(Some(duration))
            }
            _ => Err(must_be(name, kind, node)),
        })
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.duration_or_off(name).flatten()
    }

    /// A duration in seconds, not rounded to nanoseconds.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        // The getter for durations checks it and writes down what is wrong.
        self.duration(name)?;
        value::parse_seconds(self.table.get(name)?.as_text()?).ok()
    }

    /// A size in bytes.
    pub fn size(&self, name: &str) -> Option<u32> {
        self.read(name, |node, kind| {
            let Kind::Size(max) = kind else { unreachable!("{name} is not declared as a size") };
            let bytes =
                match node.as_text() {
                    Some(text) => Some(value::parse_size(text).map_err(|message| {
                        format!("{name} = {} is {message}", value::shown(text))
                    })?),
                    None => whole_in(node, 0, u64::MAX),
                };
            let fits = bytes.filter(|bytes| bytes <= max).and_then(|bytes| bytes.try_into().ok());
            fits.ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// An address and a port.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.read(name, |node, kind| {
            let address = node.as_text().and_then(|text| text.parse().ok());
            address.ok_or_else(|| must_be(name, kind, node))
        })
    }
}

/// The most characters of a request's path.
const TARGET_CHARACTERS: usize = 2048;

/// What may stand in a request line between its two spaces.
fn is_target(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= TARGET_CHARACTERS
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// The most characters of a file's path: Linux's own limit.
const FILE_CHARACTERS: usize = 4096;

fn is_file(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= FILE_CHARACTERS && !text.contains('\0')
}

fn narrow(whole: u64) -> u32 {
    u32::try_from(whole).expect("the key's declared limit fits 32 bits")
}
