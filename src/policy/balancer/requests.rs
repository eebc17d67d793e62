//! What becomes of requests: sent, sent again, over. It must not know backends beyond their ids,
//! nor decide who waits.

use std::time::Duration;

use base::{AttemptId, BackendId, Key, RequestMeta, Time};

use super::Balancer;
use super::under_way::{Running, Stage};
use crate::message::{Attempt, Head, Reject, Verdict};
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
        if let (Some(why), false) = (obstacle, self.queue.has_place()) {
            // With a queue the reason is that it is full, whatever it is that they all wait for.
            let why = if self.settings.queue.is_some() { Reject::QueueFull } else { why };
            return self.reject(why);
        }
        let total_by = self.settings.timeout.total.map_or(Time::MAX, |total| now + total);
        let key = self.requests.insert(now, &request, quota, total_by);
        if obstacle.is_some() {
            self.let_wait(now, key);
            return Verdict::Wait(request.id);
        }
        Verdict::Send(self.send_first(now, key, &request))
    }

    const fn reject(&mut self, why: Reject) -> Verdict {
        self.counts.reject(why);
        Verdict::Reject(why)
    }

    /// What is in the way of the next request in turn, if anything is.
    pub(super) fn obstacle(&mut self, now: Time) -> Option<Reject> {
        let in_flight = self.requests.len() - self.queue.len();
        if !self.pool.has_candidates() {
            Some(Reject::NoBackend)
        } else if self.adaptive.as_mut().is_some_and(|a| in_flight >= a.limit(now) as usize) {
            Some(Reject::Overloaded)
        } else if !self.pool.has_room() {
            Some(Reject::QueueFull)
        } else {
            None
        }
    }

    /// The first attempt of a request that nothing is in the way of.
    pub(super) fn send_first(&mut self, now: Time, key: Key, meta: &RequestMeta) -> Attempt {
        if self.settings.retry.is_some() || self.hedger.is_some() {
            self.budget.count_request(now);
        }
        let request = self.requests.get_mut(key).expect("it has not been sent");
        request.stage = Stage::Sent;
        request.sent = now;
        let candidates = self.pool.candidates().expect("nothing is in the way");
        let mut backend = self.strategy.pick(now, meta, &candidates, &mut self.strategy_rng);
        if self.pool.is_full(backend) {
            let candidates = self.pool.candidates_but(&[], false, &mut self.scratch);
            let candidates = candidates.expect("nothing is in the way");
            backend = self.strategy.pick(now, meta, &candidates, &mut self.strategy_rng);
            assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        }
        self.begin_attempt(now, key, backend)
    }

    pub(super) fn begin_attempt(&mut self, now: Time, key: Key, backend: BackendId) -> Attempt {
        assert!(self.pool.is_candidate(backend), "the strategy picked what is no candidate");
        self.pool.attempt_began(backend);
        self.ask_for_load(now);
        let begun = self.requests.begin(key, Running::new(now, backend));
        let (attempt, request) = begun.expect("an attempt is for a present request");
        let (id, number, body_by) = (request.id, request.number, request.total_by);
        self.arm_hedge(now, key, attempt);
        let timeout = &self.settings.timeout;
        let head_within = timeout.attempt.unwrap_or(Duration::MAX);
        let head_by = body_by.min(now + head_within);
        Attempt {
            id: AttemptId(attempt.pack()),
            request: id,
            backend,
            number,
            connect_by: head_by.min(now + timeout.connect),
            head_by,
            head_within,
            body_by,
            quota: self.requests.quota(key),
        }
    }
}

/// What a head shows of its backend. A 429 is no failure of the backend, but who answers it fast
/// shall not look fast.
pub(super) fn seen(head: &Head) -> Seen {
    match *head {
        Head::Status { status, retry_after, .. } if status >= 500 || status == 429 => {
            Seen::Failure { retry_after }
        }
        Head::Status { .. } => Seen::Answer,
        Head::Failed { .. } => Seen::Failure { retry_after: None },
    }
}
