//! What the next looks at backends will need is fetched while others are under way. It must not
//! change what comes out of them.
//!
//! The agenda knows the backends that are looked at on the next days of its calendar, and what
//! belongs to them is found in four steps, each by what the one before has fetched. So each is
//! taken some days after the one before.

use base::{Key, prefetch};

use super::{Engine, Event, Leg};
use crate::agenda::Agenda;
use crate::subject::Order;

/// What belongs to fewer backends stays in the caches by itself: a thousand are played a few hundredths
/// faster without looking ahead. With two thousand a request takes 1.2 times as long without it, with four
/// and with ten thousand 1.6 times, and with a hundred thousand 1.7 times.
const FEWEST_BACKENDS: usize = 1_500;

const STEPS: usize = 4;

/// How far has been looked ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The present block of days.
    block: u64,
    /// The backends of this block and the next ones, as they were known when the first step was
    /// taken: few come so soon that they are missed.
    backends: [Vec<u32>; STEPS],
}

impl Ahead {
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
        if self.servers.len() < FEWEST_BACKENDS {
            return;
        }
        let backends = &mut self.ahead.backends;
        backends.rotate_left(1);
        backends[3].clear();
        wakes.of_block(3, &mut backends[3]);
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

    /// The attempt that a backend will answer next.
    #[inline]
    fn next_order(&self, backend: u32) -> Option<Order> {
        let work = self.servers[backend as usize].behaviour.next_work()?;
        self.under_way.leg(Key::unpack(work.0)).map(Leg::order)
    }
}
