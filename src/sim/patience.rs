//! Who loses patience first: the open requests in the order of their coming. It must not know when
//! that is; all clients wait equally long.

use base::{Key, prefetch};

use crate::agenda::Ticket;

/// A chain through the slots of a slab. It stands apart from what it chains because a request that
/// ends moves its neighbours, which would else be fetched from far memory for it.
#[derive(Debug)]
pub(crate) struct Patience {
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

/// A client that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Its request.
    pub(crate) key: Key,
    /// Which balancer that came to.
    pub(crate) balancer: u32,
    /// Where in the agenda its patience ends.
    pub(crate) ticket: Ticket,
}

/// Half a line of the processor's cache.
#[derive(Clone, Copy, Debug)]
struct Link {
    waiting: Waiting,
    older: u32,
    newer: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { links: Vec::new(), oldest: NONE, newest: NONE }
    }

    /// The client that has waited longest.
    pub(crate) fn oldest(&self) -> Option<&Waiting> {
        self.links.get(self.oldest as usize).map(|link| &link.waiting)
    }

    /// Whether one that waits has waited longest.
    #[inline]
    pub(crate) const fn is_oldest(&self, key: Key) -> bool {
        self.oldest == key.slot
    }

    /// A client's wait will end soon.
    #[inline]
    pub(crate) fn prefetch(&self, key: Key) {
        self.links.get(key.slot as usize).inspect(|link| prefetch(*link));
    }

    /// The same of those before and behind it.
    #[inline]
    pub(crate) fn prefetch_neighbours(&self, key: Key) {
        if let Some(link) = self.links.get(key.slot as usize) {
            for slot in [link.older, link.newer] {
                self.links.get(slot as usize).inspect(|link| prefetch(*link));
            }
        }
    }

    /// One more waits.
    pub(crate) fn begin(&mut self, waiting: Waiting) {
        let link = Link { waiting, older: self.newest, newer: NONE };
        let slot = waiting.key.slot;
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, link);
        }
        self.links[slot as usize] = link;
        match self.links.get_mut(self.newest as usize) {
            Some(before) => before.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    /// One that waits does so no longer.
    pub(crate) fn end(&mut self, key: Key) {
        let Link { older, newer, .. } = self.links[key.slot as usize];
        match self.links.get_mut(older as usize) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match self.links.get_mut(newer as usize) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Slab;

    use super::*;
    use crate::agenda::Agenda;

    #[test]
    fn the_oldest_is_the_first_of_those_that_have_not_ended() {
        let mut rng = base::Rng::from_seed(5);
        let mut agenda = Agenda::<()>::new();
        let (mut patience, mut slab, mut open) = (Patience::new(), Slab::new(), Vec::new());
        for _ in 0..10_000 {
            if open.is_empty() || rng.chance(0.5) {
                let key = slab.insert(());
                patience.begin(Waiting { key, balancer: 0, ticket: agenda.ticket() });
                open.push(key);
            } else {
                let key = open.remove(rng.below(open.len()));
                patience.end(key);
                slab.remove(key);
            }
            let oldest = patience.oldest().map(|waiting| waiting.key);
            assert_eq!(oldest, open.first().copied());
        }
    }
}
