//! What will happen, in order of time. It must not know what it is.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use base::Time;

/// What lies a fixed time ahead comes in order by itself; a queue holds it at a fraction of a
/// heap's cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// The next request.
    Arrival,
    /// What is on the network, whose delay is the same for all.
    Network,
    /// When clients lose patience.
    Client,
    /// When attempts must have their answer.
    Attempt,
}

const LANES: usize = 4;

/// So few void events are not worth a look at all of a lane.
const FEW: usize = 1_024;

/// Events in order of time; of the same time, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    lanes: [VecDeque<Entry<E>>; LANES],
    heap: BinaryHeap<Entry<E>>,
    seq: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    seq: u64,
    event: E,
}

impl<E> Entry<E> {
    const fn key(&self) -> (Time, u64) {
        (self.at, self.seq)
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
        other.key().cmp(&self.key())
    }
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Self { lanes: Default::default(), heap: BinaryHeap::new(), seq: 0 }
    }

    /// How many events are to come.
    pub(crate) fn len(&self) -> usize {
        self.heap.len() + self.lanes.iter().map(VecDeque::len).sum::<usize>()
    }

    /// Adds an event of any time.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let seq = self.next_seq();
        self.heap.push(Entry { at, seq, event });
    }

    /// Adds an event to a lane, whose events usually come in order of time; one that does not is
    /// in order all the same.
    pub(crate) fn push_to(&mut self, lane: Lane, at: Time, event: E) {
        let seq = self.next_seq();
        let entry = Entry { at, seq, event };
        let queue = &mut self.lanes[lane as usize];
        if queue.back().is_none_or(|last| last.at <= at) {
            queue.push_back(entry);
        } else {
            self.heap.push(entry);
        }
    }

    /// The earliest event.
    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        let mut earliest = self.heap.peek().map(Entry::key);
        let mut from = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            if let Some(front) = lane.front()
                && earliest.is_none_or(|key| front.key() < key)
            {
                earliest = Some(front.key());
                from = Some(index);
            }
        }
        let entry = match from {
            Some(index) => self.lanes[index].pop_front(),
            None => self.heap.pop(),
        };
        entry.map(|entry| (entry.at, entry.event))
    }

    /// Forgets void events of a lane of which `live` at most are not: deadlines of what has ended
    /// would else be kept until they pass. Those in front go at once; the others when they are more
    /// than half, so that an event costs the same however long it would have stood there.
    pub(crate) fn prune(&mut self, lane: Lane, live: usize, is_void: impl Fn(&E) -> bool) {
        let queue = &mut self.lanes[lane as usize];
        while queue.front().is_some_and(|entry| is_void(&entry.event)) {
            queue.pop_front();
        }
        if queue.len() > 2 * live + FEW {
            queue.retain(|entry| !is_void(&entry.event));
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(agenda: &mut Agenda<u32>) -> Vec<u32> {
        std::iter::from_fn(|| agenda.pop()).map(|(_, event)| event).collect()
    }

    #[test]
    fn events_come_in_order_of_time_and_then_of_entry() {
        let at = Time::from_nanos;
        let mut agenda = Agenda::new();
        agenda.push(at(5), 50);
        agenda.push_to(Lane::Network, at(5), 51);
        agenda.push_to(Lane::Client, at(9), 90);
        agenda.push(at(5), 52);
        agenda.push_to(Lane::Network, at(7), 70);
        agenda.push_to(Lane::Client, at(3), 30); // out of its lane's order
        agenda.push(at(9), 91);
        assert_eq!(agenda.len(), 7);
        assert_eq!(drain(&mut agenda), [30, 50, 51, 52, 70, 90, 91]);
        assert_eq!(agenda.len(), 0);
    }

    #[test]
    fn any_mixture_is_sorted() {
        let lanes = [Lane::Arrival, Lane::Network, Lane::Client, Lane::Attempt];
        let mut rng = base::Rng::from_seed(1);
        let mut agenda = Agenda::new();
        let mut expected = Vec::new();
        for event in 0..10_000_u32 {
            let at = Time::from_nanos(rng.below(1_000) as u64);
            expected.push((at, event));
            match rng.below(5) {
                4 => agenda.push(at, event),
                lane => agenda.push_to(lanes[lane], at, event),
            }
        }
        expected.sort_unstable();
        let expected: Vec<u32> = expected.into_iter().map(|(_, event)| event).collect();
        assert_eq!(drain(&mut agenda), expected);
    }

    #[test]
    fn void_events_at_the_front_are_forgotten() {
        let mut agenda = Agenda::new();
        for event in [1, 3, 4, 5] {
            agenda.push_to(Lane::Client, Time::from_nanos(event.into()), event);
        }
        agenda.prune(Lane::Client, 1, |event| event % 2 == 1);
        assert_eq!(drain(&mut agenda), [4, 5]);
    }

    #[test]
    fn void_events_behind_one_that_stays_are_forgotten_too() {
        let mut agenda = Agenda::new();
        for event in 0..1_000_000 {
            agenda.push_to(Lane::Client, Time::from_nanos(event.into()), event);
            agenda.prune(Lane::Client, 2, |&other| other != 0 && other != event);
            assert!(agenda.len() <= 2 * 2 + FEW + 1, "{} are kept", agenda.len());
        }
        assert_eq!(drain(&mut agenda)[0], 0, "and the one that stays is the first");
    }
}
