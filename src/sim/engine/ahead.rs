//! What the next looks at backends will need is fetched while others are under way. It must not
//! change what comes out of them.
//!
//! The agenda knows the backends that are looked at on the next days of its calendar, and what
//! belongs to them is found in steps, each by what the one before has fetched. So each is taken some
//! days after the one before. And a balancer can often tell whom it will pick next.

use base::{Key, prefetch};

use super::{Engine, Event, Leg};
use crate::agenda::Agenda;
use crate::wakes::MANY_BACKENDS;

/// Of a backend: itself; its attempt and who waits first; what the balancer knows of it. The last one is
/// the candidate.
const STEPS: usize = 3;

/// How far has been looked ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Whether there are so many backends that it is worth it.
    looks: bool,
    /// The present block of days.
    block: u64,
    /// The backends of the next blocks, as they were known when the first step was taken: few come so
    /// soon that they are missed.
    backends: [Vec<u32>; STEPS],
    /// Balancer and backend of the attempts that will be answered in this block.
    candidates: Vec<(u32, u32)>,
}

impl Ahead {
    pub(super) const fn new(backends: usize) -> Self {
        let looks = backends >= MANY_BACKENDS;
        Self { looks, block: 0, backends: [const { Vec::new() }; STEPS], candidates: Vec::new() }
    }

    /// Whether what the next request needs is fetched too.
    #[inline]
    pub(super) const fn foresees(&self) -> bool {
        self.looks
    }

    /// Whether the calendar of backends has turned to other days.
    #[inline]
    pub(super) fn is_behind(&self, agenda: &Agenda<Event>) -> bool {
        self.block != agenda.wakes().block()
    }
}

impl Engine<'_> {
    /// To be called when it is behind.
    #[inline(never)] // or the loop around it has less room
    pub(super) fn look_ahead(&mut self) {
        let wakes = self.agenda.wakes();
        self.ahead.block = wakes.block();
        if !self.ahead.looks {
            return;
        }
        let Ahead { backends, candidates, .. } = &mut self.ahead;
        backends.rotate_left(1);
        backends[2].clear();
        wakes.of_block(3, &mut backends[2]);
        wakes.prefetch_looks_of_block(4);
        wakes.prefetch_block(5);
        let [next, third, last] = &*backends;
        for &backend in last {
            prefetch(&self.servers[backend as usize]);
        }
        for &backend in third {
            let behaviour = &self.servers[backend as usize].behaviour;
            behaviour.prefetch_queue();
            if let Some(work) = behaviour.next_work() {
                self.under_way.prefetch(Key::unpack(work.0));
            }
        }
        for (balancer, backend) in candidates.drain(..) {
            self.subject.prefetch_candidate(balancer, backend);
        }
        for &backend in next {
            // The attempt that it will answer next.
            let work = self.servers[backend as usize].behaviour.next_work();
            let leg = work.and_then(|work| self.under_way.leg(Key::unpack(work.0)));
            if let Some(order) = leg.map(Leg::order) {
                self.kept.prefetch(order.backend, order.balancer);
                self.subject.prefetch(&order);
                candidates.push((order.balancer, order.backend));
            }
        }
    }

    /// To be called after a request: fetches the backend to which the one after the next will go, most
    /// likely, and what its balancer will look at for the one after that.
    #[inline(never)] // or the loop around it has less room
    pub(super) fn foresee(&mut self, balancer: u32) {
        let Some(backend) = self.subject.foresee(balancer) else { return };
        if let Some(server) = self.servers.get(backend as usize) {
            prefetch(server);
            self.kept.prefetch(backend, balancer);
            self.agenda.wakes().prefetch(backend);
        }
    }
}
