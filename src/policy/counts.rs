//! What a balancer has done with requests since it began. It must not decide anything.

use crate::message::Reject;

/// Totals since the balancer began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts sent because one before had failed.
    pub retries: u64,
    /// Attempts sent because one before was slow.
    pub hedges: u64,
    /// Requests refused because no backend was ready.
    pub no_backend: u64,
    /// Requests refused because of a rate limit.
    pub rate_limited: u64,
    /// Requests refused because of the adaptive limit.
    pub overloaded: u64,
    /// Requests refused because nobody had room, and the queue neither.
    pub queue_full: u64,
    /// Requests refused because they had waited for too long.
    pub queue_timeout: u64,
}

impl Counts {
    /// The refused requests, each count under the word that stands in metrics.
    pub const fn rejected(&self) -> [(&'static str, u64); 5] {
        [
            ("no_backend", self.no_backend),
            ("rate_limited", self.rate_limited),
            ("overloaded", self.overloaded),
            ("queue_full", self.queue_full),
            ("queue_timeout", self.queue_timeout),
        ]
    }

    pub(crate) const fn reject(&mut self, why: Reject) {
        let count = match why {
            Reject::NoBackend => &mut self.no_backend,
            Reject::RateLimited(_) => &mut self.rate_limited,
            Reject::Overloaded => &mut self.overloaded,
            Reject::QueueFull => &mut self.queue_full,
            Reject::QueueTimeout => &mut self.queue_timeout,
        };
        *count += 1;
    }
}
