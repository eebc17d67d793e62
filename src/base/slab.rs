//! Slots that are reused, each tenant under a key of its own. It must not know what it keeps.

use crate::exchange::BackendId;

/// Names one tenant of one slot; the key of a former tenant finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index of the slot; small and reused.
    pub slot: u32,
    /// Counts the tenants of the slot.
    pub generation: u32,
}

impl Key {
    /// Both halves in one number, for ids that the shell carries about.
    pub const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The reverse of [`Key::pack`].
    pub const fn unpack(packed: u64) -> Self {
        Self { slot: packed as u32, generation: (packed >> 32) as u32 }
    }
}

/// A backend's id is its key in the pool.
impl From<Key> for BackendId {
    fn from(key: Key) -> Self {
        Self { slot: key.slot, generation: key.generation }
    }
}

impl From<BackendId> for Key {
    fn from(id: BackendId) -> Self {
        Self { slot: id.slot, generation: id.generation }
    }
}

/// A vector whose holes are filled first: in steady state nothing is allocated.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The hole that is filled next, which knows the one after it.
    hole: u32,
    len: usize,
}

/// No hole.
const NOWHERE: u32 = u32::MAX;

/// In this order, and each at the beginning of a line of the processor's cache, so that whoever looks
/// whether the tenant is still there has the beginning of the tenant at hand, and no tenant lies in a
/// line more than it needs. Most tenants begin with a number of eight bytes, and leave room for
/// `next`: a list of holes apart from them would be one more place to go to.
#[derive(Debug)]
#[repr(C, align(64))]
struct Slot<T> {
    generation: u32,
    /// Of a hole: the one that is filled after it.
    next: u32,
    tenant: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    /// Without tenants.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), hole: NOWHERE, len: 0 }
    }

    /// How many tenants there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All tenants with their keys, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.slots).filter_map(|(slot, place)| {
            let key = Key { slot, generation: place.generation };
            Some((key, place.tenant.as_ref()?))
        })
    }

    /// Takes a tenant in; the slot that was freed last is filled first.
    #[inline]
    pub fn insert(&mut self, tenant: T) -> Key {
        self.put(tenant).0
    }

    /// The same; and the tenant in its place.
    #[inline]
    pub fn put(&mut self, tenant: T) -> (Key, &mut T) {
        if self.hole == NOWHERE {
            self.open();
        }
        let slot = self.hole;
        let place = &mut self.slots[slot as usize];
        self.hole = place.next;
        self.len += 1;
        let key = Key { slot, generation: place.generation };
        (key, place.tenant.insert(tenant))
    }

    /// A hole more, where there was none.
    #[cold]
    fn open(&mut self) {
        let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < NOWHERE);
        self.hole = slot.expect("four billion tenants do not fit memory");
        self.slots.push(Slot { generation: 0, next: NOWHERE, tenant: None });
    }

    /// The tenant of this key, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        let place = self.slots.get(key.slot as usize)?;
        if place.generation == key.generation { place.tenant.as_ref() } else { None }
    }

    /// See [`Slab::get`].
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation == key.generation { place.tenant.as_mut() } else { None }
    }

    /// The key of who is in a slot, for what is chained by slots.
    pub fn key(&self, slot: u32) -> Option<Key> {
        let place = self.slots.get(slot as usize)?;
        place.tenant.as_ref().map(|_| Key { slot, generation: place.generation })
    }

    /// The slot of this key will be asked for soon.
    #[inline]
    pub fn prefetch(&self, key: Key) {
        self.slots.get(key.slot as usize).inspect(|place| crate::prefetch(*place));
    }

    /// Takes a tenant out; its key is void from now on.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let tenant = place.tenant.take()?;
        place.leave(self.hole);
        self.hole = key.slot;
        self.len -= 1;
        Some(tenant)
    }

    /// What a look at the tenant of this key gives, which says too whether that leaves. Whoever looks
    /// and then removes finds it twice.
    #[inline]
    pub fn visit<R>(&mut self, key: Key, look: impl FnOnce(&mut T) -> (R, bool)) -> Option<R> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let (seen, leaves) = look(place.tenant.as_mut()?);
        if leaves {
            place.tenant = None;
            place.leave(self.hole);
            self.hole = key.slot;
            self.len -= 1;
        }
        Some(seen)
    }
}

impl<T> Slot<T> {
    /// Its tenant is gone; the hole that was next is the one after it.
    #[inline]
    const fn leave(&mut self, next: u32) {
        // Wrapping is harmless: an old key would have to be kept over 2³² tenants of one slot.
        self.generation = self.generation.wrapping_add(1);
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_former_tenant_finds_nothing() {
        let mut slab = Slab::new();
        let a = slab.insert("a");
        let b = slab.insert("b");
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None, "taken out once");
        let c = slab.insert("c");
        assert_eq!(c.slot, a.slot, "the hole is filled first");
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get_mut(a), None);
        assert_eq!(slab.get(b), Some(&"b"));
        assert_eq!(slab.get(c), Some(&"c"));
        assert_eq!((slab.key(c.slot), slab.key(7)), (Some(c), None));
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(c, &"c"), (b, &"b")]);
        assert_eq!(Key::unpack(c.pack()), c);
    }

    #[test]
    fn the_hole_that_was_made_last_is_filled_first() {
        let mut slab = Slab::new();
        let keys = [0, 1, 2, 3].map(|i| slab.insert(i));
        for slot in [1, 3, 0] {
            assert_eq!(slab.remove(keys[slot]), Some(slot));
        }
        assert_eq!((slab.len(), slab.is_empty()), (1, false));
        let slots = [4, 5, 6, 7].map(|i| slab.insert(i).slot);
        assert_eq!(slots, [0, 3, 1, 4], "then a new one");
        assert_eq!(slab.iter().map(|(_, i)| *i).collect::<Vec<_>>(), [4, 6, 2, 5, 7]);
    }

    #[test]
    fn a_visit_tells_what_it_saw_and_may_be_the_last() {
        let mut slab = Slab::new();
        let key = slab.insert(7);
        assert_eq!(slab.visit(key, |i| (std::mem::replace(i, 8), false)), Some(7));
        assert_eq!(slab.visit(key, |i| (*i, true)), Some(8), "as it was left");
        assert_eq!((slab.visit(key, |i| (*i, true)), slab.len()), (None, 0), "gone");
        assert_eq!(slab.insert(9).slot, key.slot);
        assert_eq!(slab.visit(key, |i| (*i, true)), None, "another one");
    }
}
