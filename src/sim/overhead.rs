//! What each attempt takes on the machine that was measured, beyond its service time: half on the
//! way to the backend and half back, a new connection on the way there. It must not know what an
//! attempt is: it draws by the luck of one.

use std::time::Duration;

use base::{Quantiles, Rng};
use record::Overhead;
use scenario::SubjectKind;

/// The tables of a trial's subject, and the chance of its draws.
///
/// A draw is a function of the attempt's luck and of a seed of its own ("overhead"): nothing is kept
/// between the two halves, and it moves neither arrivals nor service times nor picks.
#[derive(Debug)]
pub(crate) struct Late<'a> {
    seed: u64,
    /// Over a connection that was open.
    kept: &'a Quantiles,
    /// Over one that was opened for it.
    fresh: &'a Quantiles,
}

impl<'a> Late<'a> {
    pub(crate) fn new(overhead: &'a Overhead, kind: SubjectKind, rng: &Rng) -> Self {
        let seed = rng.fork("overhead").seed();
        match kind {
            SubjectKind::Lab => Self { seed, kept: &overhead.kept, fresh: &overhead.fresh },
            // The generator opens its connections in the warm-up.
            SubjectKind::Direct => Self { seed, kept: &overhead.direct, fresh: &overhead.direct },
        }
    }

    /// On the way to the backend, a new connection included.
    pub(crate) fn there(&self, luck: u64, reused: bool) -> Duration {
        let table = if reused { self.kept } else { self.fresh };
        table.at(base::rng::mix(self.seed, luck)).saturating_sub(self.back(luck))
    }

    /// On the way back.
    pub(crate) fn back(&self, luck: u64) -> Duration {
        self.kept.at(base::rng::mix(self.seed, luck)) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_together_take_what_was_measured() {
        let table = |ns: &[u64]| Quantiles::new(ns.to_vec()).expect("in order");
        let overhead = Overhead {
            direct: table(&[100, 200]),
            kept: table(&[1_000, 3_000]),
            fresh: table(&[5_000, 9_000]),
        };
        let rng = Rng::from_seed(1);
        let late = Late::new(&overhead, SubjectKind::Lab, &rng);
        for luck in 0..1_000 {
            let kept = late.there(luck, true) + late.back(luck);
            let fresh = late.there(luck, false) + late.back(luck);
            // The same share of both tables, up to a nanosecond of rounding.
            let share = (kept.as_nanos() - 1_000) as f64 / 2_000.0;
            assert!(((fresh.as_nanos() - 5_000) as f64 / 4_000.0 - share).abs() < 0.001);
            assert!(late.there(luck, true).abs_diff(late.back(luck)) <= Duration::from_nanos(1));
            assert!(late.there(luck, false) > late.there(luck, true), "the connection");
        }
        let direct = Late::new(&overhead, SubjectKind::Direct, &rng);
        assert_eq!(direct.there(7, true), direct.there(7, false));
        assert!(direct.there(7, true) + direct.back(7) <= Duration::from_nanos(200));
    }
}
