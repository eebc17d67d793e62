//! What the next looks at backends will need is fetched while others are under way. It must not
//! change what comes out of them.
//!
//! The agenda knows the backends that are looked at on the next days of its calendar, and what
//! belongs to them is found in steps, each by what the one before has fetched. So each is taken some
//! days after the one before. And a balancer can often tell whom it will pick next.

use base::{Key, prefetch};

use super::{Engine, Event, Leg};
use crate::agenda::Agenda;
use crate::subject::Order;
use crate::wakes::MANY_BACKENDS;

/// Of a backend: itself; its attempt and who waits first; what the balancer knows of it; the candidate.
const STEPS: usize = 4;

/// How far has been looked ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Whether there are so many backends that it is worth it.
    looks: bool,
    /// The present block of days.
    block: u64,
    /// The backends of this block and the next ones, as they were known when the first step was
    /// taken: few come so soon that they are missed.
    backends: [Vec<u32>; STEPS],
}

impl Ahead {
    pub(super) const fn new(backends: usize) -> Self {
        Self { looks: backends >= MANY_BACKENDS, block: 0, backends: [const { Vec::new() }; STEPS] }
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
        let backends = &mut self.ahead.backends;
        backends.rotate_left(1);
        backends[3].clear();
        wakes.of_block(3, &mut backends[3]);
        wakes.prefetch_looks_of_block(4);
        wakes.prefetch_block(5);
        let [now, next, third, last] = &self.ahead.backends;
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
        for order in next.iter().filter_map(|&backend| self.next_order(backend)) {
            self.kept.prefetch(order.backend, order.balancer);
            self.subject.prefetch(&order);
        }
        for order in now.iter().filter_map(|&backend| self.next_order(backend)) {
            self.subject.prefetch_candidate(&order);
        }
    }

    /// To be called after a request: fetches the backend to which the next one will go, most likely,
    /// and what its balancer will look at for the one after that.
    #[inline(never)] // or the loop around it has less room
    pub(super) fn foresee(&mut self, balancer: u32) {
        let Some(backend) = self.subject.foresee(balancer) else { return };
        if let Some(server) = self.servers.get(backend as usize) {
            prefetch(server);
            self.kept.prefetch(backend, balancer);
            self.agenda.wakes().prefetch(backend);
        }
    }

    /// The attempt that a backend will answer next.
    #[inline]
    fn next_order(&self, backend: u32) -> Option<Order> {
        let work = self.servers[backend as usize].behaviour.next_work()?;
        self.under_way.leg(Key::unpack(work.0)).map(Leg::order)
    }
}
