//! A shell that keeps books of its own of every request and attempt, and holds a balancer to them.
//! It must not know what the balancer decides by, beyond the limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{AttemptId, BackendId, RequestId, RequestMeta, Time};
use policy::{
    Attempt, Balancer, Command, End, Head, HedgingSettings, LimitSettings, Next, Output,
    QueueSettings, Rate, RateSettings, Reject, RetrySettings, Settings, TimeoutSettings, Verdict,
};

use super::{ms, plain, request};

const WAIT: Duration = ms(150);
const TOTAL: Duration = ms(1_000);
const EACH: u32 = 3;
pub const QUEUE: u32 = 4;
const RATE: Rate = Rate { rate: 60.0, burst: 20 };
const BUDGET: f64 = 0.3;
const BUDGET_MIN: f64 = 0.5;

pub fn settings(strategy: &str) -> Settings {
    let rate = RateSettings { global: Some(RATE), keyed: None };
    Settings {
        retry: Some(RetrySettings {
            attempts: 4,
            budget: BUDGET,
            budget_min: BUDGET_MIN,
            backoff: ms(20),
            ..RetrySettings::default()
        }),
        hedging: Some(HedgingSettings { percentile: 0.5, min_requests: 3, min_delay: ms(1) }),
        limits: Some(LimitSettings { rate, max_in_flight: Some(EACH), adaptive: None }),
        queue: Some(QueueSettings { size: QUEUE, wait: WAIT }),
        timeout: TimeoutSettings { total: Some(TOTAL), ..TimeoutSettings::default() },
        ..plain(strategy)
    }
}

/// A balancer, or one that is wrong in one thing.
pub trait Decides {
    fn inner(&mut self) -> &mut Balancer;
    fn timeout(&mut self, now: Time) {
        self.inner().handle_timeout(now);
    }
    fn cancel(&mut self, now: Time, request: RequestId) {
        self.inner().handle_cancel(now, request);
    }
    fn end(&mut self, now: Time, attempt: AttemptId, end: End) {
        self.inner().handle_end(now, attempt, end);
    }
    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.inner().poll_output()).collect()
    }
}

/// One of the things that can happen; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Pass(u64),
    Request { idempotent: bool, replayable: bool },
    Head(usize, Head),
    End(usize, End),
    Leave(usize),
    Drain(usize),
    Ready(usize),
    Queue(u32),
}

/// What the shell knows of a request that is not over.
#[derive(Debug, Default)]
pub struct Open {
    since: Time,
    replayable: bool,
    /// Its attempts that have not ended, and whether each has had its head.
    out: BTreeMap<AttemptId, bool>,
    /// Where it has been.
    been: Vec<BackendId>,
    hedges: u32,
    delivered: bool,
    backing_off: bool,
}

/// The books of a shell.
pub struct Shell<'a> {
    balancer: &'a mut dyn Decides,
    backends: Vec<BackendId>,
    now: Time,
    size: usize,
    next: u64,
    open: BTreeMap<u64, Open>,
    line: VecDeque<u64>,
    at: BTreeMap<AttemptId, (u64, BackendId)>,
    admitted: Vec<Time>,
    first: usize,
    further: usize,
}

pub type Held = Result<(), String>;

fn demand(holds: bool, words: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(words()) }
}

impl<'a> Shell<'a> {
    pub fn new(balancer: &'a mut dyn Decides, backends: Vec<BackendId>) -> Self {
        Self {
            balancer,
            backends,
            now: Time::ZERO,
            size: QUEUE as usize,
            next: 0,
            open: BTreeMap::new(),
            line: VecDeque::new(),
            at: BTreeMap::new(),
            admitted: Vec::new(),
            first: 0,
            further: 0,
        }
    }
    fn sent(&mut self, attempt: Attempt) -> Held {
        let id = attempt.request.0;
        let open = self.open.get_mut(&id).ok_or_else(|| format!("{id} is sent but over"))?;
        let is_first = open.been.is_empty();
        let is_hedge = !is_first && open.out.values().any(|headed| !headed);
        if is_hedge {
            open.hedges += 1;
            demand(
                open.replayable && open.hedges == 1 && !open.been.contains(&attempt.backend),
                || format!("{id} is hedged: {open:?}"),
            )?;
        }
        open.backing_off = false;
        open.been.push(attempt.backend);
        open.out.insert(attempt.id, false);
        demand(attempt.body_by == open.since + TOTAL, || format!("{id} by {}", attempt.body_by))?;
        self.at.insert(attempt.id, (id, attempt.backend));
        *if is_first { &mut self.first } else { &mut self.further } += 1;
        demand(self.further as f64 <= BUDGET * self.first as f64 + 10.0 * BUDGET_MIN, || {
            format!("{} further attempts of {} requests", self.further, self.first)
        })
    }

    fn drain(&mut self) -> Held {
        for output in self.balancer.outputs() {
            match output {
                Output::Send(attempt) => {
                    if self.open.get(&attempt.request.0).is_some_and(|open| open.been.is_empty()) {
                        let turn = self.line.pop_front();
                        demand(turn == Some(attempt.request.0), || {
                            format!("{:?} is sent, it is {turn:?}'s turn", attempt.request)
                        })?;
                    }
                    self.sent(attempt)?;
                }
                Output::Reject(request, why) => self.refused(request.0, why)?,
                Output::Abort(attempt) => {
                    let (id, _) = self.at[&attempt];
                    demand(self.open.get(&id).is_some_and(|open| open.delivered), || {
                        format!("{id} is aborted and has no other answer")
                    })?;
                    self.ended(attempt, End::Aborted)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn refused(&mut self, id: u64, why: Reject) -> Held {
        let open = self.open.remove(&id).ok_or_else(|| format!("{id} is refused but over"))?;
        self.line.retain(|&waiting| waiting != id);
        demand(open.out.is_empty() && !open.delivered, || format!("{id} is refused: {why:?}"))
    }

    /// Tells the end of an attempt; the request is over with its last one, unless it backs off.
    fn ended(&mut self, attempt: AttemptId, end: End) -> Held {
        let Some((id, _)) = self.at.remove(&attempt) else { return Ok(()) };
        let open = self.open.get_mut(&id).expect("its attempts are out");
        open.out.remove(&attempt);
        if open.out.is_empty() && !open.backing_off {
            self.open.remove(&id);
        }
        self.balancer.end(self.now, attempt, end);
        self.drain()
    }

    pub fn play(&mut self, step: Step) -> Held {
        match step {
            Step::Pass(ms_) => self.pass(self.now + ms(ms_))?,
            Step::Request { idempotent, replayable } => self.request(idempotent, replayable)?,
            Step::Head(which, head) => self.head(which, head)?,
            Step::End(which, end) => {
                let headed = self.open.values().flat_map(|open| &open.out);
                let headed: Vec<AttemptId> =
                    headed.filter(|&(_, &headed)| headed).map(|(&id, _)| id).collect();
                if !headed.is_empty() {
                    self.ended(headed[which % headed.len()], end)?;
                }
            }
            Step::Leave(which) => self.leave(which)?,
            Step::Drain(which) => self.command(Command::Drain(self.backends[which % 3]))?,
            Step::Ready(which) => self.command(Command::Ready(self.backends[which % 3]))?,
            Step::Queue(size) => {
                let mut settings = self.balancer.inner().settings().clone();
                settings.queue = (size > 0).then_some(QueueSettings { size, wait: WAIT });
                self.size = size as usize;
                self.command(Command::Settings(Box::new(settings)))?;
            }
        }
        self.drain()?;
        self.look()
    }

    fn command(&mut self, command: Command) -> Held {
        self.balancer.inner().handle_command(self.now, command).expect("it is valid");
        self.drain()
    }

    fn pass(&mut self, until: Time) -> Held {
        while let Some(due) = self.balancer.inner().poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            let before = self.balancer.inner().poll_timeout();
            self.balancer.timeout(self.now);
            self.drain()?;
            self.look()?;
            demand(self.balancer.inner().poll_timeout() != before, || {
                format!("what was due at {due} is not done")
            })?;
        }
        self.now = until;
        self.look()
    }

    fn request(&mut self, idempotent: bool, replayable: bool) -> Held {
        let id = self.next;
        self.next += 1;
        let meta = RequestMeta { replayable, ..request(id, idempotent) };
        let verdict = self.balancer.inner().handle_request(self.now, meta);
        if let Verdict::Reject(why) = verdict {
            let limited = matches!(why, Reject::RateLimited(_));
            if !limited {
                self.admitted.push(self.now);
            }
            return Ok(());
        }
        self.admitted.push(self.now);
        let may_be_hedged = idempotent && replayable;
        let open = Open { since: self.now, replayable: may_be_hedged, ..Open::default() };
        self.open.insert(id, open);
        match verdict {
            Verdict::Send(attempt) => {
                demand(self.line.is_empty(), || format!("{id} overtakes {:?}", self.line))?;
                self.sent(attempt)
            }
            _ => {
                self.line.push_back(id);
                Ok(())
            }
        }
    }

    fn head(&mut self, which: usize, head: Head) -> Held {
        let bare = self.open.values().flat_map(|open| &open.out);
        let bare: Vec<AttemptId> =
            bare.filter(|&(_, &headed)| !headed).map(|(&id, _)| id).collect();
        if bare.is_empty() {
            return Ok(());
        }
        let attempt = bare[which % bare.len()];
        let (id, _) = self.at[&attempt];
        let next = self.balancer.inner().handle_head(self.now, attempt, head);
        let open = self.open.get_mut(&id).expect("its attempt is out");
        open.out.insert(attempt, true);
        demand(!open.delivered, || format!("{id} has two answers"))?;
        match next {
            Next::Deliver => open.delivered = true,
            Next::Retry(retry) => {
                self.sent(retry)?;
                self.ended(attempt, End::Aborted)?;
            }
            Next::Later => {
                open.backing_off = open.out.len() == 1;
                self.ended(attempt, End::Aborted)?;
            }
            Next::GiveUp => {
                demand(open.out.len() == 1, || format!("{id} gives up with another out"))?;
                self.ended(attempt, End::UpstreamBroke)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, which: usize) -> Held {
        let Some(&id) = self.open.keys().nth(which % self.open.len().max(1)) else {
            return Ok(());
        };
        let out: Vec<AttemptId> = self.open[&id].out.keys().copied().collect();
        if out.is_empty() {
            self.open.remove(&id);
            self.line.retain(|&waiting| waiting != id);
            self.balancer.cancel(self.now, RequestId(id));
            return self.drain();
        }
        out.into_iter().try_for_each(|attempt| self.ended(attempt, End::ClientLeft))
    }

    /// What must hold between any two calls.
    fn look(&mut self) -> Held {
        let balancer = self.balancer.inner();
        demand(balancer.queued() == self.line.len() && self.line.len() <= self.size, || {
            format!("{} wait, {:?} should, {} may", balancer.queued(), self.line, self.size)
        })?;
        for &id in &self.backends {
            let counted = balancer.pool().status(id).expect("nobody removes it").in_flight;
            let expected = self.at.values().filter(|&&(_, backend)| backend == id).count();
            demand(counted as usize == expected && counted <= EACH, || {
                format!("{counted} in flight at {id}, {expected} should be")
            })?;
        }
        let late = |id: &&u64| self.open[*id].since + WAIT < self.now;
        let late = self.line.iter().find(late);
        demand(late.is_none(), || format!("{late:?} waits at {}", self.now))
    }

    /// Ends everything: nobody must be left.
    pub fn finish(&mut self) -> Held {
        self.pass(self.now + TOTAL)?;
        while let Some(&attempt) = self.at.keys().next() {
            self.ended(attempt, End::Complete)?;
            self.pass(self.now + TOTAL)?;
        }
        demand(self.open.is_empty(), || format!("never told: {:?}", self.open))?;
        demand(self.balancer.inner().requests_in_flight() == 0, || "it knows of some".into())?;
        for (i, &from) in self.admitted.iter().enumerate() {
            for (j, &to) in self.admitted.iter().enumerate().skip(i) {
                let most = RATE.rate * to.seconds_from(from) + f64::from(RATE.burst) + 1e-6;
                demand((j - i + 1) as f64 <= most, || format!("too many from {from} to {to}"))?;
            }
        }
        Ok(())
    }
}
