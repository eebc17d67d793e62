//! The power of two choices: draw a few, take the least loaded (Mitzenmacher 1996). It must not
//! scan all candidates unless told to.

use base::{BackendId, RequestMeta, Rng, Time};

use super::least_request::least_loaded;
use super::registry::{flag, integer};
use super::{Candidates, Entry, Parameter, Strategy, is_less_loaded};
use crate::settings::ParameterValue;

/// The most that can be drawn: beyond it a scan is as cheap.
const MAX_CHOICES: usize = 16;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "p2c",
    summary: "draws two backends and takes the one with fewer requests in flight per weight: \
              nearly as good as a scan, and several balancers do not herd",
    parameters: &[
        Parameter {
            name: "choices",
            default: ParameterValue::Integer(2),
            min: 1.0,
            max: MAX_CHOICES as f64,
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
        Box::new(P2c {
            choices: integer(parameters, "choices"),
            replacement: flag(parameters, "replacement"),
            scan_below: integer(parameters, "scan_below"),
        })
    },
};

struct P2c {
    choices: usize,
    replacement: bool,
    scan_below: usize,
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
        let index = if n < self.scan_below {
            least_loaded(candidates, rng)
        } else if self.replacement {
            better(candidates, (0..self.choices).map(|_| rng.below(n)))
        } else {
            better(candidates, Distinct::new(self.choices.min(n), n, rng))
        };
        candidates.id(index)
    }
}

/// The least loaded of what is drawn; the first of them on a tie, which is fair because the first
/// is random too.
fn better(candidates: &Candidates<'_>, drawn: impl Iterator<Item = usize>) -> usize {
    drawn
        .reduce(|best, index| if is_less_loaded(candidates, index, best) { index } else { best })
        .expect("at least one is drawn: choices and candidates are at least 1")
}

/// Distinct uniform indices below `n`, in the order of the draw: each is drawn among those that are
/// left, by its rank, and then moved past the smaller ones that are gone.
struct Distinct<'a> {
    left: usize,
    n: usize,
    rng: &'a mut Rng,
    /// In ascending order, the first `len` of them.
    gone: [usize; MAX_CHOICES],
    len: usize,
}

impl<'a> Distinct<'a> {
    fn new(count: usize, n: usize, rng: &'a mut Rng) -> Self {
        Self { left: count, n, rng, gone: [0; MAX_CHOICES], len: 0 }
    }
}

impl Iterator for Distinct<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let mut index = self.rng.below(self.n - self.len);
        let mut place = 0;
        while place < self.len && self.gone[place] <= index {
            index += 1;
            place += 1;
        }
        self.gone.copy_within(place..self.len, place + 1);
        self.gone[place] = index;
        self.len += 1;
        Some(index)
    }
}
