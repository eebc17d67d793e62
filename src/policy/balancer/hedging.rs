//! Two attempts of one request side by side: when the second is sent, and who wins. It must not
//! know how long is too long.
//!
//! A hedge is for a request that may be sent twice at any moment, goes to a backend that the
//! request has not been at, needs room there and one of the retry budget; a request gets one at
//! most. The first good head wins. A bad one loses as long as the other attempt is out, and what
//! the last one shows decides by the rules of retries, which count the hedge as an attempt.

use base::{AttemptId, BackendId, Key, Time};

use super::Balancer;
use super::requests::is_failure;
use crate::alarms::Alarm;
use crate::message::{Attempt, Head, Output};
use crate::settings::RetrySettings;

impl Balancer {
    /// Whether an attempt that is not alone wins by its head; then whatever else of its request is
    /// out is broken off.
    #[cold]
    pub(super) fn wins_race(
        &mut self,
        now: Time,
        request: Key,
        backend: BackendId,
        began: Time,
        head: &Head,
    ) -> bool {
        if self.is_bad(head) {
            self.requests.remember(request, backend);
            return false;
        }
        for (rival, rival_began) in self.requests.lose(request) {
            if let Some(hedger) = &mut self.hedger
                && rival_began < began
            {
                hedger.record(now, rival_began);
            }
            self.outputs.push_back(Output::Abort(AttemptId(rival.pack())));
        }
        true
    }

    /// Whether another attempt that is out may do better.
    fn is_bad(&self, head: &Head) -> bool {
        let Head::Status { status, .. } = head else { return true };
        let named = |retry: &RetrySettings| retry.statuses.contains(status);
        is_failure(head) || self.settings.retry.as_ref().is_some_and(named)
    }

    /// Sees to it that an attempt, which may be hedged, is looked at again when it is slow.
    #[inline]
    pub(super) fn watch(&mut self, now: Time, attempt: &Attempt) {
        if let Some(hedger) = &mut self.hedger
            && let Some(at) = hedger.due(now)
            && at < attempt.body_by
        {
            self.alarms.set(at, Alarm::Hedge(Key::unpack(attempt.id.0)));
        }
    }

    /// Sends a hedge beside a slow attempt, if it is still without a head.
    pub(super) fn hedge(&mut self, now: Time, slow: Key) {
        let Some((key, running)) = self.requests.attempt(slow) else { return };
        let (headed, backend) = (running.headed, running.backend);
        let request = self.requests.get(key).expect("kept while attempts run");
        if headed || request.hedged || request.deciding != 1 {
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
        self.requests.race(key, slow, Key::unpack(attempt.id.0));
        self.outputs.push_back(Output::Send(attempt));
    }
}
