//! What the balancer has reported: a bounded ring that late listeners can replay.
//! It must not know who listens or how.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base::Time;
use policy::Event;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

/// The most events that are kept for late listeners. A listener that falls further behind misses
/// the oldest, and sees it by a gap in the numbers.
pub(crate) const KEPT_EVENTS: usize = 4096;

/// One event, numbered from 1, as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) json: Arc<str>,
}

/// An event as JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct Line<'a> {
    /// When, in nanoseconds of the proxy's clock.
    at_ns: u64,
    /// The id of the backend concerned, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    backend: Option<&'a str>,
    /// A word, as in the events.csv of a run.
    kind: &'a str,
    /// The rest in words.
    detail: &'a str,
}

/// The latest events.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<VecDeque<Numbered>>,
    newest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { ring: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Events {
    /// Keeps an event and wakes the listeners.
    pub(crate) fn publish(&self, event: &Event) {
        let backend = event.backend.as_ref().map(|(_, name)| name.as_str());
        let (kind, detail) = (event.kind.word(), event.kind.detail());
        self.push(&Line { at_ns: event.at.as_nanos(), backend, kind, detail: &detail });
    }

    /// Keeps what happened to the proxy itself, and wakes the listeners.
    pub(crate) fn note(&self, at: Time, kind: &str, detail: &str) {
        self.push(&Line { at_ns: at.as_nanos(), backend: None, kind, detail });
    }

    fn push(&self, line: &Line<'_>) {
        let json = serde_json::to_string(line).expect("texts and a number are JSON");
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let number = ring.back().map_or(0, |last| last.number) + 1;
        if ring.len() == KEPT_EVENTS {
            ring.pop_front();
        }
        ring.push_back(Numbered { number, json: json.into() });
        drop(ring);
        // `send` would fail without listeners, and two publishers may come here in either order.
        self.newest.send_modify(|newest| *newest = number.max(*newest));
    }

    /// The oldest kept event after `number`.
    pub(crate) fn after(&self, number: u64) -> Option<Numbered> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.front()?.number;
        // Numbers in the ring are consecutive.
        let index = (number + 1).saturating_sub(first);
        ring.get(usize::try_from(index).ok()?).cloned()
    }

    /// Changes whenever there is a newer event.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use base::BackendId;
    use policy::EventKind;

    use super::*;

    #[test]
    fn a_late_listener_gets_what_is_kept_and_sees_the_gap() {
        let events = Events::default();
        assert!(events.after(0).is_none());
        let id = BackendId { slot: 0, generation: 0 };
        for at in 0..KEPT_EVENTS as u64 + 10 {
            let backend = Some((id, "a-1".to_owned()));
            let kind = EventKind::WeightChanged { to: 2 };
            events.publish(&Event { at: Time::from_nanos(at), backend, kind });
        }
        let first = events.after(0).expect("the ring is full");
        assert_eq!(first.number, 11);
        assert_eq!(
            &*first.json,
            r#"{"at_ns":10,"backend":"a-1","kind":"weight_changed","detail":"2"}"#
        );
        assert_eq!(events.after(first.number).expect("and goes on").number, 12);
        let last = KEPT_EVENTS as u64 + 10;
        assert_eq!(*events.newest().borrow(), last);
        assert!(events.after(last).is_none());
        assert!(events.after(u64::MAX - 1).is_none());
    }
}
