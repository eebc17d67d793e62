//! When clients may lose patience, without a place for each that waits. It must not know what they wait
//! for.
//!
//! All clients wait equally long, and hardly any to the end. So time is cut into epochs, and of those who
//! came in one of them nothing is kept but how many wait still. Only where somebody does when the first of
//! them would lose patience are they looked for, among all requests that are open; and whoever is found
//! there is remembered, so that this is done once or twice a timeout however many wait to the end.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Key, Time, time};

/// An epoch is longer than an eighth of a wait, so those who wait have come in ten epochs at most.
const EPOCHS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Patience {
    /// How long each client waits.
    timeout: Duration,
    /// The epoch of a time is what is left without so many of its last binary digits.
    shift: u32,
    /// Of the latest to come.
    latest: u64,
    /// How many wait, by the last digits of their epoch: one line of the processor's cache.
    waiting: [u32; EPOCHS],
    /// Who was open when that was looked for last, in the order of their coming, less those who came in
    /// epochs that are over; and when that was.
    found: VecDeque<(Time, Key)>,
    found_at: Time,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        let shift = (time::nanos(timeout) / 4).max(1).ilog2();
        Self {
            timeout,
            shift,
            latest: u64::MAX,
            waiting: [0; EPOCHS],
            found: VecDeque::new(),
            found_at: Time::ZERO,
        }
    }

    /// When a client loses patience that came then.
    pub(crate) fn end_of(&self, at: Time) -> Time {
        at + self.timeout
    }

    /// A client comes, not before the last one; whether it is the first of its epoch.
    #[inline]
    #[must_use]
    pub(crate) const fn begin(&mut self, at: Time) -> bool {
        let epoch = self.epoch(at);
        self.waiting[epoch as usize % EPOCHS] += 1;
        let is_first = self.latest != epoch;
        self.latest = epoch;
        is_first
    }

    /// One that came then waits no longer.
    #[inline]
    pub(crate) const fn end(&mut self, at: Time) {
        self.waiting[self.epoch(at) as usize % EPOCHS] -= 1;
    }

    /// How many wait still that came in the same epoch as one who came then.
    pub(crate) const fn waiting(&self, at: Time) -> u32 {
        self.waiting[self.epoch(at) as usize % EPOCHS]
    }

    /// Whether those are known of whom there may be some in the epoch of one who came then.
    pub(crate) const fn knows(&self, at: Time) -> bool {
        self.epoch(at) < self.epoch(self.found_at)
    }

    /// All that are open now, in the order of their coming.
    pub(crate) fn found(&mut self, now: Time, open: impl Iterator<Item = (Time, Key)>) {
        self.found.clear();
        self.found.extend(open);
        self.found_at = now;
    }

    /// The next of those that came in the epoch of one who came then, if they are known, with the time of
    /// its coming; it may have ended since. Who came in an earlier epoch is forgotten.
    pub(crate) fn next_of(&mut self, at: Time) -> Option<(Time, Key)> {
        let epoch = self.epoch(at);
        while let Some(&(came, request)) = self.found.front()
            && self.epoch(came) <= epoch
        {
            self.found.pop_front();
            if self.epoch(came) == epoch {
                return Some((came, request));
            }
        }
        None
    }

    #[inline]
    const fn epoch(&self, at: Time) -> u64 {
        at.as_nanos() >> self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_counted_in_the_epoch_of_its_coming() {
        for timeout in [1, 2, 3, 4, 7, 8, 1_000, 10_000_000_000, 10_u64.pow(16)] {
            let mut rng = base::Rng::from_seed(timeout);
            let mut patience = Patience::new(Duration::from_nanos(timeout));
            // In order of their coming, so that of their ends too.
            let (mut now, mut first, mut open) = (0, Time::ZERO, Vec::new());
            for _ in 0..10_000 {
                now += rng.below(timeout as usize) as u64 / 20 + rng.below(2) as u64;
                let late = open.partition_point(|&at| patience.end_of(at).as_nanos() <= now);
                open.drain(..late).for_each(|at| patience.end(at));
                if rng.chance(0.3) && !open.is_empty() {
                    patience.end(open.remove(rng.below(open.len())));
                }
                let at = Time::from_nanos(now);
                if patience.begin(at) {
                    let before =
                        open.last().is_none_or(|&last| patience.epoch(last) != patience.epoch(at));
                    assert!(before, "{at} is not the first of its epoch, wait {timeout}");
                    first = at;
                }
                assert_eq!(
                    patience.epoch(first),
                    patience.epoch(at),
                    "the first of {at}'s, wait {timeout}"
                );
                open.push(at);
                for at in [open[0], at] {
                    let epoch = patience.epoch(at);
                    let those = open.iter().filter(|&&other| patience.epoch(other) == epoch);
                    assert_eq!(patience.waiting(at) as usize, those.count(), "wait {timeout}");
                }
            }
        }
    }

    /// Whoever waits to the end is told once, whatever has ended since all were looked at.
    #[test]
    fn everybody_who_waits_is_found_once() {
        for timeout in [3, 1_000, 10_000_000_000] {
            let mut rng = base::Rng::from_seed(timeout);
            let mut patience = Patience::new(Duration::from_nanos(timeout));
            let (mut now, mut looks, mut slot) = (0, 0, 0);
            let (mut open, mut epochs) = (Vec::<(Time, Key)>::new(), VecDeque::new());
            let (mut came, mut told) = (Vec::new(), Vec::new());
            while now < 60 * timeout {
                now += rng.below(timeout as usize / 2 + 1) as u64 / 20 + 1;
                // What is due before the next one comes: the first of an epoch would lose patience.
                while let Some(&first) =
                    epochs.front().filter(|&&at| patience.end_of(at).as_nanos() <= now)
                {
                    epochs.pop_front();
                    if patience.waiting(first) == 0 {
                        continue;
                    }
                    if !patience.knows(first) {
                        looks += 1;
                        patience.found(patience.end_of(first), open.iter().copied());
                    }
                    while let Some((at, key)) = patience.next_of(first) {
                        if let Some(place) = open.iter().position(|other| *other == (at, key)) {
                            open.remove(place);
                            patience.end(at);
                            told.push(key);
                        }
                    }
                }
                if rng.chance(0.5) && !open.is_empty() {
                    let (at, key) = open.remove(rng.below(open.len()));
                    patience.end(at);
                    came.retain(|other| *other != key);
                }
                let at = Time::from_nanos(now);
                if patience.begin(at) {
                    epochs.push_back(at);
                }
                let key = Key { slot, generation: 0 };
                slot += 1;
                open.push((at, key));
                came.push(key);
            }
            came.retain(|key| !open.iter().any(|(_, other)| other == key));
            assert_eq!(told, came, "wait {timeout}");
            assert!(looks <= 2 * 60, "{looks} looks in 60 timeouts of {timeout}");
        }
    }

    #[test]
    fn an_epoch_is_over_before_the_first_of_it_loses_patience() {
        for timeout in (1..100).chain([12_345, 10_000_000_000]) {
            let patience = Patience::new(Duration::from_nanos(timeout));
            for at in (0..1_000).map(Time::from_nanos) {
                assert!(
                    patience.epoch(at) < patience.epoch(patience.end_of(at)),
                    "{at}, {timeout} ns"
                );
            }
        }
    }
}
