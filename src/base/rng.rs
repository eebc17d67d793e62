//! Seeded random numbers, one stream per purpose. It must not read the system's randomness.

use std::convert::Infallible;

use rand::rand_core::TryRng;
use rand::{Rng as _, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A random stream that remembers its seed, so that independent streams can be forked by name.
///
/// The stream is PCG-64 MCG, documented as portable: a seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    state: Pcg64Mcg,
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every input bit moves every output bit.
const fn finalise(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A well-mixed hash of two numbers; not symmetric.
pub const fn mix(a: u64, b: u64) -> u64 {
    // 2⁶⁴ divided by the golden ratio, SplitMix64's increment, keeps mix(0, 0) away from zero.
    finalise(
        finalise(a.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ b.wrapping_mul(0xd605_bbb5_8c8a_bbfd),
    )
}

/// A stable hash of a text, the same on every platform and version.
pub const fn hash_text(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

/// A stable hash of bytes: FNV-1a with 64 bits (Fowler, Noll, Vo), finalised, because without that
/// the upper bits of short texts hardly differ.
pub const fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    finalise(hash)
}

impl Rng {
    /// The stream of this seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { seed, state: Pcg64Mcg::seed_from_u64(seed) }
    }

    /// An independent stream for one purpose ("arrivals", "balancer/0"). It depends on the seed and
    /// the label only, never on how much was drawn: a new purpose moves no other stream.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        Self::from_seed(mix(self.seed, hash_text(label)))
    }

    /// The seed this stream began with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A uniform whole number in `0..bound`, without bias (Lemire, TOMACS 2019).
    ///
    /// # Panics
    /// When `bound` is zero: there is nothing to choose from.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a number below zero was asked for");
        let bound = bound as u64;
        let mut wide = self.wide(bound);
        if (wide as u64) < bound {
            wide = self.unless_biased(wide, bound);
        }
        (wide >> 64) as usize
    }

    /// A number of `bound` in its upper half; what is below `bound` in the lower half may be one of
    /// too many.
    fn wide(&mut self, bound: u64) -> u128 {
        u128::from(self.next_u64()) * u128::from(bound)
    }

    /// Draws again while there are too many. One draw in 2⁶⁴ ÷ `bound` comes here, so the division
    /// stands apart.
    #[cold]
    fn unless_biased(&mut self, mut wide: u128, bound: u64) -> u128 {
        let threshold = bound.wrapping_neg() % bound;
        while (wide as u64) < threshold {
            wide = self.wide(bound);
        }
        wide
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// True with probability `p`; below 0 counts as never, above 1 as always.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.state.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.state.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.state.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_of_known_seeds_never_change() {
        let mut rng = Rng::from_seed(1);
        let golden = [rng.next_u64(), rng.next_u64()];
        let mut fork = Rng::from_seed(1).fork("arrivals");
        let forked = [fork.next_u64(), fork.next_u64()];
        assert_eq!(golden, [15_803_641_690_485_367_939, 2_537_432_388_316_380_799]);
        assert_eq!(forked, [1_550_932_062_857_641_677, 11_615_460_263_026_632_150]);
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn() {
        let mut drawn = Rng::from_seed(7);
        drawn.next_u64();
        let mut early = Rng::from_seed(7).fork("x");
        let mut late = drawn.fork("x");
        let mut other = drawn.fork("y");
        assert_eq!(early.next_u64(), late.next_u64());
        assert_ne!(late.next_u64(), other.next_u64());
    }

    #[test]
    fn below_is_uniform() {
        let mut rng = Rng::from_seed(3);
        let mut counts = [0_u32; 5];
        for _ in 0..100_000 {
            counts[rng.below(5)] += 1;
        }
        // Standard deviation of a cell is 126; 5 of them.
        assert!(counts.iter().all(|&n| n.abs_diff(20_000) < 630), "{counts:?}");
    }

    /// Of 2⁶⁴ numbers a quarter are too many for this bound: without drawing again every third result
    /// would be twice as frequent as its neighbours. Small bounds never come there.
    #[test]
    fn below_is_uniform_where_it_draws_again() {
        let bound = 3 << 62;
        let mut rng = Rng::from_seed(3);
        let golden = [(); 4].map(|()| rng.below(bound));
        let expected = [
            3_102_612_575_675_076_720,
            9_753_746_991_420_918_306,
            10_178_852_063_245_781_356,
            2_892_624_973_496_860_890,
        ];
        assert_eq!(golden, expected);
        let (mut draws, mut thirds, mut remainders) = (rng.clone(), [0_u32; 3], [0_u32; 3]);
        for _ in 0..90_000 {
            let number = rng.below(bound);
            thirds[number >> 62] += 1;
            remainders[number % 3] += 1;
        }
        // Standard deviation of a cell is 141; 5 of them.
        for counts in [thirds, remainders] {
            assert!(counts.iter().all(|&n| n.abs_diff(30_000) < 705), "{counts:?}");
        }
        let (next, mut drawn) = (rng.next_u64(), 1_u32);
        while draws.next_u64() != next {
            drawn += 1;
        }
        // Four draws for three numbers; standard deviation 200.
        assert!(drawn.abs_diff(120_000) < 1_000, "{drawn}");
    }
}
