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
        let is_idle = self.has_idle_server();
        if !is_idle && self.is_full(0) {
            return false;
        }
        let demand_ns = self.model.service.sample_ns(&mut Rng::from_seed(luck));
        let job = self.number(work);
        if is_idle {
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

    /// Whether a server has nothing to do.
    #[inline(always)] // as above
    pub(crate) fn has_idle_server(&self) -> bool {
        self.service.len() < self.model.concurrency
    }

    /// Whether whoever comes, or waits longest, is served at once: alone, or with a share.
    pub(crate) fn serves_at_once(&self) -> bool {
        match self.model.discipline {
            Discipline::Fifo => self.has_idle_server(),
            Discipline::Ps => true,
        }
    }

    /// Whether one more would be more than may be served and wait; so many of those who wait were
    /// called off.
    #[inline(always)] // as above
    pub(crate) fn is_full(&self, void: u32) -> bool {
        let Some(queue) = self.model.queue else { return false };
        let room = u64::from(self.model.concurrency) + u64::from(queue);
        self.len() as u64 - u64::from(void) >= room
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
