//! When a backend wants to be looked at next, one time each. It must not know why.

use std::collections::BTreeSet;

use base::{BackendId, Time};

use crate::strategy::PerBackend;

/// One time for each backend that has one. Few have: those that are ejected, and those that warm up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, BackendId)>,
    of: PerBackend<Time>,
}

impl Timers {
    /// Sets or takes away a backend's time.
    pub(crate) fn arm(&mut self, id: BackendId, at: Option<Time>) {
        if let Some(&former) = self.of.get(id) {
            self.due.remove(&(former, id));
            self.of.remove(id);
        }
        if let Some(at) = at
            && self.of.or_insert_with(id, || at).is_some()
        {
            self.due.insert((at, id));
        }
    }

    /// The next backend whose time has come; its time is gone then.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<BackendId> {
        let &(at, id) = self.due.first()?;
        if at > now {
            return None;
        }
        self.arm(id, None);
        Some(id)
    }

    /// The earliest time, exactly; [`Time::MAX`]: none.
    #[inline]
    pub(crate) fn next(&self) -> Time {
        self.due.first().map_or(Time::MAX, |&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_has_one_time() {
        let id = |slot| BackendId { slot, generation: 0 };
        let at = Time::from_nanos;
        let mut timers = Timers::default();
        timers.arm(id(0), Some(at(5)));
        timers.arm(id(1), Some(at(3)));
        timers.arm(id(0), Some(at(2)));
        assert_eq!(timers.next(), at(2));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(9)), Some(id(0)));
        assert_eq!(timers.pop_due(at(9)), Some(id(1)));
        assert_eq!((timers.pop_due(at(9)), timers.next()), (None, Time::MAX));
        timers.arm(id(1), Some(at(4)));
        timers.arm(id(1), None);
        assert_eq!(timers.next(), Time::MAX);
        // The next tenant of a slot has a time of its own.
        timers.arm(BackendId { slot: 1, generation: 1 }, Some(at(6)));
        timers.arm(id(1), None);
        assert_eq!(timers.next(), at(6));
    }
}
