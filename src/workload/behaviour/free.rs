//! When a backend will have a server with nothing to do. It must not change anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::Time;

use super::Behaviour;
use crate::job::Job;
use crate::service::Discipline;

impl Behaviour {
    /// When it will have a server with nothing to do, as things stand `now`: now, if it has one;
    /// [`Time::MAX`] while it hangs. Where all share the servers: when all is done. It costs a look
    /// at everything inside.
    pub fn free_at(&self, now: Time) -> Time {
        let (station, rare) = (&self.station, self.rare.as_deref());
        let concurrency = station.model.concurrency;
        if rare.is_some_and(|rare| rare.condition.hangs()) {
            return Time::MAX;
        }
        if station.has_idle_server() {
            return now;
        }
        let roll = rare.and_then(|rare| rare.roll.as_ref());
        let is_inside = |job: Job| roll.is_none_or(|roll| !roll.lacks(job));
        let takes_ns = |demand_ns| rare.map_or(demand_ns, |rare| rare.slowed(demand_ns));
        match station.model.discipline {
            Discipline::Ps => now + station.service.left(now, is_inside) / concurrency,
            Discipline::Fifo => {
                let ends = station.service.ends(is_inside).map(Reverse);
                let mut ends: BinaryHeap<_> = ends.collect();
                // Who waits goes to the server that is free first.
                for waiting in station.queue.iter().filter(|waiting| is_inside(waiting.job())) {
                    let Some(Reverse(at)) = ends.pop() else { break };
                    let takes = Duration::from_nanos(takes_ns(waiting.demand_ns()));
                    ends.push(Reverse(at + takes));
                }
                ends.pop().map_or(now, |Reverse(at)| at)
            }
        }
    }
}
