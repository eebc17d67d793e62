//! Answers that are given past the queue: errors, and the refusals of a backend that is full. As a rule
//! those are due at once, but nothing is while a backend hangs. It must not know why they are given.

use std::collections::BTreeMap;

use base::Time;

use crate::behaviour::WorkId;
use crate::job::Job;

/// When an answer's turn comes, by a clock that stands still while nothing is answered; what comes
/// together comes in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    at: Time,
    seq: u32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bypass {
    answers: BTreeMap<Turn, (WorkId, u16)>,
    /// For how long its clock stood still, in nanoseconds.
    lost_ns: u64,
    /// Since when it stands still.
    halted: Option<Time>,
}

impl Bypass {
    /// A request will be answered with this status so much later.
    pub(crate) fn insert(&mut self, now: Time, job: Job, status: u16, after_ns: u64) -> Turn {
        let shows = self.halted.unwrap_or(now).nanos_since(Time::from_nanos(self.lost_ns));
        let turn = Turn { at: Time::from_nanos(shows).after_nanos(after_ns), seq: job.seq };
        self.answers.insert(turn, (job.work, status));
        turn
    }

    /// Nothing is answered from `now` on, or again.
    pub(crate) fn set_halted(&mut self, now: Time, halted: bool) {
        if !halted {
            let lost_ns = self.halted.take().map_or(0, |since| now.nanos_since(since));
            self.lost_ns = self.lost_ns.saturating_add(lost_ns);
        } else if self.halted.is_none() {
            self.halted = Some(now);
        }
    }

    /// What is answered next, and when.
    pub(crate) fn next(&self) -> Option<(Time, Turn)> {
        let (&turn, _) = self.answers.first_key_value()?;
        self.halted.is_none().then(|| (turn.at.after_nanos(self.lost_ns), turn))
    }

    /// Takes out whose turn this is, with the status.
    pub(crate) fn remove(&mut self, turn: Turn) -> Option<(WorkId, u16)> {
        self.answers.remove(&turn)
    }

    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Job, Turn)> {
        self.answers.iter().map(|(&turn, &(work, _))| (Job { work, seq: turn.seq }, turn))
    }

    /// Forgets all answers; the clock runs on.
    pub(crate) fn clear(&mut self) {
        self.answers.clear();
    }
}

impl Turn {
    /// The number of the request.
    pub(crate) const fn seq(self) -> u32 {
        self.seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn a_halt_puts_off_what_is_there_and_what_comes() {
        let mut bypass = Bypass::default();
        let job = |seq: u64| Job { work: WorkId(seq + 40), seq: seq as u32 };
        let first = bypass.insert(at(100), job(1), 500, 50);
        assert_eq!(bypass.next(), Some((at(150), first)));
        bypass.set_halted(at(120), true);
        bypass.set_halted(at(130), true);
        let second = bypass.insert(at(140), job(2), 503, 0);
        assert_eq!((bypass.next(), bypass.len()), (None, 2));
        bypass.set_halted(at(220), false);
        bypass.set_halted(at(230), false);
        assert_eq!(bypass.next(), Some((at(220), second)));
        assert_eq!(bypass.remove(second), Some((WorkId(42), 503)));
        assert_eq!(bypass.next(), Some((at(250), first)));
        // What comes together comes in order of arrival.
        let third = bypass.insert(at(250), job(3), 500, 0);
        assert_eq!(bypass.iter().map(|(job, _)| job.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((first.seq(), third.seq()), (1, 3));
        bypass.clear();
        assert_eq!((bypass.next(), bypass.len()), (None, 0));
    }

    #[test]
    fn the_longest_wait_saturates() {
        let mut bypass = Bypass::default();
        let turn = bypass.insert(at(5), Job { work: WorkId(0), seq: 0 }, 500, u64::MAX);
        assert_eq!(bypass.next(), Some((Time::MAX, turn)));
    }
}
