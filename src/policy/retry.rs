//! May a failed attempt be followed by another? Safety rules and the retry budget.
//! It must not pick the backend.

use std::time::Duration;

use base::time::nanos;
use base::{RequestId, Sent, Time};

use crate::event::EventKind;
use crate::message::Head;
use crate::settings::RetrySettings;

/// Whether this end of an attempt may be answered by sending the request again: because the
/// backend cannot have seen it, or because it may see it twice.
pub(crate) fn may_repeat(settings: &RetrySettings, idempotent: bool, head: &Head) -> bool {
    match *head {
        Head::Failed { sent: Sent::Nothing, .. } => true,
        Head::Failed { replayable, .. } => idempotent && replayable,
        Head::Status { status, replayable } => {
            idempotent && replayable && settings.statuses.contains(&status)
        }
    }
}

/// The span over which requests and retries are compared.
const WINDOW: Duration = Duration::from_secs(10);
/// The grain of the count.
const SLOT: Duration = Duration::from_millis(100);
/// The window in slots. Of requests this many are counted, the current one included; of retries
/// one more: so whatever the place of 10 s among the slots, the retries in them are counted all
/// and the requests are never too many, and the budget holds for every 10 s.
const SLOTS: usize = (WINDOW.as_millis() / SLOT.as_millis()) as usize;

/// How many requests and retries there were in the last 10 s.
#[derive(Debug)]
pub(crate) struct Budget {
    /// A ring by the number of the slot.
    requests: [u32; SLOTS + 1],
    retries: [u32; SLOTS + 1],
    /// The number of the current slot since the run began.
    current: u64,
    /// Sums over the slots that count.
    recent_requests: u64,
    recent_retries: u64,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            requests: [0; SLOTS + 1],
            retries: [0; SLOTS + 1],
            current: 0,
            recent_requests: 0,
            recent_retries: 0,
        }
    }

    /// A request was sent for the first time.
    pub(crate) fn count_request(&mut self, now: Time) {
        self.advance(now);
        self.requests[Self::place(self.current)] += 1;
        self.recent_requests += 1;
    }

    /// Takes one retry out of the budget, if there is one.
    pub(crate) fn try_spend(&mut self, now: Time, settings: &RetrySettings) -> bool {
        self.advance(now);
        let allowed = settings.budget * self.recent_requests as f64
            + settings.budget_min * WINDOW.as_secs_f64();
        if (self.recent_retries + 1) as f64 > allowed {
            return false;
        }
        self.retries[Self::place(self.current)] += 1;
        self.recent_retries += 1;
        true
    }

    fn advance(&mut self, now: Time) {
        let target = now.as_nanos() / nanos(SLOT);
        if target <= self.current {
            return;
        }
        if target - self.current > SLOTS as u64 {
            *self = Self { current: target, ..Self::new() };
            return;
        }
        while self.current < target {
            self.current += 1;
            // The ring has one slot more than the window: the new slot takes the place of the one
            // whose retries cease to count, and the slot after it ceases to count for requests.
            let place = Self::place(self.current);
            self.recent_retries -= u64::from(self.retries[place]);
            self.retries[place] = 0;
            self.requests[place] = 0;
            let next = Self::place(self.current + 1);
            self.recent_requests -= u64::from(self.requests[next]);
            self.requests[next] = 0;
        }
    }

    const fn place(slot: u64) -> usize {
        (slot % (SLOTS as u64 + 1)) as usize
    }
}

/// Between two reports of denied retries.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Retries that the budget denied, gathered so that an outage is no flood of events.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    count: u64,
    example: Option<RequestId>,
    /// No report before.
    quiet_until: Time,
}

impl Denials {
    pub(crate) const fn count(&mut self, request: RequestId) {
        self.count += 1;
        self.example = Some(request);
    }

    /// When [`Denials::report`] will have something.
    pub(crate) fn next_report(&self) -> Option<Time> {
        self.example.map(|_| self.quiet_until)
    }

    /// What there is to report, at most once a second.
    pub(crate) fn report(&mut self, now: Time) -> Option<EventKind> {
        if now < self.quiet_until {
            return None;
        }
        let example = self.example.take()?;
        let count = std::mem::take(&mut self.count);
        self.quiet_until = now + REPORT_EVERY;
        Some(EventKind::RetriesDenied { count, example })
    }
}
