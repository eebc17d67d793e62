//! A weighted draw in constant time (Walker's alias method, built after Vose). It must not know
//! what is drawn.

use base::Rng;

/// Every index has one bucket of `total` tickets: the first `keep` are its own, the rest belong to
/// its alias. Whole numbers throughout, so that the weights hold exactly.
#[derive(Debug)]
pub(super) struct Alias {
    total: u64,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    keep: u64,
    alias: u32,
}

impl Alias {
    /// The table of these weights: at least one, each at least 1, their sum times their number
    /// below 2⁶⁴ (weights of at most 2¹⁶ leave room for 2²⁴ of them).
    pub(super) fn new(weights: &[u32]) -> Self {
        let n = weights.len() as u64;
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut buckets: Vec<Bucket> = (0..weights.len() as u32)
            .zip(weights)
            .map(|(alias, &w)| Bucket { keep: u64::from(w) * n, alias })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&i| buckets[i].keep < total);
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            buckets[poor].alias = rich as u32;
            // The rich one fills the poor one's bucket up.
            buckets[rich].keep -= total - buckets[poor].keep;
            if buckets[rich].keep < total {
                large.pop();
                small.push(rich);
            }
        }
        Self { total, buckets }
    }

    /// An index, in proportion to its weight.
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        let index = rng.below(self.buckets.len());
        let bucket = self.buckets[index];
        if (rng.below(self.total as usize) as u64) < bucket.keep {
            index
        } else {
            bucket.alias as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact: what the buckets hold of each index is its weight, ticket by ticket.
    #[test]
    fn the_tickets_are_the_weights() {
        for weights in [&[1][..], &[1, 1], &[5, 1, 1], &[1, 2, 3, 4, 5, 6, 7], &[65_536, 1, 3]] {
            let table = Alias::new(weights);
            let mut tickets = vec![0_u64; weights.len()];
            for (index, bucket) in table.buckets.iter().enumerate() {
                let keep = bucket.keep.min(table.total);
                tickets[index] += keep;
                tickets[bucket.alias as usize] += table.total - keep;
            }
            let n = weights.len() as u64;
            let expected: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
            assert_eq!(tickets, expected, "{weights:?}");
        }
    }
}
