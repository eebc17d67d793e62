//! Health checks that wait for their answer: slow ones, and those that a hang keeps in silence.
//! It must not know sockets.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use base::Time;
use workload::HealthAnswer;

/// How a health check ends: with a status, or with a reset.
pub(crate) type HealthEnd = Option<u16>;

/// The checks of one backend that wait. They are few: one per prober.
#[derive(Default)]
pub(crate) struct HealthChecks {
    next: u64,
    waiting: BTreeMap<u64, Check>,
}

struct Check {
    state: State,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
enum State {
    Silent,
    Due(Time, u16),
    Ended(HealthEnd),
}

impl State {
    fn of(now: Time, answer: HealthAnswer) -> Self {
        match answer {
            HealthAnswer::Status(status, wait) if wait.is_zero() => Self::Ended(Some(status)),
            HealthAnswer::Status(status, wait) => Self::Due(now + wait, status),
            HealthAnswer::Silence => Self::Silent,
            HealthAnswer::Reset => Self::Ended(None),
        }
    }
}

impl HealthChecks {
    /// A check was read, and this is what it meets: its name.
    pub(crate) fn begin(&mut self, now: Time, answer: HealthAnswer) -> u64 {
        let id = self.next;
        self.next += 1;
        self.waiting.insert(id, Check { state: State::of(now, answer), waker: None });
        id
    }

    /// What checks meet has changed: those that wait, wait for this instead.
    pub(crate) fn change(&mut self, now: Time, answer: HealthAnswer) {
        for check in self.waiting.values_mut() {
            if !matches!(check.state, State::Ended(_)) {
                check.set(State::of(now, answer));
            }
        }
    }

    /// Ends what is due, and says when the next one will be.
    pub(crate) fn advance(&mut self, now: Time) -> Option<Time> {
        let mut next: Option<Time> = None;
        for check in self.waiting.values_mut() {
            match check.state {
                State::Due(at, status) if at <= now => check.set(State::Ended(Some(status))),
                State::Due(at, _) => next = Some(next.map_or(at, |next| next.min(at))),
                State::Silent | State::Ended(_) => {}
            }
        }
        next
    }

    /// How the check ended, once it has; it is forgotten then.
    pub(crate) fn poll(&mut self, id: u64, context: &Context<'_>) -> Poll<HealthEnd> {
        let check = self.waiting.get_mut(&id).expect("a check is polled until it has ended");
        if let State::Ended(end) = check.state {
            self.waiting.remove(&id);
            return Poll::Ready(end);
        }
        check.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whoever asked has left.
    pub(crate) fn forget(&mut self, id: u64) {
        self.waiting.remove(&id);
    }
}

impl Check {
    fn set(&mut self, state: State) {
        self.state = state;
        if matches!(state, State::Ended(_))
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}
