//! A request's line of the access log: JSON of what its journal says. It must not know where the line
//! goes. README.md says what each field means.

use std::time::Duration;

use base::Time;
use base::time::nanos;

use crate::date;
use crate::directory::Tenants;
use crate::journal::{Came, Ending, Journal, Tried};
use crate::parcel::Decimal;

/// Puts the line of a request that is over, with its end; `now` is the time since 1970.
pub(crate) fn put(journal: &Journal, tenants: &Tenants, now: Duration, out: &mut Vec<u8>) {
    let parts = Parts::of(journal);
    let texts = &journal.texts;
    out.extend_from_slice(b"{\"time\":\"");
    let took = journal.ended.since(journal.began);
    out.extend_from_slice(&date::rfc3339(now.saturating_sub(took)));
    out.push(b'"');
    put_text(out, "request_id", &texts.request_id);
    put_text(out, "client", &texts.client);
    put_text(out, "protocol", journal.protocol.as_bytes());
    put_text(out, "method", &texts.method);
    put_text(out, "target", &texts.target);
    put_text(out, "host", &texts.host);
    put_number(out, "status", (journal.status != 0).then_some(u64::from(journal.status)));
    put_number(out, "bytes_in", Some(journal.bytes_in));
    put_number(out, "bytes_out", Some(journal.bytes_out));
    put_text(out, "ended", ending(journal.ending).as_bytes());
    put_text(out, "reject", journal.reject.map_or("", |reject| reject.word()).as_bytes());
    put_text(out, "reason", &texts.reason);
    let last = journal.tried.last();
    put_backend(out, last, tenants);
    let retries = journal.tried.iter().filter(|tried| kind(tried) == "retry").count();
    put_number(out, "retries", Some(retries as u64));
    let hedges = journal.tried.iter().filter(|tried| tried.hedge).count();
    put_number(out, "hedges", Some(hedges as u64));
    put_ms(out, "head_ms", Some(parts.head));
    put_ms(out, "wait_ms", parts.wait);
    put_ms(out, "connect_ms", last.and_then(connecting));
    put_ms(out, "backend_ms", last.map(answering));
    put_ms(out, "body_ms", parts.body);
    put_ms(out, "total_ms", Some(took));
    out.extend_from_slice(b",\"attempts\":[");
    for (at, tried) in journal.tried.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_attempt(out, tried, journal.began, tenants);
    }
    out.extend_from_slice(b"]}\n");
}

fn put_attempt(out: &mut Vec<u8>, tried: &Tried, began: Time, tenants: &Tenants) {
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind(tried).as_bytes());
    out.push(b'"');
    put_backend(out, Some(tried), tenants);
    let (status, failure) = match tried.came {
        Came::Status(status) => (Some(u64::from(status)), ""),
        Came::Failed(failure) => (None, failure.word()),
        Came::Nothing => (None, "given_up"),
    };
    put_number(out, "status", status);
    put_text(out, "failure", failure.as_bytes());
    put_ms(out, "began_ms", Some(tried.began.since(began)));
    put_ms(out, "connect_ms", connecting(tried));
    put_ms(out, "backend_ms", Some(answering(tried)));
    out.push(b'}');
}

fn put_backend(out: &mut Vec<u8>, tried: Option<&Tried>, tenants: &Tenants) {
    let name = tried.and_then(|tried| tenants.name(tried.backend));
    put_text(out, "backend", name.unwrap_or_default().as_bytes());
    let address = tried.map(|tried| tried.address.to_string());
    put_text(out, "address", address.unwrap_or_default().as_bytes());
}

const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::ClientLeft => "client_left",
        Ending::Answered => "answered",
        Ending::Own => "own",
        Ending::UpstreamBroke => "upstream_broke",
    }
}

const fn kind(tried: &Tried) -> &'static str {
    match (tried.hedge, tried.number) {
        (true, _) => "hedge",
        (false, 1) => "first",
        (false, _) => "retry",
    }
}

/// How long its connection took to open; `None` for one that was kept or never opened.
fn connecting(tried: &Tried) -> Option<Duration> {
    tried.opened.map(|opened| opened.since(tried.began))
}

/// How long it took from there to what came.
fn answering(tried: &Tried) -> Duration {
    tried.ended.since(tried.opened.unwrap_or(tried.began))
}

/// Where a request's time went, as far as that is not a matter of one attempt.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// From its first byte to its whole head.
    head: Duration,
    /// Without an attempt: in the queue, for a backoff.
    wait: Option<Duration>,
    /// From the answer's head to the last byte written.
    body: Option<Duration>,
}

impl Parts {
    fn of(journal: &Journal) -> Self {
        let &Journal { asked, ended, .. } = journal;
        let head = journal.read.since(journal.began);
        if asked == Time::ZERO {
            return Self { head, wait: None, body: None };
        }
        let (mut wait, mut seen) = (Duration::ZERO, asked);
        for tried in &journal.tried {
            // Beside a hedge another attempt was out.
            if !tried.hedge {
                wait += tried.began.since(seen);
            }
            seen = seen.max(tried.ended);
        }
        let answered =
            journal.tried.last().is_some_and(|last| matches!(last.came, Came::Status(_)))
                && journal.status != 0
                && journal.ending != Ending::Own;
        // Whoever was refused, or left with no attempt out, was waiting until then.
        let waited = journal.tried.is_empty() || journal.reject.is_some();
        if waited {
            wait += ended.since(seen);
        }
        Self { head, wait: Some(wait), body: answered.then(|| ended.since(seen)) }
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A text; null where there is none.
fn put_text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    put_name(out, name);
    if text.is_empty() {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        chunk.valid().bytes().for_each(|byte| put_byte(out, byte));
        // What is no UTF-8 stands as the characters of Latin-1, as HTTP once meant it.
        chunk.invalid().iter().for_each(|&byte| put_escape(out, byte));
    }
    out.push(b'"');
}

fn put_byte(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        0..0x20 | 0x7f => put_escape(out, byte),
        _ => out.push(byte),
    }
}

fn put_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
}

fn put_number(out: &mut Vec<u8>, name: &str, number: Option<u64>) {
    put_name(out, name);
    match number {
        Some(number) => out.extend_from_slice(Decimal::of(number).text()),
        None => out.extend_from_slice(b"null"),
    }
}

/// Milliseconds with three places: a microsecond is what the clock is good for.
fn put_ms(out: &mut Vec<u8>, name: &str, time: Option<Duration>) {
    let Some(time) = time else { return put_number(out, name, None) };
    let micros = nanos(time) / 1000;
    put_number(out, name, Some(micros / 1000));
    out.push(b'.');
    for place in [100, 10, 1] {
        out.push(b'0' + (micros / place % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use base::{BackendId, FailureKind};

    use super::*;
    use crate::directory::Directory;

    fn ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn tried(began: u64, opened: Option<u64>, ended: u64, came: Came) -> Tried {
        Tried {
            backend: BackendId { slot: 0, generation: 0 },
            address: "127.0.0.1:9101".parse().expect("an address"),
            number: 1,
            hedge: false,
            began: ms(began),
            opened: opened.map(ms),
            ended: ms(ended),
            came,
        }
    }

    fn line(journal: &Journal) -> serde_json::Value {
        let directory = Directory::default();
        directory.enter(BackendId { slot: 0, generation: 0 }, "b\"1");
        let mut out = vec![];
        crate::directory::Copied::default().read(&directory, |tenants| {
            put(journal, tenants, Duration::from_millis(784_111_777_500), &mut out);
        });
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn every_part_of_the_time_is_told() {
        let mut journal = Journal {
            began: ms(10),
            read: ms(11),
            asked: ms(12),
            ended: ms(500),
            status: 200,
            ending: Ending::Answered,
            ..Journal::default()
        };
        let failure = tried(20, None, 30, Came::Failed(FailureKind::Connect));
        let answer = Tried { number: 2, ..tried(50, Some(60), 100, Came::Status(200)) };
        journal.tried = vec![failure, answer];
        let value = line(&journal);
        assert_eq!(value["time"], "1994-11-06T08:49:37.010Z");
        for (name, expected) in [
            ("head_ms", 1.0),
            ("wait_ms", 8.0 + 20.0),
            ("connect_ms", 10.0),
            ("backend_ms", 40.0),
            ("body_ms", 400.0),
            ("total_ms", 490.0),
        ] {
            assert_eq!(value[name], expected, "{name}");
        }
        assert_eq!((&value["retries"], &value["backend"]), (&1.into(), &"b\"1".into()));
        let [first, second] = [&value["attempts"][0], &value["attempts"][1]];
        assert_eq!((&first["kind"], &first["failure"]), (&"first".into(), &"connect".into()));
        assert_eq!((&first["backend_ms"], &first["connect_ms"]), (&10.0.into(), &().into()));
        assert_eq!((&second["kind"], &second["status"]), (&"retry".into(), &200.into()));
        assert_eq!(second["began_ms"], 40.0);
    }

    #[test]
    fn a_hedge_is_no_wait_and_a_queue_is_one() {
        let hedged =
            |hedge| Tried { hedge, number: 2, ..tried(20, Some(21), 30, Came::Status(200)) };
        let slow = tried(12, Some(13), 30, Came::Nothing);
        for (tried, reject, wait) in [
            (vec![slow, hedged(true)], None, 0),
            (vec![hedged(true), slow], None, 0),
            (vec![], None, 88),
            (vec![], Some(policy::Reject::QueueTimeout), 88),
            (vec![slow], Some(policy::Reject::NoBackend), 70),
        ] {
            let (asked, ended) = (ms(12), ms(100));
            let journal = Journal { asked, ended, tried, reject, ..Journal::default() };
            assert_eq!(Parts::of(&journal).wait, Some(Duration::from_millis(wait)), "{journal:?}");
        }
    }

    #[test]
    fn texts_are_escaped_whatever_bytes_they_are() {
        for (text, expected) in [
            (&b"/a"[..], "\"/a\""),
            (b"", "null"),
            (b"\"\\\n\x7f\0", r#""\"\\\u000a\u007f\u0000""#),
            ("é€".as_bytes(), "\"é€\""),
            (b"a\xff\xe9b\xe2\x82", r#""a\u00ff\u00e9b\u00e2\u0082""#),
        ] {
            let mut out = vec![];
            put_text(&mut out, "t", text);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), format!(",\"t\":{expected}"));
        }
        // Every byte alone.
        for byte in 0..=255 {
            let mut out = vec![b'{'];
            put_text(&mut out, "t", &[byte]);
            let object = [&b"{"[..], &out[2..], b"}"].concat();
            let value: serde_json::Value = serde_json::from_slice(&object).expect("JSON");
            assert_eq!(value["t"].as_str().map(|t| t.chars().collect()), Some(vec![byte as char]));
        }
    }
}
