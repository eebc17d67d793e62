//! What will happen, in order of time. It must not know what it is.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use base::Time;

use crate::wakes::{INDEX_BITS, Wakes, backend_of};

/// What lies a fixed time ahead comes in order by itself; a queue holds it at a fraction of a
/// heap's cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// What is on the network, whose delay is the same for all.
    Network,
    /// When attempts must have their answer.
    Attempt,
    /// When clients lose patience.
    Patience,
}

const LANES: usize = 3;

/// So few void events are not worth a look at all of a lane.
const FEW: usize = 1_024;

/// Time, then the order of entry; behind it, where it stands in a heap of nothing but ranks, a place
/// in some table. In one number, because the earlier of two is asked for all the time.
pub(crate) type Rank = u128;

/// Behind all events: nothing stands there.
pub(crate) const NEVER: Rank = Rank::MAX;

/// The most events of one trial, 10¹²: at a million requests a second they last for two days.
pub(crate) const MAX_EVENTS: u64 = 1 << (64 - INDEX_BITS);
/// So many before that [`Agenda::is_exhausted`]: more than anybody adds between two looks.
const RESERVE: u64 = 1 << 32;

fn rank(at: Time, seq: u64) -> Rank {
    Rank::from(at.as_nanos()) << 64 | Rank::from(seq << INDEX_BITS)
}

pub(crate) const fn time_of(rank: Rank) -> Time {
    Time::from_nanos((rank >> 64) as u64)
}

/// Events in order of time; of the same time, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    wakes: Wakes,
    /// When the next request comes.
    arrival: Rank,
    /// Which is the earliest of the other places, where most requests change nothing, and when that
    /// comes.
    rarely: Earliest,
    lanes: [VecDeque<Entry<E>>; LANES],
    /// What was to come to a lane, and comes before what stands there.
    strays: BinaryHeap<Entry<E>>,
    heap: BinaryHeap<Entry<E>>,
    seq: u64,
}

/// Where events stand that are not usual, besides the lanes. A network without delay is nearly always
/// empty: what travels is the next thing that happens.
const STRAYS: usize = LANES;
const HEAP: usize = LANES + 1;

/// A place, and when comes what stands first there.
#[derive(Clone, Copy, Debug)]
struct Earliest {
    place: usize,
    rank: Rank,
}

impl Earliest {
    const NEVER: Self = Self { place: HEAP, rank: NEVER };

    /// This or another, if that comes before.
    #[inline]
    fn or(self, place: usize, rank: Rank) -> Self {
        if rank < self.rank { Self { place, rank } } else { self }
    }
}

/// What is due. What happens to every request is known by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due<E> {
    /// The next request comes.
    Arrival,
    /// A backend, by its index, is to be looked at.
    Wake(u32),
    /// Something else.
    Event(E),
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    seq: u64,
    event: E,
}

impl<E> Entry<E> {
    fn rank(&self) -> Rank {
        rank(self.at, self.seq)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl<E> Agenda<E> {
    /// For so many backends.
    pub(crate) fn new(backends: usize) -> Self {
        Self {
            wakes: Wakes::new(backends),
            arrival: NEVER,
            rarely: Earliest::NEVER,
            lanes: Default::default(),
            strays: BinaryHeap::new(),
            heap: BinaryHeap::new(),
            seq: 0,
        }
    }

    /// How many events are to come.
    pub(crate) fn len(&self) -> usize {
        let lanes = self.lanes.iter().map(VecDeque::len).sum::<usize>();
        let arrival = usize::from(self.arrival < NEVER);
        lanes + self.strays.len() + self.heap.len() + self.wakes.len() + arrival
    }

    /// Whether it soon has no place left in the order of entry.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.seq >= MAX_EVENTS - RESERVE
    }

    /// Adds an event of any time.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let entry = self.entry(at, event);
        self.rarely = self.rarely.or(HEAP, entry.rank());
        self.heap.push(entry);
    }

    /// Adds the next request, of which there is one at a time.
    pub(crate) fn push_arrival(&mut self, at: Time) {
        debug_assert!(self.arrival == NEVER, "the one before has not come");
        self.arrival = rank(at, self.next_seq());
    }

    /// Adds a look at a backend, in the place of one that was to come.
    #[inline(always)] // every request passes here
    pub(crate) fn push_wake(&mut self, at: Time, backend: u32) {
        let rank = rank(at, self.next_seq()) | Rank::from(backend);
        self.wakes.push(rank);
    }

    /// Adds an event to a lane, whose events usually come in order of time; one that does not is
    /// in order all the same.
    pub(crate) fn push_to(&mut self, lane: Lane, at: Time, event: E) {
        let entry = self.entry(at, event);
        self.put_in_lane(lane, entry);
    }

    /// The same, before all else that comes at that time but what came here like this.
    pub(crate) fn push_before(&mut self, lane: Lane, at: Time, event: E) {
        self.put_in_lane(lane, Entry { at, seq: 0, event });
    }

    fn put_in_lane(&mut self, lane: Lane, entry: Entry<E>) {
        let queue = &mut self.lanes[lane as usize];
        let rank = entry.rank();
        match queue.back() {
            Some(last) if last.rank() > rank => {
                self.strays.push(entry);
                self.rarely = self.rarely.or(STRAYS, rank);
            }
            Some(_) => queue.push_back(entry),
            None => {
                queue.push_back(entry);
                self.rarely = self.rarely.or(lane as usize, rank);
            }
        }
    }

    /// The looks at backends that are to come.
    #[inline]
    pub(crate) const fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    /// Whether something comes until then.
    #[inline]
    pub(crate) fn has_by(&self, at: Time) -> bool {
        let first = [self.wakes.first(), self.arrival, self.rarely.rank].map(time_of);
        first[0].min(first[1]).min(first[2]) <= at
    }

    /// What comes earliest.
    #[inline(always)] // in one place, which goes on at once with what it is
    pub(crate) fn pop(&mut self) -> Option<(Time, Due<E>)> {
        let (wake, arrival, rarely) = (self.wakes.first(), self.arrival, self.rarely.rank);
        if wake < arrival && wake < rarely {
            self.wakes.pop();
            Some((time_of(wake), Due::Wake(backend_of(wake))))
        } else if arrival < rarely {
            self.arrival = NEVER;
            Some((time_of(arrival), Due::Arrival))
        } else {
            self.pop_rarely().map(|(at, event)| (at, Due::Event(event)))
        }
    }

    #[cold]
    fn pop_rarely(&mut self) -> Option<(Time, E)> {
        let entry = match self.rarely.place {
            HEAP => self.heap.pop()?,
            STRAYS => self.strays.pop()?,
            lane => self.lanes[lane].pop_front()?,
        };
        self.seek_rarely();
        Some((entry.at, entry.event))
    }

    /// Forgets void events of a lane, and of those that strayed from one, of which `live` at most are
    /// not: deadlines of what has ended would else be kept until they pass. Those in front of the lane
    /// go at once; the others when they are more than half, so that an event costs the same however
    /// long it would have stood there.
    #[inline(always)] // mostly there is nothing
    pub(crate) fn prune(&mut self, lane: Lane, live: usize, is_void: impl Fn(&E) -> bool) {
        if !self.lanes[lane as usize].is_empty() || !self.strays.is_empty() {
            self.prune_some(lane, live, is_void);
        }
    }

    fn prune_some(&mut self, lane: Lane, live: usize, is_void: impl Fn(&E) -> bool) {
        let queue = &mut self.lanes[lane as usize];
        let before = queue.len() + self.strays.len();
        while queue.front().is_some_and(|entry| is_void(&entry.event)) {
            queue.pop_front();
        }
        if queue.len() > 2 * live + FEW {
            queue.retain(|entry| !is_void(&entry.event));
        }
        if self.strays.len() > 2 * live + FEW {
            self.strays.retain(|entry| !is_void(&entry.event));
        }
        if queue.len() + self.strays.len() < before {
            self.seek_rarely();
        }
    }

    /// What stood first in one of the places is gone, or another came there.
    fn seek_rarely(&mut self) {
        let of_lane = |lane: usize| self.lanes[lane].front();
        let heaps = [self.strays.peek(), self.heap.peek()];
        let first = [of_lane(0), of_lane(1), of_lane(2), heaps[0], heaps[1]];
        let ranks = first.map(|entry| entry.map_or(NEVER, Entry::rank));
        self.rarely = Earliest::NEVER;
        for (place, rank) in ranks.into_iter().enumerate() {
            self.rarely = self.rarely.or(place, rank);
        }
    }

    fn entry(&mut self, at: Time, event: E) -> Entry<E> {
        Entry { at, seq: self.next_seq(), event }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        assert!(self.seq < MAX_EVENTS, "who adds so many asks whether it is exhausted");
        self.seq
    }
}

#[cfg(test)]
mod tests;
