//! What the recorder inside Artillery notes, line by line (artillery/recorder.cjs). It must not
//! know what is made of it.

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    /// Artillery's main thread has begun.
    Hello { pid: i32, node: String, version: String },
    /// A phase has begun.
    Phase { index: usize, at_ns: u64 },
    /// A phase has ended.
    Over { index: usize, at_ns: u64 },
    /// A request was due.
    Begin { number: u64, at_ns: u64 },
    /// A request has ended.
    End(End),
    /// A worker's event loop since its note before: the share of time that it was busy, and the
    /// longest it was late.
    Loop { at_ns: u64, busy: f64, late_ns: u64 },
    /// A counter of Artillery's own.
    Total { name: String, value: u64 },
    /// Artillery's own figures of how long its users took, ms.
    Session { p50_ms: f64, p99_ms: f64 },
    /// All has been told.
    Bye,
}

/// How a request ended. All times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) number: u64,
    /// When all of it had been written, if ever.
    pub(super) sent_ns: Option<u64>,
    pub(super) ended_ns: u64,
    /// Of a whole answer.
    pub(super) status: Option<u16>,
    /// As the answer names it.
    pub(super) backend: Option<String>,
    /// "ECONNRESET", "ETIMEDOUT:response", …
    pub(super) error: Option<String>,
}

impl Note {
    /// Reads a line; `None` when it is none of these.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let mut next = || words.next();
        let note = match kind {
            "hello" => Self::Hello {
                pid: next()?.parse().ok()?,
                node: next()?.to_owned(),
                version: next()?.to_owned(),
            },
            "phase" => Self::Phase { index: next()?.parse().ok()?, at_ns: next()?.parse().ok()? },
            "over" => Self::Over { index: next()?.parse().ok()?, at_ns: next()?.parse().ok()? },
            "b" => Self::Begin { number: next()?.parse().ok()?, at_ns: next()?.parse().ok()? },
            "e" => Self::End(End {
                number: next()?.parse().ok()?,
                sent_ns: optional(next()?)?,
                ended_ns: next()?.parse().ok()?,
                status: optional(next()?)?,
                backend: optional(next()?)?,
                error: optional(next()?)?,
            }),
            "l" => Self::Loop {
                at_ns: next()?.parse().ok()?,
                busy: next()?.parse().ok().filter(|busy| (0.0..=1.0).contains(busy))?,
                late_ns: next()?.parse().ok()?,
            },
            "total" => Self::Total { name: next()?.to_owned(), value: next()?.parse().ok()? },
            "session" => {
                Self::Session { p50_ms: next()?.parse().ok()?, p99_ms: next()?.parse().ok()? }
            }
            "bye" => Self::Bye,
            _ => return None,
        };
        words.next().is_none().then_some(note)
    }
}

/// "-" is none; `None` when it is neither that nor a value.
fn optional<T: std::str::FromStr>(word: &str) -> Option<Option<T>> {
    match word {
        "-" => Some(None),
        word => word.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> End {
        End {
            number: 17,
            sent_ns: Some(5),
            ended_ns: 9,
            status: Some(200),
            backend: Some("a-1".into()),
            error: None,
        }
    }

    #[test]
    fn lines_are_read_whole_or_not_at_all() {
        let reset = End {
            sent_ns: None,
            status: None,
            backend: None,
            error: Some("ECONNRESET".into()),
            ..end()
        };
        for (line, note) in [
            (
                "hello 12 20.20.2 2.0.34",
                Some(Note::Hello { pid: 12, node: "20.20.2".into(), version: "2.0.34".into() }),
            ),
            ("phase 2 123456789012345", Some(Note::Phase { index: 2, at_ns: 123_456_789_012_345 })),
            ("over 2 1", Some(Note::Over { index: 2, at_ns: 1 })),
            ("b 17 5", Some(Note::Begin { number: 17, at_ns: 5 })),
            ("e 17 5 9 200 a-1 -", Some(Note::End(end()))),
            ("e 17 - 9 - - ECONNRESET", Some(Note::End(reset))),
            ("l 5 0.4375 900", Some(Note::Loop { at_ns: 5, busy: 0.4375, late_ns: 900 })),
            ("total errors.E 3", Some(Note::Total { name: "errors.E".into(), value: 3 })),
            ("session 10.9 12", Some(Note::Session { p50_ms: 10.9, p99_ms: 12.0 })),
            ("bye", Some(Note::Bye)),
            ("", None),
            ("b 17", None),
            ("b 17 5 6", None),
            ("b x 5", None),
            ("e 17 5 9 200 a-1", None),
            ("e 17 5 9 twohundred a-1 -", None),
            ("l 5 1.5 900", None),
            ("by", None),
        ] {
            assert_eq!(Note::parse(line), note, "{line}");
        }
    }
}
