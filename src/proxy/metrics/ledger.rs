//! What one worker counts of each backend, by slot of the pool: rows that are never moved, so that
//! they can be read while they are written. A slot's next tenant begins at zero, so memory is
//! bounded by the most backends that there were at once. It must not know their names.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use base::{BackendId, FailureKind};

use super::histogram::{Histogram, Total};
use super::{CLASSES, Counter};

/// Why attempts fail; a bad status is an answer and not counted here.
pub(super) const FAILURES: [FailureKind; 6] = [
    FailureKind::Connect,
    FailureKind::ConnectTimeout,
    FailureKind::Reset,
    FailureKind::Timeout,
    FailureKind::Protocol,
    FailureKind::Status,
];

/// The first shelf has so many rows; each further one twice as many as the one before.
const FIRST_ROWS: u64 = 16;
/// Enough for every number of a slot.
const SHELVES: usize = 29;

/// No tenant has moved in, or one is moving.
const NOBODY: u64 = 0;

/// What is counted of one backend.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// One more than the tenant's generation, or [`NOBODY`].
    tenant: AtomicU64,
    /// Heads of answers by the first digit of their status.
    pub(super) answers: [Counter; CLASSES],
    /// In the order of [`FAILURES`].
    pub(super) failures: [Counter; FAILURES.len()],
    /// Answers broken off behind their head.
    pub(super) broken: Counter,
    pub(super) given_up: Counter,
    pub(super) retries: Counter,
    pub(super) hedges: Counter,
    pub(super) opened: Counter,
    pub(super) reused: Counter,
    /// From the balancer's decision to the head.
    pub(super) heads: Histogram,
}

impl Row {
    fn counters(&self) -> impl Iterator<Item = &Counter> {
        let Self { broken, given_up, retries, hedges, opened, reused, .. } = self;
        let single = [broken, given_up, retries, hedges, opened, reused];
        self.answers.iter().chain(&self.failures).chain(single)
    }

    /// A new tenant, at zero. Readers see that while it goes on.
    fn move_in(&self, tenant: u64) {
        self.tenant.store(NOBODY, Ordering::Relaxed);
        fence(Ordering::Release);
        self.counters().for_each(Counter::clear);
        self.heads.clear();
        self.tenant.store(tenant, Ordering::Release);
    }
}

/// The rows of one worker.
#[derive(Debug, Default)]
pub(super) struct Ledger([OnceLock<Box<[Row]>>; SHELVES]);

/// The shelf of a slot and the place on it.
fn place(slot: u32) -> (usize, usize) {
    let index = u64::from(slot) + FIRST_ROWS;
    let shelf = index.ilog2() - FIRST_ROWS.ilog2();
    // A place on a shelf that can be made fits in memory.
    (shelf as usize, (index - (FIRST_ROWS << shelf)) as usize)
}

fn tenant(id: BackendId) -> u64 {
    u64::from(id.generation) + 1
}

impl Ledger {
    /// Counts something of a backend; nothing where it is gone and its slot has another tenant. To
    /// be called by one thread alone.
    pub(super) fn with(&self, id: BackendId, count: impl FnOnce(&Row)) {
        let (shelf, at) = place(id.slot);
        let rows = self.0[shelf]
            .get_or_init(|| (0..FIRST_ROWS << shelf).map(|_| Row::default()).collect());
        let row = &rows[at];
        let (present, tenant) = (row.tenant.load(Ordering::Relaxed), tenant(id));
        if present < tenant {
            row.move_in(tenant);
        }
        if present <= tenant {
            count(row);
        }
    }

    /// Adds what was counted of a backend.
    pub(super) fn add_to(&self, sums: &mut Sums, id: BackendId) {
        let (shelf, at) = place(id.slot);
        let Some(row) = self.0[shelf].get().map(|rows| &rows[at]) else { return };
        let mut with = *sums;
        let before = row.tenant.load(Ordering::Acquire);
        with.add(row);
        fence(Ordering::Acquire);
        // Another tenant may have moved in meanwhile.
        if (before, row.tenant.load(Ordering::Relaxed)) == (tenant(id), tenant(id)) {
            *sums = with;
        }
    }
}

/// What all workers counted of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) answers: [u64; CLASSES],
    pub(super) failures: [u64; FAILURES.len()],
    pub(super) broken: u64,
    pub(super) given_up: u64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
    pub(super) opened: u64,
    pub(super) reused: u64,
    pub(super) heads: Total,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let Self { answers, failures, broken, given_up, retries, hedges, opened, reused, .. } =
            self;
        let single = [broken, given_up, retries, hedges, opened, reused];
        let sums = answers.iter_mut().chain(failures).chain(single);
        for (sum, counter) in sums.zip(row.counters()) {
            *sum += counter.read();
        }
        self.heads.add(&row.heads);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn failures_stand_in_the_order_of_their_numbers() {
        for (at, failure) in FAILURES.into_iter().enumerate() {
            assert_eq!(failure as usize, at, "{failure:?}");
        }
    }

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for slot in 0..10_000 {
            assert_eq!(place(slot), expected, "{slot}");
            expected.1 += 1;
            if expected.1 == (FIRST_ROWS as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(place(u32::MAX).0 < SHELVES);
    }

    #[test]
    fn a_new_tenant_begins_at_zero_and_the_former_counts_no_more() {
        let ledger = Ledger::default();
        let id = |generation| BackendId { slot: 40, generation };
        let sums = |generation| {
            let mut sums = Sums::default();
            ledger.add_to(&mut sums, id(generation));
            sums
        };
        ledger.with(id(0), |row| {
            row.retries.increment();
            row.answers[2].increment();
            row.heads.observe(Duration::from_millis(3));
        });
        assert_eq!((sums(0).retries, sums(0).answers[2], sums(0).heads.count()), (1, 1, 1));
        assert_eq!(sums(1), Sums::default());
        ledger.with(id(2), |row| row.opened.increment());
        ledger.with(id(0), |row| row.retries.increment());
        assert_eq!(sums(0), Sums::default());
        assert_eq!(sums(2), Sums { opened: 1, ..Sums::default() });
    }
}
