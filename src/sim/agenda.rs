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
    heap: BinaryHeap<Entry<E>>,
    seq: u64,
}

/// Where events stand that are not usual, besides the lanes. A network without delay is nearly always
/// empty: what travels is the next thing that happens.
const HEAP: usize = LANES;

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
        self.seq == other.seq
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
            heap: BinaryHeap::new(),
            seq: 0,
        }
    }

    /// How many events are to come.
    pub(crate) fn len(&self) -> usize {
        let lanes = self.lanes.iter().map(VecDeque::len).sum::<usize>();
        let arrival = usize::from(self.arrival < NEVER);
        lanes + self.heap.len() + self.wakes.len() + arrival
    }

    /// Whether it soon has no place left in the order of entry.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.seq >= MAX_EVENTS - RESERVE
    }

    /// Adds an event of any time.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let entry = self.entry(at, event);
        self.push_to_heap(entry);
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
        let queue = &mut self.lanes[lane as usize];
        match queue.back() {
            Some(last) if last.at > at => self.push_to_heap(entry),
            Some(_) => queue.push_back(entry),
            None => {
                let rank = entry.rank();
                queue.push_back(entry);
                self.rarely = self.rarely.or(lane as usize, rank);
            }
        }
    }

    fn push_to_heap(&mut self, entry: Entry<E>) {
        let rank = entry.rank();
        self.heap.push(entry);
        self.rarely = self.rarely.or(HEAP, rank);
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
            lane => self.lanes[lane].pop_front()?,
        };
        self.seek_rarely();
        Some((entry.at, entry.event))
    }

    /// Forgets void events of a lane of which `live` at most are not: deadlines of what has ended
    /// would else be kept until they pass. Those in front go at once; the others when they are more
    /// than half, so that an event costs the same however long it would have stood there.
    #[inline(always)] // mostly there is nothing
    pub(crate) fn prune(&mut self, lane: Lane, live: usize, is_void: impl Fn(&E) -> bool) {
        if !self.lanes[lane as usize].is_empty() {
            self.prune_some(lane, live, is_void);
        }
    }

    fn prune_some(&mut self, lane: Lane, live: usize, is_void: impl Fn(&E) -> bool) {
        let queue = &mut self.lanes[lane as usize];
        let before = queue.len();
        while queue.front().is_some_and(|entry| is_void(&entry.event)) {
            queue.pop_front();
        }
        if queue.len() > 2 * live + FEW {
            queue.retain(|entry| !is_void(&entry.event));
        }
        if queue.len() < before {
            self.seek_rarely();
        }
    }

    /// What stood first in one of the places is gone, or another came there.
    fn seek_rarely(&mut self) {
        let of_lane = |lane: usize| self.lanes[lane].front();
        let first = [of_lane(0), of_lane(1), of_lane(2), self.heap.peek()];
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
mod tests {
    use super::*;

    /// Stands for the next request, where events are numbers.
    const REQUEST: u32 = u32::MAX;
    const BACKENDS: usize = 10_000;

    fn drain(agenda: &mut Agenda<u32>) -> Vec<u32> {
        let due = std::iter::from_fn(|| agenda.pop());
        let number = due.map(|(_, due)| match due {
            Due::Arrival => REQUEST,
            Due::Wake(number) | Due::Event(number) => number,
        });
        number.collect()
    }

    #[test]
    fn events_come_in_order_of_time_and_then_of_entry() {
        let at = Time::from_nanos;
        let mut agenda = Agenda::new(BACKENDS);
        agenda.push(at(5), 50);
        agenda.push_to(Lane::Network, at(5), 51);
        agenda.push_to(Lane::Attempt, at(9), 90);
        agenda.push(at(5), 52);
        agenda.push_to(Lane::Network, at(7), 70);
        assert!(agenda.has_by(at(5)) && !agenda.has_by(at(4)));
        agenda.push_to(Lane::Attempt, at(3), 30); // out of its lane's order
        assert!(agenda.has_by(at(3)));
        agenda.push(at(9), 91);
        assert_eq!(agenda.len(), 7);
        assert_eq!(drain(&mut agenda), [30, 50, 51, 52, 70, 90, 91]);
        assert_eq!(agenda.len(), 0);
    }

    #[test]
    fn it_says_so_before_its_order_has_no_place_left() {
        let mut agenda = Agenda::<u32>::new(BACKENDS);
        agenda.seq = MAX_EVENTS - RESERVE - 1;
        assert!(!agenda.is_exhausted());
        agenda.push(Time::ZERO, 1);
        assert!(agenda.is_exhausted());
        agenda.push(Time::ZERO, 2);
        assert_eq!(drain(&mut agenda), [1, 2]);
    }

    #[test]
    fn any_mixture_is_sorted() {
        let lanes = [Lane::Network, Lane::Attempt, Lane::Patience];
        assert_eq!(lanes.len(), LANES);
        let mut rng = base::Rng::from_seed(1);
        let mut agenda = Agenda::new(BACKENDS);
        let mut expected = Vec::new();
        for number in 0..10_000_u32 {
            let at = Time::from_nanos(rng.below(1_000) as u64);
            let mut event = number;
            match rng.below(LANES + 3) {
                5 => agenda.push_wake(at, event),
                3 if agenda.arrival == NEVER => {
                    event = REQUEST;
                    agenda.push_arrival(at);
                }
                3 | 4 => agenda.push(at, event),
                lane => agenda.push_to(lanes[lane], at, event),
            }
            expected.push((at, number, event));
        }
        expected.sort_unstable();
        let expected: Vec<u32> = expected.into_iter().map(|(_, _, event)| event).collect();
        assert_eq!(drain(&mut agenda), expected);
    }

    #[test]
    fn void_events_at_the_front_are_forgotten() {
        let mut agenda = Agenda::new(BACKENDS);
        for event in [1, 3, 4, 5] {
            agenda.push_to(Lane::Attempt, Time::from_nanos(event.into()), event);
        }
        agenda.prune(Lane::Attempt, 1, |event| event % 2 == 1);
        assert_eq!(drain(&mut agenda), [4, 5]);
    }

    #[test]
    fn void_events_behind_one_that_stays_are_forgotten_too() {
        let mut agenda = Agenda::new(BACKENDS);
        for event in 0..1_000_000 {
            agenda.push_to(Lane::Attempt, Time::from_nanos(event.into()), event);
            agenda.prune(Lane::Attempt, 2, |&other| other != 0 && other != event);
            assert!(agenda.len() <= 2 * 2 + FEW + 1, "{} are kept", agenda.len());
        }
        assert_eq!(drain(&mut agenda)[0], 0, "and the one that stays is the first");
    }
}
