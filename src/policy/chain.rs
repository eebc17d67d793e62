//! A list whose members can be taken out anywhere: a queue that people leave early, or an order of
//! last use. It must not know what it lists.

use base::{Key, Slab};

#[derive(Debug)]
struct Link<T> {
    value: T,
    before: Option<Key>,
    after: Option<Key>,
}

/// A doubly linked list in one vector: every operation takes a constant time, and in steady state
/// nothing is allocated.
#[derive(Debug)]
pub(crate) struct Chain<T> {
    links: Slab<Link<T>>,
    first: Option<Key>,
    last: Option<Key>,
}

impl<T> Chain<T> {
    pub(crate) const fn new() -> Self {
        Self { links: Slab::new(), first: None, last: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.links.get(key).map(|link| &link.value)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.links.get_mut(key).map(|link| &mut link.value)
    }

    /// The first member.
    pub(crate) fn first(&self) -> Option<(Key, &T)> {
        self.first.and_then(|key| Some((key, self.get(key)?)))
    }

    /// The last member.
    pub(crate) fn last(&self) -> Option<(Key, &T)> {
        self.last.and_then(|key| Some((key, self.get(key)?)))
    }

    /// All members in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let key = next?;
            let link = self.links.get(key)?;
            next = link.after;
            Some((key, &link.value))
        })
    }

    pub(crate) fn push_last(&mut self, value: T) -> Key {
        let key = self.links.insert(Link { value, before: None, after: None });
        self.attach_last(key);
        key
    }

    /// Takes a member out, wherever it stands.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.links.get(key)?;
        self.detach(key);
        self.links.remove(key).map(|link| link.value)
    }

    /// Puts a member behind all others.
    pub(crate) fn move_last(&mut self, key: Key) {
        if self.last != Some(key) && self.links.get(key).is_some() {
            self.detach(key);
            self.attach_last(key);
        }
    }

    fn attach_last(&mut self, key: Key) {
        let before = self.last.replace(key);
        match before.and_then(|before| self.links.get_mut(before)) {
            Some(link) => link.after = Some(key),
            None => self.first = Some(key),
        }
        if let Some(link) = self.links.get_mut(key) {
            (link.before, link.after) = (before, None);
        }
    }

    fn detach(&mut self, key: Key) {
        let Some(&Link { before, after, .. }) = self.links.get(key) else { return };
        match before.and_then(|before| self.links.get_mut(before)) {
            Some(link) => link.after = after,
            None => self.first = after,
        }
        match after.and_then(|after| self.links.get_mut(after)) {
            Some(link) => link.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same as a vector that is searched.
        #[test]
        fn it_is_a_list(steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>()), 1..200)) {
            let mut chain = Chain::new();
            let mut plain: Vec<(Key, u32)> = Vec::new();
            for (number, (what, which)) in (0..).zip(steps) {
                if what < 2 || plain.is_empty() {
                    plain.push((chain.push_last(number), number));
                    continue;
                }
                let member = plain.remove(which.index(plain.len()));
                if what == 2 {
                    prop_assert_eq!(chain.remove(member.0), Some(member.1));
                    prop_assert_eq!(chain.remove(member.0), None);
                } else {
                    chain.move_last(member.0);
                    plain.push(member);
                }
                let expected: Vec<u32> = plain.iter().map(|&(_, value)| value).collect();
                let listed: Vec<u32> = chain.iter().map(|(_, &value)| value).collect();
                prop_assert_eq!(listed, expected);
                prop_assert_eq!(chain.first().map(|(key, _)| key), plain.first().map(|p| p.0));
                prop_assert_eq!(chain.last().map(|(key, _)| key), plain.last().map(|p| p.0));
                prop_assert_eq!((chain.len(), chain.is_empty()), (plain.len(), plain.is_empty()));
            }
        }
    }
}
