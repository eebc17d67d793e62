//! A measured distribution of durations as a table, and not a family that was fitted. It must not know
//! what was measured.

use std::time::Duration;

/// The quantiles of a table: the 0.2 %, 0.6 %, … 99.8 % of what was measured. The tails that are cut
/// off so are what a machine does to anybody now and then, not what the thing measured takes.
pub const QUANTILES: usize = 250;

/// A measured distribution: nanoseconds in order, each at the middle of an equal share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles(Vec<u64>);

impl Quantiles {
    /// Of a table that was written down; the number of the first value that is less than the one
    /// before it, or 0 where there is none at all, when it is none.
    ///
    /// # Errors
    /// As said.
    pub fn new(ns: Vec<u64>) -> Result<Self, usize> {
        let fall = ns.windows(2).position(|pair| pair[1] < pair[0]);
        match fall {
            _ if ns.is_empty() => Err(0),
            Some(before) => Err(before + 1),
            None => Ok(Self(ns)),
        }
    }

    /// Of samples in any order; `None` without any.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let middle = |share: usize| (2 * share + 1) * samples.len() / (2 * QUANTILES);
        let table = (0..QUANTILES).map(|share| samples.get(middle(share)).copied());
        table.collect::<Option<_>>().map(Self)
    }

    /// The quantile of `draw` ÷ 2⁶⁴, in a straight line between two of the table and level beyond its
    /// ends, so that each value stands for its share. In whole numbers: the same everywhere.
    pub fn at(&self, draw: u64) -> Duration {
        const HALF: u128 = 1 << 63;
        let count = self.0.len() as u128;
        let last = (count - 1) << 64;
        let place = (u128::from(draw) * count).saturating_sub(HALF).min(last);
        let (index, part) = ((place >> 64) as usize, u128::from(place as u64));
        let low = self.0[index];
        let high = self.0.get(index + 1).copied().unwrap_or(low);
        let step = (u128::from(high - low) * part) >> 64;
        Duration::from_nanos(low + step as u64)
    }

    /// What must be added to a draw of `other` to make it one of this table at the same share: the
    /// difference of both quantile functions. Where chance has it fall, or the tails cross, it is
    /// levelled with what stands before it (the nearest table in order, by least squares: adjacent
    /// violators are pooled), so that its mean stays; and none is less than nothing.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let count = self.0.len().max(other.0.len());
        let mut levels: Vec<(i128, usize)> = Vec::with_capacity(count);
        for share in 0..count {
            let middle = (((2 * share as u128 + 1) << 63).div_ceil(count as u128)) as u64;
            let [mine, theirs] = [self, other].map(|of| of.at(middle).as_nanos() as i128);
            let (mut sum, mut many) = (mine - theirs, 1);
            while let Some(&(before, so_many)) = levels.last()
                && before * many as i128 > sum * so_many as i128
            {
                levels.pop();
                (sum, many) = (sum + before, many + so_many);
            }
            levels.push((sum, many));
        }
        let level = |(sum, many): (i128, usize)| {
            let ns = u64::try_from(sum.div_euclid(many as i128)).unwrap_or(0);
            std::iter::repeat_n(ns, many)
        };
        Self(levels.into_iter().flat_map(level).collect())
    }

    /// The table.
    pub fn ns(&self) -> &[u64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An eighth of 2⁶⁴.
    const EIGHTH: u64 = 1 << 61;

    #[test]
    fn a_draw_gives_the_quantile_that_it_stands_for() {
        let table = Quantiles::new(vec![100, 200, 200, 1_000]).expect("in order");
        // The middles of four shares are the first, third, fifth and seventh eighth.
        for (draw, ns) in [
            (0, 100),
            (EIGHTH, 100),
            (2 * EIGHTH, 150),
            (3 * EIGHTH, 200),
            (4 * EIGHTH, 200),
            (6 * EIGHTH, 600),
            (7 * EIGHTH, 1_000),
            (u64::MAX, 1_000),
        ] {
            assert_eq!(table.at(draw).as_nanos(), ns, "{draw}");
        }
        assert_eq!(Quantiles::new(vec![7]).expect("one").at(u64::MAX).as_nanos(), 7);
    }

    #[test]
    fn draws_never_fall_where_their_shares_rise() {
        let samples = (0..3_000_u64).map(|n| crate::rng::mix(n, 5) % 1_000_000).collect();
        let table = Quantiles::of(samples).expect("samples");
        let drawn: Vec<Duration> = (0..=4_096_u64)
            .map(|n| table.at((n << 52).wrapping_sub(u64::from(n == 4_096))))
            .collect();
        assert!(drawn.is_sorted());
    }

    #[test]
    fn a_table_has_the_middles_of_equal_shares() {
        let table = Quantiles::of((0..1_000).rev().collect()).expect("samples");
        assert_eq!(table.ns().len(), QUANTILES);
        assert_eq!((table.ns()[0], table.ns()[1], table.ns()[QUANTILES - 1]), (2, 6, 998));
        // Few samples stand several times.
        let few = Quantiles::of(vec![5, 3]).expect("samples");
        assert_eq!(few.ns().iter().filter(|ns| **ns == 3).count(), QUANTILES / 2);
        assert_eq!(Quantiles::of(vec![]), None);
    }

    #[test]
    fn drawing_gives_back_what_was_measured() {
        // Exponential of mean 400 µs, as proxies' tails look.
        let mut rng = crate::Rng::from_seed(3);
        let samples: Vec<u64> =
            (0..20_000).map(|_| (crate::dist::exp1(&mut rng) * 400_000.0) as u64).collect();
        let mean = |values: &[u64]| values.iter().sum::<u64>() as f64 / values.len() as f64;
        let table = Quantiles::of(samples.clone()).expect("samples");
        let drawn: Vec<u64> =
            (0..20_000).map(|n| table.at(crate::rng::mix(9, n)).as_nanos() as u64).collect();
        let (measured, drawn) = (mean(&samples), mean(&drawn));
        // Standard error 2,800 ns each; what the last 0.2 % lose is 0.2 % × 400 µs.
        assert!((measured - drawn).abs() < 4.5 * 2_800.0 * 1.5 + 800.0, "{measured} {drawn}");
    }

    #[test]
    fn a_difference_added_to_what_was_taken_away_gives_the_table_back() {
        for (whole, part, wanted) in [
            (vec![300, 400, 700], vec![100, 150, 200], vec![200, 250, 500]),
            // The second share falls: the first two are levelled, and their sum stays.
            (vec![300, 400, 900], vec![100, 250, 300], vec![175, 175, 600]),
            (vec![300, 310, 320], vec![100, 200, 300], vec![110, 110, 110]),
            // The tails cross, and all of it is less than nothing.
            (vec![5, 6, 7], vec![10, 20, 30], vec![0, 0, 0]),
            // Tables of other lengths are met where the longer one has its shares.
            (vec![300, 400, 700], vec![200], vec![100, 200, 500]),
            (vec![300], vec![100, 200], vec![150, 150]),
        ] {
            let table = |ns: &Vec<u64>| Quantiles::new(ns.clone()).expect("in order");
            assert_eq!(table(&whole).minus(&table(&part)).ns(), wanted, "{whole:?} {part:?}");
        }
    }

    #[test]
    fn what_is_out_of_order_is_named() {
        for (ns, place) in [(vec![], 0), (vec![1, 2, 1], 2), (vec![2, 1, 0], 1)] {
            assert_eq!(Quantiles::new(ns), Err(place));
        }
    }
}
