//! Who answers: one backend as a machine of queue, servers and faults.
//! It must not know sockets: the shell asks [`Behaviour::gate`] and does what a socket would.
//!
//! Inputs are `handle_*`, in order of time: none is dated before an earlier one, nor before the `now`
//! of a [`Behaviour::poll_answer`]. A backend of which nothing is rare has not kept when those were,
//! so a shell that is late with something dates it no earlier itself. After each input the shell takes
//! what [`Behaviour::poll_answer`] gives, and sleeps until [`Behaviour::poll_timeout`]. A shell that
//! wakes late gets answers late, but every one is dated when it was due, and the next request in
//! the queue started then: lateness does not add up.

mod free;
mod names;
mod rare;

use std::sync::Arc;
use std::time::Duration;

use base::Time;

use self::rare::Rare;
use crate::fault::FaultChange;
use crate::load::{Load, LoadMeter};
use crate::service::BackendModel;
use crate::station::Station;

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

/// One backend. Of thousands each is fetched from far memory for every request, so what most never
/// have stands elsewhere, all of it in one place, and one look tells whether there is any.
#[derive(Clone, Debug)]
pub struct Behaviour {
    rare: Option<Box<Rare>>,
    station: Station,
}

impl Behaviour {
    /// An idle, healthy backend. Many may share a model.
    pub fn new(model: impl Into<Arc<BackendModel>>) -> Self {
        Self { rare: None, station: Station::new(model.into()) }
    }

    /// From now on remembers latencies, so that [`Behaviour::load`] can tell of them: those of the
    /// requests that are to come.
    pub fn watch_load(&mut self) {
        self.rare.get_or_insert_default().meter.get_or_insert_default();
    }

    /// A request was read; nobody of its name is inside. `luck` (the request's, mixed with its
    /// attempt number) decides its service time and whether it meets an error.
    #[inline(always)] // every request passes here
    pub fn handle_request(&mut self, now: Time, work: WorkId, luck: u64) -> Admission {
        // Who finds no room is answered past the queue, and what was due should have been taken.
        if self.rare.is_some()
            || self.station.service.due() <= now
            || !self.station.enter(now, work, luck)
        {
            return self.request_rarely(now, work, luck);
        }
        Admission::Accepted
    }

    #[cold]
    fn request_rarely(&mut self, now: Time, work: WorkId, luck: u64) -> Admission {
        self.rarely(now, |rare, station| rare.request(station, work, luck))
    }

    /// The client of a request left. No answer comes for it any more; under
    /// [`Abandoned::Finish`](crate::Abandoned::Finish) its work stays inside until it is done. A
    /// name that is not inside (answered meanwhile) is ignored.
    pub fn handle_cancel(&mut self, now: Time, work: WorkId) {
        self.rarely(now, |rare, station| rare.cancel(station, work));
    }

    /// A fault begins or ends here. What a crash resets comes as answers without a status.
    ///
    /// # Panics
    /// On a flap: plans hold its crashes instead.
    pub fn handle_fault(&mut self, now: Time, change: &FaultChange) {
        self.rarely(now, |rare, station| rare.fault(station, change));
    }

    /// All faults end here.
    pub fn clear_faults(&mut self, now: Time) {
        self.rarely(now, |rare, station| rare.clear_faults(station));
    }

    /// Does something with what is rare. It is there for that, and goes when there is nothing in it.
    fn rarely<T>(&mut self, now: Time, act: impl FnOnce(&mut Rare, &mut Station) -> T) -> T {
        let rare = self.rare.get_or_insert_default();
        debug_assert!(
            rare.now <= now,
            "inputs come in order of time: {now:?} after {:?}",
            rare.now
        );
        rare.now = now;
        let done = act(rare, &mut self.station);
        if rare.is_over() {
            self.rare = None;
        }
        done
    }

    /// When an answer will be due, as things stand; in the past when one waits to be taken.
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = match &self.rare {
            None => self.station.service.due(),
            Some(rare) => rare.due(&self.station),
        };
        (due < Time::MAX).then_some(due)
    }

    /// An answer that is due, in order of time, until `None`.
    pub fn poll_answer(&mut self, now: Time) -> Option<Answer> {
        self.poll(now).ok()
    }

    /// The same; where there is none, when one will be due, and [`Time::MAX`] when none will be.
    ///
    /// # Errors
    /// That is not one: every second answer, at least, is asked for in vain.
    #[inline(always)] // every answer is found here
    pub fn poll(&mut self, now: Time) -> Result<Answer, Time> {
        if self.rare.is_some() {
            return self.poll_rarely(now);
        }
        let due = self.station.service.due();
        if due > now { Err(due) } else { self.end().ok_or(due) }
    }

    #[inline(always)] // as above
    fn end(&mut self) -> Option<Answer> {
        let (at, work) = self.station.end()?;
        Some(Answer { work, at, status: Some(OK), bytes: self.station.model.response_bytes })
    }

    /// When an answer will be due ([`Time::MAX`] is never), where nothing is rare and none is due
    /// now: after an input, or an answer, that is nearly always so.
    #[inline(always)] // every request passes here, twice
    pub fn quiet_until(&self, now: Time) -> Option<Time> {
        let due = self.station.service.due();
        (self.rare.is_none() && due > now).then_some(due)
    }

    #[cold]
    fn poll_rarely(&mut self, now: Time) -> Result<Answer, Time> {
        self.rarely(now, |rare, station| rare.poll(station))
    }

    /// The request that is answered next, if nothing happens before.
    #[inline]
    pub fn next_work(&self) -> Option<WorkId> {
        self.station.service.first().map(|job| job.work)
    }

    /// Who waits longest will be served soon.
    #[inline]
    pub fn prefetch_queue(&self) {
        self.station.queue.prefetch();
    }

    /// What new connections meet now.
    pub fn gate(&self) -> Gate {
        self.rare.as_ref().map_or(Gate::Open, |rare| rare.condition.gate())
    }

    /// What a health check meets now: it passes concurrency and queue by.
    pub fn health(&self) -> HealthAnswer {
        let service = &self.station.model.service;
        let sound = HealthAnswer::Status(OK, Duration::ZERO);
        self.rare.as_ref().map_or(sound, |rare| rare.condition.health(service))
    }

    /// Requests that were read so far, those that were reset included.
    #[inline]
    pub const fn requests(&self) -> u64 {
        self.station.requests
    }

    /// Requests inside, served and waiting ones, those whose client left included.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        match &self.rare {
            None => u32::try_from(self.station.len()).unwrap_or(u32::MAX),
            Some(rare) => rare.in_flight(&self.station),
        }
    }

    /// Its load now. The latency is zero unless [`Behaviour::watch_load`] was called; errors, which
    /// are answered past the queue, do not count for it.
    pub fn load(&self, now: Time) -> Load {
        let in_flight = self.in_flight();
        let estimate = |meter: &LoadMeter| meter.estimate(now, in_flight);
        let meter = self.rare.as_ref().and_then(|rare| rare.meter.as_ref());
        Load { in_flight, latency: meter.map_or(Duration::ZERO, estimate) }
    }

    /// The model it plays.
    pub fn model(&self) -> &BackendModel {
        &self.station.model
    }
}
