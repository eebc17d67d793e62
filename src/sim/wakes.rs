//! When backends are to be looked at, in order. It must not know what is seen there.
//!
//! A calendar (Brown, CACM 31, 1988): time is cut into days, what comes on a later day is thrown on
//! that day's pile, and only the present day is in order. Each look costs the same however many
//! backends there are, where a heap's costs grow with their logarithm and with its cache misses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::agenda::Rank;

/// Binary digits of a rank that are an index: of sixteen million backends.
pub(crate) const INDEX_BITS: u32 = 24;

/// The index in a rank.
#[inline]
pub(crate) const fn backend_of(rank: Rank) -> u32 {
    rank as u32 & ((1 << INDEX_BITS) - 1)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// What comes today or should have come before, the latest first; something, if anything comes.
    today: Vec<Rank>,
    /// Which day it is: the time without its last `shift` binary digits.
    day: u64,
    shift: u32,
    /// The piles of the days to come, as many as a power of two, by the last digits of the day.
    piles: Vec<Vec<Rank>>,
    /// Which piles hold something, 64 to a number.
    filled: Vec<u64>,
    /// What lies further ahead than there are piles.
    beyond: BinaryHeap<Reverse<Rank>>,
    len: usize,
    seen: Seen,
}

/// What shows whether days are of the right length.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    days: usize,
    /// Thrown beyond the piles.
    beyond: usize,
}

/// At first a day has a millisecond, and it gets shorter or longer by what is seen.
const FIRST_SHIFT: u32 = 20;
const FEWEST_PILES: usize = 64;
/// More would be beyond what the caches hold.
const MOST_PILES: usize = 1 << 14;
/// Looks before the length of days is thought over, and one more for each that is to come.
const PATIENCE: usize = 1 << 12;
/// More looks a day than this are worth shorter days: sorting them costs more than finding the next
/// day.
const BUSY: usize = 12;

impl Default for Wakes {
    fn default() -> Self {
        Self {
            today: Vec::new(),
            day: 0,
            shift: FIRST_SHIFT,
            piles: vec![Vec::new(); FEWEST_PILES],
            filled: vec![0; FEWEST_PILES / 64],
            beyond: BinaryHeap::new(),
            len: 0,
            seen: Seen::default(),
        }
    }
}

impl Wakes {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The earliest.
    pub(crate) fn first(&self) -> Option<Rank> {
        self.today.last().copied()
    }

    /// Which day it is.
    #[inline]
    pub(crate) const fn day(&self) -> u64 {
        self.day
    }

    /// The backends that are to be looked at so many days later, by what is known today, and in any
    /// order; for looking ahead a few days.
    #[inline]
    pub(crate) fn of_day(&self, later: usize) -> impl Iterator<Item = u32> {
        debug_assert!(later < FEWEST_PILES, "beyond the piles");
        let pile = (self.day as usize).wrapping_add(later) & (self.piles.len() - 1);
        let ranks = if later == 0 { &self.today } else { &self.piles[pile] };
        ranks.iter().map(|&rank| backend_of(rank))
    }

    #[inline(always)] // every request passes here
    pub(crate) fn push(&mut self, rank: Rank) {
        if self.len == 0 {
            self.day = self.day_of(rank);
        }
        self.len += 1;
        self.put(rank);
    }

    pub(crate) fn pop(&mut self) -> Option<Rank> {
        let first = self.today.pop()?;
        self.len -= 1;
        self.seen.looks += 1;
        if self.today.is_empty() && self.len > 0 {
            self.turn_the_page();
        }
        Some(first)
    }

    fn day_of(&self, rank: Rank) -> u64 {
        (rank >> 64) as u64 >> self.shift
    }

    #[inline(always)] // every request passes here
    fn put(&mut self, rank: Rank) {
        let day = self.day_of(rank);
        if day <= self.day {
            let later = self.today.iter().rposition(|&other| other > rank);
            self.today.insert(later.map_or(0, |place| place + 1), rank);
        } else if day - self.day < self.piles.len() as u64 {
            let pile = day as usize & (self.piles.len() - 1);
            self.piles[pile].push(rank);
            self.filled[pile / 64] |= 1 << (pile % 64);
        } else {
            self.beyond.push(Reverse(rank));
            self.seen.beyond += 1;
        }
    }

    /// Goes on to the next day on which something comes.
    fn turn_the_page(&mut self) {
        if self.seen.looks > PATIENCE + self.len {
            self.think_over();
            if !self.today.is_empty() {
                return;
            }
        }
        self.seen.days += 1;
        let ahead = self.beyond.peek().map(|&Reverse(rank)| self.day_of(rank));
        self.day = match (self.next_pile(), ahead) {
            (Some(day), Some(other)) => day.min(other),
            (one, other) => one.or(other).expect("what has not come is somewhere"),
        };
        let pile = self.day as usize & (self.piles.len() - 1);
        std::mem::swap(&mut self.today, &mut self.piles[pile]);
        self.filled[pile / 64] &= !(1 << (pile % 64));
        if self.today.len() > 1 {
            self.today.sort_unstable_by_key(|&rank| Reverse(rank));
        }
        while let Some(&Reverse(rank)) = self.beyond.peek()
            && self.day_of(rank) - self.day < self.piles.len() as u64
        {
            self.beyond.pop();
            self.put(rank);
        }
    }

    /// The next day of which there is a pile.
    fn next_pile(&self) -> Option<u64> {
        let from = (self.day + 1) as usize & (self.piles.len() - 1);
        let words = self.filled.len();
        // Once round: the rest of the first word, the others, and the beginning of the first.
        for step in 0..=words {
            let word = (from / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (from % 64),
                _ if step == words => !(u64::MAX << (from % 64)),
                _ => u64::MAX,
            };
            let found = self.filled[word] & mask;
            if found != 0 {
                let pile = word * 64 + found.trailing_zeros() as usize;
                let ahead = pile.wrapping_sub(from) & (self.piles.len() - 1);
                return Some(self.day + 1 + ahead as u64);
            }
        }
        None
    }

    /// Makes days shorter where too much comes on each, or longer where too much lies beyond the
    /// piles, and as many piles as fit what is to come.
    #[cold]
    fn think_over(&mut self) {
        let Seen { looks, days, beyond } = std::mem::take(&mut self.seen);
        let piles = (self.len / 2).next_power_of_two().clamp(FEWEST_PILES, MOST_PILES);
        // Where there are fewer piles than there should be, more comes on each day.
        let busy = BUSY * (self.len / 2 / piles).max(1);
        if looks > busy * days {
            // At once as short as they should be: the next time is as many looks away as are to come.
            let times = looks / (busy * days.max(1));
            self.shift = self.shift.saturating_sub(times.ilog2().max(1));
        } else if 8 * beyond > looks && self.shift < 63 {
            self.shift += 1;
        } else if piles <= self.piles.len() {
            return;
        }
        let mut all: Vec<Rank> = self.piles.drain(..).flatten().collect();
        all.extend(self.beyond.drain().map(|Reverse(rank)| rank));
        let piles = piles.max(self.filled.len() * 64);
        self.piles.resize(piles, Vec::new());
        self.filled.clear();
        self.filled.resize(piles / 64, 0);
        // Nothing is left of today, so it may as well be the day before what comes first.
        let first = all.iter().copied().min().expect("it is thought over while something comes");
        self.day = self.day_of(first).saturating_sub(1);
        all.into_iter().for_each(|rank| self.put(rank));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Pushes and pops at random, and a set beside it. A wake is pushed a while ahead, as a rule
    /// `spread` or so.
    fn agrees_with_a_set(seed: u64, steps: usize, most: usize, spread: f64) -> Result<(), String> {
        let mut rng = base::Rng::from_seed(seed);
        let (mut wakes, mut sorted) = (Wakes::default(), BTreeSet::new());
        let (mut now, mut grows) = (0_u64, true);
        for step in 0..steps {
            grows = if sorted.is_empty() { true } else { grows && sorted.len() < most };
            if rng.chance(if grows { 0.7 } else { 0.45 }) {
                let ahead = if rng.chance(0.1) { 0.0 } else { base::dist::exp1(&mut rng) * spread };
                let at = now.saturating_add(ahead as u64);
                let rank = Rank::from(at) << 64 | (step as Rank) << INDEX_BITS;
                sorted.insert(rank);
                wakes.push(rank);
            } else {
                let (one, other) = (wakes.pop(), sorted.pop_first());
                if one != other {
                    return Err(format!("{one:?} and not {other:?} at step {step}"));
                }
                now = one.map_or(now, |rank| (rank >> 64) as u64);
            }
            if (wakes.first(), wakes.len()) != (sorted.first().copied(), sorted.len()) {
                return Err(format!("another is first after step {step}"));
            }
        }
        Ok(())
    }

    #[test]
    fn the_next_days_are_known() {
        let mut rng = base::Rng::from_seed(2);
        let mut wakes = Wakes::default();
        for backend in 0..10_000_u32 {
            let at = rng.below(1_000_000_000) as u64;
            wakes.push(Rank::from(at) << 64 | Rank::from(backend));
        }
        let [mut today, mut tomorrow] = [0, 1].map(|later| wakes.of_day(later).collect::<Vec<_>>());
        let (mut day, mut compared) = (wakes.day(), 0);
        while let Some(rank) = wakes.pop() {
            assert!(today.contains(&backend_of(rank)), "{rank} is of day {day}");
            if wakes.day() != day {
                today = wakes.of_day(0).collect();
                if wakes.day() == day + 1 {
                    today.sort_unstable();
                    tomorrow.sort_unstable();
                    assert_eq!(today, tomorrow);
                    compared += 1;
                }
                (day, tomorrow) = (wakes.day(), wakes.of_day(1).collect());
            }
        }
        assert!(compared > 100, "{compared} days");
    }

    #[test]
    fn days_get_as_long_as_they_should_be() {
        for (spread, most) in [(1e3, 100), (1e7, 2_000), (1e11, 20_000), (1e18, 50)] {
            assert_eq!(agrees_with_a_set(1, 200_000, most, spread), Ok(()), "{most} in {spread}");
        }
    }

    #[test]
    fn the_earliest_comes_first_whatever_was_pushed() {
        for digits in 0..19 {
            for (seed, most) in (0..).zip([1, 2, 3, 10, 100, 1_000, 5_000]) {
                let agreed = agrees_with_a_set(seed, 10_000, most, 10_f64.powi(digits));
                assert_eq!(agreed, Ok(()), "seed {seed}, {most} in 10^{digits}");
            }
        }
    }
}
