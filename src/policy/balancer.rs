//! The one entry to policy: requests, answers, probes and commands come in, decisions go out.
//! It must not know what carries them.
//!
//! Call a `handle_*`, then drain [`Balancer::poll_output`] until it is empty, then arm a timer for
//! [`Balancer::poll_timeout`] and call [`Balancer::handle_timeout`] when it is due.

mod answers;
mod change;
mod consult;
mod digest;
mod ejection;
mod explain;
mod hedging;
mod requests;
mod retrying;
mod rules;
mod under_way;
mod upkeep;
mod waiting;

use std::collections::VecDeque;

use base::{AttemptId, BackendId, Key, ProbeId, Rng, Time};

use self::consult::Consultation;
use self::digest::Digest;
pub use self::explain::{Excluded, Explained, Explanation, MAX_EXPLAINED};
use self::rules::removes_silent;
use self::under_way::UnderWay;
use self::upkeep::{Upkeep, valid_weight};
use crate::adaptive::Adaptive;
use crate::alarms::{Alarm, Alarms};
use crate::counts::Counts;
use crate::event::EventKind;
use crate::hedge::Hedger;
use crate::index::Index;
use crate::message::{Command, CommandError, Output, ProbeResult};
use crate::pool::{Candidate, Pool};
use crate::queue::Queue;
use crate::rate::Limiter;
use crate::retry::{Budget, Denials};
use crate::settings::Settings;
use crate::strategy::Strategy;

/// The balancer: pool, health, retries and a strategy behind one interface.
pub struct Balancer {
    settings: Settings,
    digest: Digest,
    strategy: Box<dyn Strategy>,
    /// What the strategy asked for beside picks.
    consultation: Consultation,
    strategy_rng: Rng,
    /// What the streams of parts that are switched on later are forked from.
    rng: Rng,
    pool: Pool,
    upkeep: Upkeep,
    /// When something is to be done or said that is not about one request; see
    /// [`Balancer::look_at_upkeep`].
    upkeep_due: Time,
    requests: UnderWay,
    rates: Option<Limiter>,
    adaptive: Option<Adaptive>,
    queue: Queue,
    alarms: Alarms,
    backoff_rng: Rng,
    /// The requests that wait, in the queue or for a backoff to end, by their ids.
    waiting: Index,
    /// Where tables put what clients can choose.
    secret: u64,
    budget: Budget,
    denials: Denials,
    counts: Counts,
    hedger: Option<Hedger>,
    /// What a retry may pick from, kept for its memory.
    scratch: Vec<Candidate>,
    /// Drained by the shell after every call; a call adds at most a few a backend.
    outputs: VecDeque<Output>,
}

impl Balancer {
    /// An empty balancer. `rng` is forked by purpose, so `"balancer/0"` of the run's seed is right.
    pub fn new(settings: Settings, rng: &Rng) -> Self {
        let secret = rng.fork("secret").seed();
        let strategy = settings.strategy.build();
        let mut pool = Pool::new();
        pool.set_warming(settings.slow_start.is_some());
        pool.set_panic(settings.panic.clone());
        pool.note_life(Time::ZERO, removes_silent(settings.health.as_ref()));
        pool.set_most_in_flight(settings.limits.as_ref().and_then(|limits| limits.max_in_flight));
        Self {
            consultation: Consultation::new(&*strategy),
            strategy,
            strategy_rng: rng.fork("strategy"),
            pool,
            upkeep: Upkeep::new(&settings, rng),
            upkeep_due: Time::MAX,
            requests: UnderWay::new(),
            digest: Digest::new(&settings),
            rates: settings.limits.as_ref().map(|limits| Limiter::new(&limits.rate, secret)),
            adaptive: change::adaptive(settings.limits.as_ref(), rng),
            rng: rng.clone(),
            queue: Queue::new(settings.queue.clone()),
            alarms: Alarms::default(),
            backoff_rng: rng.fork("backoff"),
            waiting: Index::new(secret),
            secret,
            budget: Budget::new(),
            denials: Denials::default(),
            counts: Counts::default(),
            hedger: settings.hedging.clone().map(Hedger::new),
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// A probe was answered, or not. A report that comes after the balancer has given the probe up
    /// is ignored.
    pub fn handle_probe(&mut self, now: Time, probe: ProbeId, result: ProbeResult) {
        if consult::is_load_probe(probe) {
            return self.judge_load(now, probe, &result);
        }
        self.end_probe(now, probe, result);
        self.look_at_upkeep();
        self.serve_waiting(now);
    }

    /// A change asked for; [`Command::Add`] answers with the new id.
    pub fn handle_command(
        &mut self,
        now: Time,
        command: Command,
    ) -> Result<Option<BackendId>, CommandError> {
        let done = self.obey(now, command);
        self.look_at_upkeep();
        done
    }

    fn obey(&mut self, now: Time, command: Command) -> Result<Option<BackendId>, CommandError> {
        let known = |id: BackendId| self.pool.get(id).map(|_| id);
        let known = |id| known(id).ok_or(CommandError::UnknownBackend(id));
        match command {
            Command::Add { name, weight } => {
                let id = self.add(now, name, weight)?;
                self.serve_waiting(now);
                return Ok(Some(id));
            }
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
            Command::Strategy(choice) => self.change_strategy(now, choice),
            Command::Settings(settings) => self.change_settings(now, *settings),
        }
        self.serve_waiting(now);
        Ok(None)
    }

    /// The time of [`Balancer::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.tend(now);
        self.report_denials(now);
        while let Some(alarm) = self.alarms.pop_due(now) {
            match alarm {
                Alarm::Hedge(attempt) => self.hedge(now, attempt),
                Alarm::Resume(request) => self.resume(now, request),
            }
        }
        self.look_at_upkeep();
        self.serve_waiting(now);
    }

    /// When to call [`Balancer::handle_timeout`] next. It may be early, then nothing comes of it.
    pub fn poll_timeout(&self) -> Option<Time> {
        debug_assert_eq!(self.upkeep_due, self.next_upkeep(), "it has changed unseen");
        let next = self.queue.next_end().min(self.alarms.next_time()).min(self.upkeep_due);
        (next < Time::MAX).then_some(next)
    }

    fn next_upkeep(&self) -> Time {
        self.upkeep.next().min(self.denials.next_report())
    }

    /// To be called after whatever may have changed when upkeep is due: shells ask for it twice a
    /// request, and nothing of it changes in the course of a good one.
    fn look_at_upkeep(&mut self) {
        self.upkeep_due = self.next_upkeep();
    }

    /// A hint for speed: an attempt, at the backend of this slot, will end soon. Nothing follows
    /// from it.
    #[inline]
    pub fn prefetch(&self, attempt: AttemptId, slot: u32) {
        self.requests.prefetch(Key::unpack(attempt.0));
        self.pool.prefetch(slot);
    }

    /// The second half of the hint, when what the first asked for is there.
    #[inline]
    pub fn prefetch_candidate(&self, slot: u32) {
        self.pool.prefetch_candidate(slot);
    }

    /// Whether [`Balancer::poll_output`] has something; shells ask this twice a request, and mostly in
    /// vain.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
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

    /// Requests that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What it has done with requests so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The adaptive limit on the requests in flight as it was last, where it is on.
    pub fn in_flight_limit(&self) -> Option<u32> {
        self.adaptive.as_ref().map(Adaptive::current)
    }

    /// Retries granted so far.
    pub const fn retries(&self) -> u64 {
        self.counts.retries
    }

    /// Requests that are not over: those with an attempt that has not ended, and those that wait.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.len()
    }
}
