//! Servers and those who wait for them, as they are while nothing is wrong. It must not know faults,
//! nor clients that leave.

use std::sync::Arc;

use base::{Rng, Time};

use crate::behaviour::WorkId;
use crate::job::Job;
use crate::lane::{Lane, Speed};
use crate::queue::Queue;
use crate::service::{BackendModel, Discipline};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) model: Arc<BackendModel>,
    /// Requests so far: orders what ends together.
    pub(crate) requests: u64,
    /// What is served.
    pub(crate) service: Lane,
    /// FIFO only: what waits.
    pub(crate) queue: Queue,
}

impl Station {
    pub(crate) const fn new(model: Arc<BackendModel>) -> Self {
        Self { model, requests: 0, service: Lane::new(), queue: Queue::new() }
    }

    /// A request gets its number.
    #[inline(always)] // every request passes here
    pub(crate) fn number(&mut self, work: WorkId) -> Job {
        let seq = self.requests as u32;
        self.requests += 1;
        Job { work, seq }
    }

    /// A request comes in, unless there is no room for it.
    #[inline(always)] // as above
    pub(crate) fn enter(&mut self, now: Time, work: WorkId, luck: u64) -> bool {
        let model = &*self.model;
        let is_free = self.service.len() < model.concurrency;
        if !is_free && model.queue.is_some_and(|room| self.beyond() >= u64::from(room)) {
            return false;
        }
        let demand_ns = model.service.sample_ns(&mut Rng::from_seed(luck));
        let job = self.number(work);
        if is_free {
            self.service.insert(now, job, demand_ns);
        } else {
            self.add(now, job, demand_ns);
        }
        true
    }

    /// One more than there are servers.
    #[inline(always)] // as above
    fn add(&mut self, now: Time, job: Job, demand_ns: u64) {
        match self.model.discipline {
            Discipline::Fifo => self.queue.push(job, demand_ns),
            Discipline::Ps => {
                self.service.insert(now, job, demand_ns);
                self.share(now);
            }
        }
    }

    /// How many more are here than there are servers, where none of these is free.
    fn beyond(&self) -> u64 {
        u64::from(self.service.len() - self.model.concurrency) + self.queue.len() as u64
    }

    /// Ends what is done first, when it is, and starts what waits.
    #[inline(always)] // as above
    pub(crate) fn end(&mut self) -> Option<(Time, WorkId)> {
        let at = self.service.due();
        let job = self.service.pop()?;
        match self.model.discipline {
            Discipline::Fifo => {
                if let Some(waiting) = self.queue.pop() {
                    self.service.insert(at, waiting.job(), waiting.demand_ns());
                }
            }
            Discipline::Ps => self.share(at),
        }
        Some((at, job.work))
    }

    /// All share the servers from `now` on.
    #[inline(never)]
    fn share(&mut self, now: Time) {
        self.service.set_speed(now, self.speed());
    }

    /// How fast each request is served.
    pub(crate) fn speed(&self) -> Speed {
        match self.model.discipline {
            Discipline::Fifo => Speed::FULL,
            Discipline::Ps => Speed::shared(self.model.concurrency, self.service.len()),
        }
    }

    /// Those that are served or wait, with those who were called off while they waited.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.service.len() as usize + self.queue.len()
    }
}
