//! What requests take on the machine that was measured, beyond their service time: half of each leg on
//! the way to the backend and half back, a new connection on the way there. It must not know what an
//! attempt is: it draws by the luck of one.

use std::time::Duration;

use base::{Quantiles, Rng};
use record::Overhead;
use scenario::SubjectKind;

/// The legs of a trial's subject, and the chance of its draws.
///
/// A draw is a function of the attempt's luck and of a seed of its own ("overhead"): nothing is kept
/// between the two halves, and it moves neither arrivals nor service times. A request's own leg is
/// drawn by the luck of its first attempt, at the same share: together they are what was measured.
#[derive(Debug)]
pub(crate) struct Late<'a> {
    seed: u64,
    /// Of the client's side, once a request.
    client: &'a Quantiles,
    /// Of each attempt.
    backend: &'a Quantiles,
    /// Of each connection; none where the generator opens them, in the warm-up.
    connection: Option<&'a Quantiles>,
}

impl<'a> Late<'a> {
    pub(crate) fn new(overhead: &'a Overhead, kind: SubjectKind, rng: &Rng) -> Self {
        let seed = rng.fork("overhead").seed();
        let Overhead { client, generator, backend, connection } = overhead;
        match kind {
            SubjectKind::Lab => Self { seed, client, backend, connection: Some(connection) },
            SubjectKind::Direct => Self { seed, client: generator, backend, connection: None },
        }
    }

    /// From the client to whom it asks; and as long back.
    pub(crate) fn client(&self, luck: u64) -> Duration {
        self.client.at(self.share(luck)) / 2
    }

    /// On the way to the backend, a new connection included.
    pub(crate) fn there(&self, luck: u64, reused: bool) -> Duration {
        let connects = if reused { Duration::ZERO } else { self.connects(luck) };
        self.backend.at(self.share(luck)).saturating_sub(self.back(luck)) + connects
    }

    /// On the way back.
    pub(crate) fn back(&self, luck: u64) -> Duration {
        self.backend.at(self.share(luck)) / 2
    }

    /// To open a connection and no more.
    pub(crate) fn connects(&self, luck: u64) -> Duration {
        self.connection.map_or(Duration::ZERO, |table| table.at(self.share(luck)))
    }

    fn share(&self, luck: u64) -> u64 {
        base::rng::mix(self.seed, luck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_legs_together_take_what_was_measured() {
        let table = |ns: &[u64]| Quantiles::new(ns.to_vec()).expect("in order");
        let [direct, backend] = [[100, 200], [60, 140]].map(|ns| table(&ns));
        let [kept, fresh] = [[1_000, 3_000], [5_000, 9_000]].map(|ns| table(&ns));
        let overhead = Overhead::of_ways(&direct, backend, &kept, &fresh);
        let rng = Rng::from_seed(1);
        let [lab, alone] =
            [SubjectKind::Lab, SubjectKind::Direct].map(|kind| Late::new(&overhead, kind, &rng));
        let near = |a: Duration, b: Duration| a.abs_diff(b) <= Duration::from_nanos(4);
        for luck in 0..1_000 {
            let whole = |late: &Late<'_>, reused| {
                2 * late.client(luck) + late.there(luck, reused) + late.back(luck)
            };
            let at = |table: &Quantiles| table.at(lab.share(luck));
            // But for what halves and straight lines are rounded by.
            assert!(near(whole(&lab, true), at(&kept)), "{luck}");
            assert!(near(whole(&lab, false), at(&fresh)), "{luck}");
            assert!(near(whole(&alone, true), at(&direct)), "{luck}");
            assert!(near(lab.there(luck, true), lab.back(luck)));
            assert_eq!(lab.there(luck, false) - lab.there(luck, true), lab.connects(luck));
            assert_eq!(alone.there(luck, true), alone.there(luck, false));
        }
    }
}
