//! Server-sent events to rows of events.csv. It must not know sockets: it is fed bytes.

use base::Time;
use record::EventRow;
use serde::Deserialize;

/// A single event is a few hundred bytes; a longer one is skipped to its end.
const EVENT_LIMIT: usize = 64 << 10;

/// Cuts a stream into events, however it comes in pieces, and gives the `data` of each.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The line before ended with CR: a LF now belongs to it.
    after_cr: bool,
    overlong: bool,
}

impl Parser {
    /// The events that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ if self.line.len() + self.data.len() >= EVENT_LIMIT => self.overlong = true,
                _ => self.line.push(*byte),
            }
        }
        events
    }

    fn end_of_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            let whole = std::mem::take(&mut self.has_data) && !std::mem::take(&mut self.overlong);
            return whole.then(|| String::from_utf8_lossy(&data).into_owned());
        }
        // Other fields (id, event, retry) and comments say nothing that events.csv holds.
        if let Some(value) = line.strip_prefix(b"data") {
            let value = match value {
                [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
                [] => &[],
                _ => return None,
            };
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
        }
        None
    }
}

/// What the proxy says in an event.
#[derive(Debug, Deserialize)]
struct Event {
    at_ns: u64,
    backend: Option<String>,
    kind: String,
    #[serde(default)]
    detail: String,
}

/// The row of an event's data: times from the beginning of the warm-up. What happened before the
/// warm-up (backends that are added and found ready) is no part of the run: `None`.
///
/// # Errors
/// In words, when the data is no event.
pub(crate) fn row(data: &str, source: &str, start: Time) -> Result<Option<EventRow>, String> {
    let event: Event = serde_json::from_str(data).map_err(|e| format!("{data:?}: {e}"))?;
    let at = Time::from_nanos(event.at_ns);
    Ok((at >= start).then(|| EventRow {
        at: Time::ZERO + at.since(start),
        source: source.to_owned(),
        subject: event.backend.unwrap_or_default(),
        kind: event.kind,
        detail: event.detail,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_become_events_wherever_they_are_cut() {
        let table: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("data: a\n\n", &["a"]),
            ("data:a\r\n\r\n", &["a"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("id: 7\nevent: x\ndata: a\nretry: 5\n\n", &["a"]),
            (": keep-alive\n\n: again\n\n", &[]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\n", &[""]),
            ("data:  two spaces\n\n", &[" two spaces"]),
            ("database: no\n\n", &[]),
            ("data: a\n\n\n\ndata: b\n\n", &["a", "b"]),
            ("data: never ended\n", &[]),
        ];
        for (stream, events) in table {
            assert_eq!(Parser::default().push(stream.as_bytes()), events, "{stream:?}");
            for cut in 0..stream.len() {
                let mut parser = Parser::default();
                let mut got = parser.push(&stream.as_bytes()[..cut]);
                got.extend(parser.push(&stream.as_bytes()[cut..]));
                assert_eq!(got, events, "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_overlong_event_is_skipped_and_the_next_one_read() {
        let mut parser = Parser::default();
        let long = format!("data: {}\n\n", "x".repeat(2 * EVENT_LIMIT));
        assert_eq!(parser.push(long.as_bytes()), Vec::<String>::new());
        assert_eq!(parser.push(b"data: next\n\n"), ["next"]);
    }

    #[test]
    fn times_count_from_the_beginning_of_the_warm_up() {
        let start = Time::from_nanos(1_000);
        let text = r#"{"at_ns":1500,"backend":"a-2","kind":"down","detail":"was ready: x"}"#;
        let event = row(text, "balancer/0", start).expect("an event").expect("of the run");
        assert_eq!(event.at, Time::from_nanos(500));
        assert_eq!((event.source.as_str(), event.subject.as_str()), ("balancer/0", "a-2"));
        assert_eq!((event.kind.as_str(), event.detail.as_str()), ("down", "was ready: x"));
        let text = r#"{"at_ns":999,"backend":null,"kind":"added"}"#;
        assert_eq!(row(text, "balancer/0", start), Ok(None));
        assert!(row("{}", "balancer/0", start).is_err());
    }
}
