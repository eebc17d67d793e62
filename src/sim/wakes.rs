//! When backends are to be looked at, in order. It must not know what is seen there.

use crate::agenda::Rank;

/// Binary digits of a rank that are an index: of sixteen million backends.
pub(crate) const INDEX_BITS: u32 = 24;

/// A heap of ranks, each of which carries the index of a backend in its lowest digits, and nothing
/// else. With four children to a parent, whose ranks are as long as a line of cache, it is half as
/// deep as one with two, and comparing four costs less than fetching a second line.
#[derive(Debug, Default)]
pub(crate) struct Wakes(Vec<Rank>);

const CHILDREN: usize = 4;

impl Wakes {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The earliest.
    pub(crate) fn first(&self) -> Option<Rank> {
        self.0.first().copied()
    }

    pub(crate) fn push(&mut self, rank: Rank) {
        let mut place = self.0.len();
        self.0.push(rank);
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.0[parent] <= rank {
                break;
            }
            self.0[place] = self.0[parent];
            place = parent;
        }
        self.0[place] = rank;
    }

    pub(crate) fn pop(&mut self) -> Option<Rank> {
        let last = self.0.pop()?;
        let Some(&first) = self.0.first() else { return Some(last) };
        let place = self.sink(last);
        self.0[place] = last;
        Some(first)
    }

    /// The place of a rank that comes in for the first one; those before it have moved up.
    fn sink(&mut self, rank: Rank) -> usize {
        let ranks = &mut self.0[..];
        let mut place = 0;
        loop {
            let eldest = CHILDREN * place + 1;
            let children = ranks.get(eldest..).unwrap_or_default();
            let child = match children.first_chunk::<CHILDREN>() {
                Some(four) => {
                    let earlier = |a: usize, b: usize| if four[b] < four[a] { b } else { a };
                    earlier(earlier(0, 1), earlier(2, 3))
                }
                // The last of the parents may have fewer.
                None => match (0..children.len()).min_by_key(|&child| children[child]) {
                    Some(child) => child,
                    None => return place,
                },
            };
            if rank <= children[child] {
                return place;
            }
            ranks[place] = children[child];
            place = eldest + child;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_earliest_comes_first_whatever_was_pushed() {
        let mut rng = base::Rng::from_seed(7);
        let (mut wakes, mut sorted) = (Wakes::default(), BTreeSet::new());
        for step in 0..20_000_usize {
            // It grows to hundreds and shrinks to nothing, over and over.
            let grows = step % 2_000 < 1_000;
            if rng.chance(if grows { 0.7 } else { 0.3 }) {
                let rank = (rng.below(5_000) as Rank) << 64 | step as Rank;
                sorted.insert(rank);
                wakes.push(rank);
            } else {
                assert_eq!(wakes.pop(), sorted.pop_first());
            }
            assert_eq!((wakes.first(), wakes.len()), (sorted.first().copied(), sorted.len()));
        }
    }
}
