//! Who waits to be served, the oldest first. It must not know for how long.
//!
//! Hardly ever more than two wait where a balancer is any good: those stand in the backend's own
//! lines of the processor's cache, and memory of its own is only taken for more.

use std::collections::VecDeque;

use base::prefetch;

use crate::behaviour::WorkId;
use crate::job::Job;

/// How many stand in the backend itself.
const NEAR: usize = 2;

/// Somebody who waits; packed, because two of them would not leave room enough for the rest of a
/// backend in two lines of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(crate) struct Waiting {
    work: WorkId,
    /// The service time that it drew, in nanoseconds.
    demand_ns: u64,
    seq: u32,
}

impl Waiting {
    const NOBODY: Self = Self { work: WorkId(0), demand_ns: 0, seq: 0 };

    pub(crate) const fn job(self) -> Job {
        Job { work: self.work, seq: self.seq }
    }

    pub(crate) const fn demand_ns(self) -> u64 {
        self.demand_ns
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Queue {
    /// At most [`NEAR`], the oldest first.
    Near { len: u32, seats: [Waiting; NEAR] },
    /// More.
    Far(VecDeque<Waiting>),
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self::Near { len: 0, seats: [Waiting::NOBODY; NEAR] }
    }

    /// Of the oldest first.
    fn of(mut all: VecDeque<Waiting>) -> Self {
        if all.len() > NEAR {
            return Self::Far(all);
        }
        let (len, mut seats) = (all.len() as u32, [Waiting::NOBODY; NEAR]);
        seats.iter_mut().zip(all.drain(..)).for_each(|(seat, waiting)| *seat = waiting);
        Self::Near { len, seats }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Near { len, .. } => *len as usize,
            Self::Far(all) => all.len(),
        }
    }

    #[inline(always)] // every second request passes here
    pub(crate) fn push(&mut self, Job { work, seq }: Job, demand_ns: u64) {
        let waiting = Waiting { work, demand_ns, seq };
        match self {
            Self::Near { len, seats } if (*len as usize) < NEAR => {
                seats[*len as usize] = waiting;
                *len += 1;
            }
            _ => self.push_far(waiting),
        }
    }

    #[inline(never)]
    fn push_far(&mut self, waiting: Waiting) {
        match self {
            Self::Near { seats, .. } => {
                *self = Self::Far(seats.iter().copied().chain([waiting]).collect());
            }
            Self::Far(all) => all.push_back(waiting),
        }
    }

    /// Takes out who came first.
    #[inline(always)] // every request passes here
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        match self {
            Self::Near { len: 0, .. } => None,
            Self::Near { len, seats } => {
                const { assert!(NEAR == 2, "more than one would have to move up") };
                let first = seats[0];
                seats[0] = seats[1];
                *len -= 1;
                Some(first)
            }
            Self::Far(_) => self.pop_far(),
        }
    }

    #[inline(never)]
    fn pop_far(&mut self) -> Option<Waiting> {
        let Self::Far(all) = self else { return None };
        let first = all.pop_front();
        if all.len() <= NEAR {
            *self = Self::of(std::mem::take(all));
        }
        first
    }

    /// Keeps those that are wanted, in their order.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(Job) -> bool) {
        let wanted = self.iter().filter(|waiting| is_wanted(waiting.job()));
        *self = Self::of(wanted.collect());
    }

    /// All of them, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Waiting> {
        let (one, other) = match self {
            Self::Near { len, seats } => (&seats[..*len as usize], &[][..]),
            Self::Far(all) => all.as_slices(),
        };
        one.iter().chain(other).copied()
    }

    /// Who came first will be taken out soon.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Self::Far(all) = self {
            all.front().inspect(|waiting| prefetch(*waiting));
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_queue_however_many_wait() {
        let mut rng = base::Rng::from_seed(1);
        let (mut queue, mut plain, mut seq) = (Queue::new(), VecDeque::new(), 0);
        let mut lengths = [0; 12];
        for _ in 0..10_000 {
            // As many come as go, and now and then all who are odd leave.
            match rng.below(20) {
                0 => {
                    queue.retain(|job| job.seq % 2 == 0);
                    plain.retain(|(seq, _)| seq % 2 == 0);
                }
                1..=10 if plain.len() < 11 => {
                    let demand_ns = rng.below(1_000) as u64;
                    queue.push(Job { work: WorkId(7), seq }, demand_ns);
                    plain.push_back((seq, demand_ns));
                    seq += 1;
                }
                _ => {
                    let told = |waiting: Waiting| (waiting.job().seq, waiting.demand_ns());
                    assert_eq!(queue.pop().map(told), plain.pop_front());
                }
            }
            assert!(queue.iter().map(|waiting| waiting.job().seq).eq(plain.iter().map(|w| w.0)));
            assert_eq!(queue.len(), plain.len());
            assert_eq!(matches!(queue, Queue::Far(_)), plain.len() > NEAR);
            lengths[plain.len()] += 1;
        }
        assert!(lengths.iter().all(|&n| n > 10), "{lengths:?}");
        queue.clear();
        assert_eq!((queue.len(), queue.pop().is_none()), (0, true));
    }
}
