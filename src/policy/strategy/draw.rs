//! Drawing a few of many: distinct places, and the best of them. It must not know whose they are.

use base::Rng;

use super::alias::Alias;
use super::by_weight::draw_by_weight;
use super::{Candidates, is_less_loaded};

/// The most that can be drawn at once: beyond it a scan is as cheap.
pub(super) const MAX_DRAWN: usize = 16;

/// So often one that was drawn already is drawn again by weight. Then any of those that are left
/// does: a backend that has nearly all of the weight would be drawn for long.
const REDRAWS: usize = 8;

/// The least loaded of what is drawn, which is something; the first of them on a tie, which is
/// fair because the first is random too.
pub(super) fn less_loaded(
    candidates: &Candidates<'_>,
    drawn: impl Iterator<Item = usize>,
) -> usize {
    drawn
        .reduce(|best, index| if is_less_loaded(candidates, index, best) { index } else { best })
        .expect("at least one is drawn: choices and candidates are at least 1")
}

/// What the likelihood of a draw goes by.
pub(super) enum Weights<'a> {
    Equal,
    /// The table of all `n`.
    Table(&'a Alias),
    /// Without a table: a pass over the candidates.
    Of(&'a Candidates<'a>),
}

/// Distinct indices below `n`, in the order of the draw.
pub(super) struct Distinct<'a> {
    left: usize,
    n: usize,
    weights: Weights<'a>,
    rng: &'a mut Rng,
    /// In ascending order, the first `len` of them.
    gone: [usize; MAX_DRAWN],
    len: usize,
}

impl<'a> Distinct<'a> {
    /// Draws `count` of them, at most `n` and [`MAX_DRAWN`], all equally likely.
    pub(super) fn new(count: usize, n: usize, rng: &'a mut Rng) -> Self {
        Self::weighted(count, n, Weights::Equal, rng)
    }

    /// The same by weight.
    pub(super) fn weighted(count: usize, n: usize, weights: Weights<'a>, rng: &'a mut Rng) -> Self {
        Self { left: count.min(n).min(MAX_DRAWN), n, weights, rng, gone: [0; MAX_DRAWN], len: 0 }
    }

    /// By rank among those that are left, and then moved past the smaller ones that are gone.
    fn evenly(&mut self) -> usize {
        let mut index = self.rng.below(self.n - self.len);
        for &gone in &self.gone[..self.len] {
            if gone > index {
                break;
            }
            index += 1;
        }
        index
    }

    fn by_table(&mut self, table: &Alias) -> usize {
        for _ in 0..=REDRAWS {
            let index = table.draw(self.rng);
            if !self.gone[..self.len].contains(&index) {
                return index;
            }
        }
        self.evenly()
    }
}

impl Iterator for Distinct<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let index = match self.weights {
            Weights::Equal => self.evenly(),
            Weights::Table(table) => self.by_table(table),
            Weights::Of(candidates) => draw_by_weight(candidates, &self.gone[..self.len], self.rng),
        };
        let place = self.gone[..self.len].partition_point(|&gone| gone < index);
        self.gone.copy_within(place..self.len, place + 1);
        self.gone[place] = index;
        self.len += 1;
        Some(index)
    }
}

/// Two distinct indices below `n`, which is at least 2: the first two of [`Distinct`], without its
/// list. Nearly every draw is of two.
pub(super) fn two(n: usize, rng: &mut Rng) -> [usize; 2] {
    let first = rng.below(n);
    let second = rng.below(n - 1);
    [first, second + usize::from(second >= first)]
}

/// Puts things into a random order, each order equally likely (Fisher and Yates, in Durstenfeld's
/// form of 1964).
pub(super) fn shuffle<T>(things: &mut [T], rng: &mut Rng) {
    for last in (1..things.len()).rev() {
        things.swap(last, rng.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_the_first_two() {
        for n in 2..40 {
            let mut rng = Rng::from_seed(n as u64);
            let distinct: Vec<usize> = Distinct::new(2, n, &mut rng.clone()).collect();
            assert_eq!(two(n, &mut rng)[..], distinct[..], "of {n}");
        }
    }

    /// Every ordered choice of `count` of five, and every order of four, equally often.
    #[test]
    fn draws_and_orders_are_uniform() {
        let mut rng = Rng::from_seed(11);
        for (count, kinds) in [(1, 5), (2, 20), (3, 60), (5, 120), (9, 120)] {
            let mut counts = std::collections::BTreeMap::new();
            for _ in 0..kinds * 1_000 {
                let drawn: Vec<usize> = Distinct::new(count, 5, &mut rng).collect();
                *counts.entry(drawn).or_insert(0_u32) += 1;
            }
            assert_eq!(counts.len(), kinds, "{count}");
            // A cell's standard deviation is below 32; 5.5 of them.
            assert!(counts.values().all(|&n| n.abs_diff(1_000) < 174), "{counts:?}");
        }
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut order = [0, 1, 2, 3];
            shuffle(&mut order, &mut rng);
            *counts.entry(order).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|&n| n.abs_diff(1_000) < 174), "{counts:?}");
    }
}
