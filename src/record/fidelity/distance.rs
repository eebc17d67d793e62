//! How far two distributions are apart. It must not know what was measured, nor what is far.

use crate::histograms::Buckets;

/// Two distances, both 0 for equal distributions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Distances {
    /// Wasserstein-1: how far a value has to be moved on average to make one of the other;
    /// nanoseconds.
    pub(super) wasserstein_ns: f64,
    /// Kolmogorov and Smirnov: the largest difference of the shares below a value.
    pub(super) ks: f64,
}

/// Between two histograms; `None` where one of them is empty.
pub(super) fn between(a: &Buckets, b: &Buckets) -> Option<Distances> {
    let count = |of: &Buckets| of.iter().map(|(_, count)| u128::from(*count)).sum::<u128>();
    let (all_a, all_b) = (count(a), count(b));
    if all_a == 0 || all_b == 0 {
        return None;
    }
    let (mut next_a, mut next_b) = (a.iter().peekable(), b.iter().peekable());
    let (mut below_a, mut below_b) = (0_u128, 0_u128);
    let mut before = None;
    let (mut area, mut ks) = (0.0_f64, 0.0_f64);
    while let Some(value) =
        [next_a.peek(), next_b.peek()].into_iter().flatten().map(|(value, _)| *value).min()
    {
        let gap = (below_a as f64 / all_a as f64 - below_b as f64 / all_b as f64).abs();
        area += gap * before.map_or(0.0, |before: u64| (value - before) as f64);
        if let Some((_, count)) = next_a.next_if(|(at, _)| *at == value) {
            below_a += u128::from(*count);
        }
        if let Some((_, count)) = next_b.next_if(|(at, _)| *at == value) {
            below_b += u128::from(*count);
        }
        ks = ks.max((below_a as f64 / all_a as f64 - below_b as f64 / all_b as f64).abs());
        before = Some(value);
    }
    Some(Distances { wasserstein_ns: area, ks })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What, two histograms, and their distances.
    type Case = (&'static str, Buckets, Buckets, Option<(f64, f64)>);

    #[test]
    fn known_samples_have_known_distances() {
        let cases: [Case; 7] = [
            ("the same", vec![(10, 3), (20, 1)], vec![(10, 3), (20, 1)], Some((0.0, 0.0))),
            (
                "the same shape of more values",
                vec![(10, 1), (20, 1)],
                vec![(10, 50), (20, 50)],
                Some((0.0, 0.0)),
            ),
            ("all moved by 5", vec![(10, 2), (20, 2)], vec![(15, 2), (25, 2)], Some((5.0, 0.5))),
            ("nothing in common", vec![(10, 1)], vec![(110, 4)], Some((100.0, 1.0))),
            // A quarter of the values moved by 40.
            ("a tail", vec![(10, 4)], vec![(10, 3), (50, 1)], Some((10.0, 0.25))),
            // Sorted pairs: 1–2, 2–2, 3–6: (1 + 0 + 3) ÷ 3; below 2: 1/3 against 0.
            (
                "by hand",
                vec![(1, 1), (2, 1), (3, 1)],
                vec![(2, 2), (6, 1)],
                Some((4.0 / 3.0, 1.0 / 3.0)),
            ),
            ("nothing", vec![], vec![(1, 1)], None),
        ];
        for (what, a, b, expected) in cases {
            for found in [between(&a, &b), between(&b, &a)] {
                match (found, expected) {
                    (Some(found), Some((wasserstein, ks))) => {
                        assert!(
                            (found.wasserstein_ns - wasserstein).abs() < 1e-9,
                            "{what}: {found:?}"
                        );
                        assert!((found.ks - ks).abs() < 1e-12, "{what}: {found:?}");
                    }
                    (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{what}"),
                }
            }
        }
    }
}
