//! What requests are about: keys, some of them wanted far more often than others.
//! It must not know how a request carries its key, nor what a balancer makes of it.

use std::fmt;

use base::{Rng, math};

/// Which keys the requests of a load have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyShape {
    /// How many there are, at least 1 and at most [`MAX_KEYS`].
    pub count: u32,
    /// The exponent of Zipf's law: the k-th most popular key is wanted in proportion to k to the
    /// power of −`zipf`. 0: all alike; finite, at least 0.
    pub zipf: f64,
}

/// The most keys of a load: their table takes 8 bytes each.
pub const MAX_KEYS: u32 = 1_000_000;

/// The key of a request: its rank among the keys, the most popular being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub u32);

/// The text that stands for it in a request.
impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key-{}", self.0)
    }
}

/// Which request has which key.
#[derive(Clone, Debug)]
pub struct Keys {
    /// How often the keys up to each are wanted, in units of the first.
    cumulative: Vec<f64>,
}

impl Keys {
    /// The keys of this shape.
    pub fn new(shape: KeyShape) -> Self {
        let mut sum = 0.0;
        let wanted = |rank: u32| math::exp(-shape.zipf * math::ln(f64::from(rank)));
        let cumulative = (1..=shape.count.clamp(1, MAX_KEYS))
            .map(|rank| {
                sum += wanted(rank);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// The key of the request of this luck, drawn from a stream of its own: a load with keys is
    /// the same load otherwise.
    pub fn of(&self, luck: u64) -> RequestKey {
        let all = self.cumulative[self.cumulative.len() - 1];
        let drawn = Rng::from_seed(luck).fork("keys").unit() * all;
        let below = self.cumulative.partition_point(|&sum| sum <= drawn);
        // Rounding may carry a draw close to 1 up to the whole sum.
        RequestKey(below.min(self.cumulative.len() - 1) as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: u32 = 200_000;

    /// How often each key is drawn.
    fn drawn(shape: KeyShape) -> Vec<u32> {
        let keys = Keys::new(shape);
        let mut counts = vec![0; shape.count as usize];
        for request in 0..u64::from(REQUESTS) {
            counts[keys.of(base::rng::mix(1, request)).0 as usize - 1] += 1;
        }
        counts
    }

    #[test]
    fn keys_are_wanted_as_zipf_says() {
        for (count, zipf) in [(1, 1.0), (2, 0.0), (10, 0.0), (10, 1.0), (1000, 0.8), (50, 2.0)] {
            let counts = drawn(KeyShape { count, zipf });
            let all: f64 = (1..=count).map(|k| f64::from(k).powf(-zipf)).sum();
            for (rank, &seen) in (1..=count).zip(&counts) {
                let p = f64::from(rank).powf(-zipf) / all;
                let n = f64::from(REQUESTS);
                let limit = 5.0 * (n * p * (1.0 - p)).sqrt() + 1e-6;
                let off = (f64::from(seen) - n * p).abs();
                assert!(off <= limit, "{count} {zipf}: key {rank} {seen} times, not {}", n * p);
            }
        }
    }

    #[test]
    fn the_keys_of_a_seed_never_change() {
        let keys = Keys::new(KeyShape { count: 1000, zipf: 1.0 });
        let first: Vec<String> =
            (0..8).map(|request| keys.of(base::rng::mix(1, request)).to_string()).collect();
        assert_eq!(first, GOLDEN);
        assert_eq!(Keys::new(KeyShape { count: 1, zipf: 1.0 }).of(7), RequestKey(1));
    }
    const GOLDEN: [&str; 8] =
        ["key-209", "key-48", "key-5", "key-3", "key-20", "key-2", "key-1", "key-271"];
}
