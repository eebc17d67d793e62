//! Open requests and their attempts under way, a row a request. It must not know what becomes of them.
//!
//! With a thousand requests open, each line of memory that one of them touches is fetched anew. So the
//! first attempt, which as a rule is the only one, stands in the row of its request, and the row fills
//! one line.

use base::{AttemptId, Key, Outcome, Slab, Time};
use record::Exchange;
use workload::Arrival;

use crate::server::Connection;
use crate::subject::Order;

/// A request without its end.
#[derive(Debug)]
pub(crate) struct Open {
    /// When it arrived, as intended: a simulated client is never late.
    pub(crate) at: Time,
    /// Its number in the schedule.
    pub(crate) request: u64,
    /// Its first attempt, until that ends.
    first: Option<Leg>,
    /// The latest of its further attempts under way, by its slot.
    further: u32,
    /// Whose request it is.
    pub(crate) balancer: u32,
}

/// An attempt under way. What its [`Order`] holds stands here one by one: so it takes half a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    id: AttemptId,
    pub(crate) balancer: u32,
    pub(crate) backend: u32,
    pub(crate) number: u32,
    /// None until it is connected.
    pub(crate) connection: Option<Connection>,
    /// The connection had served another request before.
    pub(crate) reused: bool,
}

impl Leg {
    pub(crate) const fn new(order: Order, connection: Option<Connection>) -> Self {
        let Order { id, balancer, backend, number } = order;
        Self { id, balancer, backend, number, connection, reused: connection.is_some() }
    }

    pub(crate) const fn order(&self) -> Order {
        let &Self { id, balancer, backend, number, .. } = self;
        Order { id, balancer, backend, number }
    }

    /// Whether this is the attempt that its balancer calls so.
    pub(crate) fn is(&self, attempt: AttemptId) -> bool {
        self.id == attempt
    }
}

/// An attempt that is not the first of its request, which may have more of them.
#[derive(Debug)]
struct Further {
    request: Key,
    leg: Leg,
    /// The one before it that is under way too, by its slot.
    earlier: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// See the module. A first attempt has the key of its request; that of a further one is marked.
#[derive(Debug)]
pub(crate) struct UnderWay {
    requests: Slab<Open>,
    further: Slab<Further>,
}

/// In the slot of a further attempt's key: no slab has so many slots.
const MARK: u32 = 1 << 31;

/// The key by which a further attempt is found; `None` for a first one.
const fn unmarked(leg: Key) -> Option<Key> {
    let Key { slot, generation } = leg;
    if slot & MARK == 0 { None } else { Some(Key { slot: slot & !MARK, generation }) }
}

const fn marked(Key { slot, generation }: Key) -> Key {
    Key { slot: slot | MARK, generation }
}

impl UnderWay {
    pub(crate) const fn new() -> Self {
        Self { requests: Slab::new(), further: Slab::new() }
    }

    /// How many requests have not ended.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Attempts that have not ended, at most.
    pub(crate) fn most_legs(&self) -> usize {
        self.requests.len() + self.further.len()
    }

    /// Attempts that have not ended, counted one by one.
    pub(crate) fn legs(&self) -> usize {
        self.iter().filter(|(_, open)| open.first.is_some()).count() + self.further.len()
    }

    /// A request arrives, at this balancer.
    #[inline(always)] // every request passes here
    pub(crate) fn begin(&mut self, arrival: Arrival, balancer: u32) -> Key {
        let Arrival { at, request, .. } = arrival;
        self.requests.insert(Open { at, request, first: None, further: NONE, balancer })
    }

    pub(crate) fn get(&self, request: Key) -> Option<&Open> {
        self.requests.get(request)
    }

    /// The requests that have not ended, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Open)> {
        self.requests.iter()
    }

    /// A request ends. What is under way for it still is given to `losers`.
    #[inline(always)] // every request passes here
    pub(crate) fn end(&mut self, request: Key, losers: &mut Vec<(Key, Leg)>) -> Option<Open> {
        let open = self.requests.get(request)?;
        if open.first.is_some() || open.further != NONE {
            self.release(request, losers);
        }
        self.requests.remove(request)
    }

    /// What is under way for a request is so no longer, but given to `losers`.
    #[cold]
    pub(crate) fn release(&mut self, request: Key, losers: &mut Vec<(Key, Leg)>) {
        let Some(open) = self.requests.get_mut(request) else { return };
        losers.extend(open.first.take().map(|leg| (request, leg)));
        let mut slot = std::mem::replace(&mut open.further, NONE);
        while let Some(key) = self.further.key(slot)
            && let Some(Further { leg, earlier, .. }) = self.further.remove(key)
        {
            losers.push((marked(key), leg));
            slot = earlier;
        }
    }
}

/// Attempts.
impl UnderWay {
    /// One more attempt of a request; what it is called while it is under way.
    #[inline(always)] // every request passes here
    pub(crate) fn add(&mut self, request: Key, leg: Leg) -> Option<(Key, &Open)> {
        if leg.number > 1 {
            return self.add_further(request, leg);
        }
        let open = self.requests.get_mut(request)?;
        open.first = Some(leg);
        Some((request, open))
    }

    #[cold]
    fn add_further(&mut self, request: Key, leg: Leg) -> Option<(Key, &Open)> {
        let open = self.requests.get_mut(request)?;
        let key = self.further.insert(Further { request, leg, earlier: open.further });
        open.further = key.slot;
        Some((marked(key), open))
    }

    /// An attempt that has not ended.
    pub(crate) fn leg(&self, leg: Key) -> Option<&Leg> {
        match unmarked(leg) {
            None => self.requests.get(leg)?.first.as_ref(),
            Some(key) => self.further.get(key).map(|further| &further.leg),
        }
    }

    /// The same, to be changed.
    pub(crate) fn leg_mut(&mut self, leg: Key) -> Option<&mut Leg> {
        match unmarked(leg) {
            None => self.requests.get_mut(leg)?.first.as_mut(),
            Some(key) => self.further.get_mut(key).map(|further| &mut further.leg),
        }
    }

    /// The request of an attempt that has not ended.
    pub(crate) fn owner(&self, leg: Key) -> Option<&Open> {
        match unmarked(leg) {
            None => self.requests.get(leg),
            Some(key) => self.requests.get(self.further.get(key)?.request),
        }
    }

    /// An attempt ends; the request that it was of.
    #[inline(always)] // every request passes here
    pub(crate) fn end_leg(&mut self, leg: Key) -> Option<(Key, Leg)> {
        match unmarked(leg) {
            None => Some((leg, self.requests.get_mut(leg)?.first.take()?)),
            Some(key) => self.end_further(key),
        }
    }

    #[cold]
    fn end_further(&mut self, key: Key) -> Option<(Key, Leg)> {
        let Further { request, leg, earlier } = self.further.remove(key)?;
        let open = self.requests.get_mut(request)?;
        if open.further == key.slot {
            open.further = earlier;
            return Some((request, leg));
        }
        // A request has few that are under way together.
        let mut later = open.further;
        while let Some(further) = self.further.key(later).and_then(|key| self.further.get_mut(key))
        {
            later = further.earlier;
            if later == key.slot {
                further.earlier = earlier;
                break;
            }
        }
        Some((request, leg))
    }

    /// An attempt will be asked for soon, and with a first one its request; one that is not the first
    /// is not fetched.
    #[inline]
    pub(crate) fn prefetch(&self, leg: Key) {
        self.requests.prefetch(leg);
    }
}

impl Open {
    /// How it ends, as its client sees it.
    #[inline(always)] // every request passes here
    pub(crate) const fn exchange(
        &self,
        now: Time,
        outcome: Outcome,
        status: Option<u16>,
        backend: Option<u32>,
    ) -> Exchange {
        Exchange {
            request: self.request,
            intended: self.at,
            sent: Some(self.at),
            ended: now,
            outcome,
            status,
            backend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(request: u64) -> Arrival {
        Arrival { at: Time::from_nanos(request), request, luck: 0 }
    }

    const fn leg(number: u32) -> Leg {
        Leg::new(Order { id: AttemptId(number as u64), balancer: 0, backend: 0, number }, None)
    }

    fn numbers(legs: &[(Key, Leg)]) -> Vec<u32> {
        legs.iter().map(|(_, leg)| leg.number).collect()
    }

    #[test]
    fn a_request_fills_one_line() {
        let begins = std::mem::size_of::<u64>(); // of the generation that a slab puts before it
        assert!(begins + std::mem::size_of::<Option<Open>>() <= 64);
    }

    #[test]
    fn attempts_are_found_until_they_end_and_not_after() {
        // In every order in which three can end.
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut under_way, mut losers) = (UnderWay::new(), Vec::new());
            let other = under_way.begin(arrival(8), 0);
            let request = under_way.begin(arrival(7), 0);
            let mut add = |number| {
                under_way.add(other, leg(number)).expect("it is open");
                under_way.add(request, leg(number)).expect("it is open").0
            };
            let legs = [1, 2, 3].map(&mut add);
            for place in order {
                let found = under_way.leg(legs[place]).map(|leg| leg.number);
                assert_eq!(found, Some(place as u32 + 1));
                let owner = under_way.owner(legs[place]).map(|open| open.request);
                assert_eq!(owner, Some(7));
                let ended = under_way.end_leg(legs[place]);
                let ended = ended.map(|(request, leg)| (request, leg.number));
                assert_eq!(ended, Some((request, place as u32 + 1)));
                assert!(under_way.leg(legs[place]).is_none(), "{order:?}");
                assert!(under_way.end_leg(legs[place]).is_none(), "{order:?}");
            }
            assert!(under_way.end(request, &mut losers).is_some() && losers.is_empty());
            assert!(under_way.add(request, leg(4)).is_none(), "it is over");
            assert!(under_way.end(other, &mut losers).is_some());
            assert_eq!(numbers(&losers), [1, 3, 2], "those of the other");
            assert_eq!((under_way.requests(), under_way.most_legs(), under_way.legs()), (0, 0, 0));
        }
    }

    #[test]
    fn what_is_released_is_under_way_no_longer() {
        let (mut under_way, mut losers) = (UnderWay::new(), Vec::new());
        let request = under_way.begin(arrival(7), 0);
        let legs = [1, 2, 3].map(|n| under_way.add(request, leg(n)).expect("it is open").0);
        under_way.end_leg(legs[1]);
        under_way.release(request, &mut losers);
        assert_eq!(numbers(&losers), [1, 3]);
        assert!(legs.iter().all(|leg| under_way.leg(*leg).is_none()));
        under_way.add(request, leg(4)).expect("it is open still");
        assert!(under_way.end(request, &mut losers).is_some());
        assert_eq!(numbers(&losers), [1, 3, 4]);
    }
}
