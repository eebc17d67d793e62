//! Ring hash (Karger et al., STOC 1997), laid out as ketama does: every backend has many points on
//! a ring, and a key belongs to the next one. It must not look at load, unless bounded.

use base::rng::mix;

use super::hashed::{KEY, Member, Table, Tabled};
use super::registry::integer;
use super::{Entry, Parameter, bounded};
use crate::settings::ParameterValue;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "ring_hash",
    summary: "the same key goes to the same backend, by a ring of points (ketama): nobody else's \
              keys move when a backend comes or goes; shares are off by 1/√points",
    parameters: &[
        KEY,
        Parameter {
            name: "points",
            default: ParameterValue::Integer(160),
            min: 1.0,
            max: 16_384.0,
            summary: "points on the ring for each unit of weight; a share's standard deviation is \
                      1/√points of it",
        },
        bounded::PARAMETER,
    ],
    build: |parameters| Box::new(Tabled::<Ring>::new(integer(parameters, "points"), parameters)),
};

/// The most points of a ring (8 MB, and about 100 ms to make), unless there are more backends.
/// Above it everyone's are halved until they fit.
const MAX_POINTS: u64 = 1 << 20;

/// The points in ascending order, and whose they are.
///
/// How many points a backend has follows from its own weight, and where they are from its name: so
/// who else is there moves none of them. (Envoy fits the number to the smallest weight and the size
/// of the ring; there a backend that comes changes everybody's.)
pub(super) struct Ring {
    /// The upper half of a point is its place on the ring, the lower half its owner: so one sort
    /// orders both, and a tie goes by name.
    points: Vec<u64>,
    /// Where the points of each equal stretch of the ring begin: a search has some four to look at,
    /// which share a line of the cache.
    starts: Vec<u32>,
    /// 64 less the logarithm of how many stretches there are.
    shift: u32,
}

/// The place on the ring.
const PLACE: u64 = !0 << 32;

impl Table for Ring {
    fn build(size: usize, members: &[Member]) -> Self {
        let wanted = |member: &Member| size as u64 * u64::from(member.weight);
        let total: u64 = members.iter().map(wanted).sum();
        // Halved, because the first half of a backend's points is then where it was.
        let halvings = (0..u64::BITS).find(|&n| total >> n <= MAX_POINTS).unwrap_or(0);
        let mut points = Vec::with_capacity((total >> halvings) as usize + members.len());
        for (owner, member) in (0_u64..).zip(members) {
            let own = 0..(wanted(member) >> halvings).max(1);
            points.extend(own.map(|point| mix(member.seed, point) & PLACE | owner));
        }
        points.sort_unstable();

        let bits = (points.len() / 4).next_power_of_two().ilog2().max(1);
        let shift = u64::BITS - bits;
        let mut starts = vec![0_u32; (1 << bits) + 1];
        for point in &points {
            starts[(point >> shift) as usize + 1] += 1;
        }
        for stretch in 1..starts.len() {
            starts[stretch] += starts[stretch - 1];
        }
        Self { points, starts, shift }
    }

    fn places(&self) -> usize {
        self.points.len()
    }

    /// The first point at or after the key; after the last one comes the first.
    fn locate(&self, key: u64) -> usize {
        let key = key & PLACE;
        let stretch = (key >> self.shift) as usize;
        let (from, to) = (self.starts[stretch] as usize, self.starts[stretch + 1] as usize);
        let place = from + self.points[from..to].partition_point(|&point| point < key);
        if place == self.points.len() { 0 } else { place }
    }

    fn owner(&self, place: usize) -> usize {
        (self.points[place] & !PLACE) as usize
    }
}

#[cfg(test)]
mod tests {
    use base::BackendId;

    use super::*;

    fn ring(size: usize, weights: &[u32], names: usize) -> Ring {
        let member = |(slot, &weight): (usize, &u32)| Member {
            id: BackendId { slot: slot as u32, generation: 0 },
            seed: base::rng::hash_text(&format!("{names}/{slot}")),
            weight,
        };
        Ring::build(size, &weights.iter().enumerate().map(member).collect::<Vec<Member>>())
    }

    /// Each backend's part of the ring, by the distances between its points and those before them.
    fn shares(ring: &Ring, n: usize) -> Vec<f64> {
        let mut shares = vec![0.0; n];
        let mut before = ring.points.last().expect("some") & PLACE;
        for place in 0..ring.places() {
            let point = ring.points[place] & PLACE;
            shares[ring.owner(place)] += point.wrapping_sub(before) as f64 / 2_f64.powi(64);
            before = point;
        }
        shares
    }

    #[test]
    fn a_key_belongs_to_the_next_point() {
        for (size, n) in [(1, 1), (1, 2), (3, 5), (160, 10)] {
            let ring = ring(size, &vec![1; n], 0);
            assert_eq!(ring.points.len(), size * n);
            assert!(ring.points.is_sorted());
            let keys = (0..2_000_u64).map(|i| mix(i, 1));
            let edges = ring.points.iter().map(|&point| point & PLACE);
            let edges = edges.flat_map(|p| [p.wrapping_sub(1), p, p.wrapping_add(1 << 32)]);
            for key in keys.chain(edges).chain([0, u64::MAX]) {
                let is_next = |&point: &u64| point >> 32 >= key >> 32;
                let next = ring.points.iter().position(is_next).unwrap_or(0);
                assert_eq!(ring.locate(key), next, "{size} {n} {key}");
            }
        }
    }

    /// The expected values of the greatest share, in multiples of the mean, over the names: the
    /// maximum of n gamma variables of shape V.
    #[test]
    fn shares_spread_as_theory_says() {
        for (n, points, greatest) in [
            (100, 1_u32, 5.19), // 1 + 1/2 + … + 1/100, the maximum of 100 exponentials
            (100, 40, 1.45),
            (100, 100, 1.26),
            (100, 160, 1.20),
            (100, 256, 1.17),
            (1_000, 40, 1.61),
            (1_000, 160, 1.27),
        ] {
            let repeats = 10_000 / n as u32;
            let (mut maxima, mut squares) = (0.0, 0.0);
            for names in 0..repeats {
                let shares = shares(&ring(points as usize, &vec![1; n], names as usize), n);
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "the whole ring");
                let mean = |share: &f64| share * n as f64;
                maxima += shares.iter().map(mean).fold(0.0, f64::max);
                squares += shares.iter().map(mean).map(|x| (x - 1.0).powi(2)).sum::<f64>();
            }
            let deviation = (squares / 10_000.0_f64).sqrt();
            let (found, due) = (maxima / f64::from(repeats), 1.0 / f64::from(points).sqrt());
            assert!((found / greatest - 1.0).abs() < 0.04, "{n} {points}: {found}");
            assert!((deviation / due - 1.0).abs() < 0.04, "{n} {points}: {deviation}");
        }
    }

    #[test]
    fn points_follow_the_weights_up_to_the_limit() {
        let count = |size, weights: &[u32]| {
            let ring = ring(size, weights, 0);
            let mine = |index| (0..ring.places()).filter(|&p| ring.owner(p) == index).count();
            (0..weights.len()).map(mine).collect::<Vec<usize>>()
        };
        assert_eq!(count(160, &[1, 2, 5]), [160, 320, 800]);
        // 160 · 65,537 is ten times the limit: all are halved four times, and nobody has none.
        assert_eq!(count(160, &[65_536, 1]), [655_360, 10]);
        assert_eq!(count(1, &[65_536, 65_536, 65_536, 1]).iter().sum::<usize>(), 3 * 65_536 + 1);
        assert_eq!(count(16_384, &[65_536, 1]), [1 << 19, 8]);
    }

    /// Halving everyone's points, as the limit demands, keeps half of the keys where they were
    /// rather than none.
    #[test]
    fn the_first_points_stay_where_they_are() {
        let (many, few) = (ring(160, &[1; 10], 0), ring(80, &[1; 10], 0));
        assert!(few.points.iter().all(|point| many.points.binary_search(point).is_ok()));
    }
}
