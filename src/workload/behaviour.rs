//! Who answers: one backend as a machine of queue, servers and faults.
//! It must not know sockets: the shell asks [`Behaviour::gate`] and does what a socket would.
//!
//! Inputs are `handle_*`, in order of time. After each input the shell takes what
//! [`Behaviour::poll_answer`] gives, and sleeps until [`Behaviour::poll_timeout`]. A shell that
//! wakes late gets answers late, but every one is dated when it was due, and the next request in
//! the queue started then: lateness does not add up.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{Rng, Time, time};

use crate::condition::Condition;
use crate::fault::FaultChange;
use crate::lane::{Lane, Slot, Speed};
use crate::load::{Load, LoadMeter};
use crate::service::{Abandoned, BackendModel, Discipline};

/// A request inside a backend, named by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// What happens to a request that a backend has read.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is inside; an [`Answer`] will come from [`Behaviour::poll_answer`].
    Accepted,
    /// Its connection is to be reset at once.
    Reset,
}

/// What a backend gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which request.
    pub work: WorkId,
    /// When it is due (not after the `now` of the call that returned it).
    pub at: Time,
    /// The status, or `None` when the connection is reset instead.
    pub status: Option<u16>,
    /// Bytes of its body: the model's for a 200, none for an error.
    pub bytes: u32,
}

/// What new connections meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They are accepted.
    Open,
    /// They are refused; open ones are served on.
    Refusing,
    /// They are refused and open ones were reset when this began.
    Crashed,
}

/// What a health check meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthAnswer {
    /// A status, after this long.
    Status(u16, std::time::Duration),
    /// Nothing, until the hang ends.
    Silence,
    /// A reset.
    Reset,
}

/// The status of an answer that went well.
const OK: u16 = 200;
/// The status of a request that found the queue full.
const FULL: u16 = 503;

/// One backend.
#[derive(Clone, Debug)]
pub struct Behaviour {
    model: BackendModel,
    condition: Condition,
    /// The latest time seen: an input dated earlier counts as now.
    now: Time,
    /// Requests so far: orders what ends together.
    seq: u64,
    /// Everything inside.
    jobs: BTreeMap<WorkId, Job>,
    /// FIFO only: what waits, by `seq`, with the service time it drew.
    queue: BTreeMap<u64, (WorkId, Duration)>,
    /// What is served.
    service: Lane,
    /// What will be answered past the queue: errors, and 503 held back by a hang.
    bypass: Lane,
    /// Answers that are due and not yet taken, in order of time.
    due: VecDeque<Answer>,
    /// Where somebody wants to know the load.
    meter: Option<Box<LoadMeter>>,
}

/// A request inside.
#[derive(Clone, Copy, Debug)]
struct Job {
    seq: u64,
    place: Place,
    began: Time,
    /// Requests that were inside when it came.
    met: u32,
    /// Its client left; it is finished for nobody.
    abandoned: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Waiting,
    Served(Slot),
    /// Answered with this status, past the queue.
    Bypassing(Slot, u16),
}

impl Behaviour {
    /// An idle, healthy backend.
    pub const fn new(model: BackendModel) -> Self {
        Self {
            model,
            condition: Condition::new(),
            now: Time::ZERO,
            seq: 0,
            jobs: BTreeMap::new(),
            queue: BTreeMap::new(),
            service: Lane::new(),
            bypass: Lane::new(),
            due: VecDeque::new(),
            meter: None,
        }
    }

    /// From now on remembers latencies, so that [`Behaviour::load`] can tell of them.
    pub fn watch_load(&mut self) {
        self.meter.get_or_insert_default();
    }

    /// A request was read. `luck` (the request's, mixed with its attempt number) decides its
    /// service time and whether it meets an error.
    ///
    /// # Panics
    /// When `work` is inside already.
    pub fn handle_request(&mut self, now: Time, work: WorkId, luck: u64) -> Admission {
        self.advance(now);
        if self.condition.resets() {
            return Admission::Reset;
        }
        let seq = self.seq;
        self.seq += 1;
        let mut rng = Rng::from_seed(luck);
        let error = self.condition.error(&rng).map(|error| (error.status, error.after));
        let refusal = self.is_full().then_some((FULL, Duration::ZERO));
        let place = if let Some((status, after)) = error.or(refusal) {
            Place::Bypassing(self.bypass.insert(self.now, work, seq, after), status)
        } else {
            let demand = self.model.service.sample(&mut rng);
            if self.has_free_server() {
                Place::Served(self.start(self.now, work, seq, demand))
            } else {
                self.queue.insert(seq, (work, demand));
                Place::Waiting
            }
        };
        let job = Job { seq, place, began: self.now, met: self.in_flight(), abandoned: false };
        let before = self.jobs.insert(work, job);
        assert!(before.is_none(), "{work:?} is inside already: the shell gave a name twice");
        self.set_speeds(self.now);
        Admission::Accepted
    }

    /// The client of a request left. No answer comes for it any more; under
    /// [`Abandoned::Finish`] its work stays inside until it is done. A name that is not inside
    /// (answered meanwhile) is ignored.
    pub fn handle_cancel(&mut self, now: Time, work: WorkId) {
        self.advance(now);
        let Some(job) = self.jobs.get_mut(&work) else {
            self.due.retain(|answer| answer.work != work);
            return;
        };
        match (job.place, self.model.abandoned) {
            (Place::Waiting | Place::Served(_), Abandoned::Finish) => {
                job.abandoned = true;
                return;
            }
            // An error that nobody reads occupies no server.
            (Place::Bypassing(slot, _), _) => self.bypass.remove(slot),
            (Place::Served(slot), Abandoned::Drop) => self.service.remove(slot),
            (Place::Waiting, Abandoned::Drop) => {
                self.queue.remove(&job.seq);
            }
        }
        self.jobs.remove(&work);
        self.refill(self.now);
    }

    /// A fault begins or ends here. What a crash resets comes as answers without a status.
    ///
    /// # Panics
    /// On a flap: plans hold its crashes instead.
    pub fn handle_fault(&mut self, now: Time, change: &FaultChange) {
        self.advance(now);
        self.condition.change(change);
        if self.condition.crashed() {
            self.crash();
        }
        self.set_speeds(self.now);
    }

    /// All faults end here.
    pub fn clear_faults(&mut self, now: Time) {
        self.advance(now);
        self.condition = Condition::new();
        self.set_speeds(self.now);
    }

    /// When an answer will be due, as things stand; in the past when one waits to be taken.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.due.front() {
            Some(answer) => Some(answer.at),
            None => self.next_end().map(|(at, _)| at),
        }
    }

    /// An answer that is due, in order of time, until `None`.
    pub fn poll_answer(&mut self, now: Time) -> Option<Answer> {
        self.advance(now);
        self.due.pop_front()
    }

    /// What new connections meet now.
    pub fn gate(&self) -> Gate {
        self.condition.gate()
    }

    /// What a health check meets now: it passes concurrency and queue by.
    pub fn health(&self) -> HealthAnswer {
        self.condition.health(&self.model.service)
    }

    /// Requests inside, served and waiting ones, those whose client left included.
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.jobs.len() + self.due.len()).unwrap_or(u32::MAX)
    }

    /// Its load now. The latency is zero unless [`Behaviour::watch_load`] was called; errors, which
    /// are answered past the queue, do not count for it.
    pub fn load(&self, now: Time) -> Load {
        let in_flight = self.in_flight();
        let estimate = |meter: &LoadMeter| meter.estimate(now, in_flight);
        let latency = self.meter.as_deref().map_or(Duration::ZERO, estimate);
        Load { in_flight, latency }
    }

    /// The model it plays.
    pub const fn model(&self) -> &BackendModel {
        &self.model
    }

    /// Does all that is due until `now`, each thing at its own time.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some((at, work)) = self.next_end().filter(|&(at, _)| at <= self.now) {
            self.end(at, work);
        }
    }

    /// What ends next, and when; of two that end together, the one that came first.
    fn next_end(&self) -> Option<(Time, WorkId)> {
        let earliest = match (self.service.next(), self.bypass.next()) {
            (Some(served), Some(bypassing)) => served.min(bypassing),
            (one, other) => one.or(other)?,
        };
        Some((earliest.0, earliest.2))
    }

    fn end(&mut self, at: Time, work: WorkId) {
        let job = self.jobs.remove(&work).expect("a lane holds only what is inside");
        let (status, bytes) = match job.place {
            Place::Waiting => unreachable!("what waits is in no lane"),
            Place::Served(slot) => {
                self.service.remove(slot);
                if let Some(meter) = &mut self.meter {
                    meter.record(at, job.met, at.since(job.began));
                }
                (OK, self.model.response_bytes)
            }
            Place::Bypassing(slot, status) => {
                self.bypass.remove(slot);
                (status, 0)
            }
        };
        if !job.abandoned {
            self.due.push_back(Answer { work, at, status: Some(status), bytes });
        }
        self.refill(at);
    }

    fn has_free_server(&self) -> bool {
        match self.model.discipline {
            Discipline::Fifo => self.service.len() < self.model.concurrency as usize,
            Discipline::Ps => true,
        }
    }

    /// Whether one more request would be more than may be served and wait.
    fn is_full(&self) -> bool {
        let room = |queue| self.model.concurrency as usize + queue as usize;
        let inside = self.service.len() + self.queue.len();
        self.model.queue.is_some_and(|queue| inside >= room(queue))
    }

    /// Starts service; faults that slow it down count from here on.
    fn start(&mut self, at: Time, work: WorkId, seq: u64, demand: Duration) -> Slot {
        let factor = self.condition.factor();
        let demand = if factor == 1.0 {
            demand
        } else {
            Duration::from_nanos((time::nanos(demand) as f64 * factor).round() as u64)
        };
        self.service.insert(at, work, seq, demand)
    }

    /// Gives a free server to the oldest request that waits.
    fn refill(&mut self, at: Time) {
        while self.has_free_server()
            && let Some((seq, (work, demand))) = self.queue.pop_first()
        {
            let place = Place::Served(self.start(at, work, seq, demand));
            self.jobs.get_mut(&work).expect("what waits is inside").place = place;
        }
        self.set_speeds(at);
    }

    /// Lets the lanes run as condition and discipline say.
    fn set_speeds(&mut self, at: Time) {
        let (service, bypass) = if self.condition.hangs() {
            (Speed::HALT, Speed::HALT)
        } else {
            let service = match self.model.discipline {
                Discipline::Fifo => Speed::FULL,
                Discipline::Ps => Speed::shared(self.model.concurrency, self.service.len()),
            };
            (service, Speed::FULL)
        };
        self.service.set_speed(at, service);
        self.bypass.set_speed(at, bypass);
    }

    /// Everything inside is lost; clients that are still there see a reset.
    fn crash(&mut self) {
        let at = self.now;
        let lost = std::mem::take(&mut self.jobs).into_iter().filter(|(_, job)| !job.abandoned);
        self.due.extend(lost.map(|(work, _)| Answer { work, at, status: None, bytes: 0 }));
        self.queue.clear();
        self.service.clear();
        self.bypass.clear();
    }
}
