//! What every request asks of the settings, in the form in which it asks. It must not be all of them.

use std::time::Duration;

use base::time::nanos;
use base::{AttemptId, BackendId, Key, Time};

use super::under_way::Request;
use crate::message::{Attempt, Head, Quota};
use crate::settings::Settings;

/// Made anew when the settings change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    connect_ns: u64,
    head_ns: u64,
    total_ns: u64,
    head_within: Duration,
    /// An answer with a lower status is never worth another attempt.
    repeats_from: u16,
    /// Requests are counted for the retry budget.
    pub(super) has_budget: bool,
}

impl Digest {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { timeout, retry, hedging, .. } = settings;
        let head_within = timeout.attempt.unwrap_or(Duration::MAX);
        let lowest = retry.as_ref().and_then(|retry| retry.statuses.iter().min());
        Self {
            connect_ns: nanos(timeout.connect),
            head_ns: nanos(head_within),
            total_ns: nanos(timeout.total.unwrap_or(Duration::MAX)),
            head_within,
            repeats_from: lowest.copied().unwrap_or(u16::MAX),
            has_budget: retry.is_some() || hedging.is_some(),
        }
    }

    /// Whether a head is an answer that no other attempt follows, whoever asks.
    #[inline]
    pub(super) const fn is_final(&self, head: &Head) -> bool {
        matches!(*head, Head::Status { status, .. } if status < self.repeats_from)
    }

    /// An attempt that begins, with its deadlines.
    #[inline]
    pub(super) fn attempt(
        &self,
        now: Time,
        attempt: Key,
        backend: BackendId,
        request: &Request,
        quota: Option<Quota>,
    ) -> Attempt {
        let body_by = request.total_by;
        let head_by = body_by.min(now.after_nanos(self.head_ns));
        Attempt {
            id: AttemptId(attempt.pack()),
            request: request.id,
            backend,
            number: request.number.into(),
            connect_by: head_by.min(now.after_nanos(self.connect_ns)),
            head_by,
            head_within: self.head_within,
            body_by,
            quota,
        }
    }

    /// When the last byte of a request's answer must be there.
    pub(super) const fn total_by(&self, arrived: Time) -> Time {
        arrived.after_nanos(self.total_ns)
    }
}
