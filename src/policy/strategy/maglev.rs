//! Maglev hashing (Eisenbud et al., NSDI 2016 §3.4): a table in which all backends have nearly the
//! same number of places. It must not look at load, unless bounded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::rng::mix;

use super::hashed::{KEY, Member, Table, Tabled};
use super::registry::integer;
use super::{Entry, Parameter, bounded};
use crate::settings::ParameterValue;

/// The registry's entry.
pub static ENTRY: Entry = Entry {
    name: "maglev",
    summary: "the same key goes to the same backend, by a table: the most even shares and the \
              fastest pick; a few more keys move when a backend comes or goes for good",
    parameters: &[
        KEY,
        Parameter {
            name: "table",
            default: ParameterValue::Integer(65_537),
            min: 1_009.0,
            max: 5_000_011.0,
            summary: "places in the table, made up to a prime number; a hundred times as many as \
                      backends keep shares within 1 %",
        },
        bounded::PARAMETER,
    ],
    build: |parameters| Box::new(Tabled::<Maglev>::new(integer(parameters, "table"), parameters)),
};

/// Who serves the keys of each place; the places are a prime number.
pub(super) struct Maglev {
    owners: Vec<u32>,
}

/// Nobody's place yet.
const FREE: u32 = u32::MAX;

impl Table for Maglev {
    /// Backends take turns; at its turn each takes the next free place of a sequence of its own.
    fn build(size: usize, members: &[Member]) -> Self {
        let size = next_prime(size.max(members.len()));
        let heaviest = members.iter().map(|member| u64::from(member.weight)).max().unwrap_or(1);
        let mut sequences: Vec<Sequence> =
            members.iter().map(|member| Sequence::new(member, size)).collect();
        let mut owners = vec![FREE; size];
        // In every round the heaviest has a turn, the others in proportion, as in Envoy. By round,
        // then by name.
        let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
            (0..members.len()).map(|index| Reverse((1, index))).collect();
        for _ in 0..size {
            let Some(Reverse((round, index))) = turns.pop() else { break };
            let sequence = &mut sequences[index];
            let place = sequence.take_free(&owners);
            owners[place] = index as u32;
            let due = (sequence.taken * heaviest).div_ceil(u64::from(members[index].weight));
            turns.push(Reverse((due.max(round + 1), index)));
        }
        Self { owners }
    }

    fn places(&self) -> usize {
        self.owners.len()
    }

    fn locate(&self, key: u64) -> usize {
        (key % self.owners.len() as u64) as usize
    }

    fn owner(&self, place: usize) -> usize {
        self.owners[place] as usize
    }
}

/// The order in which one backend asks for places: in steps of the same length, which visit each
/// place once, because the size is prime.
struct Sequence {
    next: usize,
    skip: usize,
    /// How many places it has.
    taken: u64,
}

impl Sequence {
    fn new(member: &Member, size: usize) -> Self {
        // Two hashes that depend on the name alone.
        let [offset, skip] = [1, 2].map(|purpose| mix(member.seed, purpose));
        Self {
            next: (offset % size as u64) as usize,
            skip: (skip % (size as u64 - 1) + 1) as usize,
            taken: 0,
        }
    }

    fn take_free(&mut self, owners: &[u32]) -> usize {
        loop {
            let place = self.next;
            // Both are below the size: no division is needed.
            self.next += self.skip;
            if self.next >= owners.len() {
                self.next -= owners.len();
            }
            if owners[place] == FREE {
                self.taken += 1;
                return place;
            }
        }
    }
}

/// The smallest prime number that is at least `n` and 3.
fn next_prime(n: usize) -> usize {
    let is_prime =
        |n: usize| (3..).step_by(2).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (n.max(3) | 1..).step_by(2).find(|&n| is_prime(n)).expect("primes do not end")
}

#[cfg(test)]
mod tests {
    use base::BackendId;

    use super::*;

    #[test]
    fn sizes_are_made_up_to_primes() {
        for (n, prime) in [
            (0, 3),
            (3, 3),
            (4, 5),
            (24, 29),
            (49, 53),
            (1_009, 1_009),
            (65_536, 65_537),
            (65_538, 65_539),
            (655_373, 655_373),
            (5_000_000, 5_000_011),
        ] {
            assert_eq!(next_prime(n), prime, "{n}");
        }
    }
    fn members(weights: impl IntoIterator<Item = u32>, names: usize) -> Vec<Member> {
        let member = |(slot, weight): (usize, u32)| Member {
            id: BackendId { slot: slot as u32, generation: 0 },
            seed: base::rng::hash_text(&format!("{names}/{slot}")),
            weight,
        };
        let mut members: Vec<Member> = weights.into_iter().enumerate().map(member).collect();
        members.sort_by_key(|member| member.seed);
        members
    }

    /// The fewest and the most places that one backend of each weight has.
    fn places(size: usize, weights: &[u32]) -> Vec<usize> {
        let members = members(weights.iter().copied(), 0);
        let mut counts = vec![0; weights.len()];
        for owner in Maglev::build(size, &members).owners {
            counts[members[owner as usize].id.slot as usize] += 1;
        }
        counts
    }

    /// The paper's §5.3: with 65,537 places the most and the fewest of 100 backends have 1.0010 and
    /// 0.9994 of the mean, of 1,000 backends 1.0071 and 0.9918; with 655,373 as 100 before.
    #[test]
    fn shares_are_as_even_as_the_paper_says() {
        for (n, size, most, fewest) in [
            (100, 65_537, "1.0010", "0.9994"),
            (1_000, 65_537, "1.0071", "0.9918"),
            (1_000, 655_373, "1.0010", "0.9994"),
        ] {
            let counts = places(size, &vec![1; n]);
            let share = |count: Option<&usize>| {
                format!("{:.4}", *count.expect("some") as f64 * n as f64 / size as f64)
            };
            assert_eq!(share(counts.iter().max()), most, "{n} {size}");
            assert_eq!(share(counts.iter().min()), fewest, "{n} {size}");
        }
    }

    #[test]
    fn places_follow_the_weights() {
        for weights in [&[1, 2, 3][..], &[5, 1, 1], &[65_536, 1, 300], &[7; 40], &[1]] {
            let total: u32 = weights.iter().sum();
            for (&weight, count) in weights.iter().zip(places(65_537, weights)) {
                let due = 65_537.0 * f64::from(weight) / f64::from(total);
                assert!((count as f64 - due).abs() <= 2.0, "{weights:?}: {count} of {due}");
                assert!(count > 0, "nobody is left out");
            }
        }
        assert_eq!(places(1_009, &[1; 1_013]), [1; 1_013], "nor where there are more than places");
    }

    /// The share of the places that change when these backends go, and of those the share that
    /// changes between others, in percent; the mean over some sets of names.
    fn changed(n: usize, size: usize, gone: usize, repeats: usize) -> (f64, f64) {
        let (mut all, mut needless) = (0, 0);
        for names in 0..repeats {
            let before = members(vec![1; n], names);
            let after: Vec<Member> =
                before.iter().filter(|m| m.id.slot as usize >= gone).copied().collect();
            let (old, new) = (Maglev::build(size, &before), Maglev::build(size, &after));
            for (&old, &new) in old.owners.iter().zip(&new.owners) {
                let (old, new) = (before[old as usize].id, after[new as usize].id);
                all += usize::from(old != new);
                needless += usize::from(old != new && old.slot as usize >= gone);
            }
        }
        let percent = |count| 100.0 * count as f64 / (size * repeats) as f64;
        (percent(all), percent(needless))
    }

    /// The same section's disruption, which holds where the list itself changes; a state moves no
    /// keys but those of the backend in question.
    #[test]
    fn as_many_places_change_as_the_paper_says() {
        for (n, size, gone, all, needless) in [
            (100, 65_537, 1, 1.57, 0.57),
            (100, 65_537, 5, 5.91, 0.91),
            (1_000, 65_537, 1, 0.693, 0.593),
            (1_000, 65_537, 10, 3.34, 2.34),
            (1_000, 65_537, 50, 8.29, 3.29),
            (1_000, 655_373, 1, 0.424, 0.324),
        ] {
            let repeats = if size > 100_000 { 2 } else { 10 };
            let (got_all, got_needless) = changed(n, size, gone, repeats);
            for (got, paper) in [(got_all, all), (got_needless, needless)] {
                assert!((got / paper - 1.0_f64).abs() < 0.05, "{n} {size} {gone}: {got} {paper}");
            }
        }
    }
}
