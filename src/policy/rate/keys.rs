//! The buckets of many keys, of which so many are remembered and no more. It must not know how a
//! bucket works.

use base::Key;

use super::bucket::Bucket;
use crate::chain::Chain;
use crate::index::Index;

#[derive(Debug)]
struct Known {
    key: u64,
    bucket: Bucket,
}

/// Buckets by key, in the order of their last use. Who is forgotten comes back with a full bucket:
/// a client that wants that must use more other keys than are remembered.
#[derive(Debug)]
pub(super) struct Keys {
    /// The most that are remembered.
    most: usize,
    known: Chain<Known>,
    index: Index,
}

impl Keys {
    pub(super) fn new(most: u32, secret: u64) -> Self {
        Self { most: most.max(1) as usize, known: Chain::new(), index: Index::new(secret) }
    }

    /// The bucket of a key that is remembered.
    pub(super) fn known(&self, key: u64) -> Option<&Bucket> {
        self.index.get(key).and_then(|place| self.known.get(place)).map(|known| &known.bucket)
    }

    /// The bucket of a key, which was used last now.
    pub(super) fn bucket(&mut self, key: u64) -> &mut Bucket {
        let place = match self.index.get(key) {
            Some(place) => {
                self.known.move_last(place);
                place
            }
            None => self.remember(key),
        };
        &mut self.known.get_mut(place).expect("what the index names is there").bucket
    }

    fn remember(&mut self, key: u64) -> Key {
        if self.known.len() >= self.most
            && let Some((oldest, _)) = self.known.first()
            && let Some(forgotten) = self.known.remove(oldest)
        {
            self.index.remove(forgotten.key);
        }
        let place = self.known.push_last(Known { key, bucket: Bucket::FULL });
        self.index.insert(key, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Anything that remembers some keys.
    trait Remembers {
        /// Uses a key; whether it was remembered.
        fn touch(&mut self, key: u64) -> bool;
    }

    impl Remembers for Keys {
        fn touch(&mut self, key: u64) -> bool {
            let known = self.known(key).is_some();
            self.bucket(key);
            assert!(self.known.len() <= self.most);
            known
        }
    }

    /// Wrong: forgets the one that came first, however often it comes.
    struct FirstIn(usize, std::collections::VecDeque<u64>);

    impl Remembers for FirstIn {
        fn touch(&mut self, key: u64) -> bool {
            let known = self.1.contains(&key);
            if !known {
                self.1.truncate(self.0 - 1);
                self.1.push_front(key);
            }
            known
        }
    }

    /// Remembered are the keys that were used last, and nobody else.
    fn forgets_the_least_recent(
        keys: &mut dyn Remembers,
        most: usize,
        touches: &[u64],
    ) -> Result<(), String> {
        let mut recent: Vec<u64> = Vec::new();
        for &key in touches {
            let place = recent.iter().position(|&other| other == key);
            if keys.touch(key) != place.is_some() {
                return Err(format!("{key} after {recent:?}"));
            }
            place.map(|place| recent.remove(place));
            recent.insert(0, key);
            recent.truncate(most);
        }
        Ok(())
    }

    #[test]
    fn forgetting_a_faithful_key_is_noticed() {
        let touches = [1, 2, 1, 3, 1];
        assert!(forgets_the_least_recent(&mut FirstIn(2, [].into()), 2, &touches).is_err());
        assert!(forgets_the_least_recent(&mut Keys::new(2, 1), 2, &touches).is_ok());
    }

    proptest! {
        #[test]
        fn the_least_recent_is_forgotten(
            most in 1..20_u32,
            touches in prop::collection::vec(0..30_u64, 1..300),
        ) {
            let held = forgets_the_least_recent(&mut Keys::new(most, 3), most as usize, &touches);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }
}
