//! Further attempts after a failed one: at once, after a backoff, or none. It must not know what
//! makes an attempt a failure worth repeating; [`crate::retry`] does.

use base::{BackendId, Key, Time};

use super::Balancer;
use super::under_way::Stage;
use crate::alarms::Alarm;
use crate::message::{Head, Next, Output, Reject};
use crate::retry::{backoff_before, may_repeat};
use crate::settings::MAX_ATTEMPTS;

impl Balancer {
    /// The next attempt of a request whose attempt at `failed_at` ended with `head`, if it is safe,
    /// there is time, somebody has room, and the budget has one. All of this is asked before a
    /// backoff begins, because the answer that the client would get otherwise is dropped then.
    ///
    /// A retry goes to a backend that was not tried, while there is one. Where there is none it
    /// goes to one that was, but not if the answer asked for time with a Retry-After: its client
    /// can wait as well as we can, and is told for how long.
    #[cold]
    pub(super) fn try_again(
        &mut self,
        now: Time,
        key: Key,
        failed_at: BackendId,
        head: &Head,
    ) -> Next {
        let next = self.repeat(now, key, failed_at, head);
        self.look_at_upkeep();
        next.unwrap_or(match head {
            Head::Status { .. } => Next::Deliver,
            Head::Failed { .. } => Next::GiveUp,
        })
    }

    fn repeat(&mut self, now: Time, key: Key, failed_at: BackendId, head: &Head) -> Option<Next> {
        let settings = self.settings.retry.as_ref()?;
        let request = self.requests.get(key).expect("kept while attempts run");
        if u32::from(request.number) >= settings.attempts.min(MAX_ATTEMPTS)
            || now >= request.total_by
            || !may_repeat(settings, request.idempotent, head)
        {
            return None;
        }
        self.requests.remember(key, failed_at);
        self.refresh();
        let settings = self.settings.retry.as_ref()?;
        let untried = matches!(head, Head::Status { retry_after: Some(_), .. });
        let tried = self.requests.tried(key);
        let candidates = self.pool.candidates_but(tried, untried, &mut self.scratch)?;
        let request = self.requests.get(key).expect("found above");
        let before = u32::from(request.number) - u32::from(request.hedged);
        let wait = backoff_before(settings, before, &mut self.backoff_rng);
        if now + wait >= request.total_by {
            return None;
        }
        let id = request.id;
        if !self.budget.try_spend(now, settings) {
            self.denials.count(id);
            self.report_denials(now);
            return None;
        }
        if !wait.is_zero() {
            let request = self.requests.get_mut(key).expect("found above");
            request.stage = Stage::BackingOff { untried };
            self.waiting.insert(id.0, key);
            self.alarms.set(now + wait, Alarm::Resume(key));
            return Some(Next::Later);
        }
        let meta = self.requests.meta(key).expect("found above");
        let backend = self.strategy.pick(now, &meta, &candidates, &mut self.strategy_rng);
        assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        self.counts.retries += 1;
        Some(Next::Retry(self.begin_attempt(now, key, backend)))
    }

    /// Sends a request whose backoff is over, by what is known of the backends now.
    pub(super) fn resume(&mut self, now: Time, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let Stage::BackingOff { untried } = request.stage else { return };
        self.refresh();
        let tried = self.requests.tried(key);
        let Some(candidates) = self.pool.candidates_but(tried, untried, &mut self.scratch) else {
            let is_full = self.pool.has_candidates() && !self.pool.has_room();
            let why = if is_full { Reject::QueueFull } else { Reject::NoBackend };
            return self.refuse(key, why);
        };
        let meta = self.requests.meta(key).expect("found above");
        let backend = self.strategy.pick(now, &meta, &candidates, &mut self.strategy_rng);
        assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        self.leave(key);
        self.counts.retries += 1;
        let attempt = self.begin_attempt(now, key, backend);
        self.outputs.push_back(Output::Send(attempt));
    }

    pub(super) fn report_denials(&mut self, now: Time) {
        if let Some(kind) = self.denials.report(now) {
            self.report(now, None, kind);
        }
    }
}
