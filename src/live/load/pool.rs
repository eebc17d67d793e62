//! The connections to one target, and the requests that wait for one of them.
//! It must not open, close or write anything.

use std::collections::VecDeque;

use super::ledger::Open;
use super::slab::List;

/// One target's connections and waiting requests.
///
/// A request is tied to no connection while it waits: whichever is open and free first takes the
/// oldest. So a burst does not stand behind its own handshakes when answers come sooner.
#[derive(Debug)]
pub(super) struct Pool {
    /// Open and free; the one used last is used next, so that few are kept warm, as by clients.
    pub(super) idle: List,
    /// Being opened, the oldest first.
    pub(super) connecting: List,
    /// Requests without a connection, the oldest first. Empty while any connection is idle.
    pub(super) waiting: VecDeque<Open>,
    /// Connections in any state.
    pub(super) connections: usize,
    /// The most of them.
    limit: usize,
    /// Whether it stands in the loop's list of pools that want connections.
    pub(super) listed: bool,
}

impl Pool {
    /// An empty pool of at most `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            idle: List::new(),
            connecting: List::new(),
            waiting: VecDeque::new(),
            connections: 0,
            limit,
            listed: false,
        }
    }

    /// Whether a request waits that none of the connections being opened is for.
    pub(super) fn wants_connection(&self) -> bool {
        self.connecting.len() < self.waiting.len() && self.connections < self.limit
    }
}

/// Opens connections during the warm-up at an even pace, target by target, so that the subject's
/// backlog does not meet all of them at once.
#[derive(Debug)]
pub(super) struct WarmUp {
    /// Yet to be looked at.
    left: usize,
    opened: usize,
    next: base::Time,
    every: std::time::Duration,
}

impl WarmUp {
    /// All `connections` within the first half of the warm-up. Without a warm-up none: they are
    /// opened when requests need them.
    pub(super) fn new(connections: usize, warmup: std::time::Duration) -> Self {
        let left = if warmup.is_zero() { 0 } else { connections };
        let every = warmup / 2 / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
        Self { left, opened: 0, next: base::Time::ZERO, every }
    }

    /// When the next connection is due, if any.
    pub(super) fn due(&self) -> Option<base::Time> {
        (self.left > 0).then_some(self.next)
    }

    /// The number of the connection to open now, if one is due.
    pub(super) fn take(&mut self, now: base::Time) -> Option<usize> {
        if self.due()? > now {
            return None;
        }
        self.left -= 1;
        self.opened += 1;
        self.next += self.every;
        Some(self.opened - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::Time;

    use super::*;

    #[test]
    fn the_warm_up_opens_every_connection_in_its_first_half() {
        // (connections, warm-up ms, at ms → opened by then)
        for (connections, warmup, at, opened) in [
            (10, 2000, 0, 1),
            (10, 2000, 500, 6),
            (10, 2000, 1000, 10),
            (10, 2000, 9000, 10),
            (1, 1, 0, 1),
            (10, 0, 0, 0),
            (0, 2000, 500, 0),
        ] {
            let mut plan = WarmUp::new(connections, Duration::from_millis(warmup));
            let now = Time::from_nanos(at * 1_000_000);
            let taken: Vec<usize> = std::iter::from_fn(|| plan.take(now)).collect();
            assert_eq!(taken, (0..opened).collect::<Vec<_>>(), "{connections} {warmup} {at}");
            assert_eq!(plan.due().is_some(), warmup > 0 && opened < connections);
        }
    }
}
