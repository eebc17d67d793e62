//! What becomes of requests: sent, sent again, over. It must not know backends beyond their ids,
//! nor decide who waits.

use std::time::Duration;

use base::{AttemptId, BackendId, Key, RequestMeta, Time};

use super::Balancer;
use crate::message::{Attempt, Head, Quota, Reject, Verdict};
use crate::strategy::Seen;

/// A request that is not over. What its end asks for comes first, and with it what tells an empty
/// slot: with a thousand requests under way each line of memory is fetched anew.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Request {
    /// Where it has been, as far as a further attempt must know; empty (and no allocation) until
    /// one is thought of.
    pub(super) tried: Vec<BackendId>,
    /// The attempts whose heads may still decide: one, or two when one is a hedge.
    pub(super) awaited: [Option<Key>; 2],
    pub(super) stage: Stage,
    /// Attempts so far.
    pub(super) number: u32,
    /// Of them not ended.
    pub(super) running: u32,
    /// It has had its hedge.
    pub(super) hedged: bool,
    /// When its last byte must be there.
    pub(super) total_by: Time,
    /// When it was sent first; when it arrived, until then.
    pub(super) sent: Time,
    pub(super) meta: RequestMeta,
    /// What was left of the rate limit when it arrived.
    pub(super) quota: Option<Quota>,
}

impl Request {
    /// It has been at this backend.
    pub(super) fn remember(&mut self, backend: BackendId) {
        if !self.tried.contains(&backend) {
            self.tried.push(backend);
        }
    }

    /// This attempt decides nothing any more; whether another one may.
    pub(super) fn cease(&mut self, attempt: Key) -> bool {
        for place in &mut self.awaited {
            if *place == Some(attempt) {
                *place = None;
            }
        }
        self.awaited != [None; 2]
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not sent yet; its place in the queue.
    Queued(Key),
    /// Sent: it is over with the last of its attempts.
    Sent,
    /// Sent before, and between two attempts.
    BackingOff {
        /// It must not go where it was before.
        untried: bool,
    },
}

/// An attempt that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) request: Key,
    pub(super) backend: BackendId,
    pub(super) began: Time,
    /// Its head, or its failure, has been handled.
    pub(super) headed: bool,
    /// Its head was no failure.
    pub(super) answered: bool,
    /// Another attempt of its request was faster.
    pub(super) lost: bool,
    /// It has been counted as a failure of its backend.
    pub(super) failed: bool,
}

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
        let id = request.id;
        let key = self.requests.insert(Request {
            meta: request,
            total_by: self.settings.timeout.total.map_or(Time::MAX, |total| now + total),
            sent: now,
            stage: Stage::Sent,
            quota,
            number: 0,
            running: 0,
            awaited: [None; 2],
            hedged: false,
            tried: Vec::new(),
        });
        if obstacle.is_some() {
            self.let_wait(now, key);
            return Verdict::Wait(id);
        }
        Verdict::Send(self.send_first(now, key))
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
    pub(super) fn send_first(&mut self, now: Time, key: Key) -> Attempt {
        if self.settings.retry.is_some() || self.hedger.is_some() {
            self.budget.count_request(now);
        }
        let request = self.requests.get_mut(key).expect("it has not been sent");
        request.stage = Stage::Sent;
        request.sent = now;
        let meta = &request.meta;
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
        let request = self.requests.get_mut(key).expect("an attempt is for a present request");
        request.number += 1;
        request.running += 1;
        let attempt = self.attempts.insert(Running {
            request: key,
            backend,
            began: now,
            headed: false,
            answered: false,
            lost: false,
            failed: false,
        });
        let place = request.awaited.iter_mut().find(|place| place.is_none());
        *place.expect("a third attempt comes after the end of one before") = Some(attempt);
        self.arm_hedge(now, key, attempt);
        let request = self.requests.get(key).expect("found above");
        let timeout = &self.settings.timeout;
        let body_by = request.total_by;
        let head_within = timeout.attempt.unwrap_or(Duration::MAX);
        let head_by = body_by.min(now + head_within);
        Attempt {
            id: AttemptId(attempt.pack()),
            request: request.meta.id,
            backend,
            number: request.number,
            connect_by: head_by.min(now + timeout.connect),
            head_by,
            head_within,
            body_by,
            quota: request.quota,
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
