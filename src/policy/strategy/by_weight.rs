//! Draws of candidates in proportion to their weights. It must not look at load.

use base::Rng;

use super::Candidates;
use super::alias::Alias;
use super::draw::{Distinct, Weights};
use crate::pool::Pool;

/// How candidates are drawn: as of the last change of the pool, so that a backend which warms up is
/// drawn by the part of its weight that it has.
#[derive(Debug)]
pub(super) struct ByWeight {
    /// `None` while all weights are equal: then one plain draw does.
    table: Option<Alias>,
}

impl ByWeight {
    pub(super) const fn new() -> Self {
        Self { table: None }
    }

    pub(super) fn pool_changed(&mut self, pool: &Pool) {
        let weights: Vec<u32> = pool.ready().map(|(_, weight)| weight).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        self.table = (!equal).then(|| Alias::new(&weights));
    }

    /// Whether all weigh the same.
    pub(super) const fn is_even(&self) -> bool {
        self.table.is_none()
    }

    /// Any of the candidates.
    pub(super) fn one(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> usize {
        match &self.table {
            None => rng.below(candidates.len()),
            Some(table) if candidates.is_whole() => table.draw(rng),
            Some(_) => draw_by_weight(candidates, &[], rng),
        }
    }

    /// So many of them, each once; all, where there are not so many.
    pub(super) fn several<'a>(
        &'a self,
        count: usize,
        candidates: &'a Candidates<'a>,
        rng: &'a mut Rng,
    ) -> Distinct<'a> {
        let weights = match &self.table {
            None => Weights::Equal,
            Some(table) if candidates.is_whole() => Weights::Table(table),
            Some(_) => Weights::Of(candidates),
        };
        Distinct::weighted(count, candidates.len(), weights, rng)
    }
}

/// A weighted draw without a table, for a retry, whose candidates are fewer: one pass over them.
/// Those at the places that are `gone`, in ascending order and not all, are passed over.
pub(super) fn draw_by_weight(candidates: &Candidates<'_>, gone: &[usize], rng: &mut Rng) -> usize {
    let weight = |index| candidates.weight(index) as usize;
    let total: usize = (0..candidates.len()).map(weight).sum();
    let mut ticket = rng.below(total - gone.iter().map(|&index| weight(index)).sum::<usize>());
    for index in 0..candidates.len() {
        if gone.binary_search(&index).is_ok() {
            continue;
        }
        if ticket < weight(index) {
            return index;
        }
        ticket -= weight(index);
    }
    unreachable!("a ticket lies below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;

    /// Every ordered pair of three as often as its weights say, with the table and, as a retry
    /// does, without it.
    #[test]
    fn pairs_come_by_weight() {
        let mut pool = ready_pool(&[(1, 0), (2, 0), (3, 0), (50, 0)]);
        let last = pool.ready().last().expect("four").0;
        let mut by_weight = ByWeight::new();
        by_weight.pool_changed(&pool);
        let mut rng = Rng::from_seed(4);
        let mut scratch = Vec::new();
        let retry = [last];
        let without = count_pairs(
            &by_weight,
            &pool.candidates_but(&retry, false, &mut scratch).expect("three"),
            &mut rng,
        );
        pool.remove(last);
        pool.refresh();
        by_weight.pool_changed(&pool);
        let with = count_pairs(&by_weight, &pool.candidates().expect("three"), &mut rng);
        for (how, counts) in [("a pass", without), ("the table", with)] {
            for (a, b) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                let [first, second] = [a, b].map(|i| (i + 1) as f64);
                let due = 60_000.0 * first / 6.0 * second / (6.0 - first);
                // Six standard deviations are below 700; the last resort is below 0.4 %.
                let count = f64::from(counts[a][b]);
                assert!((count - due).abs() < 800.0, "{how} {a} {b}: {count}, due {due}");
            }
        }
    }

    fn count_pairs(
        by_weight: &ByWeight,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> [[u32; 3]; 3] {
        let mut counts = [[0; 3]; 3];
        for _ in 0..60_000 {
            let pair: Vec<usize> = by_weight.several(2, candidates, rng).collect();
            counts[pair[0]][pair[1]] += 1;
        }
        counts
    }

    /// However unequal: all of them come, each once.
    #[test]
    fn draws_are_distinct_however_unequal_the_weights() {
        let pool = ready_pool(&[(65_536, 0), (1, 0), (1, 0), (2, 0)]);
        let mut by_weight = ByWeight::new();
        by_weight.pool_changed(&pool);
        let candidates = pool.candidates().expect("four");
        let mut rng = Rng::from_seed(4);
        for count in 1..=9 {
            let mut drawn: Vec<usize> = by_weight.several(count, &candidates, &mut rng).collect();
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(4), "{drawn:?}");
        }
    }
}
