//! The power of two choices: draw a few, take the least loaded (Mitzenmacher 1996). It must not
//! scan all candidates unless told to.

use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::ByWeight;
use super::draw::{MAX_DRAWN, less_loaded, two};
use super::least_request::least_loaded;
use super::registry::{flag, integer};
use super::{Candidates, Entry, Foreseen, Job, Parameter, Strategy, load_per_weight};
use crate::pool::Pool;
use crate::settings::ParameterValue;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "p2c",
    summary: "the power of two (or d) choices: draws two backends by weight and takes the one \
              with fewer requests in flight per weight: nearly as good as a scan, and several \
              balancers do not herd",
    parameters: &[
        Parameter {
            name: "choices",
            default: ParameterValue::Integer(2),
            min: 1.0,
            max: MAX_DRAWN as f64,
            summary: "how many backends are drawn",
        },
        Parameter {
            name: "replacement",
            default: ParameterValue::Flag(false),
            min: 0.0,
            max: 1.0,
            summary: "one backend can be drawn twice, as in Envoy: the busiest then gets requests too",
        },
        Parameter {
            name: "scan_below",
            default: ParameterValue::Integer(0),
            min: 0.0,
            max: 1_000_000.0,
            summary: "with fewer backends than this all are compared",
        },
    ],
    build: |parameters| {
        let choices = integer(parameters, "choices");
        let replacement = flag(parameters, "replacement");
        let scan_below = integer(parameters, "scan_below");
        let pairs = choices == 2 && !replacement;
        Box::new(P2c {
            choices,
            replacement,
            scan_below,
            pairs_from: if pairs { scan_below.max(2) } else { usize::MAX },
            by_weight: ByWeight::new(),
        })
    },
};

struct P2c {
    choices: usize,
    replacement: bool,
    scan_below: usize,
    /// With so many backends of the same weight the draw is the plain one of two, as nearly always.
    pairs_from: usize,
    by_weight: ByWeight,
}

/// The less loaded of two of the same weight, so that the count alone tells; the first on a tie.
fn less_loaded_of(candidates: &Candidates<'_>, [first, second]: [usize; 2]) -> usize {
    let is_less = candidates.in_flight(second) < candidates.in_flight(first);
    if is_less { second } else { first }
}

impl P2c {
    /// Whether the draw of so many is the plain one of two.
    const fn draws_pairs(&self, n: usize) -> bool {
        n >= self.pairs_from && self.by_weight.is_even()
    }

    /// The least loaded of those that are drawn, or of all.
    #[inline(never)] // the plain draw of two would save registers for it
    fn draw(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> usize {
        if candidates.len() < self.scan_below {
            least_loaded(candidates, rng)
        } else if self.replacement {
            let drawn = (0..self.choices).map(|_| self.by_weight.one(candidates, rng));
            less_loaded(candidates, drawn)
        } else {
            less_loaded(candidates, self.by_weight.several(self.choices, candidates, rng))
        }
    }
}

impl Strategy for P2c {
    fn pick(
        &mut self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let n = candidates.len();
        let index = if self.draws_pairs(n) {
            less_loaded_of(candidates, two(n, rng))
        } else {
            self.draw(candidates, rng)
        };
        candidates.id(index)
    }

    fn foresee(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<Foreseen> {
        let n = candidates.len();
        if !self.draws_pairs(n) {
            return None;
        }
        let [_, pair, compared] = [(); 3].map(|()| two(n, rng));
        Some(Foreseen { taken: candidates.id(less_loaded_of(candidates, pair)), compared })
    }

    fn learns(&self) -> bool {
        false
    }

    fn pool_changed(&mut self, pool: &Pool, _rng: &mut Rng) -> Option<Job> {
        self.by_weight.pool_changed(pool);
        None
    }

    fn score(
        &self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        Some(load_per_weight(candidates, index))
    }
}
