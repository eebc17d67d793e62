//! Where connections live: numbered slots that are used again, and lists through them.
//! It must not know what lives in it.

use mio::Token;

const NONE: u32 = u32::MAX;

/// The token of the pacer; no slot's token reaches it, for no slot has the number [`NONE`].
pub(super) const PACER: Token = Token(usize::MAX);

#[derive(Debug)]
struct Slot<T> {
    tenant: Option<T>,
    /// How many tenants have lived here: an event for a former one must not reach the next.
    generation: u32,
    previous: u32,
    next: u32,
}

/// All connections of a loop, with what the loop keeps beside them.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty slab.
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new() }
    }

    /// The place that [`Slab::insert`] will use next, and the token for its events.
    pub(super) fn reserve(&mut self) -> (u32, Token) {
        let index = match self.vacant.last() {
            Some(&index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).expect("fewer sockets than 2³²");
                self.slots.push(Slot { tenant: None, generation: 0, previous: NONE, next: NONE });
                self.vacant.push(index);
                index
            }
        };
        (index, self.token(index))
    }

    /// Puts a tenant into the place reserved last.
    pub(super) fn insert(&mut self, tenant: T) -> u32 {
        let index = self.vacant.pop().expect("reserve() leaves a vacant slot");
        self.slots[index as usize].tenant = Some(tenant);
        index
    }

    /// Takes a tenant out; events that are still under way for it will find nothing.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = &mut self.slots[index as usize];
        let tenant = slot.tenant.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(index);
        Some(tenant)
    }

    /// The tenant there, if any.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.tenant.as_mut()
    }

    /// The token for a slot's events.
    pub(super) fn token(&self, index: u32) -> Token {
        Token((self.slots[index as usize].generation as usize) << 32 | index as usize)
    }

    /// The slot that an event is for, unless its tenant has gone.
    pub(super) fn resolve(&self, token: Token) -> Option<u32> {
        let index = token.0 as u32;
        let slot = self.slots.get(index as usize)?;
        (slot.generation as usize == token.0 >> 32 && slot.tenant.is_some()).then_some(index)
    }
}

/// A list of slots; every slot stands in one list at most, so its links lie in the slot itself.
#[derive(Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    length: usize,
}

impl List {
    /// An empty list.
    pub(super) const fn new() -> Self {
        Self { first: NONE, last: NONE, length: 0 }
    }

    /// How many slots stand in it.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The slot that has stood in it longest.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Adds a slot that stands in no list.
    pub(super) fn push<T>(&mut self, slab: &mut Slab<T>, index: u32) {
        let slot = &mut slab.slots[index as usize];
        (slot.previous, slot.next) = (self.last, NONE);
        match self.last {
            NONE => self.first = index,
            last => slab.slots[last as usize].next = index,
        }
        self.last = index;
        self.length += 1;
    }

    /// Takes out the slot added last.
    pub(super) fn pop<T>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let last = self.last;
        if last == NONE {
            return None;
        }
        self.remove(slab, last);
        Some(last)
    }

    /// Takes out a slot that stands in this list.
    pub(super) fn remove<T>(&mut self, slab: &mut Slab<T>, index: u32) {
        let slot = &slab.slots[index as usize];
        let (previous, next) = (slot.previous, slot.next);
        match previous {
            NONE => self.first = next,
            previous => slab.slots[previous as usize].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => slab.slots[next as usize].previous = previous,
        }
        self.length -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_the_last_first_and_lets_any_go() {
        for (gone, rest) in [(0, [3, 2, 1]), (1, [3, 2, 0]), (3, [2, 1, 0])] {
            let mut slab = Slab::new();
            let mut list = List::new();
            for name in "abcd".chars() {
                slab.reserve();
                let index = slab.insert(name);
                list.push(&mut slab, index);
            }
            list.remove(&mut slab, gone);
            assert_eq!((list.len(), list.first()), (3, rest.last().copied()));
            let popped: Vec<u32> = std::iter::from_fn(|| list.pop(&mut slab)).collect();
            assert_eq!(popped, rest, "without {gone}");
            assert_eq!((list.len(), list.first()), (0, None));
            list.push(&mut slab, gone);
            assert_eq!(list.pop(&mut slab), Some(gone), "a slot can come back");
        }
    }

    #[test]
    fn a_token_dies_with_its_tenant() {
        let mut slab = Slab::new();
        let (reserved, first) = slab.reserve();
        assert_eq!(slab.resolve(first), None, "a reserved slot has no events yet");
        assert_eq!(slab.insert('a'), reserved);
        assert_eq!(slab.resolve(first), Some(reserved));
        assert_eq!(slab.remove(reserved), Some('a'));
        assert_eq!(slab.remove(reserved), None);
        let (again, second) = slab.reserve();
        assert_eq!((again, slab.insert('b')), (reserved, reserved), "slots are used again");
        assert_eq!(slab.resolve(first), None, "an event for the first must not reach the second");
        assert_eq!(slab.resolve(second), Some(reserved));
        assert_eq!(slab.resolve(PACER), None);
    }
}
