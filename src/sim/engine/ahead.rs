//! What the next looks at backends will need is fetched while others are under way. It must not
//! change what comes out of them.
//!
//! The agenda knows the backends that are looked at on the next days of its calendar, and what
//! belongs to them is found in four steps, each by what the one before has fetched. So each is
//! taken a day after the one before.

use base::{Key, prefetch};

use super::{Engine, Leg};
use crate::subject::Order;

/// What belongs to fewer backends stays in the caches by itself.
const FEWEST_BACKENDS: usize = 200;

impl Engine<'_> {
    /// To be called when the calendar of backends has turned to another day.
    #[inline(never)] // or the loop around it has less room
    pub(super) fn look_ahead(&self) {
        if self.servers.len() < FEWEST_BACKENDS {
            return;
        }
        let wakes = self.agenda.wakes();
        for backend in wakes.of_day(3) {
            prefetch(&self.servers[backend as usize]);
        }
        for backend in wakes.of_day(2) {
            let behaviour = &self.servers[backend as usize].behaviour;
            behaviour.prefetch_queue();
            if let Some(work) = behaviour.next_work() {
                self.under_way.prefetch(Key::unpack(work.0));
            }
        }
        for order in wakes.of_day(1).filter_map(|backend| self.next_order(backend)) {
            self.kept.prefetch(order.backend, order.balancer);
            self.subject.prefetch(&order);
        }
        for order in wakes.of_day(0).filter_map(|backend| self.next_order(backend)) {
            self.subject.prefetch_candidate(&order);
        }
    }

    /// The attempt that a backend will answer next.
    #[inline]
    fn next_order(&self, backend: u32) -> Option<Order> {
        let work = self.servers[backend as usize].behaviour.next_work()?;
        self.under_way.leg(Key::unpack(work.0)).map(Leg::order)
    }
}
