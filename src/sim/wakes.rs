//! When backends are to be looked at, in order, one look each. It must not know what is seen there.
//!
//! A calendar (Brown, CACM 31, 1988): time is cut into days, what comes on a later day hangs on that
//! day's chain, and only the present day is in order. Each look costs the same however many backends
//! there are, where a heap's costs grow with their logarithm and with its cache misses. Days are so
//! short that hardly two looks fall on one and there is nothing to sort. A chain goes through a row
//! of the backends, so that a look touches two places: where its day's chain begins, and its row.

use std::cmp::Reverse;

use base::prefetch;

use crate::agenda::{NEVER, Rank, time_of};

/// Binary digits of a rank that are an index: of sixteen million backends.
pub(crate) const INDEX_BITS: u32 = 24;

const INDEX: u64 = (1 << INDEX_BITS) - 1;

/// The index in a rank.
#[inline]
pub(crate) const fn backend_of(rank: Rank) -> u32 {
    rank as u32 & INDEX as u32
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// The earliest; [`NEVER`] if nothing comes.
    first: Rank,
    /// What else comes before the end of this day, the latest first.
    today: Vec<Rank>,
    /// Which day it is: the time without its last `shift` binary digits. None while nothing comes. It
    /// may be far ahead, where nothing else was to come.
    day: u64,
    shift: u32,
    /// Where the chains begin, as many as a power of two, by the last digits of the day. What comes
    /// more than a year ahead, when all have been gone through once, hangs there too.
    chains: Vec<u32>,
    /// Which chains hold something, 64 to a number.
    filled: Vec<u64>,
    /// By backend.
    looks: Vec<Look>,
    /// The latest that was added, where there are many backends: its chain is fetched meanwhile. It
    /// comes on a later day than the present one. Else [`NEVER`], and on no day.
    newest: Rank,
    newest_day: u64,
    len: usize,
    seen: Seen,
}

/// When one backend is to be looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    at_ns: u64,
    /// The order of entry, and in the digits of an index the next backend on the same chain.
    order: u64,
}

/// The end of a chain, and no backend.
const NOBODY: u32 = INDEX as u32;
/// As an order of entry: the backend is not to be looked at.
const NOT: u64 = u64::MAX;
/// Later than any.
const NO_DAY: u64 = u64::MAX;

impl Look {
    const fn next(self) -> u32 {
        backend_of(self.order as Rank)
    }

    const fn rank(self, backend: u32) -> Rank {
        (self.at_ns as Rank) << 64 | (self.order & !INDEX | backend as u64) as Rank
    }
}

/// What shows whether days are of the right length.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    /// Days on which something came.
    days: usize,
    /// Chains without a look of the day, looks of later years that were passed, and so on.
    vain: usize,
    /// How many of the same day others were put before that came in after them.
    behind: usize,
}

/// At first a day has a millisecond, and it gets shorter or longer by what is seen.
const FIRST_SHIFT: u32 = 20;
/// As many chains for each backend, at least: hardly anything is more than a year ahead then, and
/// only those of the near future are touched often.
const CHAINS: usize = 8;
const FEWEST_CHAINS: usize = 64;
/// Looks before the length of days is thought over, and one more for each that is to come.
const PATIENCE: usize = 1 << 12;
/// So many of one day are in order at once: more are asked whether they are all of it.
const CROWD: usize = 16;
/// Days that are handed out at once for looking ahead.
const BLOCK: u64 = 16;

/// What belongs to fewer backends stays in the caches by itself, and fetching it ahead makes a
/// request slower by some hundredths.
pub(crate) const MANY_BACKENDS: usize = 1_500;

impl Wakes {
    /// For backends with these indices below so many.
    pub(crate) fn new(backends: usize) -> Self {
        assert!(backends < NOBODY as usize, "no more backends than a rank can name");
        let chains = (CHAINS * backends).next_power_of_two().max(FEWEST_CHAINS);
        Self {
            first: NEVER,
            today: Vec::new(),
            day: NO_DAY,
            shift: FIRST_SHIFT,
            chains: vec![NOBODY; chains],
            filled: vec![0; chains / 64],
            looks: vec![Look { at_ns: 0, order: NOT }; backends],
            newest: NEVER,
            newest_day: NO_DAY,
            len: 0,
            seen: Seen::default(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The earliest; [`NEVER`] if nothing comes.
    #[inline]
    pub(crate) const fn first(&self) -> Rank {
        self.first
    }

    /// Which block of days it is, for looking ahead.
    #[inline]
    pub(crate) const fn block(&self) -> u64 {
        self.day / BLOCK
    }

    /// Adds the backends that are to be looked at in a block of days soon after the present one, by
    /// what is known today, in any order, with some of later years among them.
    #[inline]
    pub(crate) fn of_block(&self, later: u64, backends: &mut Vec<u32>) {
        for mut backend in self.firsts_of_block(later) {
            while backend != NOBODY {
                backends.push(backend);
                backend = self.looks[backend as usize].next();
            }
        }
    }

    /// The first backend on each chain of a block of days.
    #[inline]
    fn firsts_of_block(&self, later: u64) -> impl Iterator<Item = u32> {
        let chain = self.first_chain(later);
        let mut filled = self.filled[chain / 64] >> (chain % 64) & ((1 << BLOCK) - 1);
        std::iter::from_fn(move || {
            let first = chain + filled.trailing_zeros() as usize;
            (filled != 0).then(|| {
                filled &= filled - 1;
                self.chains[first]
            })
        })
    }

    #[inline]
    fn first_chain(&self, later: u64) -> usize {
        self.chain_of((self.block() + later).wrapping_mul(BLOCK))
    }

    /// A block of days will be asked for soon.
    #[inline]
    pub(crate) fn prefetch_block(&self, later: u64) {
        let chain = self.first_chain(later);
        prefetch(&self.chains[chain]);
        prefetch(&self.chains[chain + BLOCK as usize - 1]);
        prefetch(&self.filled[chain / 64]);
    }

    /// The same, when what that asked for is there.
    #[inline]
    pub(crate) fn prefetch_looks_of_block(&self, later: u64) {
        self.firsts_of_block(later).for_each(|backend| self.prefetch(backend));
    }

    /// A look at this backend will be added soon.
    #[inline]
    pub(crate) fn prefetch(&self, backend: u32) {
        self.looks.get(backend as usize).inspect(|look| prefetch(*look));
    }

    /// Adds a look at a backend, in the place of one that was to come.
    #[inline(always)] // every request passes here
    pub(crate) fn push(&mut self, rank: Rank) {
        self.put_newest();
        if self.looks[backend_of(rank) as usize].order != NOT {
            self.forget(backend_of(rank));
        }
        self.len += 1;
        let day = self.day_of(time_of(rank).as_nanos());
        if self.looks.len() < MANY_BACKENDS || day <= self.day {
            return self.put(rank);
        }
        (self.newest, self.newest_day) = (rank, day);
        prefetch(&self.chains[self.chain_of(day)]);
    }

    /// What was added last takes its place among the others.
    #[inline(always)] // every request passes here
    fn put_newest(&mut self) {
        if self.newest_day != NO_DAY {
            let newest = std::mem::replace(&mut self.newest, NEVER);
            self.newest_day = NO_DAY;
            self.put(newest);
        }
    }

    /// Takes the earliest out.
    #[inline(always)] // every request passes here
    pub(crate) fn pop(&mut self) {
        self.looks[backend_of(self.first) as usize].order = NOT;
        self.len -= 1;
        self.seen.looks += 1;
        self.go_on();
    }

    /// The first is gone, and the next one takes its place.
    #[inline(always)]
    fn go_on(&mut self) {
        self.first = NEVER;
        match self.today.pop() {
            Some(next) => self.first = next,
            None if self.len > 0 => self.turn_the_page(),
            None => self.day = NO_DAY,
        }
    }

    const fn day_of(&self, at_ns: u64) -> u64 {
        at_ns >> self.shift
    }

    const fn chain_of(&self, day: u64) -> usize {
        day as usize & (self.chains.len() - 1)
    }

    #[inline(always)]
    fn put(&mut self, rank: Rank) {
        let (at_ns, backend) = (time_of(rank).as_nanos(), backend_of(rank));
        let day = self.day_of(at_ns);
        let mut next = NOBODY;
        if self.day < day {
            let chain = self.chain_of(day);
            next = std::mem::replace(&mut self.chains[chain], backend);
            self.filled[chain / 64] |= 1 << (chain % 64);
        }
        let order = rank as u64 & !INDEX | u64::from(next);
        self.looks[backend as usize] = Look { at_ns, order };
        if self.day >= day {
            self.put_today(rank, day);
        }
    }

    fn put_today(&mut self, rank: Rank, day: u64) {
        if self.first == NEVER {
            (self.first, self.day) = (rank, day);
        } else if rank < self.first {
            self.today.push(std::mem::replace(&mut self.first, rank));
        } else {
            let later = self.today.iter().rposition(|&other| other > rank);
            let place = later.map_or(0, |place| place + 1);
            self.seen.behind += self.today.len() - place;
            self.today.insert(place, rank);
        }
        if self.today.len() > CROWD && self.day > self.day_of(time_of(self.first).as_nanos()) {
            self.begin_earlier();
        }
    }

    /// The present day was opened for a look that was far ahead, and many have come before it: goes
    /// back to the day of the first, and what comes on a later one hangs on its chain again.
    #[cold]
    fn begin_earlier(&mut self) {
        self.day = self.day_of(time_of(self.first).as_nanos());
        let is_later = |&rank: &Rank| self.day_of(time_of(rank).as_nanos()) > self.day;
        let later = self.today.partition_point(is_later);
        let later: Vec<Rank> = self.today.drain(..later).collect();
        later.into_iter().for_each(|rank| self.put(rank));
    }

    /// A look comes to nothing.
    #[cold]
    fn forget(&mut self, backend: u32) {
        let look = std::mem::replace(&mut self.looks[backend as usize].order, NOT);
        let look = Look { order: look, ..self.looks[backend as usize] };
        self.len -= 1;
        let day = self.day_of(look.at_ns);
        if backend_of(self.first) == backend {
            self.go_on();
        } else if day <= self.day {
            self.today.retain(|&rank| backend_of(rank) != backend);
        } else {
            let chain = self.chain_of(day);
            if self.chains[chain] == backend {
                self.chains[chain] = look.next();
                self.filled[chain / 64] &= !(u64::from(look.next() == NOBODY) << (chain % 64));
                return;
            }
            let mut before = self.chains[chain];
            while self.looks[before as usize].next() != backend {
                before = self.looks[before as usize].next();
            }
            let before = &mut self.looks[before as usize].order;
            *before = *before & !INDEX | u64::from(look.next());
        }
    }

    /// Goes on to the next day on which something comes.
    #[inline(always)] // nearly every look has a day for itself
    fn turn_the_page(&mut self) {
        let Seen { looks, vain, behind, .. } = self.seen;
        if looks + vain + behind > PATIENCE + self.len {
            self.put_newest();
            self.think_over();
        }
        if self.len == 1 {
            self.put_newest(); // or no chain holds anything
        }
        let year_end = self.day.saturating_add(self.chains.len() as u64);
        while self.first == NEVER {
            if self.day >= year_end {
                self.put_newest();
                self.leap();
            }
            let day = self.next_chain();
            if self.newest_day <= day {
                self.put_newest();
                continue;
            }
            self.day = day;
            self.open_day();
        }
        self.seen.days += 1;
    }

    /// Takes what comes on this day off its chain.
    #[inline(always)]
    fn open_day(&mut self) {
        let chain = self.chain_of(self.day);
        let backend = self.chains[chain];
        let look = self.looks[backend as usize];
        if look.next() != NOBODY || self.day_of(look.at_ns) != self.day {
            return self.open_full_day(chain);
        }
        self.first = look.rank(backend);
        self.chains[chain] = NOBODY;
        self.filled[chain / 64] &= !(1 << (chain % 64));
    }

    /// The same where it is not one look.
    #[inline(never)]
    fn open_full_day(&mut self, chain: usize) {
        let mut next = std::mem::replace(&mut self.chains[chain], NOBODY);
        while next != NOBODY {
            let backend = next;
            let look = &mut self.looks[backend as usize];
            next = look.next();
            if look.at_ns >> self.shift == self.day {
                self.today.push(look.rank(backend));
            } else {
                let of_later_years = std::mem::replace(&mut self.chains[chain], backend);
                look.order = look.order & !INDEX | u64::from(of_later_years);
                self.seen.vain += 1;
            }
        }
        self.filled[chain / 64] &= !(u64::from(self.chains[chain] == NOBODY) << (chain % 64));
        self.today.sort_unstable_by_key(|&rank| Reverse(rank));
        self.first = self.today.pop().unwrap_or(NEVER);
    }

    /// The next day of whose chain something hangs.
    #[inline(always)]
    fn next_chain(&mut self) -> u64 {
        let tomorrow = self.day + 1;
        let from = self.chain_of(tomorrow);
        match self.filled[from / 64] >> (from % 64) {
            0 => self.next_chain_from(tomorrow.next_multiple_of(64)),
            found => tomorrow + u64::from(found.trailing_zeros()),
        }
    }

    /// The same from the beginning of another word.
    #[inline(never)]
    fn next_chain_from(&mut self, day: u64) -> u64 {
        let words = self.filled.len();
        let from = (day / 64) as usize & (words - 1);
        let ahead = (0..words).find(|ahead| self.filled[(from + ahead) & (words - 1)] != 0);
        let ahead = ahead.expect("what comes on a later day hangs on a chain");
        self.seen.vain += ahead;
        let found = self.filled[(from + ahead) & (words - 1)];
        day + ahead as u64 * 64 + u64::from(found.trailing_zeros())
    }

    /// Goes on to the day before the next look, where that is more than a year away.
    #[cold]
    fn leap(&mut self) {
        self.seen.vain += self.looks.len();
        self.day = self.day_of(self.earliest_ns()).saturating_sub(1);
    }

    fn earliest_ns(&self) -> u64 {
        let looks = self.looks.iter().filter(|look| look.order != NOT);
        looks.map(|look| look.at_ns).min().expect("it is sought while something comes")
    }

    /// Makes days shorter where too much comes on each, or longer where too much is gone through in
    /// vain. Nothing is left of today when it is called.
    #[cold]
    fn think_over(&mut self) {
        let Seen { looks, days, vain, .. } = std::mem::take(&mut self.seen);
        let shift = if vain > looks {
            (self.shift + 1).min(63)
        } else if 3 * looks > 4 * days {
            // At once as short as they should be: the next time is as many looks away as are to come.
            let times = looks / days.max(1);
            self.shift.saturating_sub(times.max(2).ilog2())
        } else {
            self.shift
        };
        if std::mem::replace(&mut self.shift, shift) == shift {
            return;
        }
        self.chains.fill(NOBODY);
        self.filled.fill(0);
        // So that nothing is of today.
        self.day = self.day_of(self.earliest_ns()).saturating_sub(1);
        for backend in 0..self.looks.len() {
            let look = self.looks[backend];
            if look.order != NOT {
                self.put(look.rank(backend as u32));
            }
        }
    }
}

#[cfg(test)]
mod tests;
