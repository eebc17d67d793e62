//! Smooth weighted round robin: a cycle made beforehand, entered at a random place. It must not
//! look at load.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::{BackendId, RequestMeta, Rng, Time};

use super::by_weight::draw_by_weight;
use super::{Candidates, Entry, Job, Strategy};
use crate::pool::Pool;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "round_robin",
    summary: "smooth weighted round robin: one after the other, each as often as its weight says, \
              evenly spread: equal backends, equal requests",
    parameters: &[],
    build: |_| Box::new(RoundRobin { cycle: Vec::new(), position: 0 }),
};

/// The longest cycle, unless there are more backends than a quarter of it. Weights whose cycle
/// would be longer are scaled down; a share is then right to about one in this many.
const MAX_CYCLE: usize = 1 << 16;

/// The most steps that making a cycle by nginx's rule may take (about 10 ms), which costs one per
/// entry and backend. Above it earliest deadlines make one that is as even, in other order.
const MAX_STEPS: usize = 1 << 22;

struct RoundRobin {
    /// Every candidate, as often as its weight says.
    cycle: Vec<BackendId>,
    position: usize,
}

impl Strategy for RoundRobin {
    fn pick(
        &mut self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        // A retry takes nobody's turn. If it did, a backend that fails would be left more of the
        // first attempts the more of them it fails: of two backends in the end all.
        if !candidates.is_whole() {
            return candidates.id(draw_by_weight(candidates, &[], rng));
        }
        let id = self.cycle[self.position];
        self.position = (self.position + 1) % self.cycle.len();
        id
    }

    fn learns(&self) -> bool {
        false
    }

    /// How many turns others have before it.
    fn score(
        &self,
        _now: Time,
        _request: &RequestMeta,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<f64> {
        let (before, from) = self.cycle.split_at_checked(self.position)?;
        let turns = from.iter().chain(before);
        let waits = turns.take_while(|&&id| id != candidates.id(index)).count();
        (candidates.is_whole() && waits < self.cycle.len()).then_some(waits as f64)
    }

    /// The new cycle is entered at a random place too: nobody is first after every change, and
    /// balancers that hear of a change together do not go on in step.
    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) -> Option<Job> {
        let ready: Vec<(BackendId, u32)> = pool.ready().collect();
        let weights: Vec<u32> = ready.iter().map(|&(_, weight)| weight).collect();
        self.cycle = cycle(&weights).into_iter().map(|index| ready[index].0).collect();
        self.position = if self.cycle.is_empty() { 0 } else { rng.below(self.cycle.len()) };
        None
    }
}

/// The order in which backends of these weights take their turns.
fn cycle(weights: &[u32]) -> Vec<usize> {
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    if total == weights.len() as u64 {
        (0..weights.len()).collect()
    } else if total as usize * weights.len() <= MAX_STEPS {
        smooth(&weights, total)
    } else {
        by_deadline(&weights, total)
    }
}

/// The smallest weights of the same proportions; scaled down when their cycle is too long.
fn reduced(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
    let total: u64 = weights.iter().map(|&w| u64::from(w / divisor)).sum();
    let longest = MAX_CYCLE.max(4 * weights.len()) as u64;
    let scaled = |&w: &u32| {
        let weight = u64::from(w / divisor);
        if total <= longest { weight } else { (weight * longest / total).max(1) }
    };
    weights.iter().map(scaled).collect()
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// nginx's rule: everybody gains its weight, the richest goes (the first on a tie) and pays the
/// sum of all.
fn smooth(weights: &[u64], total: u64) -> Vec<usize> {
    let mut credits = vec![0_i64; weights.len()];
    (0..total)
        .map(|_| {
            let mut richest = 0;
            for (index, &weight) in weights.iter().enumerate() {
                credits[index] += weight as i64;
                if credits[index] > credits[richest] {
                    richest = index;
                }
            }
            credits[richest] -= total as i64;
            richest
        })
        .collect()
}

/// Everybody's turns lie evenly over the cycle, and whose is due earliest goes.
fn by_deadline(weights: &[u64], total: u64) -> Vec<usize> {
    // Turn k of weight w is due at (2k + 1) / 2w of the cycle, in parts of 2⁴⁰.
    let due = |turn: u64, weight: u64| ((2 * turn + 1) << 40) / (2 * weight);
    let mut turns: BinaryHeap<Reverse<(u64, usize, u64)>> =
        weights.iter().enumerate().map(|(i, &w)| Reverse((due(0, w), i, 0))).collect();
    let mut cycle = Vec::with_capacity(total as usize);
    while let Some(Reverse((_, index, turn))) = turns.pop() {
        cycle.push(index);
        if turn + 1 < weights[index] {
            turns.push(Reverse((due(turn + 1, weights[index]), index, turn + 1)));
        }
    }
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_smooth() {
        for (weights, expected) in [
            (&[][..], &[][..]),
            (&[7], &[0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[9, 9, 9], &[0, 1, 2]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]), // nginx's own example
            (&[10, 2, 2], &[0, 0, 1, 0, 2, 0, 0]),
            (&[2, 1], &[0, 1, 0]),
            (&[1, 3], &[1, 0, 1, 1]),
        ] {
            assert_eq!(cycle(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn a_long_cycle_is_bounded_and_keeps_the_shares() {
        for weights in [
            vec![65_536, 65_535, 1],
            vec![65_536, 65_535, 32_767, 10_007],
            (1..=2_000).collect(),
            vec![65_536; 3].into_iter().chain(vec![1; 50_000]).collect(),
        ] {
            let cycle = cycle(&weights);
            assert!(cycle.len() <= MAX_CYCLE.max(4 * weights.len()) + weights.len());
            let mut counts = vec![0_u32; weights.len()];
            for &index in &cycle {
                counts[index] += 1;
            }
            let total: f64 = weights.iter().map(|&w: &u32| f64::from(w)).sum();
            for (&count, &weight) in counts.iter().zip(&weights) {
                let exact = f64::from(weight) / total * MAX_CYCLE.max(4 * weights.len()) as f64;
                let exact = exact.min(f64::from(weight)).max(1.0);
                assert!(count >= 1, "nobody is left out");
                assert!((f64::from(count) - exact).abs() <= 1.0, "{count} turns, {exact} due");
            }
        }
    }

    #[test]
    fn deadlines_spread_turns_as_evenly() {
        let weights = [7, 3, 2];
        let order = by_deadline(&weights, 12);
        for (index, &weight) in weights.iter().enumerate() {
            let turns: Vec<usize> = (0..24).filter(|&i| order[i % 12] == index).collect();
            assert_eq!(turns.len() as u64, 2 * weight);
            let even = 12.0 / weight as f64;
            for pair in turns.windows(2) {
                let gap = (pair[1] - pair[0]) as f64;
                assert!((gap - even).abs() <= 2.0, "{index}: a gap of {gap}, even is {even}");
            }
        }
    }
}
