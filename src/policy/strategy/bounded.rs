//! Bounded loads: how much a backend may have in flight before its keys go to another. It must not
//! know where the keys go then.

use std::collections::BTreeMap;

use super::registry::number;
use super::{Candidates, Parameter};
use crate::settings::ParameterValue;

/// The parameter of every strategy that can be bounded.
pub(super) const PARAMETER: Parameter = Parameter {
    name: "bound",
    default: ParameterValue::Number(0.0),
    min: 1.0,
    max: 1000.0,
    summary: "the most that a backend may have in flight, in multiples of its fair share; what is \
              beyond goes on to the next in the key's order; 0: no bound",
};

/// The bound is kept in millionths, so that 1.1 is exactly that.
const MILLION: u128 = 1_000_000;

/// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): of A
/// requests in flight over the candidates, the one to come included, a backend of weight w takes at
/// most ⌈bound · A · w / W⌉, with W the sum of their weights. The capacities add up to A at least,
/// so that there is always one below its own. A warming backend has the capacity of its weight of
/// the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    millionths: u128,
}

impl Bound {
    /// The bound that was asked for, if any.
    pub(super) fn of(parameters: &BTreeMap<String, ParameterValue>) -> Option<Self> {
        let times = number(parameters, PARAMETER.name);
        (times > 0.0).then(|| Self { millionths: (times * MILLION as f64).round() as u128 })
    }

    /// The capacities for one more request.
    pub(super) fn room(self, candidates: &Candidates<'_>) -> Room {
        let in_flight = u128::from(candidates.total_in_flight()) + 1;
        Room {
            per_weight: self.millionths * in_flight,
            unit: MILLION * u128::from(candidates.total_weight()),
        }
    }
}

/// The capacities at one moment: that of weight w is ⌈w · `per_weight` / `unit`⌉.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    per_weight: u128,
    unit: u128,
}

impl Room {
    /// Whether the candidate at `index` is below its capacity: `n < ⌈x / y⌉` is `n · y < x` for
    /// whole n, which needs no division and rounds nothing. (2³² · 2²⁰ · 2⁵² stays below 2¹²⁸.)
    pub(super) fn is_at(self, candidates: &Candidates<'_>, index: usize) -> bool {
        let in_flight = u128::from(candidates.in_flight(index));
        in_flight * self.unit < u128::from(candidates.weight(index)) * self.per_weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::ready_pool;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    fn bound(times: f64) -> Bound {
        let given = [("bound".to_owned(), ParameterValue::Number(times))];
        Bound::of(&given.into_iter().collect()).expect("it is on")
    }

    fn open(times: f64, backends: &[(u32, u32)]) -> Vec<bool> {
        let pool = ready_pool(backends);
        let candidates = pool.candidates().expect("some");
        let room = bound(times).room(&candidates);
        (0..candidates.len()).map(|index| room.is_at(&candidates, index)).collect()
    }

    #[test]
    fn capacities_are_shares_of_all_that_is_in_flight() {
        for (times, backends, expected) in [
            // One request to come: capacity ⌈1/3⌉ = 1 for everyone.
            (1.0, &[(1, 0), (1, 0), (1, 0)][..], &[true, true, true][..]),
            // Three with it: one each.
            (1.0, &[(1, 1), (1, 0), (1, 1)], &[false, true, false]),
            // Eleven with it: ⌈1.1 · 11 / 2⌉ = 7.
            (1.1, &[(1, 7), (1, 3)], &[false, true]),
            (1.1, &[(1, 6), (1, 4)], &[true, true]),
            // Ten with it, weights 3 and 1: ⌈7.5⌉ = 8 and ⌈2.5⌉ = 3.
            (1.0, &[(3, 7), (1, 2)], &[true, true]),
            (1.0, &[(3, 6), (1, 3)], &[true, false]),
            (1.0, &[(3, 8), (1, 1)], &[false, true]),
            // 1.1 · 10 is 11 exactly; in floats it is more, and its ceiling would be 12.
            (1.1, &[(1, 9)], &[true]),
            (1.1, &[(1, 4), (1, 5)], &[true, true]),
            (1.1, &[(1, 3), (1, 6)], &[true, false]),
        ] {
            assert_eq!(open(times, backends), expected, "{times} {backends:?}");
        }
    }

    proptest! {
        #[test]
        fn there_is_always_room_somewhere(
            times in 1.0..3.0_f64,
            backends in prop::collection::vec((1..50_u32, 0..40_u32), 1..12),
        ) {
            let open = open(times, &backends);
            prop_assert!(open.iter().any(|&open| open), "{backends:?}");
            // The definition, in rationals of its own: ⌈millionths · (A + 1) · w / (10⁶ · W)⌉.
            let millionths = (times * 1e6).round() as u128;
            let total: u128 = backends.iter().map(|b| u128::from(b.0)).sum();
            let in_flight: u128 = 1 + backends.iter().map(|b| u128::from(b.1)).sum::<u128>();
            for (&(weight, load), open) in backends.iter().zip(open) {
                let share = millionths * in_flight * u128::from(weight);
                let capacity = share.div_ceil(total * MILLION);
                prop_assert_eq!(open, u128::from(load) < capacity);
            }
        }
    }
}
