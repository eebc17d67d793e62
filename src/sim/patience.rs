//! Who loses patience first: the open requests in the order of their coming. It must not know when
//! that is; all clients wait equally long.

use base::Key;

/// A chain through the slots of a slab. It stands apart from what it chains because a request that
/// ends moves its neighbours, which would else be fetched from far memory for it.
#[derive(Debug)]
pub(crate) struct Patience {
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    key: Key,
    older: u32,
    newer: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { links: Vec::new(), oldest: NONE, newest: NONE }
    }

    /// The request whose client has waited longest.
    pub(crate) fn oldest(&self) -> Option<Key> {
        self.links.get(self.oldest as usize).map(|link| link.key)
    }

    /// One more waits.
    pub(crate) fn begin(&mut self, key: Key) {
        let link = Link { key, older: self.newest, newer: NONE };
        let slot = key.slot as usize;
        if self.links.len() <= slot {
            self.links.resize(slot + 1, link);
        }
        self.links[slot] = link;
        match self.links.get_mut(self.newest as usize) {
            Some(before) => before.newer = key.slot,
            None => self.oldest = key.slot,
        }
        self.newest = key.slot;
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

    #[test]
    fn the_oldest_is_the_first_of_those_that_have_not_ended() {
        let mut rng = base::Rng::from_seed(5);
        let (mut patience, mut slab, mut open) = (Patience::new(), Slab::new(), Vec::new());
        for _ in 0..10_000 {
            if open.is_empty() || rng.chance(0.5) {
                let key = slab.insert(());
                patience.begin(key);
                open.push(key);
            } else {
                let key = open.remove(rng.below(open.len()));
                patience.end(key);
                slab.remove(key);
            }
            assert_eq!(patience.oldest(), open.first().copied());
        }
    }
}
