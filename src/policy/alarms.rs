//! What is to happen to a request at some time. It must not do it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
#[derive(Debug, Default)]
pub(crate) struct Alarms(BinaryHeap<Reverse<(Time, Alarm)>>);

impl Alarms {
    pub(crate) fn set(&mut self, at: Time, alarm: Alarm) {
        self.0.push(Reverse((at, alarm)));
    }

    /// The next alarm whose time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        self.next_time().filter(|&at| at <= now)?;
        self.0.pop().map(|Reverse((_, alarm))| alarm)
    }

    /// The earliest time; that of an alarm which means nothing any more, at times.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.0.peek().map(|&Reverse((at, _))| at)
    }

    /// Drops the first ones while they mean nothing, so that nobody is woken for them.
    pub(crate) fn drop_void(&mut self, is_void: impl Fn(Alarm) -> bool) {
        while self.0.peek().is_some_and(|&Reverse((_, alarm))| is_void(alarm)) {
            self.0.pop();
        }
    }
}
