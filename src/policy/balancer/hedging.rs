//! Two attempts of one request side by side: when the second is sent, and who wins. It must not
//! know how long is too long.
//!
//! A hedge is for a request that may be sent twice at any moment, goes to a backend that the
//! request has not been at, needs room there and one of the retry budget; a request gets one at
//! most. The first good head wins. A bad one loses as long as the other attempt is out, and what
//! the last one shows decides by the rules of retries, which count the hedge as an attempt.

use base::{AttemptId, Key, Time};

use super::Balancer;
use crate::alarms::Alarm;
use crate::message::{Head, Next, Output};
use crate::settings::RetrySettings;

impl Balancer {
    /// What follows the head, or the failure, of an attempt.
    pub(super) fn after_head(&mut self, now: Time, attempt: Key, head: &Head) -> Next {
        let (key, running) = self.requests.attempt(attempt).expect("it has not ended");
        let (backend, began) = (running.backend, running.began);
        let (lost, answered) = (running.lost, running.answered);
        let request = self.requests.get_mut(key).expect("kept while attempts run");
        let has_rival = request.awaited.cease(attempt);
        if lost {
            // The shell had it before it heard of the winner.
            return Next::Later;
        }
        if has_rival && self.is_bad(head) {
            self.requests.remember(key, backend);
            return Next::Later;
        }
        if has_rival {
            self.abort_rivals(now, key, began);
        }
        if let (Some(hedger), true) = (&mut self.hedger, answered) {
            hedger.record(now, now.since(began));
        }
        self.drop_void_alarms();
        self.try_again(now, key, backend, head).unwrap_or(match head {
            Head::Status { .. } => Next::Deliver,
            Head::Failed { .. } => Next::GiveUp,
        })
    }

    /// Whether another attempt that is out may do better.
    fn is_bad(&self, head: &Head) -> bool {
        match head {
            Head::Failed { .. } => true,
            Head::Status { status, .. } => {
                let named = |retry: &RetrySettings| retry.statuses.contains(status);
                *status >= 500 || self.settings.retry.as_ref().is_some_and(named)
            }
        }
    }

    /// Sees to it that the attempt is looked at again when it is slow.
    pub(super) fn arm_hedge(&mut self, now: Time, request: Key, attempt: Key) {
        let Some(hedger) = &mut self.hedger else { return };
        let request = self.requests.get(request).expect("an attempt is for a present request");
        if !request.idempotent || !request.replayable || request.hedged {
            return;
        }
        if let Some(delay) = hedger.delay(now)
            && now + delay < request.total_by
        {
            self.alarms.set(now + delay, Alarm::Hedge(attempt));
        }
    }

    /// Sends a hedge beside a slow attempt, if it is still without a head.
    pub(super) fn hedge(&mut self, now: Time, slow: Key) {
        let Some((key, slow)) = self.requests.attempt(slow) else { return };
        let (headed, backend) = (slow.headed, slow.backend);
        let request = self.requests.get(key).expect("kept while attempts run");
        if headed || request.hedged || request.awaited.len() != 1 {
            return;
        }
        self.requests.remember(key, backend);
        self.refresh();
        let Some(hedger) = &self.hedger else { return };
        let tried = self.requests.tried(key);
        let Some(candidates) = self.pool.candidates_but(tried, true, &mut self.scratch) else {
            return;
        };
        let budget = self.settings.retry.as_ref().unwrap_or_else(|| hedger.default_budget());
        if !self.budget.try_spend(now, budget) {
            return;
        }
        let meta = self.requests.meta(key).expect("found above");
        let backend = self.strategy.pick(now, &meta, &candidates, &mut self.strategy_rng);
        assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        self.requests.get_mut(key).expect("found above").hedged = true;
        self.counts.hedges += 1;
        let attempt = self.begin_attempt(now, key, backend);
        self.outputs.push_back(Output::Send(attempt));
    }

    /// An attempt won: whatever else of its request is out is broken off.
    #[cold]
    fn abort_rivals(&mut self, now: Time, request: Key, winner: Time) {
        let request = self.requests.get_mut(request).expect("kept while attempts run");
        for rival in request.awaited.take() {
            let Some(running) = self.requests.attempt_mut(rival) else { continue };
            running.lost = true;
            if let Some(hedger) = &mut self.hedger
                && running.began < winner
            {
                hedger.record(now, now.since(running.began));
            }
            self.outputs.push_back(Output::Abort(AttemptId(rival.pack())));
        }
    }
}
