//! The requests that have begun and not ended, in the order of their intended times.
//!
//! All have the same timeout, so the order of intended times is the order of deadlines, and a queue
//! does for a heap. It must not know sockets or clocks.

use std::collections::VecDeque;

use workload::Arrival;

/// The most requests that are open at once: 32 MiB of entries, 10 s of 100,000 requests/s. Beyond
/// it arrivals stay in the schedule, late, and none is lost.
pub(super) const OPEN_LIMIT: usize = 1 << 20;

/// Where an open request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue of this target.
    Waiting(u32),
    /// On the connection in this slot.
    Sent(u32),
    /// Ended; the entry stays until those before it have ended.
    Ended,
}

/// An open request: its number among those begun, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Open(u64);

/// The open requests.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<(Arrival, Place)>,
    /// The number of the first entry.
    base: u64,
    open: usize,
}

impl Ledger {
    /// Adds a request that begins; its intended time is not before those added earlier.
    pub(super) fn begin(&mut self, arrival: Arrival, place: Place) -> Open {
        self.entries.push_back((arrival, place));
        self.open += 1;
        Open(self.base + self.entries.len() as u64 - 1)
    }

    /// A request has moved.
    pub(super) fn place(&mut self, open: Open, place: Place) {
        self.entry(open).1 = place;
    }

    /// The arrival of an open request.
    pub(super) fn arrival(&mut self, open: Open) -> Arrival {
        self.entry(open).0
    }

    /// A request has ended; returns its arrival.
    pub(super) fn end(&mut self, open: Open) -> Arrival {
        let (arrival, place) = *self.entry(open);
        assert_ne!(place, Place::Ended, "a request ended twice");
        self.entry(open).1 = Place::Ended;
        self.open -= 1;
        while let Some((_, Place::Ended)) = self.entries.front() {
            self.entries.pop_front();
            self.base += 1;
        }
        arrival
    }

    /// The open request whose intended time is the earliest.
    pub(super) fn oldest(&self) -> Option<(Open, Arrival, Place)> {
        // The front is never ended: `end` sees to it.
        self.entries.front().map(|&(arrival, place)| (Open(self.base), arrival, place))
    }

    /// Whether every request that has begun has ended.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Whether [`OPEN_LIMIT`] is reached.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= OPEN_LIMIT
    }

    fn entry(&mut self, open: Open) -> &mut (Arrival, Place) {
        let index = open.0.checked_sub(self.base).expect("an open request has an entry");
        &mut self.entries[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use base::Time;

    use super::*;

    #[test]
    fn the_oldest_is_the_oldest_whatever_ends_first() {
        let mut ledger = Ledger::default();
        let open: Vec<Open> = (0..4)
            .map(|n| {
                let arrival = Arrival { at: Time::from_nanos(n), request: n, luck: 0 };
                ledger.begin(arrival, Place::Waiting(0))
            })
            .collect();
        // (ends, then the oldest is)
        for (ends, oldest) in [(1, Some(0)), (0, Some(2)), (3, Some(2)), (2, None)] {
            assert_eq!(ledger.end(open[ends]).request, ends as u64);
            assert_eq!(ledger.oldest().map(|(_, arrival, _)| arrival.request), oldest);
        }
        assert!(ledger.is_empty());
        let again = ledger.begin(Arrival { at: Time::ZERO, request: 9, luck: 0 }, Place::Sent(3));
        assert_eq!(ledger.arrival(again).request, 9);
        assert_eq!(ledger.oldest().map(|(_, _, place)| place), Some(Place::Sent(3)));
    }

    #[test]
    #[should_panic(expected = "ended twice")]
    fn nothing_ends_twice() {
        let mut ledger = Ledger::default();
        let arrival = Arrival { at: Time::ZERO, request: 0, luck: 0 };
        ledger.begin(arrival, Place::Waiting(0));
        let open = ledger.begin(arrival, Place::Waiting(0));
        ledger.end(open);
        ledger.end(open);
    }
}
