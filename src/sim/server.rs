//! A backend as the network sees it: its behaviour, the connections to it, its counters.
//! It must not know who sends to it.

use std::sync::Arc;

use base::Time;
use record::BackendSample;
use workload::{Admission, Answer, BackendModel, Behaviour, FaultChange, FaultKind, Gate, WorkId};

/// One backend, in two neighbouring lines of the processor's cache, which are fetched together: with
/// a hundred thousand of them each is fetched from far memory.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Server {
    pub(crate) behaviour: Behaviour,
    /// When the agenda has a look at it; [`Time::MAX`] while it has none.
    wake: Time,
    failed: u64,
    /// Crashes so far: a connection of an earlier life is reset.
    life: u32,
    max_in_flight: u32,
}

/// A connection, known by the life of its backend in which it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    life: u32,
}

/// What a look at a backend finds.
#[must_use]
pub(crate) enum Look {
    /// An answer; there may be more.
    Answer(Answer),
    /// No more; when to look again, if the agenda does not know it yet.
    Done(Option<Time>),
}

impl Server {
    /// One for each of these models. Neighbours of the same model share it: with thousands of
    /// backends it is then at hand when one of them needs it.
    pub(crate) fn all<'a>(models: impl IntoIterator<Item = &'a BackendModel>) -> Vec<Self> {
        let mut last: Option<Arc<BackendModel>> = None;
        let mut shared = |model: &BackendModel| {
            let same = last.take().filter(|last| **last == *model);
            Arc::clone(last.insert(same.unwrap_or_else(|| Arc::new(model.clone()))))
        };
        models.into_iter().map(|model| Self::new(shared(model))).collect()
    }

    fn new(model: Arc<BackendModel>) -> Self {
        Self {
            behaviour: Behaviour::new(model),
            wake: Time::MAX,
            failed: 0,
            life: 0,
            max_in_flight: 0,
        }
    }

    /// A connection of its present life, which somebody has kept.
    pub(crate) const fn connection(&self) -> Connection {
        Connection { life: self.life }
    }

    /// A new connection, unless it is refused.
    pub(crate) fn accept(&self) -> Option<Connection> {
        (self.behaviour.gate() == Gate::Open).then(|| self.connection())
    }

    /// Whether no crash has reset this connection.
    pub(crate) const fn holds(&self, connection: Connection) -> bool {
        connection.life == self.life
    }

    /// A request comes in over a connection; whether it is inside now. If not, the connection is
    /// reset.
    #[inline(always)] // every request passes here
    pub(crate) fn read(
        &mut self,
        now: Time,
        connection: Connection,
        work: WorkId,
        luck: u64,
    ) -> bool {
        if !self.holds(connection) {
            return false;
        }
        match self.behaviour.handle_request(now, work, luck) {
            Admission::Accepted => {
                self.max_in_flight = self.max_in_flight.max(self.behaviour.in_flight());
                true
            }
            Admission::Reset => {
                self.failed += 1;
                false
            }
        }
    }

    /// The next answer that is due, until there is none.
    #[inline(always)] // every request passes here
    pub(crate) fn look(&mut self, now: Time) -> Look {
        match self.behaviour.poll(now) {
            Ok(answer) => {
                self.failed += u64::from(answer.status.is_none_or(|status| status >= 500));
                Look::Answer(answer)
            }
            Err(at) => Look::Done(self.note(at)),
        }
    }

    /// The same, where hardly ever an answer is due: after an input, or after an answer.
    #[inline(always)] // every request passes here, twice
    pub(crate) fn look_again(&mut self, now: Time) -> Look {
        match self.behaviour.quiet_until(now) {
            Some(at) => Look::Done(self.note(at)),
            None => self.look_rarely(now),
        }
    }

    #[cold]
    fn look_rarely(&mut self, now: Time) -> Look {
        self.look(now)
    }

    /// The next answer will be due then; when to look again, if the agenda does not know it yet.
    #[inline(always)] // as above
    fn note(&mut self, at: Time) -> Option<Time> {
        // What is to come may have been put off; the look in between finds nothing.
        let is_new = at < self.wake;
        if is_new {
            self.wake = at;
        }
        is_new.then_some(at)
    }

    /// A fault begins or ends; whether all connections to it are reset.
    #[must_use]
    pub(crate) fn fault(&mut self, now: Time, change: &FaultChange) -> bool {
        self.behaviour.handle_fault(now, change);
        let crashes = change.begins && change.kind == FaultKind::Crash;
        self.life += u32::from(crashes);
        crashes
    }

    /// The time has come at which the agenda has a look at it.
    #[inline]
    pub(crate) fn wakes(&mut self, now: Time) {
        debug_assert_eq!(
            self.wake, now,
            "the agenda has one look at each backend, the latest told"
        );
        self.wake = Time::MAX;
    }

    /// The counters as they stand; the peak begins anew.
    pub(crate) fn sample(&mut self, state: String) -> BackendSample {
        let in_flight = self.behaviour.in_flight();
        let max_in_flight = std::mem::replace(&mut self.max_in_flight, in_flight);
        BackendSample {
            requests: self.behaviour.requests(),
            failed: self.failed,
            in_flight,
            max_in_flight,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_fills_two_lines() {
        assert_eq!(std::mem::size_of::<Server>(), 2 * 64);
    }
}
