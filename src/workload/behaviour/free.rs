//! When a backend will have a server with nothing to do. It must not change anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::Time;

use super::Behaviour;
use crate::job::Job;
use crate::service::Discipline;

impl Behaviour {
    /// When it will have a server with nothing to do, as things stand: now, if it has one;
    /// [`Time::MAX`] while it hangs. Where all share the servers: when all is done. It costs a look
    /// at everything inside.
    pub fn free_at(&self) -> Time {
        let concurrency = self.model.concurrency;
        if self.condition.hangs() {
            return Time::MAX;
        }
        if self.service.len() < concurrency as usize {
            return self.now;
        }
        let is_inside = |job: &Job| self.roll.as_ref().is_none_or(|roll| !roll.lacks(job));
        match self.model.discipline {
            Discipline::Ps => self.now + self.service.left(self.now, is_inside) / concurrency,
            Discipline::Fifo => {
                let ends = self.service.ends(is_inside).map(Reverse);
                let mut ends: BinaryHeap<_> = ends.collect();
                // Who waits goes to the server that is free first.
                for (_, demand_ns) in self.queue.iter().filter(|(job, _)| is_inside(job)) {
                    let Some(Reverse(at)) = ends.pop() else { break };
                    ends.push(Reverse(at + Duration::from_nanos(self.slowed(*demand_ns))));
                }
                ends.pop().map_or(self.now, |Reverse(at)| at)
            }
        }
    }
}
