//! Who answers: one backend as a machine of queue, servers and faults.
//! It must not know sockets: the shell asks [`Behaviour::gate`] and does what a socket would.
//!
//! Inputs are `handle_*`, in order of time. After each input the shell takes what
//! [`Behaviour::poll_answer`] gives, and sleeps until [`Behaviour::poll_timeout`]. A shell that
//! wakes late gets answers late, but every one is dated when it was due, and the next request in
//! the queue started then: lateness does not add up.

mod free;
mod names;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::time::{self, nanos};
use base::{Rng, Time, prefetch};

use crate::condition::Condition;
use crate::fault::FaultChange;
use crate::job::{Job, Kind, Place, Roll};
use crate::lane::{Lane, Speed};
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

/// Answers that are not yet taken, in order of time.
#[derive(Clone, Debug, Default)]
struct Late(VecDeque<Answer>);

/// One backend. Of thousands each is fetched from far memory for every request, so what most never
/// have stands elsewhere.
#[derive(Clone, Debug)]
pub struct Behaviour {
    model: Arc<BackendModel>,
    condition: Condition,
    /// The latest time seen: an input dated earlier counts as now.
    now: Time,
    /// Requests so far: orders what ends together.
    seq: u64,
    /// FIFO only: what waits, by `seq`, with the service time that it drew, in nanoseconds.
    queue: VecDeque<(Job, u64)>,
    /// What is served.
    service: Lane,
    /// What will be answered past the queue, if anything was: errors, and 503 held back by a hang.
    bypass: Option<Box<Lane>>,
    /// Answers that were due before anybody asked for them, if there were any.
    late: Option<Box<Late>>,
    /// Since a client left, until nobody is inside. Who is not on it was called off.
    roll: Option<Box<Roll>>,
    /// Where somebody wants to know the load.
    meter: Option<Box<LoadMeter>>,
}

impl Behaviour {
    /// An idle, healthy backend. Many may share a model.
    pub fn new(model: impl Into<Arc<BackendModel>>) -> Self {
        Self {
            model: model.into(),
            condition: Condition::new(),
            now: Time::ZERO,
            seq: 0,
            queue: VecDeque::new(),
            service: Lane::new(),
            bypass: None,
            late: None,
            roll: None,
            meter: None,
        }
    }

    /// From now on remembers latencies, so that [`Behaviour::load`] can tell of them.
    pub fn watch_load(&mut self) {
        self.meter.get_or_insert_default();
    }

    /// A request was read; nobody of its name is inside. `luck` (the request's, mixed with its
    /// attempt number) decides its service time and whether it meets an error.
    #[inline]
    pub fn handle_request(&mut self, now: Time, work: WorkId, luck: u64) -> Admission {
        self.advance(now);
        if self.condition.resets() {
            return Admission::Reset;
        }
        let (seq, met) = (self.seq, self.in_flight());
        self.seq += 1;
        let mut rng = Rng::from_seed(luck);
        let error = self.condition.error(&rng).map(|error| (error.status, nanos(error.after)));
        let refusal = self.is_full().then_some((FULL, 0));
        let mut job = Job { work, seq, began: self.now, met, kind: Kind::Served };
        let place = if let Some((status, after_ns)) = error.or(refusal) {
            job.kind = Kind::Bypassing(status);
            let bypass = self.bypass.get_or_insert_with(|| Box::new(Lane::new()));
            bypass.insert(self.now, job, after_ns);
            self.set_speeds(self.now);
            Place::Bypassing
        } else {
            let demand_ns = self.model.service.sample_ns(&mut rng);
            if self.has_free_server() {
                self.start(self.now, job, demand_ns);
                Place::Served
            } else {
                self.queue.push_back((job, demand_ns));
                Place::Waiting
            }
        };
        if let Some(roll) = &mut self.roll {
            roll.enter(&job, place);
        }
        Admission::Accepted
    }

    /// The client of a request left. No answer comes for it any more; under
    /// [`Abandoned::Finish`] its work stays inside until it is done. A name that is not inside
    /// (answered meanwhile) is ignored.
    pub fn handle_cancel(&mut self, now: Time, work: WorkId) {
        self.advance(now);
        self.call_the_roll();
        let Some(seat) = self.roll.as_mut().and_then(|roll| roll.seat(work)) else {
            if let Some(late) = &mut self.late {
                late.0.retain(|answer| answer.work != work);
            }
            return;
        };
        match (seat.place, self.model.abandoned) {
            (Place::Waiting | Place::Served, Abandoned::Finish) => {
                seat.abandoned = true;
                return;
            }
            // An error that nobody reads occupies no server.
            (Place::Bypassing, _) => self.bypass.iter_mut().for_each(|lane| lane.call_off()),
            (Place::Served, Abandoned::Drop) => self.service.call_off(),
            (Place::Waiting, Abandoned::Drop) => {
                self.roll.iter_mut().for_each(|roll| roll.call_off());
            }
        }
        self.strike(work);
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
    #[inline]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.late.as_ref().and_then(|late| late.0.front()) {
            Some(answer) => Some(answer.at),
            None => self.next_end().map(|(at, _)| at),
        }
    }

    /// An answer that is due, in order of time, until `None`.
    pub fn poll_answer(&mut self, now: Time) -> Option<Answer> {
        self.poll(now).ok()
    }

    /// The same; where there is none, when one will be due, as [`Behaviour::poll_timeout`] tells.
    ///
    /// # Errors
    /// That is not one: every second answer, at least, is asked for in vain.
    #[inline(always)] // every request passes here, three times
    pub fn poll(&mut self, now: Time) -> Result<Answer, Option<Time>> {
        self.now = self.now.max(now);
        match self.poll_timeout() {
            Some(due) if due <= self.now => self.next_answer().ok_or_else(|| self.poll_timeout()),
            due => Err(due),
        }
    }

    #[inline(never)] // once a request, and asked for in two places
    fn next_answer(&mut self) -> Option<Answer> {
        if let Some(answer) = self.late.as_mut().and_then(|late| late.0.pop_front()) {
            return Some(answer);
        }
        while let Some((at, kind)) = self.next_end().filter(|&(at, _)| at <= self.now) {
            if let Some(answer) = self.end(at, kind) {
                return Some(answer);
            }
        }
        None
    }

    /// The request that is answered next, if nothing happens before.
    #[inline]
    pub fn next_work(&self) -> Option<WorkId> {
        self.service.first().map(|job| job.work)
    }

    /// Who waits longest will be served soon.
    #[inline]
    pub fn prefetch_queue(&self) {
        self.queue.front().inspect(|waiting| prefetch(*waiting));
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
        let late = self.late.as_ref().map_or(0, |late| late.0.len());
        u32::try_from(self.inside() + late).unwrap_or(u32::MAX)
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
    pub fn model(&self) -> &BackendModel {
        &self.model
    }

    /// Does all that is due until `now`, each thing at its own time.
    #[inline]
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.next_end().is_some_and(|(at, _)| at <= self.now) {
            self.catch_up();
        }
    }

    #[cold]
    fn catch_up(&mut self) {
        while let Some((at, kind)) = self.next_end().filter(|&(at, _)| at <= self.now) {
            if let Some(answer) = self.end(at, kind) {
                self.late.get_or_insert_default().0.push_back(answer);
            }
        }
    }

    fn inside(&self) -> usize {
        self.occupied() + self.bypass.as_ref().map_or(0, |bypass| bypass.len())
    }

    /// Those that are served or wait for it.
    fn occupied(&self) -> usize {
        let void = self.roll.as_ref().map_or(0, |roll| roll.void);
        self.service.len() + self.queue.len() - void as usize
    }

    /// When something ends next, and in which lane; of two that end together, the one that came
    /// first.
    #[inline]
    fn next_end(&self) -> Option<(Time, Place)> {
        let served = self.service.due();
        let Some(bypass) = &self.bypass else { return served.map(|at| (at, Place::Served)) };
        match (self.service.next(), bypass.next()) {
            (Some(served), Some(bypassing)) if served < bypassing => {
                Some((served.0, Place::Served))
            }
            (_, Some((at, _))) => Some((at, Place::Bypassing)),
            (_, None) => served.map(|at| (at, Place::Served)),
        }
    }

    /// Ends what ends next, at its time; its answer, if somebody is there for it.
    #[inline(always)] // most answers are taken when they are due, and so in one place
    fn end(&mut self, at: Time, place: Place) -> Option<Answer> {
        let lane = match (place, &mut self.bypass) {
            (Place::Bypassing, Some(bypass)) => &mut **bypass,
            _ => &mut self.service,
        };
        let job = lane.pop().expect("a lane that tells of work holds it");
        let (status, bytes) = match job.kind {
            Kind::Served => {
                if let Some(meter) = &mut self.meter {
                    meter.record(at, job.met, at.since(job.began));
                }
                (OK, self.model.response_bytes)
            }
            Kind::Bypassing(status) => (status, 0),
        };
        let abandoned = self.roll.is_some() && self.strike(job.work);
        self.refill(at);
        let answer = Answer { work: job.work, at, status: Some(status), bytes };
        (!abandoned).then_some(answer)
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
        self.model.queue.is_some_and(|queue| self.occupied() >= room(queue))
    }

    /// Starts service; faults that slow it down count from here on.
    #[inline(always)] // every request passes here
    fn start(&mut self, at: Time, job: Job, demand_ns: u64) {
        self.service.insert(at, job, self.slowed(demand_ns));
        if self.model.discipline == Discipline::Ps {
            self.set_speeds(at);
        }
    }

    /// How long something takes that starts now.
    fn slowed(&self, demand_ns: u64) -> u64 {
        let factor = self.condition.factor();
        if factor == 1.0 { demand_ns } else { time::whole(demand_ns as f64 * factor) }
    }

    /// Gives a free server to the oldest request that waits.
    #[inline(always)] // as above
    fn refill(&mut self, at: Time) {
        while self.has_free_server()
            && let Some((job, demand_ns)) = self.queue.pop_front()
        {
            if self.queue.is_empty() {
                // Back to the beginning of its memory, which is at hand, and the rest is not.
                self.queue.clear();
            }
            if let Some(roll) = &mut self.roll {
                match roll.seat_of(&job) {
                    Some(seat) => seat.place = Place::Served,
                    None => {
                        roll.void -= 1;
                        continue;
                    }
                }
            }
            self.start(at, job, demand_ns);
        }
        // Whoever left may have shared.
        if self.model.discipline == Discipline::Ps {
            self.set_speeds(at);
        }
    }

    /// Lets the lanes run as condition and discipline say. Without sharing only faults change that.
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
        if let Some(lane) = &mut self.bypass {
            lane.set_speed(at, bypass);
        }
    }

    /// Everything inside is lost; clients that are still there see a reset.
    fn crash(&mut self) {
        self.call_the_roll();
        let at = self.now;
        let lost = self.roll.take().into_iter().flat_map(|roll| roll.expectant());
        let lost = lost.map(|work| Answer { work, at, status: None, bytes: 0 });
        self.late.get_or_insert_default().0.extend(lost);
        self.queue.clear();
        self.service.clear();
        self.bypass = None;
    }
}
