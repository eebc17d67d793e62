//! What is to happen to a request at some time. It must not do it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use base::{Key, Time};

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The backoff of this request is over.
    Resume(Key),
    /// This attempt is slow if it has no head yet.
    Hedge(Key),
}

/// Alarms by their time. Nobody takes one back: whoever hears it looks whether it still means
/// something, and what has none is dropped when its time comes or when it stands first.
///
/// With hedging every request sets one, nearly always for later than all before it. Those stand in
/// line, which costs a request less than a heap.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Hedges, in ascending order.
    line: VecDeque<(Time, Alarm)>,
    /// Backoffs, which may be long, and hedges for earlier than the last in line.
    others: BinaryHeap<Reverse<(Time, Alarm)>>,
}

impl Alarms {
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.others.is_empty()
    }

    pub(crate) fn set(&mut self, at: Time, alarm: Alarm) {
        let is_last = self.line.back().is_none_or(|last| *last < (at, alarm));
        if is_last && matches!(alarm, Alarm::Hedge(_)) {
            self.line.push_back((at, alarm));
        } else {
            self.others.push(Reverse((at, alarm)));
        }
    }

    /// The next alarm whose time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        let other = self.others.peek().map(|Reverse(other)| other);
        let in_line = self.line.front().filter(|first| other.is_none_or(|other| *first < other));
        let &(at, alarm) = in_line.or(other)?;
        if at > now {
            return None;
        }
        if in_line.is_some() {
            self.line.pop_front();
        } else {
            self.others.pop();
        }
        Some(alarm)
    }

    /// The earliest time ([`Time::MAX`]: none); that of an alarm which means nothing any more, at
    /// times.
    #[inline]
    pub(crate) fn next_time(&self) -> Time {
        let in_line = self.line.front().map_or(Time::MAX, |&(at, _)| at);
        self.others.peek().map_or(in_line, |&Reverse((at, _))| at.min(in_line))
    }

    /// Drops the first ones while they mean nothing, so that nobody is woken for them.
    #[inline]
    pub(crate) fn drop_void(&mut self, is_void: impl Fn(Alarm) -> bool) {
        while self.line.front().is_some_and(|&(_, alarm)| is_void(alarm)) {
            self.line.pop_front();
        }
        while self.others.peek().is_some_and(|&Reverse((_, alarm))| is_void(alarm)) {
            self.others.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same as a sorted list, whatever is set and heard.
        #[test]
        fn they_are_heard_in_their_order(
            steps in prop::collection::vec((0..4_u8, 0..20_u64, 0..5_u32), 1..200),
        ) {
            let mut alarms = Alarms::default();
            let mut plain: Vec<(Time, Alarm)> = Vec::new();
            for (what, at, slot) in steps {
                let (at, key) = (Time::from_nanos(at), Key { slot, generation: 0 });
                let alarm = if what == 0 { Alarm::Resume(key) } else { Alarm::Hedge(key) };
                if what < 3 {
                    alarms.set(at, alarm);
                    plain.push((at, alarm));
                    plain.sort();
                } else {
                    while plain.first().is_some_and(|first| first.0 <= at) {
                        prop_assert_eq!(alarms.pop_due(at), Some(plain.remove(0).1));
                    }
                    prop_assert_eq!(alarms.pop_due(at), None);
                }
                let first = plain.first().map_or(Time::MAX, |first| first.0);
                prop_assert_eq!((alarms.next_time(), alarms.is_empty()), (first, plain.is_empty()));
            }
        }

        /// Nobody is woken for what means nothing.
        #[test]
        fn what_means_nothing_does_not_stand_first(
            steps in prop::collection::vec((any::<bool>(), 0..20_u64, 0..9_u32), 1..50),
            void in prop::collection::vec(any::<bool>(), 9),
        ) {
            let is_void = |alarm: Alarm| match alarm {
                Alarm::Resume(key) | Alarm::Hedge(key) => void[key.slot as usize],
            };
            let mut alarms = Alarms::default();
            let mut first = Time::MAX;
            for (hedge, at, slot) in steps {
                let (at, key) = (Time::from_nanos(at), Key { slot, generation: 0 });
                let alarm = if hedge { Alarm::Hedge(key) } else { Alarm::Resume(key) };
                alarms.set(at, alarm);
                if !is_void(alarm) {
                    first = first.min(at);
                }
            }
            alarms.drop_void(is_void);
            prop_assert_eq!(alarms.next_time(), first);
        }
    }
}
