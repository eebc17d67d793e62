//! A board that balancers read: what there is to know of each backend, shown after a while. It must
//! not know what is written on it, nor who needs it.
//!
//! Writing and reading cost the same however many backends and readers there are: a reader is told
//! of what changed since it read last, and of everything only where that is less.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Time, time};

/// How long it takes until what is written can be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    /// Everything takes so long.
    pub(crate) delay: Duration,
    /// The board is brought up to date so often, from time 0 on; zero: all the time.
    pub(crate) refresh: Duration,
}

impl Lag {
    pub(crate) const fn is_none(self) -> bool {
        self.delay.is_zero() && self.refresh.is_zero()
    }

    /// When that can be read which is written now.
    fn shown_at(self, now: Time) -> Time {
        let every = time::nanos(self.refresh);
        let at = match every {
            0 => now,
            _ => Time::from_nanos(now.as_nanos().div_ceil(every).saturating_mul(every)),
        };
        at + self.delay
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board<T> {
    lag: Lag,
    /// What can be read, by backend.
    shown: Vec<T>,
    /// What will be, in order of time.
    coming: VecDeque<(Time, u32, T)>,
    /// Whose entries changed last, at most one for each backend, and how many changes came before
    /// them.
    changed: VecDeque<u32>,
    before: u64,
    /// The changes that each reader has been told of.
    told: Vec<u64>,
}

impl<T: Copy> Board<T> {
    pub(crate) fn new(lag: Lag, backends: usize, readers: usize, first: T) -> Self {
        Self {
            lag,
            shown: vec![first; backends],
            coming: VecDeque::new(),
            changed: VecDeque::new(),
            before: 0,
            told: vec![0; readers],
        }
    }

    /// How much is written that cannot be read yet.
    pub(crate) fn coming(&self) -> usize {
        self.coming.len()
    }

    pub(crate) fn write(&mut self, now: Time, backend: u32, entry: T) {
        self.advance(now);
        match self.lag.shown_at(now) {
            at if at <= now => self.show(backend, entry),
            at => self.coming.push_back((at, backend, entry)),
        }
    }

    /// Tells a reader of every entry that is not as it was when it read last.
    pub(crate) fn read(&mut self, now: Time, reader: u32, mut tell: impl FnMut(u32, T)) {
        self.advance(now);
        let changes = self.before + self.changed.len() as u64;
        let told = std::mem::replace(&mut self.told[reader as usize], changes);
        if let Some(known) = told.checked_sub(self.before) {
            for &backend in self.changed.range(known as usize..) {
                tell(backend, self.shown[backend as usize]);
            }
        } else {
            (0..).zip(&self.shown).for_each(|(backend, &entry)| tell(backend, entry));
        }
    }

    fn advance(&mut self, now: Time) {
        while let Some(&(at, backend, entry)) = self.coming.front()
            && at <= now
        {
            self.coming.pop_front();
            self.show(backend, entry);
        }
    }

    fn show(&mut self, backend: u32, entry: T) {
        self.shown[backend as usize] = entry;
        self.changed.push_back(backend);
        if self.changed.len() > self.shown.len() {
            self.changed.pop_front();
            self.before += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn board(delay: u64, refresh: u64) -> Board<u32> {
        let [delay, refresh] = [delay, refresh].map(Duration::from_millis);
        Board::new(Lag { delay, refresh }, 3, 2, 0)
    }

    fn read(board: &mut Board<u32>, now: u64, reader: u32) -> Vec<(u32, u32)> {
        let mut told = Vec::new();
        board.read(at(now), reader, |backend, entry| told.push((backend, entry)));
        told
    }

    #[test]
    fn a_lag_shifts_what_can_be_read() {
        // Written at 5, 10 and 12 ms; what is shown of the first backend from when on.
        for (delay, refresh, shown) in [
            (0, 0, [5, 10, 12]),
            (7, 0, [12, 17, 19]),
            (0, 10, [10, 10, 20]),
            (3, 10, [13, 13, 23]),
        ] {
            let mut board = board(delay, refresh);
            for (entry, written) in (1..).zip([5, 10, 12]) {
                board.write(at(written), 0, entry);
            }
            let mut seen = Vec::new();
            for now in 12..30 {
                seen.extend(read(&mut board, now, 0).last().map(|&(_, entry)| (now, entry)));
            }
            let expected: Vec<(u64, u32)> = (12..30)
                .filter_map(|now| {
                    let last = (1..).zip(shown).filter(|&(_, at)| at <= now).last()?;
                    // Told when it first is so; the first look comes at 12.
                    (last.1.max(12) == now).then_some((now, last.0))
                })
                .collect();
            assert_eq!(seen, expected, "{delay} {refresh}");
            assert_eq!(board.coming(), 0);
        }
    }

    #[test]
    fn each_reader_is_told_what_is_new_to_it() {
        let mut board = board(0, 0);
        board.write(at(1), 0, 5);
        board.write(at(1), 1, 6);
        assert_eq!(read(&mut board, 1, 0), [(0, 5), (1, 6)]);
        assert_eq!(read(&mut board, 1, 0), [], "once");
        board.write(at(2), 1, 7);
        assert_eq!(read(&mut board, 2, 0), [(1, 7)]);
        // To the other three changes are new, and a fourth is one more than there are backends:
        // it is told of everything.
        board.write(at(2), 1, 8);
        assert_eq!(read(&mut board, 2, 1), [(0, 5), (1, 8), (2, 0)]);
        assert_eq!(read(&mut board, 2, 0), [(1, 8)]);
        assert!(board.changed.len() <= 3);
    }
}
