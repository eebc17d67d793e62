//! What is counted of the traffic, and what is shown of it in Prometheus' text format. It must not
//! know a request's way.

mod histogram;
mod ledger;
mod page;
mod process;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};

use base::BackendId;

use crate::journal::{Came, Ending, Journal, Tried};
use histogram::Histogram;
use ledger::Ledger;
pub(crate) use text::text;

/// Classes of status, by the first digit; the first one is unused.
const CLASSES: usize = 6;

/// What one worker counts. Only that worker writes, so no cache line travels between cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) attempts: Counter,
    /// Answers by the first digit of their status, the proxy's own included; 0 is unused.
    pub(crate) answers: [Counter; CLASSES],
    /// Requests whose framing was refused.
    pub(crate) refused: Counter,
    /// Attempts for which the proxy itself could not open a connection.
    pub(crate) shortages: Counter,
    pub(crate) clients_accepted: Counter,
    pub(crate) clients_closed: Counter,
    upstream_opened: Counter,
    upstream_reused: Counter,
    /// How long requests took that were answered whole, by class of status.
    durations: [Histogram; CLASSES],
    /// How long requests waited in the queue.
    pub(crate) queue_waits: Histogram,
    backends: Ledger,
}

impl Counters {
    /// A connection to a backend will be opened for an attempt.
    pub(crate) fn opened(&self, backend: BackendId) {
        self.upstream_opened.increment();
        self.backends.with(backend, |row| row.opened.increment());
    }

    /// An attempt is sent on a connection that was open.
    pub(crate) fn reused(&self, backend: BackendId) {
        self.upstream_reused.increment();
        self.backends.with(backend, |row| row.reused.increment());
    }

    /// An attempt has a head, or will not have one.
    pub(crate) fn tried(&self, tried: &Tried) {
        self.backends.with(tried.backend, |row| {
            match tried.came {
                Came::Status(status) => {
                    if let Some(counter) = row.answers.get(usize::from(status / 100)) {
                        counter.increment();
                    }
                    row.heads.observe(tried.ended.since(tried.began));
                }
                Came::Failed(failure) => row.failures[failure as usize].increment(),
                Came::Nothing => row.given_up.increment(),
            }
            match (tried.hedge, tried.number) {
                (true, _) => row.hedges.increment(),
                (false, 1) => {}
                (false, _) => row.retries.increment(),
            }
        });
    }

    /// A request is over.
    pub(crate) fn finished(&self, journal: &Journal) {
        let class = usize::from(journal.status / 100);
        if let Some(counter) = self.answers.get(class) {
            counter.increment();
        }
        match (journal.ending, journal.tried.last(), journal.duration()) {
            (Ending::UpstreamBroke, Some(last), _) => {
                self.backends.with(last.backend, |row| row.broken.increment());
            }
            (Ending::Answered | Ending::Own, _, Some(duration)) if class < CLASSES => {
                self.durations[class].observe(duration);
            }
            _ => {}
        }
    }
}

/// A number that grows, written by one thread.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    fn add(&self, count: u64) {
        // One writer: a plain add, without the price of an atomic one.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
