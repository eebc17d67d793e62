//! The one entry to policy: requests, answers, probes and commands come in, decisions go out.
//! It must not know what carries them.
//!
//! Call a `handle_*`, then drain [`Balancer::poll_output`] until it is empty, then arm a timer for
//! [`Balancer::poll_timeout`] and call [`Balancer::handle_timeout`] when it is due.

mod consult;
mod ejection;
mod rules;
mod upkeep;

use std::collections::VecDeque;
use std::time::Duration;

use base::{AttemptId, BackendId, Key, ProbeId, RequestId, RequestMeta, Rng, Slab, Time};

use self::consult::Consultation;
use self::upkeep::{Upkeep, valid_weight};
use crate::event::EventKind;
use crate::message::{
    Attempt, Command, CommandError, End, Head, Next, Output, ProbeResult, Reject, Verdict,
};
use crate::pool::{Candidate, Pool};
use crate::retry::{Budget, Denials, may_repeat};
use crate::settings::Settings;
use crate::strategy::{Observation, Seen, Strategy};

/// A request with at least one attempt that has not ended.
#[derive(Debug)]
struct Request {
    meta: RequestMeta,
    /// When its last byte must be there.
    total_by: Time,
    /// Attempts so far.
    number: u32,
    /// Of them not ended.
    running: u32,
    /// Where attempts have failed; empty (and no allocation) until one does.
    tried: Vec<BackendId>,
}

/// An attempt that has not ended.
#[derive(Debug)]
struct Running {
    request: Key,
    backend: BackendId,
    began: Time,
    /// Its head, or its failure, has been handled.
    headed: bool,
    /// It has been counted as a failure of its backend.
    failed: bool,
}

/// The balancer: pool, health, retries and a strategy behind one interface.
pub struct Balancer {
    settings: Settings,
    strategy: Box<dyn Strategy>,
    /// What the strategy asked for beside picks.
    consultation: Consultation,
    strategy_rng: Rng,
    pool: Pool,
    upkeep: Upkeep,
    requests: Slab<Request>,
    attempts: Slab<Running>,
    budget: Budget,
    denials: Denials,
    retries: u64,
    /// What a retry may pick from, kept for its memory.
    scratch: Vec<Candidate>,
    /// Drained by the shell after every call; a call adds at most a few a backend.
    outputs: VecDeque<Output>,
}

impl Balancer {
    /// An empty balancer. `rng` is forked by purpose, so `"balancer/0"` of the run's seed is right.
    pub fn new(settings: Settings, rng: &Rng) -> Self {
        let mut pool = Pool::new();
        pool.set_warming(settings.slow_start.is_some());
        pool.set_panic(settings.panic.clone());
        Self {
            strategy: settings.strategy.build(),
            consultation: Consultation::default(),
            strategy_rng: rng.fork("strategy"),
            pool,
            upkeep: Upkeep::new(&settings, rng),
            requests: Slab::new(),
            attempts: Slab::new(),
            budget: Budget::new(),
            denials: Denials::default(),
            retries: 0,
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// A request arrived.
    pub fn handle_request(&mut self, now: Time, request: RequestMeta) -> Verdict {
        self.refresh();
        let Some(candidates) = self.pool.candidates() else {
            return Verdict::Reject(Reject::NoBackend);
        };
        let backend = self.strategy.pick(now, &request, &candidates, &mut self.strategy_rng);
        if self.settings.retry.is_some() {
            self.budget.count_request(now);
        }
        let total_by = self.settings.timeout.total.map_or(Time::MAX, |total| now + total);
        let key = self.requests.insert(Request {
            meta: request,
            total_by,
            number: 0,
            running: 0,
            tried: Vec::new(),
        });
        Verdict::Send(self.begin_attempt(now, key, backend))
    }

    /// An attempt's head is there, or it failed before. At most once per attempt.
    ///
    /// # Panics
    /// When the attempt has ended or has had its head: the shell has lost count.
    pub fn handle_head(&mut self, now: Time, attempt: AttemptId, head: Head) -> Next {
        let running = self
            .attempts
            .get_mut(Key::unpack(attempt.0))
            .expect("an attempt's head comes before its end");
        assert!(!running.headed, "an attempt has one head");
        running.headed = true;
        let failed = match head {
            Head::Status { status, .. } => status >= 500,
            Head::Failed { .. } => true,
        };
        running.failed = failed;
        let (request, backend, began) = (running.request, running.backend, running.began);
        if failed {
            self.pool.attempt_failed(backend);
        }
        self.strategy.observed(
            now,
            backend,
            Observation { after: now.since(began), seen: seen(&head) },
        );
        match head {
            // Whatever it says, it is a sign of life.
            Head::Status { .. } => self.is_alive(now, backend),
            Head::Failed { error, .. } => self.note_failed_connect(now, backend, began, error),
        }
        self.judge_head(now, backend, began, &head);
        match (self.try_again(now, request, backend, &head), head) {
            (Some(attempt), _) => Next::Retry(attempt),
            (None, Head::Status { .. }) => Next::Deliver,
            (None, Head::Failed { .. }) => Next::GiveUp,
        }
    }

    /// An attempt is over; its in-flight count falls here. Exactly once per attempt.
    ///
    /// # Panics
    /// When the attempt has ended before: the shell has lost count.
    pub fn handle_end(&mut self, now: Time, attempt: AttemptId, end: End) {
        let running =
            self.attempts.remove(Key::unpack(attempt.0)).expect("an attempt ends exactly once");
        let broke = end == End::UpstreamBroke && !running.failed;
        if broke {
            self.pool.attempt_failed(running.backend);
        }
        self.judge_end(now, &running, end);
        self.conclude(now, &running, broke);
        let request = self.requests.get_mut(running.request).expect("kept while attempts run");
        request.running -= 1;
        if request.running == 0 {
            self.requests.remove(running.request);
        }
    }

    /// The client of a waiting request left. No request waits yet: [`Verdict::Wait`] comes with the
    /// queue, and until then there is nothing to forget.
    pub const fn handle_cancel(&mut self, _now: Time, _request: RequestId) {}

    /// A probe was answered, or not. A report that comes after the balancer has given the probe up
    /// is ignored.
    pub fn handle_probe(&mut self, now: Time, probe: ProbeId, result: ProbeResult) {
        if consult::is_load_probe(probe) {
            return self.judge_load(now, probe, &result);
        }
        self.end_probe(now, probe, result);
    }

    /// A change asked for; [`Command::Add`] answers with the new id.
    pub fn handle_command(
        &mut self,
        now: Time,
        command: Command,
    ) -> Result<Option<BackendId>, CommandError> {
        let known = |id: BackendId| self.pool.get(id).map(|_| id);
        let known = |id| known(id).ok_or(CommandError::UnknownBackend(id));
        match command {
            Command::Add { name, weight } => return self.add(now, name, weight).map(Some),
            Command::Remove(id) => {
                let id = known(id)?;
                self.remove(now, id, "command".into());
            }
            Command::Drain(id) => {
                let id = known(id)?;
                self.pool.set_draining(id, true);
                self.settle(now, id, "drain asked for");
            }
            Command::Ready(id) => {
                let id = known(id)?;
                self.pool.set_draining(id, false);
                self.settle(now, id, "drain ended");
            }
            Command::Weight(id, weight) => {
                let id = known(id)?;
                if self.pool.set_weight(id, valid_weight(weight)?) {
                    self.report(now, Some(id), EventKind::WeightChanged { to: weight });
                }
            }
            Command::Strategy(choice) => {
                self.strategy = choice.build();
                self.consultation.begin_anew();
                self.report(now, None, EventKind::StrategyChanged { to: choice.name().into() });
                self.settings.strategy = choice;
            }
        }
        Ok(None)
    }

    /// The time of [`Balancer::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.tend(now);
        self.report_denials(now);
    }

    /// When to call [`Balancer::handle_timeout`] next. It may be early, then nothing comes of it.
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.upkeep.next(), self.denials.next_report()].into_iter().flatten().min()
    }

    /// What to do next, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The backends and their state, for display.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What it decides by.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Retries granted so far.
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// Requests with an attempt that has not ended.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.len()
    }
}

/// What becomes of requests.
impl Balancer {
    fn begin_attempt(&mut self, now: Time, key: Key, backend: BackendId) -> Attempt {
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
            failed: false,
        });
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
            quota: None,
        }
    }

    /// The next attempt of a request whose attempt at `failed_at` ended with `head`, if it is safe,
    /// there is time, and the budget has one.
    fn try_again(
        &mut self,
        now: Time,
        key: Key,
        failed_at: BackendId,
        head: &Head,
    ) -> Option<Attempt> {
        let settings = self.settings.retry.as_ref()?;
        let request = self.requests.get_mut(key).expect("kept while attempts run");
        let meta = request.meta;
        if request.number >= settings.attempts
            || now >= request.total_by
            || !may_repeat(settings, meta.idempotent, head)
        {
            return None;
        }
        request.tried.push(failed_at);
        self.refresh();
        if !self.pool.has_candidates() {
            return None;
        }
        let settings = self.settings.retry.as_ref()?;
        if !self.budget.try_spend(now, settings) {
            self.denials.count(meta.id);
            self.report_denials(now);
            return None;
        }
        self.retries += 1;
        let tried = &self.requests.get(key).expect("kept while attempts run").tried;
        let candidates = self.pool.candidates_but(tried, &mut self.scratch)?;
        let backend = self.strategy.pick(now, &meta, &candidates, &mut self.strategy_rng);
        assert!(candidates.contains(backend), "the strategy picked what is no candidate");
        Some(self.begin_attempt(now, key, backend))
    }

    fn report_denials(&mut self, now: Time) {
        if let Some(kind) = self.denials.report(now) {
            self.report(now, None, kind);
        }
    }
}

/// What a head shows of its backend. A 429 is no failure of the backend, but who answers it fast
/// shall not look fast.
fn seen(head: &Head) -> Seen {
    match *head {
        Head::Status { status, retry_after, .. } if status >= 500 || status == 429 => {
            Seen::Failure { retry_after }
        }
        Head::Status { .. } => Seen::Answer,
        Head::Failed { .. } => Seen::Failure { retry_after: None },
    }
}
