//! What becomes of requests: sent, sent again, over. It must not know backends beyond their ids,
//! nor decide who waits.

use base::{BackendId, Key, RequestMeta, Time};

use super::Balancer;
use super::under_way::Running;
use crate::message::{Attempt, Head, Quota, Reject, Verdict};
use crate::strategy::Seen;

impl Balancer {
    /// A request arrived.
    pub fn handle_request(&mut self, now: Time, request: RequestMeta) -> Verdict {
        let quota = match self.rates.as_mut().map(|rates| rates.admit(now, request.limit_key)) {
            Some(Err(quota)) => return self.reject(Reject::RateLimited(quota)),
            Some(Ok(quota)) => quota,
            None => None,
        };
        self.refresh();
        let obstacle =
            if self.queue.is_empty() { self.obstacle(now) } else { Some(Reject::QueueFull) };
        if let Some(why) = obstacle {
            return self.hold(now, &request, quota, why);
        }
        let backend = self.pick_first(now, &request);
        self.note_sent(now, backend);
        let total_by = self.digest.total_by(now);
        let inserted = self.requests.insert(now, &request, quota, total_by, Some(backend));
        let (attempt, request) = inserted;
        let may_be_hedged = request.may_be_hedged();
        let attempt = self.digest.attempt(now, attempt, backend, request, quota);
        if may_be_hedged {
            self.watch(now, &attempt);
        }
        Verdict::Send(attempt)
    }

    /// Lets a request wait that something is in the way of, or refuses it.
    #[cold]
    fn hold(
        &mut self,
        now: Time,
        request: &RequestMeta,
        quota: Option<Quota>,
        why: Reject,
    ) -> Verdict {
        if !self.queue.has_place() {
            // With a queue the reason is that it is full, whatever it is that they all wait for.
            let why = if self.settings.queue.is_some() { Reject::QueueFull } else { why };
            return self.reject(why);
        }
        let total_by = self.digest.total_by(now);
        let (key, _) = self.requests.insert(now, request, quota, total_by, None);
        self.let_wait(now, key);
        Verdict::Wait(request.id)
    }

    const fn reject(&mut self, why: Reject) -> Verdict {
        self.counts.reject(why);
        Verdict::Reject(why)
    }

    /// What is in the way of the next request in turn, if anything is.
    #[inline]
    pub(super) fn obstacle(&mut self, now: Time) -> Option<Reject> {
        if !self.pool.has_candidates() {
            Some(Reject::NoBackend)
        } else if self.is_overloaded(now) {
            Some(Reject::Overloaded)
        } else if !self.pool.has_room() {
            Some(Reject::QueueFull)
        } else {
            None
        }
    }

    fn is_overloaded(&mut self, now: Time) -> bool {
        let Some(adaptive) = &mut self.adaptive else { return false };
        self.requests.len() - self.queue.len() >= adaptive.limit(now) as usize
    }

    /// Where a request goes first that nothing is in the way of.
    #[inline(always)] // two come here, and one of them for every request
    pub(super) fn pick_first(&mut self, now: Time, meta: &RequestMeta) -> BackendId {
        if self.digest.has_budget {
            self.budget.count_request(now);
        }
        let candidates = self.pool.candidates().expect("nothing is in the way");
        let backend = self.strategy.pick(now, meta, &candidates, &mut self.strategy_rng);
        if self.pool.is_full(backend) { self.pick_with_room(now, meta) } else { backend }
    }

    /// The same, of those alone that have room.
    #[cold]
    fn pick_with_room(&mut self, now: Time, meta: &RequestMeta) -> BackendId {
        let candidates = self.pool.candidates_but(&[], false, &mut self.scratch);
        let candidates = candidates.expect("nothing is in the way");
        let backend = self.strategy.pick(now, meta, &candidates, &mut self.strategy_rng);
        assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        backend
    }

    /// An attempt of a request that was not sent at once, or failed, or is slow.
    #[cold]
    pub(super) fn begin_attempt(&mut self, now: Time, key: Key, backend: BackendId) -> Attempt {
        self.note_sent(now, backend);
        let begun = self.requests.begin(key, Running::new(now, backend));
        let (attempt, request, quota) = begun.expect("an attempt is for a present request");
        let may_be_hedged = request.may_be_hedged();
        let attempt = self.digest.attempt(now, attempt, backend, request, quota);
        if may_be_hedged {
            self.watch(now, &attempt);
        }
        attempt
    }

    /// An attempt is on its way to this backend.
    #[inline(always)] // as of `pick_first`
    fn note_sent(&mut self, now: Time, backend: BackendId) {
        assert!(self.pool.attempt_began(backend), "the strategy picked what is no candidate");
        if self.consultation.learns() {
            self.ask_for_load(now);
        }
    }
}

/// Whether an answer of this status is a failure of its backend.
const fn fails(status: u16) -> bool {
    status >= 500
}

/// Whether a head is a failure of its backend.
pub(super) const fn is_failure(head: &Head) -> bool {
    match *head {
        Head::Status { status, .. } => fails(status),
        Head::Failed { .. } => true,
    }
}

/// Whether a head is an answer that says nothing against its backend.
pub(super) const fn is_good(head: &Head) -> bool {
    matches!(*head, Head::Status { status, .. } if !fails(status) && status != 429)
}

/// What a head shows of its backend. A 429 is no failure of the backend, but who answers it fast
/// shall not look fast.
pub(super) fn seen(head: &Head) -> Seen {
    match *head {
        Head::Status { .. } if is_good(head) => Seen::Answer,
        Head::Status { retry_after, .. } => Seen::Failure { retry_after },
        Head::Failed { .. } => Seen::Failure { retry_after: None },
    }
}
