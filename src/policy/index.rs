//! Finds by number what stands elsewhere under a key. It must not depend on the order of its
//! slots in anything it says: there is no way to list it.

use base::Key;
use base::rng::mix;

/// An open-addressed table with linear probing (Knuth, TAOCP 3, 6.4, algorithms L and R): no
/// allocation in steady state, and no tombstones. Where a number lies depends on a secret, so that
/// nobody can choose numbers that collide.
#[derive(Debug)]
pub(crate) struct Index {
    secret: u64,
    /// As many as a power of two, at least half of them empty.
    slots: Vec<Option<(u64, Key)>>,
    len: usize,
}

impl Index {
    pub(crate) const fn new(secret: u64) -> Self {
        Self { secret, slots: Vec::new(), len: 0 }
    }

    pub(crate) fn get(&self, number: u64) -> Option<Key> {
        let slot = self.find(number)?;
        self.slots[slot].map(|(_, key)| key)
    }

    /// Puts a number in, in place of itself where it is there.
    pub(crate) fn insert(&mut self, number: u64, key: Key) {
        if self.slots.len() < 2 * (self.len + 1) {
            self.grow();
        }
        let slot = self.find(number).expect("half of the slots are empty");
        self.len += usize::from(self.slots[slot].is_none());
        self.slots[slot] = Some((number, key));
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Key> {
        let mut hole = self.find(number)?;
        let (_, key) = self.slots[hole].take()?;
        self.len -= 1;
        // Whoever stands behind the hole because of it moves up.
        let mut slot = hole;
        loop {
            slot = self.after(slot);
            let Some((other, _)) = self.slots[slot] else { return Some(key) };
            let home = self.home(other);
            let distance = |from: usize, to: usize| to.wrapping_sub(from) & (self.slots.len() - 1);
            if distance(home, slot) >= distance(hole, slot) {
                self.slots[hole] = self.slots[slot].take();
                hole = slot;
            }
        }
    }

    /// The slot that holds this number, or the empty one where it belongs; `None` without slots.
    fn find(&self, number: u64) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(number);
        while self.slots[slot].is_some_and(|(other, _)| other != number) {
            slot = self.after(slot);
        }
        Some(slot)
    }

    fn home(&self, number: u64) -> usize {
        mix(number, self.secret) as usize & (self.slots.len() - 1)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let size = (2 * self.slots.len()).max(8);
        let old = std::mem::replace(&mut self.slots, vec![None; size]);
        for (number, key) in old.into_iter().flatten() {
            let slot = self.find(number).expect("there are slots");
            self.slots[slot] = Some((number, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Anything that finds by number.
    trait Finds {
        fn put(&mut self, number: u64, key: Key);
        fn take(&mut self, number: u64) -> Option<Key>;
        fn look(&self, number: u64) -> Option<Key>;
    }

    impl Finds for Index {
        fn put(&mut self, number: u64, key: Key) {
            self.insert(number, key);
        }
        fn take(&mut self, number: u64) -> Option<Key> {
            self.remove(number)
        }
        fn look(&self, number: u64) -> Option<Key> {
            self.get(number)
        }
    }

    /// Wrong: leaves a hole, behind which nobody is found.
    struct LeavesHoles(Index);

    impl Finds for LeavesHoles {
        fn put(&mut self, number: u64, key: Key) {
            self.0.insert(number, key);
        }
        fn take(&mut self, number: u64) -> Option<Key> {
            let slot = self.0.find(number)?;
            self.0.slots[slot].take().map(|(_, key)| key)
        }
        fn look(&self, number: u64) -> Option<Key> {
            self.0.get(number)
        }
    }

    /// The same as an ordered map, whatever is put in and taken out.
    fn is_a_map(index: &mut dyn Finds, steps: &[(u8, u64)]) -> Result<(), String> {
        let mut map = BTreeMap::new();
        for (slot, &(what, number)) in (0..).zip(steps) {
            let key = Key { slot, generation: 0 };
            if what < 2 {
                index.put(number, key);
                map.insert(number, key);
            } else if index.take(number) != map.remove(&number) {
                return Err(format!("{number} is not what is taken out"));
            }
            for wanted in 0..40 {
                if index.look(wanted) != map.get(&wanted).copied() {
                    return Err(format!("after step {slot}: {wanted} is not found as it is"));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn holes_are_noticed() {
        let fill = (0..16).map(|n| (0, n));
        let steps: Vec<(u8, u64)> = fill.chain((0..16).map(|n| (2, n))).collect();
        assert!(is_a_map(&mut LeavesHoles(Index::new(1)), &steps).is_err());
        assert!(is_a_map(&mut Index::new(1), &steps).is_ok());
    }

    proptest! {
        #[test]
        fn it_is_a_map(secret: u64, steps in prop::collection::vec((0..4_u8, 0..40_u64), 1..300)) {
            let held = is_a_map(&mut Index::new(secret), &steps);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }
}
